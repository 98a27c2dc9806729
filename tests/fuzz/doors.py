"""Ways into a collector for bytes that need not be a message: every method of every service, over the port it is on."""

import queue
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import grpc
from fleetnet_proto.v1 import admin_pb2, enroll_pb2, people_pb2, query_pb2, report_pb2
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from server.agents import DEADLINE_S

# All but those of the CA: a step of its rotation, said by chance with all its fields, may end what else is tried.
METHODS: Final[dict[str, MethodDescriptor]] = {
    f"{service.full_name}/{method.name}": method
    for file in (report_pb2, enroll_pb2, people_pb2, query_pb2, admin_pb2)
    for service in file.DESCRIPTOR.services_by_name.values()
    for method in service.methods
}
REPORT: Final = "fleetnet.v1.ReportService/Report"
_MOST_PARTS: Final = 100
# Of these an answer may take as long as somebody waits.
_PATIENCE_S: Final = dict.fromkeys(("fleetnet.v1.QueryService/WatchSockets", "fleetnet.v1.QueryService/Live"), 0.1)


def call(channel: grpc.Channel, method: str, request: bytes) -> grpc.StatusCode:
    """Ask, and read some of what comes; how it ended."""
    kind: Any = channel.unary_stream if METHODS[method].server_streaming else channel.unary_unary
    patience_s = _PATIENCE_S.get(method)
    try:
        answer = kind(f"/{method}")(request, timeout=patience_s or DEADLINE_S)
        if METHODS[method].server_streaming:
            for number, _ in enumerate(answer):
                if number > _MOST_PARTS:
                    answer.cancel()
                    break
    except grpc.RpcError as error:
        code = _code(error)
        if code is grpc.StatusCode.DEADLINE_EXCEEDED and patience_s:
            return grpc.StatusCode.OK
        return code
    return grpc.StatusCode.OK


@dataclass(slots=True)
class ByteStream:
    """A report stream of which each message is any bytes."""

    channel: grpc.Channel
    told: list[bytes] = field(default_factory=list)
    _outgoing: "queue.SimpleQueue[bytes | None]" = field(default_factory=queue.SimpleQueue)
    _incoming: "queue.SimpleQueue[report_pb2.CollectorMessage | grpc.StatusCode]" = field(
        default_factory=queue.SimpleQueue
    )
    _call: Any = None
    _thread: threading.Thread | None = None

    def open(self) -> None:
        """Begin it."""
        opened: Any = self.channel.stream_stream(
            f"/{REPORT}", response_deserializer=report_pb2.CollectorMessage.FromString
        )
        self._call = opened(self._requests())
        self._thread = threading.Thread(target=self._receive, daemon=True)
        self._thread.start()

    def send(self, message: Message | bytes) -> None:
        """Say it."""
        data = message if isinstance(message, bytes) else message.SerializeToString()
        self.told.append(data)
        self._outgoing.put(data)

    def receive(self) -> report_pb2.CollectorMessage | grpc.StatusCode:
        """The next message, or how it ended. Raises queue.Empty where neither comes."""
        return self._incoming.get(timeout=DEADLINE_S)

    def done_writing(self) -> None:
        """Nothing more comes."""
        self._outgoing.put(None)

    def close(self) -> None:
        """Break it off."""
        self._outgoing.put(None)
        self._call.cancel()
        if self._thread is not None:
            self._thread.join(DEADLINE_S)

    def _requests(self) -> Iterator[bytes]:
        while (message := self._outgoing.get()) is not None:
            yield message

    def _receive(self) -> None:
        try:
            for message in self._call:
                self._incoming.put(message)
        except grpc.RpcError as error:
            self._incoming.put(_code(error))
        else:
            self._incoming.put(grpc.StatusCode.OK)


def _code(error: grpc.RpcError) -> grpc.StatusCode:
    if not isinstance(error, grpc.Call):
        raise error
    return error.code()
