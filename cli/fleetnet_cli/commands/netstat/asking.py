"""Asking about one host: an unknown name gets its nearest, a live look its second try, and a namespace its inode."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Generic, TypeVar

from fleetnet_cli import asking, times
from fleetnet_cli.commands.netstat.wish import Wish
from fleetnet_cli.errors import HostAway, TooSoon, UnknownHost, UsageError, nearest, suggestion
from fleetnet_cli.live import LiveQuestion
from fleetnet_cli.network import Namespace, NamespaceQuestion
from fleetnet_cli.options import Common
from fleetnet_cli.output import terminal
from fleetnet_cli.records import Answer, Coverage, End, ReadyAnswer, Selection
from fleetnet_cli.text import visible

if TYPE_CHECKING:
    from fleetnet_cli.client import Collector, LiveLook

T = TypeVar("T")
Item = TypeVar("Item")

_AGAIN_AFTER_S = 1.0


def asked(collector: "Collector", question: Callable[[], T]) -> T:
    """The answer; an unknown host is told with the nearest name there is."""
    try:
        return question()
    except UnknownHost as error:
        known = [h.host for h in collector.hosts(Selection())]
        raise UnknownHost(error.host, nearest(error.host, known)) from error


def looked_at(collector: "Collector", question: LiveQuestion, *, kept: bool) -> "LiveLook":
    """A live look, asked for twice where the first came too soon; `kept` says that history has something instead."""

    def look() -> "LiveLook":
        return asked(collector, lambda: collector.live(question))

    try:
        try:
            return look()
        except TooSoon:
            time.sleep(_AGAIN_AFTER_S)
            return look()
    except HostAway as error:
        raise _away(collector, question.host, error, kept=kept) from error


def _away(collector: "Collector", name: str, error: HostAway, *, kept: bool) -> HostAway:
    # Asked afresh: where it was the collector that went away, this says so.
    hosts = list(collector.hosts(Selection(host=name)))
    way_out = "leave out --live for what is kept" if kept else "this is not kept, so ask again when it is back"
    if not hosts or hosts[0].connected:
        return HostAway(name, error.why, way_out)
    heard = "never heard"
    if hosts[0].last_seen_us:
        heard = f"last heard {times.age(times.now_us() - hosts[0].last_seen_us)} ago"
    return HostAway(name, f"is not connected ({heard})", way_out)


def namespaces(
    collector: "Collector", selection: Selection, *, interfaces: bool = False, routes: bool = False
) -> tuple[list[Namespace], Coverage]:
    """The host's namespaces with what is wanted of them, and how far that reaches."""
    question = NamespaceQuestion(selection, without_interfaces=not interfaces, without_routes=not routes)
    answer = asked(collector, lambda: collector.namespaces(question))
    return list(answer), answer.coverage


def inode_of(wish: Wish, known: Iterable[Namespace]) -> int:
    """The namespace that --netns names by name or inode, without it the agent's own; UsageError where there is none."""
    if wish.netns in ("", "host"):
        return 0
    names: list[str] = []
    for namespace in known:
        if wish.netns in (namespace.netns, namespace.name, str(namespace.inode)):
            return namespace.inode
        names.append(namespace.netns)
    guess = suggestion(wish.netns, names) or _those_there_are(names)
    raise UsageError(f'{wish.host} has no network namespace "{wish.netns}"{guess}')


def _those_there_are(names: list[str]) -> str:
    if len(names) == 1:
        return f'; "{names[0]}" is the only one'
    return f"; there are {', '.join(names)}" if names else "; none are known"


def unread(asked: Iterable[Namespace]) -> list[str]:
    """What an answer about these namespaces lacks, a sentence each."""
    sentences = []
    for one in asked:
        where = "" if one.inode == 0 else f" of namespace {one.netns}"
        if one.unread:
            sentences.append(f"routes and interfaces{where} could not be read lately; these are the last ones known")
        if one.routes_left_out:
            sentences.append(f"{one.routes_left_out} more routes{where} are too many to be kept")
    return sentences


def cut(items: list[Item], coverage: Coverage, limit: int) -> Answer[Item]:
    """The first `limit` items as an answer that says whether it was cut; 0 means all."""
    kept = items[:limit] if limit else items
    return ReadyAnswer(coverage, kept, End(len(kept), truncated=len(kept) < len(items)))


class Sifted(Generic[Item]):
    """An answer of which only some items are taken."""

    def __init__(self, answer: Answer[T], sift: Callable[[Iterable[T]], Iterator[Item]]) -> None:
        self._answer = answer
        self._items = sift(answer)

    @property
    def coverage(self) -> Coverage:
        """How far it reaches."""
        return self._answer.coverage

    @property
    def end(self) -> End | None:
        """None until every item has been taken."""
        return self._answer.end

    def __iter__(self) -> Iterator[Item]:
        return self._items


def say(answer: Answer[object], common: Common, found: int, nothing: str, notes: list[str]) -> None:
    """What netstat(8) has no words for, on stderr, after the lines and not in the midst of them."""
    if not common.quiet:
        asking.say(answer, common, found=found, nothing=nothing, notes=notes)


def warn(notes: Iterable[str], common: Common) -> None:
    """The same beside a document, where only what is missing needs to be said."""
    if not common.quiet:
        terminal.of(sys.stdout).flush()
        out = terminal.of(sys.stderr)
        for note in notes:
            out.write(f"{visible(note)}\n")
