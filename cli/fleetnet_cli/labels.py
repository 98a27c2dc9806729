"""Labels of hosts as people write them: `role=web`, `role` where any value is meant, `role-` where it is taken away.

The collector checks them again. What must stay true: a word that is a label here can be no name of a host, so that both
may stand on one line in any order.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from fleetnet_cli.errors import UsageError
from fleetnet_cli.records import Label

_KEY = re.compile(r"[a-z0-9](?:[a-z0-9._/-]{0,62}[a-z0-9])?", re.ASCII)
_MOST_OF_A_VALUE = 128


@dataclass(frozen=True, slots=True)
class Wish:
    """Whose labels are to be which."""

    hosts: tuple[str, ...]
    given: tuple[Label, ...]
    taken: tuple[str, ...]  # keys


def parse_asked(words: Iterable[str]) -> tuple[Label, ...]:
    """What hosts are to have: K=V or K; each once. UsageError otherwise."""
    return tuple(dict.fromkeys(_label(word) if "=" in word else Label(_key(word, word)) for word in words))


def parse_given(words: Iterable[str]) -> tuple[Label, ...]:
    """What a host is to be given: K=V, of each key one. UsageError otherwise."""
    found: dict[str, Label] = {}
    for word in words:
        label = _label(word)
        if found.setdefault(label.key, label) != label:
            raise UsageError(f'"{word}" and "{found[label.key].words}": a host has one value of {label.key}; say which')
    return tuple(found.values())


def parse_wish(words: Iterable[str]) -> Wish:
    """Names of hosts, K=V and K-, in any order. UsageError where one is none of these."""
    hosts, given, taken = [], [], []
    for word in words:
        if "=" in word:
            given.append(word)
        elif word.endswith("-"):
            taken.append(_key(word.removesuffix("-"), word))
        else:
            hosts.append(word.lower())
    labels = parse_given(given)
    if both := [label.words for label in labels if label.key in taken]:
        raise UsageError(f'"{both[0]}" is given and its key is taken at once; say one of the two')
    return Wish(tuple(dict.fromkeys(hosts)), labels, tuple(dict.fromkeys(taken)))


def listed(labels: Iterable[Label]) -> str:
    """`env=prod, role=web`, which reads back, for no value has a comma."""
    return ", ".join(label.words for label in labels)


def as_json(labels: Iterable[Label]) -> dict[str, str]:
    """By their keys."""
    return {label.key: label.value for label in labels}


def _label(word: str) -> Label:
    key, equals, value = word.partition("=")
    if not equals:
        raise UsageError(f'"{word}" is no label; write it as {word}=VALUE')
    if not value:
        raise UsageError(f'"{word}" says nothing of {key}; write it as {key}=VALUE')
    if len(value) > _MOST_OF_A_VALUE or not value.isprintable() or {" ", ","} & set(value):
        raise UsageError(
            f'"{word}": what a label says is 1 to {_MOST_OF_A_VALUE} printable characters, no space and no comma'
        )
    return Label(_key(key, word), value)


def _key(key: str, word: str) -> str:
    if _KEY.fullmatch(key):
        return key
    close = key.lower().strip("._/-")
    guess = f'; did you mean "{close}"?' if _KEY.fullmatch(close) else ""
    raise UsageError(
        f'"{word}": the key of a label is 1 to 64 of a-z, 0-9, ".", "_", "/" and "-", with a letter or digit at both '
        f"ends{guess}"
    )
