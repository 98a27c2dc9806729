"""The hosts that a rule names: globs, in any case.

A policy that was learned of a fleet names thousands, nearly all as they are spelled, so each of those is looked up and
not compared with every host.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import translate
from functools import cached_property

_MAGIC = re.compile(r"[*?[]")
_ONE = re.compile(r"\[([*?[])\]")  # as glob.escape writes what is meant as it is


@dataclass(frozen=True)
class Names:
    """Some globs of host names."""

    words: tuple[str, ...] = ()  # as they are spelled

    def match(self, host: str) -> bool:
        """Whether the host is one of those."""
        name = host.lower()
        return name in self._plain or any(glob.match(name) for glob in self._globs.values())

    def unmatched(self, hosts: Iterable[str]) -> tuple[str, ...]:
        """Those of the words that none of the hosts is called by."""
        names = {host.lower() for host in hosts}
        missed = {word for word in self._plain.values() if _plain(word) not in names}
        missed |= {word for word, glob in self._globs.items() if not any(map(glob.match, names))}
        return tuple(word for word in self.words if word in missed)

    @cached_property
    def _plain(self) -> dict[str | None, str]:
        return {plain: word for word in self.words if (plain := _plain(word)) is not None}

    @cached_property
    def _globs(self) -> dict[str, re.Pattern[str]]:
        return {word: re.compile(translate(word.lower())) for word in self.words if _plain(word) is None}


ALL = Names(("*",))
NONE = Names()


def _plain(word: str) -> str | None:
    """The one name that a glob stands for; None where it may be several."""
    return None if _MAGIC.search(_ONE.sub("", word)) else _ONE.sub(r"\1", word.lower())
