"""What a monitoring system asks over plain HTTP: /metrics and /healthz. Numbers only, no name of any host.

Served by threads of its own, so that it still answers when the event loop does not: then /healthz says that.
"""

import asyncio
import socket
import threading
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import TimeoutError as FutureTimeoutError
from socketserver import ThreadingMixIn
from typing import Any, Final, TypeVar
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import make_wsgi_app

from fleetnet_server.config import Address
from fleetnet_server.errors import ServerError
from fleetnet_server.metrics import REGISTRY

_ANSWER_S: Final = 5.0
_IDLE_S: Final = 10.0  # a connection that asks nothing is closed

T = TypeVar("T")
_Start = Callable[..., Any]


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    allow_reuse_address = True


class _V6Server(_Server):
    address_family = socket.AF_INET6


class _Handler(WSGIRequestHandler):
    timeout = _IDLE_S

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: who asks, and how often, is no news."""

    def address_string(self) -> str:
        """The address alone; the look-up of its name may take long."""
        return str(self.client_address[0])


class Http:
    """The server, from `start` to `stop`."""

    def __init__(self, address: Address, healthy: Callable[[], Awaitable[str]]) -> None:
        """Bind. `healthy` says what is wrong in a sentence, empty where nothing is; it is awaited on the loop that runs
        now. Raises OSError."""
        self._loop = asyncio.get_running_loop()
        self._healthy = healthy
        self._metrics = make_wsgi_app(REGISTRY)
        kind = _V6Server if ":" in address.host else _Server
        self._server = make_server(address.host, address.port, self._answer, kind, _Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, name="fleetnet-http", daemon=True)

    @property
    def port(self) -> int:
        """The port that was bound."""
        return self._server.server_port

    def start(self) -> None:
        """Answer from here on."""
        self._thread.start()

    def stop(self) -> None:
        """Answer no more. Blocks for half a second at most."""
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, environ: dict[str, Any], start: _Start) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            return _text(start, "405 Method Not Allowed", "only GET")
        if environ["PATH_INFO"] == "/metrics":
            page: Iterable[bytes] = self._metrics(environ, start)
            return page
        if environ["PATH_INFO"] == "/healthz":
            wrong = self._wrong()
            return _text(start, "503 Service Unavailable", wrong) if wrong else _text(start, "200 OK", "ok")
        return _text(start, "404 Not Found", "there are /metrics and /healthz")

    def _wrong(self) -> str:
        try:
            return on_loop(self._loop, self._healthy)
        except FutureTimeoutError:
            return f"the collector's event loop has not answered for {_ANSWER_S:g} s"
        except ServerError as error:
            return str(error)


def on_loop(loop: asyncio.AbstractEventLoop, ask: Callable[[], Awaitable[T]]) -> T:
    """What `ask` returns on the loop, from another thread. Raises TimeoutError, and what `ask` raises."""

    async def asked() -> T:
        return await ask()

    future = asyncio.run_coroutine_threadsafe(asked(), loop)
    try:
        return future.result(_ANSWER_S)
    except FutureTimeoutError:
        future.cancel()
        raise


def _text(start: _Start, status: str, words: str) -> Iterable[bytes]:
    start(status, [("Content-Type", "text/plain; charset=utf-8"), ("Cache-Control", "no-store")])
    return [f"{words}\n".encode()]
