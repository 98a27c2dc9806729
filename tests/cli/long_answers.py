"""A collector whose answers are as long as a test wants, made page by page as they are taken, and the program that
takes them: of neither side is anything held here.
"""

import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import grpc
from cli.canned import Canned, serve
from fleetnet_proto.v1 import query_pb2

from cli import fleet

PAGE_ITEMS = 100
_HOSTS = 50


class Long(Canned):
    """Answers every question about sockets with so many pages."""

    def __init__(self, pages: int) -> None:
        super().__init__()
        self.coverage = fleet.all_fresh()
        self.pages = pages

    def ListSockets(  # noqa: N802  # the name in the .proto
        self, request: query_pb2.ListSocketsRequest, context: grpc.ServicerContext
    ) -> Iterator[query_pb2.ListSocketsResponse]:
        yield query_pb2.ListSocketsResponse(coverage=self.coverage)
        for number in range(self.pages):
            items = (fleet.listeners() + fleet.connections()) * (PAGE_ITEMS // 7 + 1)
            page = query_pb2.SocketPage(items=items[:PAGE_ITEMS])
            for item in page.items:
                item.host = f"web{number * _HOSTS // self.pages}"
            yield query_pb2.ListSocketsResponse(page=page)
        yield query_pb2.ListSocketsResponse(end=query_pb2.End(items=self.pages * PAGE_ITEMS))


@dataclass(frozen=True, slots=True)
class Asked:
    """How a run of the program went."""

    lines: int
    last: str
    first_line_s: float
    taken_s: float
    most_held_kb: int


# What wait4(2) tells of a process begins with what its parent held, so it looks for itself.
_PROGRAM = """
import sys
from pathlib import Path
from fleetnet_cli.main import main
status = main(sys.argv[1:])
fields = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
print(fields["VmHWM"].split()[0], file=sys.stderr)
sys.exit(status)
"""


def asked(socket: Path, pages: int, output: str) -> Asked:
    """Asks for so many pages in a format, and counts the lines."""
    end = serve(Long(pages), socket)
    try:
        return ran("who-holds", "LISTEN", "-o", output, "--server", f"unix://{socket}")
    finally:
        end()


def ran(*arguments: str) -> Asked:
    """The program, whose answer is whole; its lines are counted."""
    with subprocess.Popen(
        [sys.executable, "-c", _PROGRAM, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        began_s = time.monotonic()
        last = process.stdout.readline()
        first_line_s = time.monotonic() - began_s
        lines = 1
        for last in process.stdout:  # noqa: B007  # the last one is looked at
            lines += 1
        taken_s = time.monotonic() - began_s
        most_held_kb = int(process.stderr.read().splitlines()[-1])
        assert process.wait() == 0
    return Asked(lines, last, first_line_s, taken_s, most_held_kb)
