"""What the options of netstat ask for, and which of them cannot stand together."""

from collections.abc import Iterable
from dataclasses import dataclass

from fleetnet_cli.errors import NotKept, UsageError, suggestion
from fleetnet_cli.options import Common

# As netstat(8) has them without any word on protocols, then with -4 or -6.
_INTERNET = ("tcp", "sctp", "udp", "udplite", "raw")
# What -A takes of the names that netstat(8) has: those of which agents read sockets.
_FAMILIES = {"inet": "inet", "ip": "inet", "tcpip": "inet", "inet6": "inet6", "unix": "unix"}


@dataclass(frozen=True, slots=True)
class Wish:
    """The options."""

    host: str
    everything: bool = False
    listening: bool = False
    protocols: tuple[str, ...] = ()
    families: tuple[str, ...] = ()  # both or none: any
    numbers: tuple[str, ...] = ()  # of hosts, ports and users those that are to have no names
    programs: bool = False
    extend: int = 0
    wide: bool = False
    live: bool = False
    timers: bool = False
    netns: str = ""
    document: bool = False

    @property
    def internet(self) -> tuple[str, ...]:
        """The internet protocols wanted."""
        if not self.protocols:
            return _INTERNET
        if self.families and self.protocols == ("unix",):
            return _INTERNET
        return tuple(p for p in self.protocols if p != "unix")

    @property
    def unix(self) -> bool:
        """UNIX sockets are wanted."""
        return "unix" in self.protocols or not (self.protocols or self.families)

    @property
    def kinds(self) -> tuple[str, ...]:
        """All of them. netstat(8) has no table of packet sockets; a document has them where no kind is named."""
        packet = self.document and not (self.protocols or self.families)
        return (*self.internet, *(("unix",) if self.unix else ()), *(("packet",) if packet else ()))

    def of_family(self, family: str) -> bool:
        """True for what -4 and -6 leave; other families than these two are none of theirs."""
        return not self.families or family in self.families or family not in ("ipv4", "ipv6")


def families_of(typed: Iterable[str]) -> frozenset[str]:
    """The families that -A names, of inet, inet6 and unix; UsageError where one is none that is read."""
    found = set()
    for name in (name for one in typed for name in one.split(",")):
        if (family := _FAMILIES.get(name)) is None:
            guess = suggestion(name, list(_FAMILIES)) or ""
            raise UsageError(f'-A {name}: agents read nothing of a family "{name}"{guess}; ask for inet, inet6 or unix')
        found.add(family)
    return frozenset(found)


def checked(wish: Wish, common: Common, *, routes: bool, interfaces: bool, statistics: bool, live: bool) -> str:
    """Which table; UsageError where the options contradict one another, NotKept where they ask what nobody knows."""
    wanted = {"routes": routes, "interfaces": interfaces, "statistics": statistics}
    tables = [name for name, is_wanted in wanted.items() if is_wanted] or ["sockets"]
    if len(tables) > 1:
        raise UsageError("-r, -i and -s are tables of their own; ask for one at a time")
    if interfaces and wish.extend:
        raise UsageError(
            "-i -e is the layout of ifconfig(8), which is not made here; -o wide and -o json have the facts"
        )
    if "unix" in wish.protocols and (routes or statistics):
        raise UsageError(f"there are no {tables[0]} of UNIX sockets; leave out -x")
    if statistics and len(wish.families) > 1 and not wish.document:
        raise UsageError("-s is of one family; ask for -4 or -6, or -o json for both")
    if routes and live:
        raise UsageError("routes have nothing that only a live look knows; leave out --live")
    if wish.timers and tables != ["sockets"]:
        raise UsageError("--timers is of sockets; leave it out with -r, -i and -s")
    if common.asked_at and live:
        raise UsageError("--live shows what is now; leave it out, or leave out --at")
    if common.asked_at and wish.live:
        what = "protocol statistics are" if statistics else "timers are"
        raise NotKept(f"{what} not kept, so those of the past are not known; leave out --at for those of now")
    return tables[0]
