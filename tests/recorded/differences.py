"""What stands between two wires, each as the lines of shape.py: what breaks the other side, and what is only new.

What must stay true: whatever a side of the recorded wire says is read by the present one as it was meant, and the other
way round. So a field keeps its name, number, type and presence; one that is removed leaves number and name reserved for
ever; a message, an enum, a service and a method stay. Types are held to their names: those that happen to share an
encoding (int64, uint64, bool) do not share their meaning.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass(slots=True)
class Wire:
    """The facts of one wire."""

    declared: set[tuple[str, str]] = field(default_factory=set)  # kind and name: message, enum, service
    members: dict[tuple[str, str], str] = field(default_factory=dict)  # kind and full name: field, value, rpc
    numbers: dict[tuple[str, str, int], str] = field(default_factory=dict)  # kind, owner, number: name; not of aliases
    reserved_names: set[str] = field(default_factory=set)
    reserved_ranges: defaultdict[str, list[tuple[int, int]]] = field(default_factory=lambda: defaultdict(list))

    @classmethod
    def of(cls, lines: Iterable[str]) -> "Wire":
        """Read the lines. Raises ValueError for one that is none."""
        wire = cls()
        for line in lines:
            kind, _, fact = line.partition(" ")
            name, _, what = fact.partition(" = ")
            if kind in ("message", "enum", "service") and not what:
                wire.declared.add((kind, name))
            elif kind in ("field", "value", "rpc") and what:
                wire.members[kind, name] = what
                if kind != "rpc":
                    wire.numbers[kind, name.rpartition(".")[0], int(what.split()[0])] = name
            elif kind == "reserved" and what == "name":
                wire.reserved_names.add(name)
            elif kind == "reserved" and what:
                first, _, last = what.partition(" to ")
                wire.reserved_ranges[name].append((int(first), int(last)))
            else:
                raise ValueError(f"not a fact of a wire: {line!r}")
        return wire

    def reserves(self, name: str, number: int) -> bool:
        """True if neither the name nor the number can be used again."""
        return name in self.reserved_names and self.reserves_numbers(name.rpartition(".")[0], number, number)

    def reserves_numbers(self, owner: str, first: int, last: int) -> bool:
        """True if all of these numbers are reserved."""
        for begin, end in sorted(self.reserved_ranges[owner]):
            if begin <= first <= end:
                first = end + 1
        return first > last


def breaks(recorded: Wire, present: Wire) -> list[str]:
    """What the recorded wire's sides could not read, or would misread; a sentence each, none if all is well."""
    found = [f"{kind} {name} is gone; it stays declared" for kind, name in recorded.declared - present.declared]
    for (kind, name), was in recorded.members.items():
        now = present.members.get((kind, name))
        if now is None and kind == "rpc":
            found.append(f"rpc {name} is gone; it stays")
        elif now is None and not present.reserves(name, int(was.split()[0])):
            found.append(f"{kind} {name} is gone, and its number {was.split()[0]} and its name are not both reserved")
        elif now is not None and now != was:
            found.append(f"{kind} {name} was {was!r} and is {now!r}")
    for (kind, owner, number), name in recorded.numbers.items():
        taken = present.numbers.get((kind, owner, number), name)
        if taken != name:
            found.append(f"{kind} {taken} uses the number {number} of {name}")
    found += [f"{name} is no longer reserved" for name in recorded.reserved_names - present.reserved_names]
    for owner, ranges in recorded.reserved_ranges.items():
        for first, last in ranges:
            if not present.reserves_numbers(owner, first, last):
                found.append(f"{owner}: {first} to {last} are no longer reserved")
    return sorted(found)
