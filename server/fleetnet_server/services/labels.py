"""Labels of hosts: given and taken by admins, all at one stroke, and bounded.

A key may stand in a policy, in a shell and in an inventory, so it is of few characters. A value has neither spaces nor
commas, so that several labels in one cell of a table can be told apart; that may be loosened one day, and could never
be tightened.
"""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final

from fleetnet_server.errors import HostUnknown, RequestRefused
from fleetnet_server.records import Host, Label, LabelledHost, Selection
from fleetnet_server.services.log import Logged
from fleetnet_server.storage import hosts, labels
from fleetnet_server.storage.database import Connection, Database

MOST_OF_A_HOST: Final = 64
_KEY = re.compile(r"[a-z0-9](?:[a-z0-9._/-]{0,62}[a-z0-9])?", re.ASCII)
_MOST_OF_A_VALUE: Final = 128
_SHOWN: Final = 80  # of what is refused


class Labelling:
    """Gives hosts labels."""

    def __init__(self, db: Database | Logged, told: Callable[[Collection[int]], None]) -> None:
        """`told` hears which hosts have other labels, once that is stored."""
        self._db = db
        self._told = told

    async def label(
        self, names: Collection[str], globs: Collection[str], given: Sequence[Label], taken: Collection[str]
    ) -> tuple[tuple[LabelledHost, ...], tuple[str, ...]]:
        """Give hosts of these names, and those that match these globs, some labels and take some keys from them: how
        they are then, by name; and the globs that match nobody, where nothing is done.

        Raises HostUnknown, RequestRefused, StorageError, and then nothing is done either.
        """
        if not (names or globs) or not (given or taken):
            raise RequestRefused("name the hosts, and labels to give or keys to take")
        check(given)
        for key in taken:
            _check_key(key)
        if both := {label.key for label in given} & set(taken):
            raise RequestRefused(f'the label "{min(both)}" is given and taken at once; say one of the two')
        found, unmatched, changed = await self._db.write(_label, names, globs, given, taken)
        if changed:
            self._told(changed)
        return found, unmatched


def check(given: Sequence[Label]) -> None:
    """Raises RequestRefused where these cannot be labels of one host."""
    for label in given:
        _check_key(label.key)
        if not _is_value(label.value):
            raise RequestRefused(
                f"{label.value[:_SHOWN]!r} cannot be what the label {label.key} says; use 1 to {_MOST_OF_A_VALUE} "
                "printable characters without spaces and commas"
            )
    if len({label.key for label in given}) < len(given):
        raise RequestRefused("a label is given twice; a host has one value of each key")
    if len(given) > MOST_OF_A_HOST:
        raise RequestRefused(f"{len(given)} labels are given; a host has {MOST_OF_A_HOST} at most")


def check_asked(asked: Sequence[Label]) -> None:
    """Raises RequestRefused where no host can have what is asked for; an empty value means any."""
    for label in asked:
        _check_key(label.key)
        if label.value and not _is_value(label.value):
            raise RequestRefused(f"{label.value[:_SHOWN]!r} cannot be what a label says")


def give(conn: Connection, host: Host, given: Sequence[Label]) -> None:
    """Give labels to one host, whose row is held. Raises RequestRefused where it has too many then."""
    before = labels.of_each(conn, [host.host_id]).get(host.host_id, ())
    labels.put(conn, {host.host_id: _changed(host.name, before, given, ())})


def _label(
    conn: Connection, names: Collection[str], globs: Collection[str], given: Sequence[Label], taken: Collection[str]
) -> tuple[tuple[LabelledHost, ...], tuple[str, ...], list[int]]:
    meant, unmatched = _meant(conn, names, globs)
    if unmatched:
        return (), unmatched, []
    hosts.hold(conn, meant)
    before = labels.of_each(conn, meant)
    after = {host_id: _changed(name, before.get(host_id, ()), given, taken) for host_id, name in meant.items()}
    others = {host_id: some for host_id, some in after.items() if some != before.get(host_id, ())}
    labels.put(conn, others)
    found = sorted(
        (LabelledHost(name, after[host_id], host_id in others) for host_id, name in meant.items()),
        key=lambda host: host.host,
    )
    return tuple(found), (), list(others)


def _meant(
    conn: Connection, names: Collection[str], globs: Collection[str]
) -> tuple[Mapping[int, str], tuple[str, ...]]:
    """The hosts by number, and the globs that match none. Raises HostUnknown."""
    named = hosts.find_each(conn, names) if names else {}
    if missing := set(names) - named.keys():
        raise HostUnknown(min(missing))
    meant = {host.host_id: host.name for host in named.values()}
    if not globs:
        return meant, ()
    matching = hosts.heard(conn, Selection(host_globs=tuple(globs)))
    meant |= {host.host_id: host.name for host in matching}
    return meant, hosts.unmatched(globs, [host.name for host in matching])


def _changed(host: str, before: Sequence[Label], given: Sequence[Label], taken: Collection[str]) -> tuple[Label, ...]:
    after = {key: value for key, value in {**dict(before), **dict(given)}.items() if key not in taken}
    if len(after) > MOST_OF_A_HOST:
        raise RequestRefused(
            f"{host} would have {len(after)} labels, and {MOST_OF_A_HOST} are the most; take some from it first"
        )
    return tuple(Label(*one) for one in sorted(after.items()))


def _check_key(key: str) -> None:
    if not _KEY.fullmatch(key):
        raise RequestRefused(
            f"{key[:_SHOWN]!r} cannot be the key of a label; use 1 to 64 lower-case letters, digits, '.', '_', '/' and "
            "'-', beginning and ending with a letter or digit"
        )


def _is_value(text: str) -> bool:
    return 0 < len(text) <= _MOST_OF_A_VALUE and text.isprintable() and not {" ", ","} & set(text)
