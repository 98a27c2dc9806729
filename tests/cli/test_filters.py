"""What narrows which question: the table in docs/filters.md, and that each filter is asked of the collector."""

from collections.abc import Callable
from pathlib import Path

import click
import pytest
from cli.canned import Canned
from cli.conftest import Ran
from fleetnet_cli import options, wire
from fleetnet_cli.default_command import SHOW, Group
from fleetnet_cli.main import build
from fleetnet_cli.records import Net
from fleetnet_proto.v1 import query_pb2

from cli import fleet

PAGE = Path(__file__).resolve().parents[2] / "docs" / "filters.md"
# Options that say how an answer looks, how much of it there is, or whom to ask.
NO_FILTERS = {
    "--output", "--quiet", "--limit", "--max-age", "--server", "--context", "--timeout", "--by", "--min", "--all",
    "--numeric", "--programs", "--extend", "--wide", "--route", "--interfaces", "--statistics", "--live", "--timers",
    "--learn",
}  # fmt: skip
HELD = (
    "--process",
    "nginx",
    "--unit",
    "nginx.service",
    "--user",
    "root",
    "--container",
    "mail",
    "--cidr",
    "10.0.0.0/8",
)
QUESTIONS = {
    "who-listens": ("who-listens",),
    "who-holds": ("who-holds", "ESTABLISHED"),
    "who-talks-to": ("who-talks-to", "10.0.0.5"),
    "diff": ("diff", "--since", "1h ago"),
    "history": ("history", "web1"),
}
WATCHED = ("who-listens", "who-holds", "who-talks-to")


def program() -> click.Group:
    found = build()
    assert isinstance(found, click.Group)
    return found


def long_options(command: click.Command, *, shown: bool = False) -> set[str]:
    told = [p for p in command.params if isinstance(p, click.Option) and not (shown and p.hidden)]
    return {max(p.opts, key=len) for p in told}


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|\n").split("|")]


def table() -> dict[tuple[str, str], str]:
    """The cells of the page, by question and filter."""
    lines = [line for line in PAGE.read_text().splitlines() if line.startswith("|")]
    questions = cells(lines[0])[1:]
    rows = [cells(line) for line in lines[2:]]
    return {(q, row[0].strip("`")): cell for row in rows for q, cell in zip(questions, row[1:], strict=True)}


def test_the_page_has_every_question_and_every_filter_and_says_which_goes_with_which() -> None:
    commands = {n: c.commands[SHOW] if isinstance(c, Group) else c for n, c in program().commands.items()}
    questions = {n: long_options(c, shown=True) for n, c in commands.items() if long_options(c) & {"--at", "--until"}}
    told = table()
    assert {question for question, _ in told} == questions.keys()
    filters = set().union(*questions.values()) - NO_FILTERS
    # Of who-holds a state is no option, of others it is; a port likewise.
    assert {one for _, one in told} == filters
    for (question, one), cell in told.items():
        assert (cell == "yes") == (one in questions[question]), (question, one)
        assert cell in ("yes", "named", "policy", "always", "-")


@pytest.mark.parametrize("question", QUESTIONS)
def test_whose_and_which_address_is_asked_of_the_collector(
    question: str, canned: Canned, fleetnet: Callable[..., Ran]
) -> None:
    ran = fleetnet(*QUESTIONS[question], *HELD, "-q")
    assert ran.status in (0, 1), ran.err
    assert canned.asked
    for request in canned.asked:
        assert isinstance(request, query_pb2.SeekSocketsRequest | query_pb2.ListLivesRequest)
        told = request.sockets
        assert (told.process, told.unit, told.user) == ("nginx", "nginx.service", "root")
        assert request.container == "mail"
        assert request.local == wire.net(Net("10.0.0.0", 8))


@pytest.mark.parametrize("question", WATCHED)
def test_what_is_watched_takes_the_filters_of_its_question(
    question: str, canned: Canned, fleetnet: Callable[..., Ran]
) -> None:
    watched = program().commands[options.WATCH]
    assert isinstance(watched, click.Group)
    of_answers = {"--at", "--since", "--until", "--limit", "--by", "--min"}
    asked = long_options(program().commands[question])
    assert long_options(watched.commands[question], shown=True) == asked - of_answers
    canned.watched = [[query_pb2.WatchSocketsResponse(at_us=1, coverage=canned.coverage)]]
    fleetnet("watch", *QUESTIONS[question], *HELD, "--until", "1h ago")
    assert canned.asked == []


@pytest.mark.parametrize("question", WATCHED)
def test_what_began_between_two_times_is_asked_by_since_and_until(
    question: str, canned: Canned, fleetnet: Callable[..., Ran]
) -> None:
    canned.sockets = []
    asked = (*QUESTIONS[question], "--since", "2026-02-27T13:00:00Z")
    ran = fleetnet(*asked, "--until", "2026-02-28T13:00:00Z")
    assert ran.status == 1
    assert "since 2026-02-27 13:00:00 until 2026-02-28 13:00:00 UTC" in ran.out
    assert fleetnet(*asked, "--at", "2026-02-28T13:00:00Z").status == 1
    until, at = canned.asked
    assert until == at
    assert isinstance(until, query_pb2.FindSocketsRequest)
    assert until.sockets.selection.at_us - until.opened_since_us == 24 * fleet.HOUR_US


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("--until", "1h ago"), "--until is the later time of two; say --since as well"),
        (("--since", "3h ago", "--until", "1h ago", "--at", "1h ago"), "are the same beside --since"),
        (("--since", "1h ago", "--until", "3h ago"), "is later than --until"),
    ],
)
def test_an_end_that_makes_no_sense_is_refused(
    arguments: tuple[str, ...], why: str, canned: Canned, fleetnet: Callable[..., Ran]
) -> None:
    ran = fleetnet("who-listens", *arguments)
    assert ran.status == 2
    assert why in ran.err
    assert canned.asked == []


def test_a_uid_is_refused_in_diff_as_it_is_elsewhere(canned: Canned, fleetnet: Callable[..., Ran]) -> None:
    ran = fleetnet("diff", "--since", "1h ago", "--user", "33")
    assert ran.status == 2
    assert "sockets are found by the name of their user" in ran.err
    assert canned.asked == []
