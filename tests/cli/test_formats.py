"""What each format promises beside its looks: its exit status, where the coverage goes, what a broken answer leaves,
and that answers flow.
"""

import csv
import functools
import io
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import grpc
import pytest
from cli.canned import Canned
from cli.conftest import Ran
from cli.loading import loaded
from cli.test_golden import BY_ITEM, GOLDEN, MAKE_NO_SENSE
from cli.test_main import on_a_terminal
from fleetnet_cli import wire
from fleetnet_cli.output import csv as csv_output
from fleetnet_cli.output import json as json_output
from fleetnet_cli.output import name, ndjson, sockets, table
from fleetnet_cli.output.presentation import FORMATS, OF_MAP, Presentation
from fleetnet_cli.output.terminal import ReaderGoneError, Terminal
from fleetnet_cli.records import Coverage, End, ReadyAnswer, Selection, Socket
from fleetnet_cli.services import parse

from cli import fleet, network

COVERAGE = Coverage(as_of_us=fleet.AS_OF_US, hosts_asked=1, hosts_fresh=1)
END = '{"kind": "End"'


def presentation() -> Presentation[Socket]:
    return sockets.presentation(parse(fleet.SERVICES), "nothing", sockets.listener_columns())


def one(**changes: object) -> Socket:
    return replace(wire.socket(fleet.listeners()[2]), **changes)  # type: ignore[arg-type]  # fields by name


@pytest.mark.parametrize("output", FORMATS)
def test_the_exit_status_is_the_same_in_every_format(output: str, canned: Canned, fleetnet: Callable[..., Ran]) -> None:
    def status(*options: str) -> int:
        return fleetnet("who-listens", "-o", output, *options).status

    assert (status(), status("-q")) == (0, 0)
    everything = list(canned.sockets)
    canned.sockets = []
    assert (status(), status("-q")) == (1, 1)
    canned.coverage.gaps = 1
    assert (status(), status("-q")) == (3, 3)
    canned.sockets = everything
    assert status() == 3
    canned.coverage.gaps = 0
    canned.coverage.hosts_stale.extend(fleet.stale(180, "db1"))
    assert status() == 3
    canned.refuses = (grpc.StatusCode.PERMISSION_DENIED, "viewers only")
    assert status() == 4


@pytest.mark.parametrize("output", ["csv", "name"])
def test_what_has_no_room_for_the_coverage_says_it_in_one_sentence_on_stderr(
    output: str, canned: Canned, fleetnet: Callable[..., Ran]
) -> None:
    assert fleetnet("who-listens", "-o", output).err == "4 hosts, all fresh\n"
    canned.coverage.hosts_fresh = 3
    canned.coverage.hosts_stale.extend(fleet.stale(180, "db1"))
    assert fleetnet("who-listens", "-o", output).err == "4 hosts, 1 stale: db1 (3 h)\n"
    assert fleetnet("who-listens", "-o", output, "-q").err == ""
    canned.sockets = []
    assert fleetnet("who-listens", "443", "-o", output).err == ("nothing listens on 443: 4 hosts, 1 stale: db1 (3 h)\n")


@pytest.mark.parametrize("asked", [asked for asked in BY_ITEM if asked != "audit"])  # which has much to say of nothing
def test_csv_has_its_header_even_where_nothing_is_found_or_all_is_to_be_quiet(
    asked: str, canned: Canned, fleetnet: Callable[..., Ran]
) -> None:
    canned.sockets, canned.live_sockets, canned.counters, canned.statistics = [], [], [], []
    canned.people, canned.tokens, canned.log = [], [], []
    if asked == "hosts":
        canned.hosts = []
    for item in canned.namespaces:
        del item.namespace.interfaces[:], item.namespace.routes[:]
    header, *rows = fleetnet(*BY_ITEM[asked], "-o", "csv", "-q").out.splitlines()
    assert header == (GOLDEN / f"{asked}.csv").read_text().splitlines()[0]
    assert len(rows) == {"token-create": 1, "host-label": 2, "host-revoke": 2}.get(asked, 0)


@pytest.mark.parametrize("asked", [("config", "explain"), ("person", "list")], ids=" ".join)
def test_of_what_no_host_was_asked_csv_says_nothing_about_hosts(
    asked: tuple[str, ...], canned: Canned, fleetnet: Callable[..., Ran]
) -> None:
    ran = fleetnet(*asked, "-o", "csv")
    assert (ran.status, ran.err) == (0, "")


def test_quiet_takes_the_heading_of_a_table_and_leaves_documents_whole(
    canned: Canned, fleetnet: Callable[..., Ran]
) -> None:
    for output in ("table", "wide"):
        loud, quiet = (fleetnet("who-listens", "-o", output, *q).out.splitlines() for q in ((), ("-q",)))
        assert [line.split() for line in quiet] == [line.split() for line in loud[1:5]]
    for output in ("json", "ndjson"):
        assert fleetnet("who-listens", "-o", output) == fleetnet("who-listens", "-o", output, "-q")


@pytest.mark.parametrize("golden", MAKE_NO_SENSE)
def test_a_format_that_makes_no_sense_is_wrong_usage_and_names_those_that_do(
    golden: str, canned: Canned, fleetnet: Callable[..., Ran]
) -> None:
    asked, _, output = golden.partition(".")
    ran = fleetnet(*BY_ITEM[asked], "-o", output)
    assert (ran.status, ran.out) == (2, "")
    assert f"-o {output} makes no sense for " in ran.err
    named = ran.err.partition("ask for ")[2].strip().replace(" or ", ", ").split(", ")
    assert not canned.asked
    for other in named:
        # 1: the canned collector has no connections, which is an answer too.
        assert fleetnet(*BY_ITEM[asked], "-o", other).status in (0, 1)
    assert {*named, output} <= {*FORMATS, *OF_MAP}


def test_an_unknown_format_is_told_all_there_are(fleetnet: Callable[..., Ran]) -> None:
    assert "the formats are table, wide, json, ndjson, csv or name" in fleetnet("hosts", "-o", "yaml").err


# Of each command that takes fewer, what --help lists and a format beside it.
FEWER = {
    ("explain", "CLOSE_WAIT"): ("table, wide, json or ndjson", "csv"),
    ("config", "explain"): ("table, wide, json, ndjson or csv", "name"),
    ("token", "create", "--host", "web1"): ("table, wide, json, ndjson or csv", "name"),
    ("person", "list"): ("table, wide, json, ndjson or csv", "name"),
    ("map",): ("table, wide, json, ndjson, csv, dot or mermaid", "name"),
    ("host", "show", "web1"): ("table, json or ndjson", "wide"),
    ("hosts",): ("table, wide, json, ndjson, csv or name", "sarif"),
}


@pytest.mark.parametrize("asked", FEWER, ids=" ".join)
def test_the_formats_of_the_help_are_those_that_are_taken_and_no_others(
    asked: tuple[str, ...], canned: Canned, fleetnet: Callable[..., Ran]
) -> None:
    listed, other = FEWER[asked]
    help_text = " ".join(fleetnet(*asked, "--help").out.split())
    assert f"--output FORMAT {listed} (default table)." in help_text
    command = " ".join(asked[: 2 if asked[0] in ("config", "host", "token", "person") else 1])
    ran = fleetnet(*asked, "-o", other)
    assert (ran.status, ran.out) == (2, "")
    assert ran.err == f"fleetnet: -o {other} makes no sense for {command}; ask for {listed}\n"


def test_the_page_on_formats_says_which_command_has_which() -> None:
    page = " ".join((Path(__file__).parents[2] / "docs/json.md").read_text().split())
    assert "`explain` has `table`, `wide`, `json` and `ndjson`" in page
    assert "`who-talks-to`" in page


def test_a_broken_answer_leaves_what_came_and_no_end(canned: Canned, fleetnet: Callable[..., Ran]) -> None:
    canned.breaks_after_pages = 1
    for output, lines in [("ndjson", 3), ("csv", 3), ("name", 2)]:
        ran = fleetnet("who-listens", "-o", output)
        assert ran.status == 3
        assert len(ran.out.splitlines()) == lines
        assert END not in ran.out
        assert "the answer broke off after 2 items, so this is not all" in ran.err
        assert "fresh" not in ran.err
    broken = fleetnet("who-listens", "-o", "json")
    assert (broken.status, broken.out[-1]) == (3, "}")
    with pytest.raises(json.JSONDecodeError):
        json.loads(broken.out)


def test_a_cut_is_said_in_every_format(canned: Canned, fleetnet: Callable[..., Ran]) -> None:
    canned.truncated = True
    for output in ("csv", "name"):
        ran = fleetnet("who-listens", "--limit", "4", "-o", output)
        assert (ran.status, ran.err) == (0, "4 hosts, all fresh; cut at 4 by --limit, there is more\n")
    ran = fleetnet("who-listens", "--limit", "4", "-o", "ndjson")
    assert ran.out.splitlines()[-1] == '{"kind": "End", "items": 4, "complete": false}'
    assert json.loads(fleetnet("who-listens", "--limit", "4", "-o", "json").out)["coverage"]["truncated"] is True


@pytest.mark.parametrize("output", ["json", "ndjson", "csv", "name"])
def test_a_cut_that_nobody_asked_for_is_not_taken_for_an_end(
    output: str, canned: Canned, fleetnet: Callable[..., Ran]
) -> None:
    canned.truncated = True
    ran = fleetnet("who-listens", "-o", output)
    assert ran.status == 3
    assert "cut the answer without having been asked to" in ran.err
    assert END not in ran.out


def test_each_name_is_there_once_and_in_order() -> None:
    hosts = ["web2", "web1", "web2", "db_1", "a.b-c", "web1"]
    assert names([one(host=host) for host in hosts]) == (["web2", "web1", "db_1", "a.b-c"], 0)


@pytest.mark.parametrize("unfit", ["", "-rf", ".hidden", "a b", "a\nb", "a'b", "a\\b", "a;b", "a[1:9]", "é", "x" * 254])
def test_a_name_that_is_none_to_a_command_line_is_left_out_and_counted(unfit: str) -> None:
    assert names([one(host=unfit), one(host="web1"), one(host=unfit)]) == (["web1"], 1)


def test_names_left_out_are_said_and_make_the_answer_partial(canned: Canned, fleetnet: Callable[..., Ran]) -> None:
    ran = fleetnet("netstat", "web1", "-i", "-o", "name", "-q")
    assert (ran.status, ran.err) == (3, "")
    assert network.EVIL not in ran.out
    assert fleetnet("netstat", "web1", "-i", "-o", "name").err.startswith("1 name left out, not known or not fit")


def names(items: list[Socket]) -> tuple[list[str], int]:
    out = io.StringIO()
    written = name.write(ReadyAnswer(COVERAGE, items, End(len(items))), presentation(), Terminal(out))
    return out.getvalue().splitlines(), written.left_out


def test_wide_cuts_nothing_on_a_narrow_terminal_and_shows_every_owner_and_the_whole_id(canned: Canned) -> None:
    lines = on_a_terminal("who-listens", "-o", "wide", NO_COLOR="1", COLUMNS="40").splitlines()
    assert "…" not in "".join(lines)
    assert "nginx (812, 813, 814, 815)" in lines[3]
    assert "docker:0123456789abcdef0123 " in lines[4]
    narrow = on_a_terminal("who-listens", NO_COLOR="1", COLUMNS="40").splitlines()
    assert max(map(len, lines)) > 200 > max(map(len, narrow[:5]))


def test_csv_of_what_has_not_said_its_fields_takes_those_of_the_first_item() -> None:
    plain = replace(presentation(), fields=(), as_json=lambda s: {"host": s.host, "at": {"port": s.local_port}})
    out = io.StringIO()
    assert csv_output.write(ReadyAnswer(COVERAGE, [one(), one()], End(2)), plain, Terminal(out)) == 2
    assert list(csv.reader(io.StringIO(out.getvalue()))) == [["host", "at.port"], ["web1", "443"], ["web1", "443"]]


def test_each_format_is_loaded_only_where_it_is_asked_for(canned: Canned) -> None:
    for output in ("wide", "csv", "ndjson"):
        status, modules = loaded("who-listens", "-o", output)
        assert status == 0
        assert not modules & {"rich", "pydantic", "sqlalchemy", "cryptography"}
        of_formats = {f"fleetnet_cli.output.{f}" for f in FORMATS}
        own = {f"fleetnet_cli.output.{'table' if output == 'wide' else output}"}
        assert modules & of_formats == own
        assert ("csv" in modules) is (output == "csv")
        assert "tempfile" not in modules


class Gone(io.StringIO):
    """Nobody reads it any more, after so many writes."""

    left = 2

    def write(self, text: str) -> int:
        self.left -= 1
        if self.left < 0:
            raise BrokenPipeError
        return super().write(text)


def test_a_reader_that_has_gone_is_told_at_once_and_nothing_is_tried_again() -> None:
    taken: list[int] = []

    def items() -> Iterator[Socket]:
        for number in range(10_000):
            taken.append(number)
            yield one()

    out = Gone()
    with pytest.raises(ReaderGoneError):
        ndjson.write(Lazy(items()), presentation(), Terminal(out), limited=False)
    assert len(taken) < 1000
    assert out.left == -1


class Watched(io.StringIO):
    """Knows what had been flushed."""

    flushed = 0

    def flush(self) -> None:
        self.flushed = len(self.getvalue())


@pytest.mark.parametrize(
    ("write", "before_the_first_item"),
    [
        (functools.partial(ndjson.write, limited=False), '{"api_version"'),
        (functools.partial(json_output.write, limited=False), '{"api_version"'),
        (csv_output.write, "host,netns"),
        (name.write, ""),
    ],
)
def test_the_first_line_is_out_before_the_second_item_is_asked_for(
    write: Callable[..., object], before_the_first_item: str
) -> None:
    out = Watched()
    seen: list[str] = []

    def items() -> Iterator[Socket]:
        for number in range(3):
            seen.append(out.getvalue()[: out.flushed])
            yield one(host=f"web{number}")

    write(Lazy(items()), presentation(), Terminal(out))
    assert seen[0].startswith(before_the_first_item)
    assert seen[1] != ""
    assert "web2" in out.getvalue()


class Lazy:
    """An answer whose items come one by one."""

    coverage = COVERAGE
    end: End | None = None

    def __init__(self, items: Iterator[Socket]) -> None:
        self._items = items

    def __iter__(self) -> Iterator[Socket]:
        return self._items


def test_a_document_that_is_kept_back_for_its_limit_is_the_same_from_memory_and_from_a_file(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    items = [one(host=f"web{n}", unit="é\n") for n in range(300)]

    def written() -> str:
        out = io.StringIO()
        json_output.write(ReadyAnswer(COVERAGE, items, End(300, True)), presentation(), Terminal(out), limited=True)
        return out.getvalue()

    in_memory = written()
    monkeypatch.setattr(json_output, "_KEPT_IN_MEMORY_CHARACTERS", 1000)
    assert written() == in_memory
    assert [i["host"] for i in json.loads(in_memory)["items"]] == [f"web{n}" for n in range(300)]


def test_a_table_of_rows_that_come_slowly_is_written_as_its_first_thousand_are_there() -> None:
    out = io.StringIO()
    seen: list[int] = []

    def items() -> Iterator[Socket]:
        for _ in range(1500):
            seen.append(len(out.getvalue()))
            yield one()

    table.write(Lazy(items()), presentation(), Terminal(out), quiet=False, asked_at=False, asked=Selection())
    assert (seen[999], seen[-1] > 0) == (0, True)
