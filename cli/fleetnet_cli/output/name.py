"""`-o name`: one bare name a line, each once, in the order of the answer: for xargs, a shell's loop, `ansible -i`.

What reads them splits at spaces, strips quotes and takes a leading dash for an option. So a name that is more than
letters, digits, `.`, `-` and `_` is left out and counted, and the answer is not whole.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from fleetnet_cli.output.flow import write_lines
from fleetnet_cli.output.presentation import Presentation
from fleetnet_cli.output.terminal import Terminal
from fleetnet_cli.records import Answer

Item = TypeVar("Item")

# As long as a name of the DNS may be.
_BARE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,252}", re.ASCII)


@dataclass(slots=True)
class Names(Generic[Item]):
    """The names of an answer; how many items it had and how many names could not be written is known at the end."""

    answer: Answer[Item]
    presentation: Presentation[Item]
    found: int = 0
    _left_out: set[str] = field(default_factory=set)

    @property
    def left_out(self) -> int:
        """How many."""
        return len(self._left_out)

    def __iter__(self) -> Iterator[str]:
        name_of = self.presentation.name_of or self.presentation.host_of
        seen: set[str] = set()
        for item in self.answer:
            self.found += 1
            name = name_of(item)
            if name in seen:
                continue
            seen.add(name)
            if _BARE.fullmatch(name):
                yield name
            else:
                self._left_out.add(name)


def write(answer: Answer[Item], presentation: Presentation[Item], out: Terminal) -> Names[Item]:
    """Writes them."""
    names = Names(answer, presentation)
    write_lines((name + "\n" for name in names), out)
    return names
