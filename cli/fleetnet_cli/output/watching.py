"""What is watched, as it comes: what is there, then each change on a line of its own, with its time.

    TIME      HOST  PROTO  LOCAL        …
              web1  tcp    0.0.0.0:443
    2 hosts, all fresh
    + 14:03:22  web1  tcp    0.0.0.0:80
    - 14:05:01  web1  tcp    0.0.0.0:443
    ! 14:06:40  db1 is silent
    ! 14:09:12  connected again

After a connection that was lost, what came and went meanwhile is told in the same way: no change is told twice, and
none is left out but what came and went again.
"""

from collections.abc import Iterable
from typing import Protocol

from fleetnet_cli import times
from fleetnet_cli.output import coverage as sentences
from fleetnet_cli.output.document import head, text
from fleetnet_cli.output.presentation import Presentation
from fleetnet_cli.output.table import EMPTY, Form, form
from fleetnet_cli.output.terminal import BOLD, GREEN, RED, YELLOW, Terminal
from fleetnet_cli.records import Coverage, News, ReadyAnswer, Selection, Socket
from fleetnet_cli.text import visible

_TIME = "14:03:22"


class Writer(Protocol):
    """How it is written."""

    def begin(self, coverage: Coverage, sockets: Iterable[Socket]) -> None:
        """What is there."""

    def change(self, came: bool, at_us: int, socket: Socket) -> None:
        """One socket that came or went."""

    def cover(self, at_us: int, before: Coverage, now: Coverage) -> None:
        """The coverage has changed."""

    def again(self, at_us: int, before: Coverage, now: Coverage) -> None:
        """A connection that was lost is there again; what changed meanwhile comes after this."""


class Lines:
    """For people."""

    def __init__(self, presentation: Presentation[Socket], out: Terminal, *, quiet: bool, asked: Selection) -> None:
        self._presentation, self._out, self._quiet, self._asked = presentation, out, quiet, asked
        self._rows: list[list[str]] = []
        self._form: Form | None = None

    def begin(self, coverage: Coverage, sockets: Iterable[Socket]) -> None:
        """See Writer."""
        self._rows = [self._row(socket) for socket in sockets]
        self._shape()
        for row in self._rows:
            self._out.write(self._line(" ", "", row) + "\n")
        if not self._quiet and not coverage.hosts_asked:
            some = self._asked.host_globs or self._asked.labels
            whom = sentences.nobody(self._asked, coverage) if some else "no hosts in this fleet"
            yet = "" if whom.endswith("?") else " yet;"
            self._out.write(self._out.paint(f"{whom}{yet} waiting for one\n", YELLOW))
        elif not self._quiet:
            sentences.write(
                ReadyAnswer[object](coverage), self._out, found=len(self._rows), nothing=self._presentation.nothing,
                asked_at=False, zone_shown=True, asked=self._asked, notes=(),
            )  # fmt: skip
        self._rows = self._rows[:1_000]  # they only say how wide the columns are

    def change(self, came: bool, at_us: int, socket: Socket) -> None:
        """See Writer."""
        row = self._row(socket)
        if self._form is None or any(row[i] != EMPTY for i in self._form.absent):
            self._rows.append(row)
            self._shape()
        line = self._line("+" if came else "-", _clock(at_us), row)
        self._out.write(self._out.paint(line, GREEN if came else RED) + "\n")

    def cover(self, at_us: int, before: Coverage, now: Coverage) -> None:
        """See Writer."""
        if self._quiet:
            return
        were, are = {s.host for s in before.hosts_stale}, {s.host for s in now.hosts_stale}
        told = [f"{host} is silent" for host in sorted(are - were)]
        # Who lost a label that is asked for is not asked any more, and may be as silent as before.
        or_left = ", or is not asked about any more" if now.hosts_asked < before.hosts_asked else ""
        told += [f"{host} is heard again{or_left}" for host in sorted(were - are)]
        for sentence in told:
            self._note(at_us, sentence)

    def again(self, at_us: int, before: Coverage, now: Coverage) -> None:
        """See Writer."""
        if not self._quiet:
            self._note(at_us, "connected again")
        self.cover(at_us, before, now)

    def _note(self, at_us: int, sentence: str) -> None:
        self._out.write(self._out.paint(f"! {_clock(at_us)}  {visible(sentence)}", YELLOW) + "\n")

    def _row(self, socket: Socket) -> list[str]:
        return [visible(column.cell(socket)) or EMPTY for column in self._presentation.columns]

    def _shape(self) -> None:
        columns = self._presentation.columns
        room = None if self._out.width is None else max(self._out.width - len(f"+ {_TIME}  "), 1)
        self._form = form(self._rows, columns, room, heading=not self._quiet) if self._rows else None
        if self._form is not None and not self._quiet:
            headings = [column.heading for column in columns]
            self._out.write(self._out.paint(self._line(" ", "TIME", headings), BOLD) + "\n")

    def _line(self, sign: str, clock: str, row: list[str]) -> str:
        assert self._form is not None
        return f"{sign} {clock:<{len(_TIME)}}  {self._form.line(row)}"


class Documents:
    """For programs: a line of JSON each."""

    def __init__(self, presentation: Presentation[Socket], out: Terminal) -> None:
        self._presentation, self._out = presentation, out

    def begin(self, coverage: Coverage, sockets: Iterable[Socket]) -> None:
        """See Writer."""
        self._out.write(text(head("SocketNews", coverage)) + "\n")
        for socket in sockets:
            self._tell("There", coverage.as_of_us, socket)
        self._out.write(text({"kind": "Begun", "at": times.utc(coverage.as_of_us)}) + "\n")

    def change(self, came: bool, at_us: int, socket: Socket) -> None:
        """See Writer."""
        self._tell("Came" if came else "Went", at_us, socket)

    def cover(self, at_us: int, before: Coverage, now: Coverage) -> None:
        """See Writer."""
        told = head("SocketNews", now)
        self._out.write(text({"kind": "Coverage", "at": times.utc(at_us), "coverage": told["coverage"]}) + "\n")

    def again(self, at_us: int, before: Coverage, now: Coverage) -> None:
        """See Writer."""
        self.cover(at_us, before, now)

    def _tell(self, kind: str, at_us: int, socket: Socket) -> None:
        told = {"kind": kind, "at": times.utc(at_us), "socket": self._presentation.as_json(socket)}
        self._out.write(text(told) + "\n")


class Screen:
    """What has been written, so that each change is written once, also over connections that were lost."""

    def __init__(self, writer: Writer, out: Terminal) -> None:
        self._writer, self._out = writer, out
        self._known: dict[tuple[object, ...], Socket] | None = None  # None: nothing was written yet
        self._there: dict[tuple[object, ...], Socket] = {}
        self._written = self._coverage = Coverage(0)
        self.begun = False

    def connected(self, coverage: Coverage) -> None:
        """A connection has begun; what is there comes now."""
        self._there, self.begun = {}, False
        self._coverage = coverage

    def tell(self, news: News) -> None:
        """Write what is new."""
        if news.coverage is not None:
            self._coverage = news.coverage
            if self.begun:
                self._writer.cover(news.at_us, self._written, news.coverage)
                self._written = news.coverage
        elif news.socket is None:
            self._mark(news.at_us)
        elif news.kind == "there":
            self._there[_key(news.socket)] = news.socket
        else:
            self._change(news.kind == "came", news.at_us, news.socket)
        if self.begun:
            self._out.flush()

    def _mark(self, at_us: int) -> None:
        if self.begun:
            return
        self.begun = True
        if self._known is None:
            self._writer.begin(self._coverage, self._there.values())
        else:
            # Now and not before: the coverage may have been known for a while, and its time is then not this one.
            self._writer.again(at_us, self._written, self._coverage)
            for came, sockets, others in ((False, self._known, self._there), (True, self._there, self._known)):
                for key, socket in sockets.items():
                    if key not in others:
                        self._writer.change(came, at_us, socket)
        self._known, self._there, self._written = self._there, {}, self._coverage

    def _change(self, came: bool, at_us: int, socket: Socket) -> None:
        assert self._known is not None
        if came:
            self._known[_key(socket)] = socket
        else:
            self._known.pop(_key(socket), None)
        self._writer.change(came, at_us, socket)


def _key(socket: Socket) -> tuple[object, ...]:
    # What makes it another one, as the collector has it: else a change would be told of twice, or never.
    return (
        socket.host, socket.netns_inode, socket.protocol, socket.state, socket.local_address, socket.local_port,
        socket.remote_address, socket.remote_port, socket.interface, socket.path, socket.cookie or socket.inode,
    )  # fmt: skip


def _clock(at_us: int) -> str:
    return times.local(at_us).partition(" ")[2] or times.local(at_us)
