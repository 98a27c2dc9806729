"""One network namespace beside the agent's own that cannot be entered: read through the files that the kernel shows of
it to anybody."""

from functools import partial

from fleetnet_agent.ends import Ends
from fleetnet_agent.followed import Followed
from fleetnet_agent.helper.requests import Kind
from fleetnet_agent.holders import Holders
from fleetnet_agent.host import Host
from fleetnet_agent.namespaces import Known
from fleetnet_agent.neighbour import Neighbour
from fleetnet_agent.proc_namespaces import ProcNamespaces
from fleetnet_agent.records import Interface, LiveItem, LiveWanted, Source, Trouble
from fleetnet_agent.sources.proc_tables import KINDS, table_of


class ProcNeighbour(Neighbour):
    """One of them. Another namespace that has its number counts as the same: its sockets have other inodes."""

    def __init__(self, known: Known, host: Host, holders: Holders, ways: ProcNamespaces, buffer: bytearray) -> None:
        self._read = partial(ways.read, known.netns)
        super().__init__(known, host, holders, ways, buffer)

    def enter(self, descriptors: dict[str, int]) -> bool:
        """See `Neighbour`. Nothing is open; each file is opened when it is read."""
        del descriptors
        return True

    def live(
        self, wanted: LiveWanted, kind: Kind, descriptors: dict[str, int], links: tuple[Interface, ...]
    ) -> list[LiveItem]:
        """See `Neighbour`."""
        found = super().live(wanted, kind, descriptors, links)
        where = f"network namespace {self.title}, which cannot be entered"
        if kind is Kind.TABLES:
            found.append(Trouble(f"sockets of {where}, are shown as the last look saw them"))
        elif wanted.interfaces:
            found.append(Trouble(f"interfaces of {where}, are not known"))
        return found

    def _follow(self, host: Host) -> list[Followed]:
        return [
            Followed(
                kind.name,
                kind.protocol,
                table_of(kind, self._read, host.proc),
                Ends(host.boottime_us),
                host.proc,
                self.known.netns,
                read_by=Source.PROC,
            )
            for kind in KINDS
        ]
