"""Who and what holds a socket: uid, unit, container and owners of a sighting put together."""

from collections.abc import Callable
from dataclasses import replace

from fleetnet_agent.cgroups import NOWHERE, CGroups, Place, ProcessPlaces
from fleetnet_agent.host import Host
from fleetnet_agent.inference import NOBODY_NOW
from fleetnet_agent.owners.lookup import OwnerLookup, Ownership, Wanted
from fleetnet_agent.records import Family, Holder, OwnerStatus, Process, State
from fleetnet_agent.sources.source import Sighting

_LEFT_BY_ITS_PROCESS = frozenset(
    {State.TIME_WAIT, State.FIN_WAIT1, State.FIN_WAIT2, State.LAST_ACK, State.CLOSING, State.SYN_SENT}
)
_IN_THE_ACCEPT_QUEUE = frozenset({State.ESTABLISHED, State.CLOSE_WAIT, State.SYN_RECV})
# So many are remembered, and so many more for each process that holds something: all but a few of what is remembered
# beyond that is of processes that hold nothing any more.
_MOST_SHARED, _MOST_OF_A_PROCESS = 250, 4


class Holders:
    """Makes holders; equal ones are one object, for most sockets share a few."""

    nobody = NOBODY_NOW
    """Who holds a connection of which only the end is known, and not by whose listener it came in."""

    def __init__(self, host: Host, owners: OwnerLookup, cgroups: CGroups) -> None:
        self._host = host
        self._owners = owners
        self._cgroups = cgroups
        self._process_places = ProcessPlaces(host.proc, host.boottime_us)
        self._shared: dict[Holder, Holder] = {}
        self._made: dict[tuple[object, ...], tuple[Place, tuple[Process, ...], Holder]] = {}

    def of(self, sighting: Sighting) -> Holder:
        """The holder as of the last update of the owners."""
        ownership = self._ownership(sighting)
        place = self._place(sighting.cgroup_id, ownership.owners)
        uid = sighting.uid
        user = "" if uid is None else self._host.user_name(uid)
        # By the objects, for most sockets share them, and to hash the processes of each costs more than all else.
        by_objects = (uid, user, id(place), ownership.status, id(ownership.owners))
        made = self._made.get(by_objects)
        if made is not None and made[0] is place and made[1] is ownership.owners:
            return made[2]
        holder = Holder(
            uid, user, place.unit, place.container, ownership.status, ownership.owners, runtime=place.runtime
        )
        if max(len(self._shared), len(self._made)) > _MOST_SHARED + _MOST_OF_A_PROCESS * self._owners.processes:
            self._shared.clear()
            self._made.clear()
        holder = self._shared.setdefault(holder, holder)
        self._made[by_objects] = (place, ownership.owners, holder)
        return holder

    def drop_caches(self) -> None:
        """Forget what is remembered only to save work or room."""
        self._shared.clear()
        self._made.clear()
        self._owners.drop_caches()

    def interface_name(self, index: int) -> str:
        """Name of the interface a socket is bound to; "" where it is bound to none."""
        return self._host.interface_name(index) if index else ""

    def has_unknown_place(self, sighting: Sighting) -> bool:
        """True if the control group may be found later: it is younger than the last walk over all of them."""
        return self._cgroups.place(sighting.cgroup_id) is None

    def _place(self, cgroup_id: int, owners: tuple[Process, ...]) -> Place:
        """That of the socket's control group; where the source does not tell it, that of a process that holds it.

        systemd holds the sockets of what it starts on demand as well: another owner tells more.
        """
        if cgroup_id or not owners:
            return self._cgroups.place(cgroup_id) or NOWHERE
        return self._process_places.place(next((owner for owner in owners if owner.pid != 1), owners[0]))

    def _ownership(self, sighting: Sighting) -> Ownership:
        if sighting.inode:
            return self._owners.ownership_of(sighting.inode)
        if sighting.pid is not None:
            process = self._owners.process(sighting.pid)
            return Ownership(OwnerStatus.KNOWN, (process,)) if process else Ownership(OwnerStatus.RACED, ())
        if isinstance(sighting.name, int) or sighting.uid is not None:  # psutil alone shows neither
            return Ownership(status_without_inode(sighting.state), ())
        return Ownership(self._status_without_cookie(sighting.state), ())

    def _status_without_cookie(self, state: State) -> OwnerStatus:
        """psutil names no inode at all, so that only the state and the agent's rights tell anything."""
        if state in _LEFT_BY_ITS_PROCESS and state is not State.SYN_SENT:
            return OwnerStatus.GONE
        return OwnerStatus.PERMISSION if self._owners.is_privileged else OwnerStatus.NO_HELPER


class HoldersWithin(Holders):
    """The same in another network namespace: its interfaces are others, and what shows no control group is of the
    container whose namespace it is."""

    def __init__(self, whole: Holders, interface_name: Callable[[int], str]) -> None:
        super().__init__(whole._host, whole._owners, whole._cgroups)
        self._shared, self._made = whole._shared, whole._made
        self._process_places = whole._process_places
        self._name_of = interface_name
        self._of_namespace = NOWHERE

    def move_to(self, place: Place) -> None:
        """What the namespace's own processes belong to."""
        self._of_namespace = place
        self.nobody = self._within(NOBODY_NOW)

    def of(self, sighting: Sighting) -> Holder:
        """See `Holders`."""
        holder = super().of(sighting)
        return holder if sighting.cgroup_id or holder.unit or holder.container else self._within(holder)

    def interface_name(self, index: int) -> str:
        """See `Holders`."""
        return self._name_of(index) if index else ""

    def _within(self, holder: Holder) -> Holder:
        if not self._of_namespace.container:
            return holder
        within = replace(holder, container=self._of_namespace.container, runtime=self._of_namespace.runtime)
        return self._shared.setdefault(within, within)


def status_without_inode(state: State) -> OwnerStatus:
    """Why the kernel shows no inode: no process has the socket yet, or none any more."""
    if state in _IN_THE_ACCEPT_QUEUE:
        return OwnerStatus.UNACCEPTED
    return OwnerStatus.GONE if state in _LEFT_BY_ITS_PROCESS else OwnerStatus.KERNEL


def wanted(sighting: Sighting, peer_path: bytes = b"") -> Wanted:
    """What the owner lookup needs to know of a socket with an inode, and of the name at its other end.

    A UNIX socket that a server accepted has the name of its listener, and clients of one name are often one process.
    """
    if sighting.family is Family.UNIX:
        hints = [("path", sighting.path)] if sighting.path else []
        hints += [("client", peer_path)] if peer_path else []
        return Wanted(sighting.inode, is_listener=False, hints=tuple(hints), patient=True)
    return Wanted(
        inode=sighting.inode,
        is_listener=sighting.state is State.LISTEN,
        hints=(("port", sighting.protocol, sighting.local_port), ("group", sighting.uid, sighting.cgroup_id)),
    )
