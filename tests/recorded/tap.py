"""A collector's report port that listens in: what an agent says goes on to the real collector, byte for byte, and what
that answers comes back."""

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from concurrent import futures
from pathlib import Path
from typing import Any, Final

import grpc
from fleetnet_proto.v1 import report_pb2

METHOD: Final = "/fleetnet.v1.ReportService/Report"
CREDIT: Final = 32
GAP_S: Final = 2.0


class Tap:
    """Serves on `address` with the collector's own key, and reaches it with the agent's.

    The first stream is welcomed and broken when its first batch has come, so that the second one has a gap to tell of.
    It is the second one that is recorded.
    """

    def __init__(self, address: str, collector: str, data: Path, state: Path) -> None:
        self.said: list[report_pb2.AgentMessage] = []
        self.answered: list[report_pb2.CollectorMessage] = []
        self._collector, self._data, self._state = collector, data, state
        self._streams = itertools.count(1)
        self._changed = threading.Condition()
        self._server = grpc.server(futures.ThreadPoolExecutor(8), options=[("grpc.so_reuseport", 0)])
        handler: Any = grpc.stream_stream_rpc_method_handler(self._report)
        self._server.add_generic_rpc_handlers(
            [grpc.method_handlers_generic_handler("fleetnet.v1.ReportService", {"Report": handler})]
        )
        pair = ((data / "server.key").read_bytes(), (data / "server.pem").read_bytes())
        credentials = grpc.ssl_server_credentials([pair], (data / "ca.pem").read_bytes(), require_client_auth=True)
        self._server.add_secure_port(address, credentials)
        self._server.start()

    def stop(self) -> None:
        """No more of it."""
        self._server.stop(0).wait()

    def until(self, true: Callable[[], bool], what: str) -> None:
        """Wait until it was said, or answered."""
        with self._changed:
            if not self._changed.wait_for(true, 60.0):
                raise TimeoutError(f"{what} was not said within a minute")

    def _note(self, message: bytes, kind: Any, where: list[Any]) -> bytes:
        with self._changed:
            where.append(kind.FromString(message))
            self._changed.notify_all()
        return message

    def _report(self, requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        if next(self._streams) == 1:
            next(requests)
            welcome = report_pb2.CollectorMessage(welcome=report_pb2.Welcome(credit=CREDIT))
            yield welcome.SerializeToString()
            next(requests)
            context.abort(grpc.StatusCode.UNAVAILABLE, "the recording wants a gap")
        time.sleep(GAP_S)
        with grpc.secure_channel(self._collector, self._credentials()) as channel:
            forward: Any = channel.stream_stream(METHOD)
            said = (self._note(message, report_pb2.AgentMessage, self.said) for message in requests)
            for answer in forward(said):
                yield self._note(answer, report_pb2.CollectorMessage, self.answered)

    def _credentials(self) -> grpc.ChannelCredentials:
        key, certificate = ((self._state / name).read_bytes() for name in ("agent.key", "agent.pem"))
        return grpc.ssl_channel_credentials((self._data / "ca.pem").read_bytes(), key, certificate)
