"""One source as the watch follows it: its table, the ends the kernel told of, who holds what of it, how it is doing.

What must stay true: a source that fails has no moves, so nothing of it is closed; what the kernel refuses altogether
is read through /proc instead, and says so.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from fleetnet_agent.changes import DiagTable, Moves, Table
from fleetnet_agent.ends import Ends, Joined
from fleetnet_agent.holders import Holders
from fleetnet_agent.inference import Listeners
from fleetnet_agent.late import Anew, LateSightings
from fleetnet_agent.records import (
    OWN_NAMESPACE,
    Brief,
    Closed,
    Holder,
    Protocol,
    Socket,
    SocketKey,
    SourceStatus,
    State,
)
from fleetnet_agent.records import Source as ReadBy
from fleetnet_agent.sources.all import SOURCES
from fleetnet_agent.sources.diag import DiagSocket
from fleetnet_agent.sources.fallback import OtherWay, ReadFile, kernel_had, kernel_has, other_way
from fleetnet_agent.sources.source import End, RefusedError, Sighting, SourceError
from fleetnet_agent.sources.tcp_count import tcp_count

_ENDS_ARE_TOLD = frozenset({Protocol.TCP, Protocol.UDP})  # by the kernel's events


@dataclass(frozen=True, slots=True)
class Seen:
    """One look at one source, and what it means for the owners."""

    moves: Moves
    inodes_new: list[Sighting]  # but for what is late, and no listener
    inodes_left: list[int]
    whole: bool = True  # False where nothing was read
    peer_paths: Mapping[int, bytes] = field(
        default_factory=dict
    )  # UNIX: names at the other ends of new sockets, by inode

    @property
    def late(self) -> LateSightings | None:
        """What it opened, where those are many that were seen for the first time."""
        # By its type, which costs less than to ask a Sequence whether it is an instance, for each of many namespaces.
        return self.moves.opened if type(self.moves.opened) is LateSightings else None


class Followed:
    """A source and what is remembered of its sockets."""

    def __init__(
        self,
        name: str,
        protocol: Protocol,
        table: Table,
        ends: Ends,
        proc: Path = Path("/proc"),
        netns: int = OWN_NAMESPACE,
        read_file: ReadFile | None = None,
        read_by: ReadBy = ReadBy.DIAG,
    ) -> None:
        """`read_file` is of /proc/net of a namespace that is not the own one; `read_by` is how `table` reads."""
        self.netns = netns  # as in SocketKey
        self._proc = proc
        self._read_file = read_file
        self._name = name
        self._protocol = protocol
        self._table = table
        self._ends = ends
        self._same_as: dict[int | bytes, int | bytes] = {}  # the name under which a socket was told before
        self._looks = 0  # that were whole
        self._vanished = False
        self._read_by = read_by
        self._absent = False  # refused, but the kernel has no such sockets at all
        self._other_way: OtherWay | None = None
        self._holders: dict[int | bytes, Holder] = {}
        self._placeless: set[int | bytes] = set()  # whose control group was not known when they were last told
        self.status = SourceStatus(name, ok=True, detail="")

    def __len__(self) -> int:
        return len(self._table)

    @property
    def protocol(self) -> Protocol:
        """Whose sockets these are."""
        return self._protocol

    def look(self) -> Seen:
        """Read it. Never raises SourceError: that is the status then, and nothing has moved."""
        try:
            moves = self._look()
        except SourceError as error:
            return self.pass_over(str(error))
        way = self._other_way
        self.status = SourceStatus(self._name, ok=way is None or way.whole, detail=way.detail if way else "")
        self._looks += 1
        if isinstance(moves.opened, LateSightings):
            return Seen(moves, [one for one in self._table.listeners() if one.inode], [])
        rehoused = [change for change in moves.changed if change.before.inode != change.after.inode]
        appeared = [*moves.opened, *(change.after for change in rehoused)]
        vanished = [*moves.closed, *(change.before for change in rehoused)]
        return Seen(
            moves,
            inodes_new=[sighting for sighting in appeared if sighting.inode],
            inodes_left=[sighting.inode for sighting in vanished if sighting.inode],
            peer_paths=self._peer_paths(appeared),
        )

    def rest(self, why: str) -> Seen:
        """Do not read it this time, for that reason: nothing has moved. Not blind, for the agent chose so: the rest of
        the host is to be told on."""
        self.status = SourceStatus(self._name, ok=False, detail=f"not read: {why}")
        return Seen(Moves([], [], []), [], [], whole=False)

    def stay(self) -> Seen:
        """It need not be read this time, for nothing in it can have changed: nothing moves."""
        return Seen(Moves([], [], []), [], [], whole=False)

    def pass_over(self, why: str) -> Seen:
        """It cannot be read this time: nothing moves."""
        self.status = SourceStatus(self._name, ok=False, detail=f"not read: {why}", blind=True)
        return Seen(Moves([], [], []), [], [], whole=False)

    def vanish(self) -> Seen:
        """Everything is gone, with the namespace that it was in. No look after this."""
        self._vanished = True
        gone = list(self._table.sightings())
        return Seen(Moves([], [], gone), [], [sighting.inode for sighting in gone if sighting.inode])

    def join(self, seen: Seen, before: Collection[End], after: Collection[End]) -> Joined:
        """Join a look and the ends that the kernel told of before its dump began, and after. To be called once for each
        look, before its rows are made."""
        if self._read_by is not ReadBy.DIAG or self._protocol not in _ENDS_ARE_TOLD:  # events know cookies alone
            return Joined()
        if not seen.whole:
            self._ends.postpone([*before, *after])
            return Joined()
        moves = seen.moves
        if seen.late is not None:  # ends are of those that they name, or of what is left without an inode
            some = (*seen.late.named({end.name for end in (*before, *after)}), *seen.late.without_inode())
            moves = Moves([*{one.name: one for one in some}.values()], [], [])
        joined = self._ends.join(moves, before, after, self._table.named, first=self._looks == 1)
        self._same_as.update(joined.same_as)
        return joined

    def listeners_moved(self) -> bool:
        """True if a full look has something to tell of the listeners. An error waits for that look, too."""
        try:
            return self._table.listeners_moved()
        except SourceError:
            return False

    def listeners_stand(self) -> bool:
        """True if the listeners were read, and are as they were told."""
        try:
            return not self._table.listeners_moved()
        except SourceError:
            return False

    def is_settled(self, calm: Callable[[bytes], bool]) -> bool:
        """True if `calm` says so of the last message of each socket, and no length of a queue waits to be told."""
        return isinstance(self._table, DiagTable) and self._table.is_settled(calm)

    @property
    def was_read(self) -> bool:
        """True if it is known how it can be read, and it was."""
        return self._looks > 0 and self.status.ok

    @property
    def awaits_ends(self) -> bool:
        """True if an end was told that the next reading is to explain."""
        return self._ends.are_waiting

    def open(self, seen: Seen, holders: Holders) -> Iterator[Socket]:
        """Rows for what is new, each made when it is asked for."""
        if seen.late:
            for listener in self._table.listeners():  # who holds these is known at once: ends are looked for by them
                self._hold(listener, holders)
        return (self._row(sighting, holders) for sighting in seen.moves.opened)

    def change(self, seen: Seen, touched: Collection[int], holders: Holders) -> Iterator[Socket]:
        """Rows for what changed in itself, and for what has other holders: `touched` inodes, and known places."""
        if self._vanished:
            return
        if seen.late:  # everything there is has just been told, as it is
            return
        told: set[int | bytes] = {one.name for one in seen.moves.opened}
        for change in seen.moves.changed:
            told.add(change.after.name)
            yield self._row(change.after, holders)
        placeless = self._placeless - told
        self._placeless -= placeless  # one more try each
        # At the first look everything is both new and touched: what has been told need not be looked at again.
        touched = set(touched) - {one.inode for one in seen.inodes_new}
        again = [*self._table.holding(touched), *self._table.named(placeless)]
        for sighting in again:
            if sighting.name not in told and self._holders.get(sighting.name) != holders.of(sighting):
                told.add(sighting.name)  # it may be there for both reasons, and a batch names a socket once
                yield self._row(sighting, holders)

    def brief(self, seen: Seen, joined: Joined, holders: Holders) -> list[Brief]:
        """Rows for what opened and closed since the look before. To be called before `close`."""
        if not joined.brief:
            return []
        holder_of = self._listeners(seen, holders.nobody).holder_of
        return [_brief(self.netns, end, holders.interface_name(end.interface), holder_of(end)) for end in joined.brief]

    def entered(self, seen: Seen, joined: Joined) -> dict[SocketKey, int]:
        """When sockets entered their state of which the kernel said so."""
        opened = seen.late.named(joined.times.keys()) if seen.late else seen.moves.opened
        moved = [*opened, *(change.after for change in seen.moves.changed)] if joined.times else []
        return {self._key(one): joined.times[one.name] for one in moved if one.name in joined.times}

    def has_news(self, touched: Collection[int]) -> bool:
        """True if there may be rows to tell of what did not change in itself; see `change`."""
        return bool(len(self._table) and (touched or self._placeless))

    def restated(self, seen: Seen) -> Iterator[SocketKey]:
        """Which of those that changed have another state, or other addresses."""
        return (
            self._key(change.after) for change in seen.moves.changed if _stand(change.before) != _stand(change.after)
        )

    def close(self, seen: Seen, joined: Joined) -> list[Closed]:
        """What is gone."""
        closed = [
            Closed(self._key(one), joined.times.get(one.name), joined.reused.get(one.name)) for one in seen.moves.closed
        ]
        for sighting in seen.moves.closed:
            self._holders.pop(sighting.name, None)
            self._placeless.discard(sighting.name)
            self._same_as.pop(sighting.name, None)
        return closed

    def sockets(self, holders: Holders) -> Sequence[Socket]:
        """Rows for everything, as it was told; made when they are asked for, and so whatever looks come between."""
        sightings = self._table.sightings()
        if len(self._holders) < len(sightings):  # nobody asked for what the first look found
            for sighting in sightings:
                if sighting.name not in self._holders:
                    self._hold(sighting, holders)
        held, same_as, name_of = dict(self._holders), dict(self._same_as), holders.interface_name
        return Anew(
            len(sightings),
            lambda: (self._socket(one, held[one.name], name_of(one.interface), same_as) for one in sightings),
        )

    @property
    def read_by_diag(self) -> bool:
        """True unless the kernel refuses its socket diagnostics, or has no such sockets at all."""
        return isinstance(self._table, DiagTable) and not self._absent

    def besides(self, cookies: Collection[int]) -> dict[int, bytes]:
        """The last messages of the sockets that have none of these cookies, where they are read by diag."""
        return self._table.besides(cookies) if isinstance(self._table, DiagTable) else {}

    def shown(self, sighting: Sighting, holders: Holders) -> Socket:
        """A row for a socket as a live look shows it: nothing of it is remembered here."""
        return self._socket(sighting, holders.of(sighting), holders.interface_name(sighting.interface))

    def has_any_of(self, inodes: Collection[int]) -> bool:
        """True if some of the sockets have one of these inodes."""
        return bool(self._table.holding(inodes))

    def inodes_still_there(self, inodes: Collection[int]) -> set[int]:
        """Those of the inodes whose socket exists at this moment."""
        sightings = self._table.holding(inodes)
        try:
            there = self._table.still_there([sighting.name for sighting in sightings])
        except SourceError:
            return set()
        return {sighting.inode for sighting in sightings if sighting.name in there}

    def _look(self) -> Moves:
        has = kernel_has if self.netns == OWN_NAMESPACE else kernel_had
        if self._absent and not has(self._protocol, self._proc):
            return Moves([], [], [])
        self._absent = False
        try:
            return self._table.look()
        except RefusedError as refusal:
            if len(self._table):  # it worked before: this is a failure, not a kernel without it
                raise
            if not kernel_has(self._protocol, self._proc):
                self._absent = True
                return Moves([], [], [])
            self._other_way = other_way(self._protocol, self._proc, refusal, self._read_file)
            self._table, self._read_by = self._other_way.table, self._other_way.read_by
            return self._table.look()

    def _peer_paths(self, appeared: Iterable[Sighting]) -> dict[int, bytes]:
        new = {sighting.inode: sighting for sighting in appeared}
        peers = {sighting.peer_inode for sighting in new.values() if sighting.peer_inode}
        ends = [*(new[inode] for inode in peers & new.keys()), *self._table.holding(peers - new.keys())]
        return {end.inode: end.path for end in ends if end.path}

    def _listeners(self, seen: Seen, nobody: Holder) -> Listeners:
        """Those that connections come in by, with those that this look found gone."""
        if self._protocol is not Protocol.TCP:
            return Listeners((), nobody)
        gone = [one for one in seen.moves.closed if one.state is State.LISTEN]
        held = ((one, self._holders[one.name]) for one in (*self._table.listeners(), *gone))
        return Listeners(held, nobody)

    def _row(self, sighting: Sighting, holders: Holders) -> Socket:
        return self._socket(sighting, self._hold(sighting, holders), holders.interface_name(sighting.interface))

    def _hold(self, sighting: Sighting, holders: Holders) -> Holder:
        """Who holds it, which is told from now on."""
        holder = holders.of(sighting)
        if sighting.name not in self._holders and holders.has_unknown_place(sighting):
            self._placeless.add(sighting.name)
        self._holders[sighting.name] = holder
        return holder

    def _socket(
        self,
        sighting: Sighting,
        holder: Holder,
        interface: str,
        same_as: Mapping[int | bytes, int | bytes] | None = None,
    ) -> Socket:
        return Socket(
            key=self._key(sighting, same_as),
            family=sighting.family,
            state=sighting.state,
            local_address=sighting.local_address,
            local_port=sighting.local_port,
            remote_address=sighting.remote_address,
            remote_port=sighting.remote_port,
            interface=interface,
            v6only=sighting.v6only,
            recv_queue=sighting.recv_queue,
            send_queue=sighting.send_queue,
            inode=sighting.inode,
            source=self._read_by,
            holder=holder,
            type=sighting.type,
            path=sighting.path,
            peer_inode=sighting.peer_inode,
        )

    def _key(self, sighting: Sighting, same_as: Mapping[int | bytes, int | bytes] | None = None) -> SocketKey:
        name = (self._same_as if same_as is None else same_as).get(sighting.name, sighting.name)
        if isinstance(name, int):
            if self._read_by is ReadBy.PROC:
                return SocketKey(self.netns, self._protocol, cookie=0, inode=name)
            return SocketKey(self.netns, self._protocol, cookie=name)
        return SocketKey(self.netns, self._protocol, cookie=0, four_tuple=name)


def _brief(netns: int, end: End, interface: str, holder: Holder) -> Brief:
    at_us, name, protocol, family, local_address, local_port, remote_address, remote_port, _ = end
    assert isinstance(name, int)  # the kernel's events name sockets by their cookies
    return Brief(
        at_us,
        netns,
        protocol,
        name,
        family,
        local_address,
        local_port,
        remote_address,
        remote_port,
        interface,
        holder,
    )


def follow_all(
    diag: DiagSocket,
    clock_us: Callable[[], int],
    proc: Path = Path("/proc"),
    netns: int = OWN_NAMESPACE,
    read_file: ReadFile | None = None,
) -> list[Followed]:
    """Every source there is of one namespace, read through one netlink socket; see `Followed`."""
    followed = []
    for kind in SOURCES:
        source = kind.open(diag)
        counts = source.protocol is Protocol.TCP and netns == OWN_NAMESPACE
        find = partial(diag.find, protocol=source.protocol, codec=source.codec)
        table = DiagTable(source, find, partial(tcp_count, proc / "self/net")) if counts else DiagTable(source, find)
        followed.append(Followed(kind.name, source.protocol, table, Ends(clock_us), proc, netns, read_file))
    return followed


def _stand(one: Sighting) -> tuple[object, ...]:
    return one.state, one.local_address, one.local_port, one.remote_address, one.remote_port
