"""What is shown of what is explained: text for people, wrapped to their terminal, and the same as data."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Protocol

from fleetnet_cli.output.coverage import sentences
from fleetnet_cli.output.presentation import Column, Presentation
from fleetnet_cli.output.terminal import BOLD, YELLOW, Terminal
from fleetnet_cli.records import Count, Coverage, Selection
from fleetnet_cli.text import visible
from fleetnet_cli.topics import GROUPS, Topic

_WIDTH = 80  # where there is no terminal
_WIDEST = 100  # longer lines are hard to read
_INDENT = "  "


@dataclass(frozen=True, slots=True)
class Fleet:
    """What a fleet has of it now, counted by host; or why that is not known."""

    what: str  # "in CLOSE_WAIT", "on port 443"
    listening: bool
    by_host: list[Count] = field(default_factory=list)  # the highest first
    whole: bool = True  # False: counting took too long, and there are more
    coverage: Coverage | None = None
    why_not: str = ""

    @property
    def sockets(self) -> int:
        """How many."""
        return sum(c.count for c in self.by_host)


@dataclass(frozen=True, slots=True)
class Explained:
    """A topic, and what the fleet has of it where it was asked."""

    topic: Topic
    fleet: Fleet | None = None


class Write(Protocol):
    """Writes explained topics for people."""

    def __call__(self, items: Sequence[Explained], out: Terminal, *, heading: bool) -> None: ...


def write(items: Sequence[Explained], out: Terminal, *, heading: bool) -> None:
    """Each topic in full, then the fleet's own numbers."""
    lines: list[str] = []
    for item in items:
        lines += ([""] if lines else []) + _topic(item.topic, out)
    if (fleet := items[0].fleet) is not None:
        lines += ["", *_fleet(fleet, out)]
    out.write("\n".join(lines) + "\n")


def write_list(items: Sequence[Explained], out: Terminal, *, heading: bool) -> None:
    """The names of all topics, by group."""
    lines: list[str] = []
    for group, of_group in groupby(items, key=lambda i: i.topic.group):
        names = list(dict.fromkeys(_listed(i.topic) for i in of_group))
        lines += [out.paint(GROUPS[group], BOLD), *_wrapped(", ".join(names), out), ""]
    if heading:
        lines += _wrapped(
            'Any port, and any name of /etc/services, is explained too. Try "fleetnet explain TIME_WAIT".', out, ""
        )
    out.write("\n".join(lines).rstrip("\n") + "\n")


def _listed(topic: Topic) -> str:
    # A name and its port do not part at the end of a line.
    return "\u00a0".join([*topic.name.split(), *map(str, topic.ports[:1])])


def _topic(topic: Topic, out: Terminal) -> list[str]:
    in_name = topic.last > 0  # a port of a range, whose number is its name
    ports = f" {', '.join(map(str, topic.ports))}" if topic.ports and not in_name else ""
    spelling = f" (ss: {topic.ss})" if topic.ss and topic.ss != topic.name else ""
    lines = [out.paint(visible(topic.name), BOLD) + f", {topic.kind}{ports}{spelling}", *_wrapped(topic.meaning, out)]
    if topic.many:
        lines += ["", out.paint("Where there are many", BOLD), *_wrapped(topic.many, out)]
    if topic.ask:
        lines += ["", out.paint("Ask next", BOLD)]
        for ask in topic.ask:
            lines += [f"{_INDENT}{ask.run}", *_wrapped(ask.why, out, _INDENT * 3)]
    return lines


def _fleet(fleet: Fleet, out: Terminal) -> list[str]:
    if fleet.why_not:
        said = f"What this fleet has of it cannot be said: {visible(fleet.why_not)}"
        return [out.paint(line, YELLOW) for line in _wrapped(said, out, "")]
    things = "listener" if fleet.listening else "socket"
    if not fleet.by_host:
        counted = f"no {things} {fleet.what}"
    else:
        number = fleet.sockets
        hosts = len(fleet.by_host)
        counted = f"{number} {things}{'s' * (number != 1)} {fleet.what} on {hosts} host{'s' * (hosts != 1)}"
        if not fleet.whole:
            counted = f"more than {counted}, where counting was given up after a second"
        elif hosts > 1:
            counted += f", most on {visible(fleet.by_host[0].host)} ({fleet.by_host[0].count})"
    lines = _wrapped(f"In this fleet now: {counted}", out, "")
    if fleet.coverage is not None:
        said = sentences(fleet.coverage, None, asked_at=False, with_zone=False, asked=Selection())
        lines += [said if fleet.coverage.whole else out.paint(said, YELLOW)]
    return lines


def _wrapped(text: str, out: Terminal, indent: str = _INDENT) -> list[str]:
    width = max(min(out.width or _WIDTH, _WIDEST), 30)
    lines = textwrap.wrap(
        text, width, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False, break_long_words=False
    )
    return [line.replace("\u00a0", " ") for line in lines]


def presentation() -> Presentation[Explained]:
    """Topics, for every other format."""
    return Presentation(
        kind="TopicList",
        as_json=_as_json,
        columns=(
            Column("TOPIC", lambda e: e.topic.name),
            Column("KIND", lambda e: e.topic.kind),
            Column("MEANING", lambda e: e.topic.meaning),
        ),
        nothing="nothing is explained",
    )


def _as_json(item: Explained) -> dict[str, object]:
    topic = item.topic
    return {
        "topic": topic.name,
        "kind": topic.kind,
        "spellings": list(dict.fromkeys(s for s in (topic.name, topic.ss, *topic.also) if s)),
        "ports": list(topic.ports),
        "meaning": topic.meaning,
        "many": topic.many or None,
        "ask": [{"command": a.run, "why": a.why} for a in topic.ask],
        "fleet": _fleet_as_json(item.fleet) if item.fleet else None,
    }


def _fleet_as_json(fleet: Fleet) -> dict[str, object]:
    known = not fleet.why_not
    most = fleet.by_host[0] if fleet.by_host and fleet.whole else None
    return {
        "sockets": fleet.sockets if known else None,
        "hosts": len(fleet.by_host) if known else None,
        "most": {"host": most.host, "count": most.count} if most else None,
        "whole": fleet.whole if known else None,
        "why_not": fleet.why_not or None,
    }
