"""What the options of netstat ask for, and which of them cannot stand together."""

from dataclasses import dataclass

from fleetnet_cli.errors import UsageError
from fleetnet_cli.options import Common

# As netstat(8) has them without any word on protocols, then with -4 or -6.
_INTERNET = ("tcp", "sctp", "udp", "udplite", "raw")


@dataclass(frozen=True, slots=True)
class Wish:
    """The options."""

    host: str
    everything: bool = False
    listening: bool = False
    protocols: tuple[str, ...] = ()
    families: tuple[str, ...] = ()  # both or none: any
    numeric: bool = False
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


def checked(wish: Wish, common: Common, *, routes: bool, interfaces: bool, statistics: bool, live: bool) -> str:
    """Which table; UsageError where the options contradict one another, or ask what nobody knows."""
    wanted = {"routes": routes, "interfaces": interfaces, "statistics": statistics}
    tables = [name for name, is_wanted in wanted.items() if is_wanted] or ["sockets"]
    if len(tables) > 1:
        raise UsageError("-r, -i and -s are tables of their own; ask for one at a time")
    if interfaces and wish.extend:
        raise UsageError(
            "-i -e is the layout of ifconfig(8), which is not made here; -i --wide and -o json have the facts"
        )
    if routes and live:
        raise UsageError("routes have nothing that only a live look knows; leave out --live")
    if wish.timers and tables != ["sockets"]:
        raise UsageError("--timers is of sockets; leave it out with -r, -i and -s")
    if common.asked_at and live:
        raise UsageError("--live shows what is now; leave it out, or leave out --at")
    if common.asked_at and wish.live:
        what = "protocol statistics are" if statistics else "timers are"
        raise UsageError(f"{what} not kept, so those of the past are not known; leave out --at for those of now")
    return tables[0]
