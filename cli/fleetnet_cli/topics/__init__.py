"""What `fleetnet explain` and `fleetnet help` know by heart.

The texts are data, in the TOML files beside this module: one for each group, and guides.toml for help.

What must stay true: each sentence is right in its details, and each question that a text names is a command line that
the program takes.
"""

import functools
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fleetnet_cli.errors import nearest
from fleetnet_cli.services import Services

# In the order in which they are listed, and in which a word is looked for.
GROUPS = {
    "states": "States",
    "columns": "Columns",
    "scopes": "Scopes and exposure",
    "words": "Words of an answer",
    "ports": "Ports",
}


@dataclass(frozen=True, slots=True)
class Ask:
    """A question worth asking next."""

    run: str  # as it is typed
    why: str


@dataclass(frozen=True, slots=True)
class Topic:
    """One thing that can be explained."""

    group: str
    kind: str  # "state of a TCP socket"
    name: str
    ss: str  # how ss(8) spells it, "" where it does not
    also: tuple[str, ...]
    meaning: str
    many: str  # what it is where there are many; "" where that says nothing
    ask: tuple[Ask, ...]
    ports: tuple[int, ...]
    first: int  # of a range of ports that has one text
    last: int

    @property
    def state(self) -> str:
        """What to ask the fleet for, where this is a state: any spelling of it."""
        in_sight = self.group == "states" and "inside the kernel" not in self.kind
        return self.name if in_sight else ""


def of(group: str) -> tuple[Topic, ...]:
    """The topics of one group."""
    return _read(group)


def guides() -> dict[str, str]:
    """What `fleetnet help` has beside commands: the text of each topic, ready to be printed."""
    return {name: guide["text"] for name, guide in _table("guides").items()}


def _table(name: str) -> dict[str, Any]:
    import tomllib  # only a word that is to be explained needs it

    return tomllib.loads(Path(__file__).with_name(f"{name}.toml").read_text(encoding="utf-8"))


@functools.cache
def _read(group: str) -> tuple[Topic, ...]:
    table = _table(group)
    any_port = tuple(Ask(**a) for a in table.get("ask_any", ()))
    return tuple(
        Topic(
            group=group,
            kind=t.get("kind", "port"),
            name=t["name"],
            ss=t.get("ss", ""),
            also=tuple(t.get("also", ())),
            meaning=" ".join(t["meaning"].split()),
            many=" ".join(t.get("many", "").split()),
            ask=tuple(Ask(**a) for a in t.get("ask", ())) or any_port,
            ports=tuple(t.get("ports", ())),
            first=t.get("first", 0),
            last=t.get("last", -1),
        )
        for t in table["topic"]
    )


def find(word: str, services: Services) -> list[Topic]:
    """The topics of a word in any spelling, of a port, or of a service of /etc/services; none where it is unknown."""
    # 443/tcp is a port too.
    port, _, protocol = word.partition("/")
    if port.isascii() and port.isdigit() and protocol.lower() in ("", "tcp", "udp", "sctp"):
        return _of_port(int(port), services) if 1 <= int(port) <= 0xFFFF else []
    found = [_asking(t, t.ports) for group in GROUPS for t in of(group) if _folded(word) in _spellings(t)]
    if found:
        return found
    numbers = sorted(services.ports.get(word.lower(), ()))
    return _of_port(numbers[0], services) if numbers else []


def ports_called(word: str) -> tuple[int, ...]:
    """The ports that are explained by this name, which /etc/services need not know; none where it is no port's."""
    return next((t.ports for t in of("ports") if t.ports and _folded(word) in _spellings(t)), ())


def near(word: str) -> str | None:
    """What the word was probably meant to be."""
    return nearest(word, [spelling for group in GROUPS for t in of(group) for spelling in (t.name, t.ss, *t.also)])


def _spellings(topic: Topic) -> set[str]:
    return {_folded(s) for s in (topic.name, topic.ss, *topic.also) if s}


def _folded(text: str) -> str:
    # Recv-Q, recv_q and RecvQ are one word; so are FIN-WAIT-1 and FIN_WAIT1.
    return "".join(c for c in text.lower() if c not in "-_ ")


def _of_port(port: int, services: Services) -> list[Topic]:
    own = [t for t in of("ports") if port in t.ports]
    if own:
        return [_asking(t, (port,)) for t in own]
    (of_range,) = (t for t in of("ports") if t.first <= port <= t.last)
    called = services.name(port, "tcp") or services.name(port, "udp")
    name = f"port {port} ({called})" if called else f"port {port}"
    return [_asking(replace(of_range, name=name, kind=f"one of the {of_range.name}"), (port,))]


def _asking(topic: Topic, ports: tuple[int, ...]) -> Topic:
    """The topic with its questions about these ports."""
    if not ports:
        # A range of ports named by its words: nothing is asked of a thousand ports at once.
        return replace(topic, ask=tuple(a for a in topic.ask if "{" not in a.run))
    listed = " ".join(map(str, ports))
    ask = tuple(Ask(a.run.format(ports=listed, port=ports[0]), a.why) for a in topic.ask)
    return replace(topic, ask=ask, ports=ports)
