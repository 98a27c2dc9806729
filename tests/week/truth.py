"""What history is to say of a drawn host, in the words of the judge that the random faults have. Pure."""

from bisect import bisect_left
from collections.abc import Sequence
from typing import Any

from faults.ledger import FAR_US, Change, Truth
from faults.spans import Span
from faults.workload import Name
from fleetnet_agent.records import Socket
from system.archive import text
from week.world import Life

Moment = tuple[int, Name, str | None]
"""When, which socket, and what it is from then on."""


def name_of(socket: Socket) -> Name:
    """As the judge calls it."""
    remote = text(socket.remote_address) if socket.remote_address else None
    return "tcp", "ipv4", text(socket.local_address), socket.local_port, remote, socket.remote_port or None


def only(name: Name, cookie: int) -> Name:
    """A name that no other socket ever has. In a gap one may end after another has taken its addresses."""
    protocol, family, local, port, remote, remote_port = name
    return protocol, family, local, port, f"{remote} of {cookie}", remote_port


def moments_of(lives: Sequence[Life]) -> list[Moment]:
    """All that happened, ascending."""
    all_of = (
        (at_us, name_of(life.socket), state.name if state else None) for life in lives for at_us, state in life.changes
    )
    return sorted(all_of, key=lambda moment: moment[0])


def truth_of(lives: Sequence[Life], looks_us: Sequence[int]) -> Truth:
    """Each change may be shown from when it was to the first look after it."""
    changes: dict[Name, list[Change]] = {}
    cookies: dict[int, Name] = {}
    for life in lives:
        cookie = life.socket.key.cookie
        name = cookies[cookie] = only(name_of(life.socket), cookie)
        changes[name] = [
            Change(state.name if state else None, at_us, _seen_us(looks_us, at_us), str(at_us))
            for at_us, state in life.changes
        ]
    return Truth(changes, cookies)


def _seen_us(looks_us: Sequence[int], at_us: int) -> int:
    number = bisect_left(looks_us, at_us)
    return looks_us[number] if number < len(looks_us) else FAR_US


def open_at(moments: Sequence[Moment], at_us: int) -> dict[Name, str]:
    """What is open then."""
    here: dict[Name, str] = {}
    for moment_us, name, state in moments:
        if moment_us > at_us:
            break
        _apply(here, name, state)
    return here


def shown(items: list[dict[str, Any]]) -> dict[Name, str]:
    """What an answer has, likewise."""
    fields = ("protocol", "family", "local_address", "local_port", "remote_address", "remote_port")
    return {tuple(item[field] for field in fields): item["state"] for item in items}


def unlike(
    said: Sequence[Moment], moments: Sequence[Moment], looks_us: Sequence[int], gaps: Sequence[Span]
) -> list[str]:
    """Looks, not inside of a gap, of which something else is said than was true; both ends of a gap are looks."""
    wrong, here, there = [], dict[Name, str](), dict[Name, str]()
    begun = [0, 0]
    for look_us in looks_us:
        for which, (told, at) in enumerate(((moments, here), (said, there))):
            while begun[which] < len(told) and told[begun[which]][0] <= look_us:
                _apply(at, *told[begun[which]][1:])
                begun[which] += 1
        if here != there and not is_unknown(look_us, gaps):
            wrong.append(f"at {look_us}: {sorted(map(str, here.items() ^ there.items()))[:6]}")
    return wrong


def is_unknown(at_us: int, gaps: Sequence[Span]) -> bool:
    """True inside of one of them."""
    return any(begin < at_us < end for begin, end in gaps)


def _apply(here: dict[Name, str], name: Name, state: str | None) -> None:
    if state is None:
        here.pop(name, None)
    else:
        here[name] = state
