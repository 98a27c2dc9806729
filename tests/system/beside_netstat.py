"""netstat(8) on a host, and `fleetnet netstat` about it: what both print, and whether it is the same.

netstat is run before and after, for a host is never quite still: what is the same in both must be the same here, and
what moved must lie between. Of netstat's lines one thing is changed, Ref of IPv6's routes, which nobody else is told.
"""

import re
import subprocess
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass

from demo.fabric import Host
from demo.fleet import Fleet
from demo.programs import FailedError, until

WITHIN_S = 90.0  # matters only where something differs
_REF = re.compile(r"^(\S+/\d+ +\S+ +U?!?\S* +\d+ +)\d( {2,}0 \S+)$")
_TIMER = re.compile(r"\b(on|keepalive|timewait|probe) \((\d+\.\d\d)/")
_TICK_S = 0.02  # two of the hundredths in which the kernel counts for netstat
_NUMBER = re.compile(r"\d+")

Lines = list[str]
Comparison = Callable[[Lines, Lines, Lines], Lines]  # what differs of before, ours and after


@dataclass(frozen=True, slots=True)
class Beside:
    """Both of them."""

    fleet: Fleet
    host: Host
    name: str  # of the host in the fleet

    def theirs(self, *options: str) -> Lines:
        """What netstat prints on the host; it calls timers -o."""
        known = ("-o" if option == "--timers" else option for option in options if option != "--live")
        # It ends with 1 where the kernel has no sockets of a kind, SCTP's for one, but prints what it would.
        told = subprocess.run(self.host.command("netstat", *known), capture_output=True, text=True, check=False)
        return [_REF.sub(r"\1-\2", line) for line in told.stdout.splitlines()]

    def ours(self, *options: str) -> Lines:
        """What we print."""
        answer = self.fleet.ask("netstat", self.name, *options)
        assert answer.status in (0, 1), answer
        return answer.output.splitlines()

    def agree(self, *options: str, compare: Comparison) -> Lines:
        """Compares until both are the same; what netstat says then. AssertionError has what differs to the end."""
        found: Lines = []
        theirs: Lines = []

        def same() -> bool:
            before = self.theirs(*options)
            ours = self.ours(*options)
            theirs[:] = self.theirs(*options)
            found[:] = compare(before, ours, theirs)
            return not found

        try:
            until(same, within_s=WITHIN_S, what=f"an answer equal to that of netstat {' '.join(options)}")
        except FailedError as failure:
            raise AssertionError(f"{failure}:\n" + "\n".join(found[:20])) from None
        return theirs


def moved_lines(before: Lines, ours: Lines, after: Lines) -> Lines:
    """Lines that are not the same; the seconds of timers run down between."""
    if ours[:2] != after[:2]:
        return [f"heading: {ours[:2]}, and netstat has {after[:2]}"]
    plain = [Counter(map(_without_seconds, lines)) for lines in (before, ours, after)]
    if plain[1] not in (plain[0], plain[2]):
        only_ours, only_theirs = plain[1] - plain[2], plain[2] - plain[1]
        return [*(f"ours:   {line}" for line in only_ours), *(f"theirs: {line}" for line in only_theirs)]
    was, now = (dict(zip(map(_without_seconds, lines), lines, strict=True)) for lines in (before, after))
    return [
        f"timer:  {line} is not between {was[key]} and {now[key]}"
        for line in ours
        if (key := _without_seconds(line)) in was.keys() & now.keys()
        and not _ran_down(*(_seconds(one) for one in (was[key], line, now[key])))
    ]


def moved_routes(before: Lines, ours: Lines, after: Lines) -> Lines:
    """The same of what stands in an order, the kernel's. IPv6's routes that are alike in all but their interface stand
    as the interfaces came up, so of those it is the order of the destinations."""
    found = moved_lines(before, ours, after)
    if found or ours in (before, after):
        return found
    mine, theirs = (_in_order(lines) for lines in (ours, after))
    return [f"order: {mine}, and netstat has {theirs}"] if mine != theirs else []


def _in_order(lines: Lines) -> Lines:
    """Lines of IPv4 whole, of IPv6 their destinations."""
    return [line.split()[0] if "/" in line.split(" ", 1)[0] else line for line in lines if line.strip()]


def _without_seconds(line: str) -> str:
    return _TIMER.sub(r"\1 (…/", line)


def _seconds(line: str) -> float:
    found = _TIMER.search(line)
    return float(found[2]) if found else 0.0


def _ran_down(was: float, shown: float, now: float) -> bool:
    # One that was set anew meanwhile may be anything.
    return now > was or now - _TICK_S <= shown <= was + _TICK_S


def moved_numbers(before: Lines, ours: Lines, after: Lines) -> Lines:
    """Lines with other words than before and after, and numbers that do not lie between; each in its group."""
    was, shown, now = map(_numbers_of, (before, ours, after))
    found = [f"ours only: {key}" for key in shown.keys() - now.keys()]
    found += [f"theirs only: {key}" for key in was.keys() - shown.keys()]
    for key in was.keys() & shown.keys() & now.keys():
        found += [
            f"{key}: {number} is not between {least} and {most}"
            for least, number, most in zip(was[key], shown[key], now[key], strict=True)
            if not min(least, most) <= number <= max(least, most)
        ]
    return found


def _numbers_of(lines: Lines) -> dict[tuple[str, str], list[int]]:
    """The numbers of lines, by their group and their words; an interface, which is one line, is a group."""
    group, found = "", defaultdict[tuple[str, str], list[int]](list)
    for line in lines:
        if not line.startswith(" "):
            group = line.split()[0]
        numbers = line.removeprefix(group)
        words = _NUMBER.sub("N", numbers)
        # Columns are as wide as their numbers, sentences as far in as they should be.
        words = words if line.startswith(" ") else re.sub(r"\s+", " ", words)
        found[group, words] += map(int, _NUMBER.findall(numbers))
    return found
