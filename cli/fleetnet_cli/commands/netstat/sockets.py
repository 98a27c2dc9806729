"""Sockets: internet, then UNIX, from history or looked at now."""

import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from fleetnet_cli import exits
from fleetnet_cli.asking import connect
from fleetnet_cli.asking import show as show_all
from fleetnet_cli.commands.netstat.asking import Sifted, asked, inode_of, looked_at, namespaces, say, warn
from fleetnet_cli.commands.netstat.wish import Wish
from fleetnet_cli.errors import BrokenAnswer
from fleetnet_cli.live import LiveItem, LiveQuestion, LiveSocket
from fleetnet_cli.options import Common
from fleetnet_cli.output import live, sockets, terminal
from fleetnet_cli.output.names import but_for
from fleetnet_cli.output.netstat import inet, unix
from fleetnet_cli.records import Answer, Socket, SocketQuestion
from fleetnet_cli.services import load
from fleetnet_cli.states import STATES

if TYPE_CHECKING:
    from fleetnet_cli.client import Collector

# Without -a and -l netstat(8) leaves out what has no peer: TCP listeners and unconnected UDP. Of UNIX sockets it leaves
# out listeners alone.
_WITH_PEER = tuple(s for s in STATES if s not in ("LISTEN", "CLOSE"))
_NO_LISTENER = tuple(s for s in STATES if s != "LISTEN")
_NOTHING = "no such sockets"


def show(wish: Wish, common: Common) -> int:
    """Asks and shows; returns the exit status."""
    with connect(common) as collector:
        inode = None
        if wish.netns:
            selection = replace(common.selection, host=wish.host, limit=0)
            inode = inode_of(wish, namespaces(collector, selection)[0])
        if wish.live:
            return _show_live(collector, wish, common, inode)
        answer = asked(collector, lambda: collector.sockets(_of_host(wish, common)))
        if common.by_item:
            kept = Sifted(answer, lambda items: (s for s in items if shown(s, wish) and _is_in(s, inode)))
            return show_all(kept, sockets.presentation(load(), _NOTHING, sockets.connection_columns()), common)
        return _show_table(answer, map(LiveSocket, answer), wish, common, inode, list)


def _of_host(wish: Wish, common: Common) -> SocketQuestion:
    """The question that brings all that is to be shown, and little else."""
    # The collector knows listeners by how far their address reaches; those of other kinds are sifted here.
    known = set(wish.kinds) <= {"tcp", "udp"}
    if wish.everything or (wish.listening and known) or _waiting_are_shown(wish):
        states: tuple[str, ...] = ()
    elif wish.listening:
        states = ("LISTEN", "CLOSE") if wish.internet else ("LISTEN",)
    else:
        # What is unconnected and no listener netstat(8) shows of UNIX sockets alone.
        states = _NO_LISTENER if wish.unix else _WITH_PEER
    return SocketQuestion(
        selection=replace(common.selection, host=wish.host),
        protocols=wish.kinds,
        states=states,
        listeners_only=wish.listening and not wish.everything and known,
    )


def _waiting_are_shown(wish: Wish) -> bool:
    """Connections that wait to be accepted, which are known from the queue of their listener."""
    return wish.unix and not wish.document and not (wish.listening and not wish.everything)


def _show_live(collector: "Collector", wish: Wish, common: Common, inode: int | None) -> int:
    by_item = common.by_item
    netns = inode if wish.netns or by_item else 0
    question = LiveQuestion(wish.host, sockets=True, details=by_item, netns=netns)
    look = looked_at(collector, question, kept=not wish.timers)
    if not by_item:
        return _show_table(look, _sockets_of(look, wish), wish, common, inode, lambda: look.troubles)
    kept = Sifted(
        look, lambda items: (s for s in _sockets_of(items, wish) if shown(s.socket, wish) and _is_in(s.socket, inode))
    )
    status = show_all(kept, live.presentation(load()), common)
    warn(look.troubles, common)
    return exits.PARTIAL if look.troubles else status


def _sockets_of(items: Iterable[LiveItem], wish: Wish) -> Iterator[LiveSocket]:
    return (i for i in items if isinstance(i, LiveSocket) and i.socket.protocol in wish.kinds)


def _show_table(
    answer: Answer[object],
    items: Iterable[LiveSocket],
    wish: Wish,
    common: Common,
    inode: int | None,
    troubles: Callable[[], list[str]],
) -> int:
    table = _OneNamespace(items, wish, inode)
    listed = list(table)
    table.connections.whole = table.broken is None and not (answer.end and answer.end.truncated)
    found = write(listed, table.connections, wish, terminal.of(sys.stdout), heading=not common.quiet)
    if table.broken is not None:
        raise table.broken
    notes = [*troubles(), *table.notes(), *_past(common)]
    say(answer, common, found, _NOTHING, notes)
    # Queues are kept as last reported and not as they were at each moment: of the past they are not an answer.
    return exits.status_of(found > 0, whole=answer.coverage.whole and not common.asked_at and not troubles())


def write(
    items: list[LiveSocket], connections: unix.Connections, wish: Wish, out: terminal.Terminal, *, heading: bool
) -> int:
    """The tables of internet and of UNIX sockets, each where it is wanted; returns how many lines."""
    layout = inet.Layout(
        all=wish.everything,
        listening=wish.listening,
        programs=wish.programs,
        wide=wish.wide,
        extend=wish.extend > 0,
        timers=wish.timers,
    )
    found = 0
    if wish.internet:
        names = but_for(wish.numbers)
        found += inet.write((i for i in items if i.socket.protocol != "unix"), names, layout, out, heading=heading)
    if wish.unix:
        found += unix.write(
            (i.socket for i in items if i.socket.protocol == "unix"), connections, layout, out, heading=heading
        )
    return found


def shown(socket: Socket, wish: Wish) -> bool:
    """What netstat(8) would show of this family and with -a, -l or neither."""
    if not wish.of_family(socket.family):
        return False
    if wish.everything:
        return True
    if socket.protocol == "unix":
        return (socket.state == "LISTEN") == wish.listening
    if socket.protocol == "tcp":
        return socket.state == "LISTEN" if wish.listening else socket.state not in ("LISTEN", "CLOSE")
    return bool(socket.remote_address) != wish.listening


def _past(common: Common) -> list[str]:
    return ["Recv-Q and Send-Q are as last reported, not as they were then"] if common.asked_at else []


def _is_in(socket: Socket, inode: int | None) -> bool:
    return inode is None or socket.netns_inode == inode


class _OneNamespace:
    """The sockets that netstat(8) would see in one namespace, the agent's own where none is named; counts the others,
    and keeps what broke the answer off.
    """

    def __init__(self, items: Iterable[LiveSocket], wish: Wish, inode: int | None) -> None:
        self._items = items
        self._wish = wish
        self._inode = inode
        self._elsewhere = 0
        self._from_proc = False
        self.connections = unix.Connections()
        self.broken: BrokenAnswer | None = None

    def __iter__(self) -> Iterator[LiveSocket]:
        try:
            for item in self._items:
                yield from self._shown(item)
        except BrokenAnswer as error:
            self.broken = error

    def _shown(self, item: LiveSocket) -> Iterator[LiveSocket]:
        is_unix = item.socket.protocol == "unix"
        if is_unix:
            self.connections.add(item.socket)
        is_shown, is_here = shown(item.socket, self._wish), self._is_here(item.socket)
        self._from_proc = self._from_proc or (is_shown and item.socket.source == "psutil")
        if is_shown and is_here:
            yield item
        elif is_shown:
            self._elsewhere += 1
        if is_unix and is_here and item.socket.state == "LISTEN" and _waiting_are_shown(self._wish):
            yield from map(LiveSocket, unix.waiting(item.socket))

    def _is_here(self, socket: Socket) -> bool:
        return socket.netns == "host" if self._inode is None else socket.netns_inode == self._inode

    def notes(self) -> Iterator[str]:
        """What must be said beside the lines."""
        if self._from_proc:
            yield "read from /proc/net, for the host's kernel refuses diag; a socket may be missed or doubled"
        if self._elsewhere and self._inode is None:
            more = "1 socket" if self._elsewhere == 1 else f"{self._elsewhere} sockets"
            yield f"{more} in other network namespaces not shown; --netns NAME shows those of one, -o json has them all"
