"""What `fleetnet explain` answers.

The texts are in topics/. Where a collector is at hand, what the fleet has of it now stands beneath. That is an extra:
it takes a second or so at most, and a collector that does not answer makes no explanation fail.
"""

import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from fleetnet_cli import exits, settings, times, topics
from fleetnet_cli.asking import connect, show
from fleetnet_cli.commands.who_listens import transports
from fleetnet_cli.counting import count
from fleetnet_cli.errors import CliError, UsageError
from fleetnet_cli.options import Common
from fleetnet_cli.output import terminal
from fleetnet_cli.output import topics as output
from fleetnet_cli.output.topics import Explained, Fleet
from fleetnet_cli.records import Answer, Coverage, End, PortRange, ReadyAnswer, Selection, Socket, SocketQuestion
from fleetnet_cli.services import load
from fleetnet_cli.states import parse_state

_PATIENCE_S = 1.0  # nobody asked for the fleet's numbers, so they must not be waited for


def listed(common: Common) -> int:
    """Everything that can be explained, by name."""
    everything = [Explained(t) for group in topics.GROUPS for t in topics.of(group)]
    return _show(everything, common, output.write_list)


def explained(word: str, common: Common) -> int:
    """What is known of this word; UsageError where that is nothing."""
    found = topics.find(word, load())
    if not found:
        close = topics.near(word)
        guess = f'did you mean "{close}"?' if close else '"fleetnet explain" lists what can be explained'
        raise UsageError(f'"{word}" is nothing that is explained here; {guess}')
    fleet = None if common.quiet else _fleet(found[0], common)
    return _show([Explained(t, fleet) for t in found], common, output.write)


def _show(items: list[Explained], common: Common, write: output.Write) -> int:
    fleet = items[0].fleet
    coverage = fleet.coverage if fleet and fleet.coverage else Coverage(as_of_us=times.now_us())
    if common.output == "table":
        write(items, terminal.of(sys.stdout), heading=not common.quiet)
        return exits.status_of(found=True, whole=coverage.whole)
    return show(ReadyAnswer(coverage, items, End(len(items))), output.presentation(), common)


def _fleet(topic: topics.Topic, common: Common) -> Fleet | None:
    """What the fleet has of it; None where there is nothing to ask, or nobody."""
    question = _question(topic)
    if question is None or not (common.collector_named or settings.there(Path(common.destination.address))):
        return None
    what = f"on port {_listed(topic.ports)}" if topic.ports else f"in {question.states[0]}"
    listening = question.listeners_only
    try:
        with connect(replace(common, timeout_s=min(common.timeout_s, _PATIENCE_S))) as collector:
            until_s = time.monotonic() + _PATIENCE_S
            answer = collector.sockets(question)
            counted = _Counted(answer, until_s)
            by_host = count(counted, ("host",), 1)
    except CliError as error:
        return Fleet(what, listening, why_not=str(error))
    return Fleet(what, listening, by_host, counted.whole, answer.coverage)


def _question(topic: topics.Topic) -> SocketQuestion | None:
    """The one of who-holds, or of who-listens."""
    if topic.ports:
        ports = tuple(PortRange(p, p) for p in topic.ports)
        return SocketQuestion(Selection(), protocols=transports(), local_ports=ports, listeners_only=True)
    if topic.state:
        return SocketQuestion(Selection(), states=(parse_state(topic.state),), protocols=transports())
    return None


def _listed(ports: tuple[int, ...]) -> str:
    return ", ".join(map(str, ports))


@dataclass(slots=True)
class _Counted:
    """An answer that is taken for as long as there is patience, and says whether that was all of it."""

    answer: Answer[Socket]
    until_s: float  # of the monotonic clock
    whole: bool = True

    def __iter__(self) -> Iterator[Socket]:
        for socket in self.answer:
            yield socket
            if time.monotonic() > self.until_s:
                self.whole = False
                return
