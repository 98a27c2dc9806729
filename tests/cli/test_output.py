"""How answers look where golden files do not show it: hostile text, odd fleets, large answers."""

import io
import json
from collections.abc import Callable
from dataclasses import replace

import pytest
from cli.canned import Canned
from cli.conftest import Ran
from fleetnet_cli import text, times, wire
from fleetnet_cli.output import json as json_output
from fleetnet_cli.output import sockets, table
from fleetnet_cli.output.coverage import sentences
from fleetnet_cli.output.presentation import Presentation
from fleetnet_cli.output.terminal import Terminal
from fleetnet_cli.records import Coverage, End, NotKept, ReadyAnswer, Selection, Socket, StaleHost
from fleetnet_cli.services import parse
from fleetnet_proto.v1 import query_pb2, sockets_pb2
from hypothesis import given
from hypothesis import strategies as st

from cli import fleet

COVERAGE = Coverage(as_of_us=fleet.AS_OF_US, hosts_asked=1, hosts_fresh=1)


def presentation() -> Presentation[Socket]:
    return sockets.presentation(parse(fleet.SERVICES), "nothing", sockets.listener_columns())


def as_table(items: list[Socket], width: int | None = None) -> str:
    out = io.StringIO()
    answer = ReadyAnswer(COVERAGE, items, End(len(items)))
    table.write(answer, presentation(), Terminal(out, width), quiet=False, asked_at=False, asked=Selection())
    return out.getvalue()


def as_json(items: list[Socket]) -> str:
    out = io.StringIO()
    json_output.write(ReadyAnswer(COVERAGE, items, End(len(items))), presentation(), Terminal(out), limited=False)
    return out.getvalue()


def one(**changes: object) -> Socket:
    return replace(wire.socket(fleet.listeners()[2]), **changes)  # type: ignore[arg-type]  # fields by name


@given(st.text())
def test_visible_text_has_nothing_that_a_terminal_acts_upon(hostile: str) -> None:
    shown = text.visible(hostile)
    assert shown.isprintable()
    assert text.visible(shown) == shown
    if hostile.isprintable() and text._UNSEEN.isdisjoint(hostile):
        assert shown == hostile


@pytest.mark.parametrize("mark", ["\x1b", "\x07", "\x7f", "\x9b", "\u202e", "\u2066", "\u200b", "\u2028", "\ud800"])
def test_each_kind_of_bad_character_is_shown_as_its_number(mark: str) -> None:
    assert text.visible(f"a{mark}b").startswith("a\\")


@given(st.text(max_size=40), st.text(max_size=40), st.text(max_size=40), st.sampled_from([None, 60, 120]))
def test_whatever_a_host_says_a_row_is_one_line(host: str, unit: str, user: str, width: int | None) -> None:
    written = as_table([one(host=host, unit=unit, user=user)], width)
    assert len(written.split("\n")) == 4  # heading, row, coverage, and the end of the last line
    assert written.replace("\n", "").isprintable()


@given(st.text(st.characters(codec="utf-8"), max_size=40))
def test_whatever_a_host_says_the_document_says_it_in_ascii_and_it_reads_back(hostile: str) -> None:
    written = as_json([one(host=hostile or "x", unit=hostile)])
    assert written.replace("\n", "").isprintable()
    assert written.isascii()
    item = json.loads(written)["items"][0]
    assert item["host"] == (hostile or "x")
    assert item["unit"] == (hostile or None)


@given(st.text(max_size=60), st.integers(1, 30))
def test_fitted_text_fits_and_says_that_it_was_cut(long: str, columns: int) -> None:
    shown = text.fit(text.visible(long), columns)
    assert text.width(shown) <= columns
    assert shown == text.visible(long) or shown.endswith("…")


def test_wide_characters_keep_the_columns_aligned() -> None:
    lines = as_table([one(host="日本"), one(host="plain")]).splitlines()
    assert lines[1].index("tcp") + 2 == lines[2].index("tcp")


def test_rows_beyond_those_that_decide_the_widths_are_all_there() -> None:
    items = [one(host=f"h{n}") for n in range(2500)]
    lines = as_table(items).splitlines()
    assert [line.split()[0] for line in lines[1:-1]] == [f"h{n}" for n in range(2500)]
    assert [i["host"] for i in json.loads(as_json(items))["items"]] == [f"h{n}" for n in range(2500)]


def test_a_namespace_is_a_column_only_where_some_row_has_one() -> None:
    inside = one(host="late", netns="blue", netns_inode=7)
    assert "NETNS" not in as_table([one()])
    assert as_table([inside]).splitlines()[1].split()[:2] == ["late", "blue"]
    # Beyond the rows that decide on the columns a heading comes anew.
    lines = as_table([*[one(host=f"h{n}") for n in range(1500)], inside, one(host="last")]).splitlines()
    assert [i for i, line in enumerate(lines) if line.startswith("HOST")] == [0, 1501]
    assert lines[1502].split()[:2] == ["late", "blue"]
    assert lines[1503].split()[:2] == ["last", "-"]


def test_a_container_is_shown_by_the_beginning_of_its_id_with_its_runtime() -> None:
    container = one(unit="", container="4f5e" * 16, runtime="docker")
    assert "docker:4f5e4f5e4f5e " in as_table([container])


def test_a_unit_that_only_repeats_the_id_of_its_container_is_not_shown_beside_it() -> None:
    scope = f"docker-{'4f5e' * 16}.scope"
    shown = as_table([one(unit=scope, container="4f5e" * 16, runtime="docker")])
    assert ".scope" not in shown
    assert "docker:4f5e4f5e4f5e " in shown
    assert scope in as_table([one(unit=scope, container="")])


def test_owners_are_grouped_by_name_and_counted_where_they_are_many() -> None:
    many = one(owners=tuple(replace(one().owners[0], pid=p, name=f"p{p % 5}") for p in range(1, 21)))
    assert sockets.processes(many) == "p1 (1, 6, +2), p2 (2, 7, +2), p3 (3, 8, +2), +2"
    assert sockets.processes(one(owners=())) == "-"
    assert sockets.processes(one(owners=(), owner_status="kernel")) == "kernel"


@pytest.mark.parametrize(
    ("coverage", "said"),
    [
        (Coverage(1, 1, 1), "1 host, fresh"),
        (Coverage(1, 4, 4), "4 hosts, all fresh"),
        (Coverage(1, 1, 0, (StaleHost("a", 0),)), "1 host, stale: a (never heard)"),
        (Coverage(9_000_001, 2, 0, (StaleHost("a", 1), StaleHost("b", 1))), "2 hosts, all stale: a (9 s), b (9 s)"),
        (Coverage(1, 9, 2, tuple(StaleHost(c, 1) for c in "abcdefg")),
         "9 hosts, 7 stale: a (0 s), b (0 s), c (0 s), d (0 s), e (0 s), +2 more"),
        (Coverage(1, 1, 1, gaps=1), "1 host, fresh; 1 gap overlaps the time asked about"),
        (Coverage(1, 1, 1, unmatched_globs=("db9", "x\x1b")), '1 host, fresh; no host matches "db9" or "x\\x1b"'),
        (Coverage(1, 1, 1, unseen_holders=1), "1 host, fresh; of 1 more it is not known who holds it"),
        (Coverage(1, 1, 1, unseen_holders=1_000), "1 host, fresh; of 1000 more it is not known who holds them"),
        (Coverage(1, 1, 1, unseen_holders=1_001), "1 host, fresh; of more than 1,000 it is not known who holds them"),
        (
            Coverage(1, 1, 1, not_kept=(NotKept("brief", fleet.AS_OF_US), NotKept("later", fleet.AS_OF_US))),
            f"1 host, fresh; sockets in TIME_WAIT that had ended by {times.local(fleet.AS_OF_US)} are no longer kept; "
            f"later that had ended by {times.local(fleet.AS_OF_US)} are no longer kept",
        ),
    ],
)  # fmt: skip
def test_coverage_is_one_sentence(coverage: Coverage, said: str) -> None:
    assert sentences(coverage, End(0), asked_at=False, with_zone=False, asked=Selection()) == said


def test_the_time_asked_about_is_said_with_its_zone_once(
    canned: Canned, fleetnet: Callable[..., Ran], zone: Callable[[str], None]
) -> None:
    zone("Europe/Berlin")
    found = fleetnet("who-listens", "--at", "10m ago").out
    assert found.endswith("as of 2026-03-01 14:00:00, 4 hosts, all fresh\n")
    assert found.count("CET/CEST") == 1
    counts = fleetnet("who-holds", "LISTEN", "--by", "host", "--at", "10m ago").out
    assert counts.endswith("as of 2026-03-01 14:00:00 CET/CEST, 4 hosts, all fresh\n")
    canned.sockets = []
    nothing = fleetnet("who-listens", "443", "--at", "10m ago").out
    assert nothing == "nothing listens on 443: as of 2026-03-01 14:00:00 CET/CEST, 4 hosts, all fresh\n"


def test_many_notes_are_shortened_and_say_so(canned: Canned, fleetnet: Callable[..., Ran]) -> None:
    canned.hosts = [query_pb2.HostItem(host=f"h{n}", degraded=["owners: no helper"]) for n in range(13)]
    out = fleetnet("hosts").out
    assert out.count("owners: no helper") == 10
    assert "and 3 more notes of this kind\n" in out


def test_a_token_alone_goes_to_stdout_and_the_rest_can_be_silenced(
    canned: Canned, fleetnet: Callable[..., Ran]
) -> None:
    ran = fleetnet("token", "create", "--host", "web1", "--ttl", "10m")
    assert ran.out == "fnt1.c2VjcmV0\n"
    assert 'good once, for host "web1", until 2026-03-01 14:10:00 UTC' in ran.err
    assert canned.asked[0].ttl_s == 600  # type: ignore[union-attr]  # a token, not a question
    assert fleetnet("token", "create", "--host", "web1", "-q").err == ""
    document = json.loads(fleetnet("token", "create", "--host", "web1", "-o", "json").out)
    assert document["kind"] == "TokenList"
    assert document["items"] == [
        {
            "host": "web1", "token": "fnt1.c2VjcmV0", "expires_at": "2026-03-01T14:10:00.000000Z", "person": None,
            "role": None, "labels": {},
        }
    ]  # fmt: skip


def ended(canned: Canned, how: sockets_pb2.ClosedAtIs) -> None:
    canned.sockets[2].closed_at_us = fleet.AS_OF_US - fleet.MINUTE_US
    canned.sockets[2].closed_at_is = how


@pytest.mark.parametrize(
    "asked", [("who-listens",), ("who-holds", "LISTEN"), ("who-talks-to", "10.0.0.5", "--by", "socket")]
)
def test_what_began_since_says_of_each_row_whether_it_has_ended(
    asked: tuple[str, ...], canned: Canned, fleetnet: Callable[..., Ran]
) -> None:
    ended(canned, sockets_pb2.CLOSED_AT_IS_EXACT)
    heading, *rows = fleetnet(*asked, "--since", "2026-02-27T13:00:00Z").out.splitlines()
    assert heading.endswith("  SINCE (UTC)                    ENDED")
    assert rows[2].endswith("  2026-03-01 12:59:00")
    assert [row[-3:] for row in (*rows[:2], rows[3])] == ["  -"] * 3
    assert "ENDED" not in fleetnet(*asked).out.splitlines()[0]


def test_an_end_in_a_gap_is_told_as_no_more_than_that(canned: Canned, fleetnet: Callable[..., Ran]) -> None:
    ended(canned, sockets_pb2.CLOSED_AT_IS_GAP)
    assert "  2026-03-01 12:59:00 or before\n" in fleetnet("who-listens", "--since", "2026-02-27T13:00:00Z").out


def test_what_was_there_at_the_first_look_is_not_told_as_new(canned: Canned, fleetnet: Callable[..., Ran]) -> None:
    asked = ("who-listens", "--since", "2026-02-27T13:00:00Z")
    said = "there already at the first look at "
    assert f"\n1 was {said}its host, and may have begun earlier\n" in fleetnet(*asked).out
    canned.sockets[3].opened_at_is = sockets_pb2.OPENED_AT_IS_BEFORE
    for output in ("table", "wide"):
        assert f"\n2 were {said}their host, and may have begun earlier\n" in fleetnet(*asked, "-o", output).out
    assert said not in fleetnet("who-listens").out + fleetnet(*asked, "-q").out
    canned.sockets = canned.sockets[1:3]
    assert said not in fleetnet(*asked).out


@pytest.mark.parametrize("asked", [("who-holds", "LISTEN", "--by", "process"), ("who-talks-to", "10.0.0.5")])
def test_of_what_is_counted_too_it_is_said_what_was_there_at_the_first_look(
    asked: tuple[str, ...], canned: Canned, fleetnet: Callable[..., Ran]
) -> None:
    said = "1 was there already at the first look at its host, and may have begun earlier\n"
    assert fleetnet(*asked, "--since", "2026-02-27T13:00:00Z").out.count(said) == 1
    assert said not in fleetnet(*asked).out
