"""The services of the demo's hosts: small, but real programs with real sockets.

    python -m demo.services web ADDRESS PORT       a web server
    python -m demo.services database ADDRESS PORT  accepts connections, as a database would
    python -m demo.services shop ADDRESS PORT      a client of the web server that forgets to read on and to close

Each says `ready PORT` when its sockets are open and lives until it is ended.
"""

import http.server
import signal
import socket
import socketserver
import sys
from http import HTTPStatus
from pathlib import Path

LEAKED = 3  # connections that the shop forgets to close


class Page(http.server.BaseHTTPRequestHandler):
    """One page, after which the server hangs up, as HTTP/1.0 has it."""

    def do_GET(self) -> None:
        """Answer."""
        self.send_response(HTTPStatus.OK)
        self.end_headers()
        self.wfile.write(b"hello\n")

    def log_message(self, format: str, *args: object) -> None:  # the signature of http.server
        """Say nothing: the log is for what goes wrong."""


class WebServer(http.server.ThreadingHTTPServer):
    """A web server that asks no name server for its own name."""

    def server_bind(self) -> None:
        """Bind, without the reverse look-up of http.server, which waits long where there is no name server."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = self.socket.getsockname()


def web(address: str, port: int) -> None:
    """Serve the page."""
    with WebServer((address, port), Page) as server:
        print("ready", server.server_port, flush=True)
        server.serve_forever()


def database(address: str, port: int) -> None:
    """Listen."""
    with socket.create_server((address, port)) as listener:
        print("ready", listener.getsockname()[1], flush=True)
        while True:
            listener.accept()


def shop(address: str, port: int) -> None:
    """Ask for the page a few times, read how each answer begins, and forget the rest and to close."""
    leaked = [socket.create_connection((address, port)) for _ in range(LEAKED)]
    for connection in leaked:
        connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
        connection.recv(len(b"HTTP/1.0 200 OK"))
    print("ready", port, flush=True)
    signal.pause()


def main() -> None:
    """Be one of them."""
    name, address, port = sys.argv[1:]
    # The name that ss and netstat show; without it all three would be "python".
    Path("/proc/self/comm").write_text(name)
    {"web": web, "database": database, "shop": shop}[name](address, int(port))


if __name__ == "__main__":
    main()
