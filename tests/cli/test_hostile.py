"""Whatever a host calls itself, its processes, units, paths or interfaces: no format hands an admin's terminal, shell
or spreadsheet anything to act upon, a row stays a row, and programs read back what was said.
"""

import csv
import io
import json
import re
import shlex
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

import pytest
from cli.nasty import PIECES, WIDE_SIGNS, assert_nothing_acts
from cli.schemas import check_document, check_lines
from fleetnet_cli import records, text, wire, wire_live, wire_network
from fleetnet_cli.edges.records import Edge, End, Place
from fleetnet_cli.live import LiveSocket, Statistic, Timer
from fleetnet_cli.network import Interface, InterfaceItem, NextHop, RouteItem
from fleetnet_cli.output import (
    counts,
    edges,
    hosts,
    interfaces,
    live,
    ndjson,
    routes,
    sockets,
    statistics,
    table,
    tokens,
)
from fleetnet_cli.output import csv as csv_output
from fleetnet_cli.output import json as json_output
from fleetnet_cli.output import name as name_output
from fleetnet_cli.output.presentation import Presentation
from fleetnet_cli.output.terminal import Terminal
from fleetnet_cli.records import Count, Coverage, Owner, ReadyAnswer, RemoteEnd, Selection, StaleHost, Token
from fleetnet_cli.services import parse
from fleetnet_proto.v1 import query_pb2
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cli import fleet, network

Item = TypeVar("Item")
Shown = tuple[list[Any], Presentation[Any]]

# protobuf carries no lone surrogates, so no answer does.
_hostile = st.lists(st.sampled_from(PIECES) | st.text(st.characters(codec="utf-8"), max_size=8), max_size=6).map(
    "".join
)
_SERVICES = parse(fleet.SERVICES)
_LOOKED_AT = next(wire_live.items(query_pb2.LivePage(sockets=network.live_sockets()[:1])))
assert isinstance(_LOOKED_AT, LiveSocket)
_TCP = _LOOKED_AT.tcp or {}
_NAMESPACE = wire_network.namespace(network.namespaces()[0])


@st.composite
def _sockets(draw: st.DrawFn) -> Shown:
    return draw(st.lists(_socket(), min_size=1, max_size=3)), sockets.presentation(
        _SERVICES, draw(_hostile), sockets.connection_columns()
    )


@st.composite
def _socket(draw: st.DrawFn) -> Any:
    owners = st.builds(Owner, st.integers(0, 2**22), _hostile, _hostile, st.just(fleet.AS_OF_US), _hostile)
    return replace(
        wire.socket(fleet.listeners()[2]), host=draw(_hostile), netns=draw(_hostile), interface=draw(_hostile),
        user=draw(_hostile), unit=draw(_hostile), container=draw(_hostile), runtime=draw(_hostile), path=draw(_hostile),
        family=draw(st.sampled_from(["ipv4", "unix"])), owners=tuple(draw(st.lists(owners, max_size=3))),
    )  # fmt: skip


@st.composite
def _live(draw: st.DrawFn) -> Shown:
    tcp = {**_TCP, "congestion_control": draw(_hostile)}
    items = [LiveSocket(draw(_socket()), Timer(draw(st.integers(0, 9)), 1, 2), tcp, None), LiveSocket(draw(_socket()))]
    return items, live.presentation(_SERVICES)


@st.composite
def _hosts(draw: st.DrawFn) -> Shown:
    item = replace(
        wire.host(fleet.hosts()[0]), host=draw(_hostile), os=draw(_hostile), kernel=draw(_hostile),
        agent_version=draw(_hostile), architecture=draw(_hostile), degraded=tuple(draw(st.lists(_hostile, max_size=3))),
    )  # fmt: skip
    return [item, wire.host(fleet.hosts()[3])], hosts.presentation()


@st.composite
def _interfaces(draw: st.DrawFn) -> Shown:
    known = _NAMESPACE.interfaces[1]
    one: Interface = replace(
        known, name=draw(_hostile), kind=draw(_hostile), driver=draw(_hostile), hardware_address=""
    )
    where = replace(_NAMESPACE, netns=draw(_hostile), container=draw(_hostile), unit=draw(_hostile))
    return [InterfaceItem(where, one), InterfaceItem(_NAMESPACE, known)], interfaces.presentation()


@st.composite
def _routes(draw: st.DrawFn) -> Shown:
    hops = tuple(NextHop(gateway, draw(_hostile), 1, 0) for gateway in draw(st.lists(st.just("10.0.0.1"), max_size=2)))
    route = replace(_NAMESPACE.routes[0], next_hops=hops)
    return [RouteItem(replace(_NAMESPACE, netns=draw(_hostile)), route)], routes.presentation()


def _end(draw: st.DrawFn) -> End:
    place = Place(draw(_hostile), draw(_hostile))
    one_of = draw(st.sampled_from([(), (place,), (place, Place("db1", "host"))]))
    return End(
        place.host, place.netns, draw(_hostile), draw(_hostile), draw(_hostile), one_of=one_of, why=draw(_hostile)
    )


@st.composite
def _others(draw: st.DrawFn) -> Shown:
    by = draw(st.sampled_from([("host",), ("process",), ("host", "process", "remote")]))
    place = statistics.Place(draw(_hostile), {7: draw(_hostile)})
    shown: list[Shown] = [
        (
            [Count(3, 2, draw(_hostile), draw(_hostile), RemoteEnd("10.0.0.1", 443)), Count(1, 1, "db1")],
            counts.presentation(by, draw(_hostile)),
        ),
        (
            [Edge(_end(draw), _end(draw), "tcp", 80, "one-end", "ports"), Edge(End(), _end(draw), "tcp", 0, "", "")],
            edges.presentation(_SERVICES, draw(_hostile)),
        ),
        ([Statistic(7, draw(_hostile), draw(_hostile), -1)], statistics.presentation(place)),
        ([Token(draw(_hostile), draw(_hostile), fleet.AS_OF_US)], tokens.presentation()),
    ]
    return draw(st.sampled_from(shown))


# Whole answers take a while to make up on a busy machine.
_patient = settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
_answers = st.one_of(_sockets(), _live(), _hosts(), _interfaces(), _routes(), _others())


def written(shown: Shown, write: Callable[..., object], **how: object) -> str:
    """What the format makes of an answer; one of its hosts is stale."""
    items, presentation = shown
    coverage = Coverage(fleet.AS_OF_US, 2, 1, (StaleHost("x\x1b[2J", fleet.AS_OF_US),))
    out = io.StringIO()
    write(ReadyAnswer(coverage, items, records.End(len(items))), presentation, Terminal(out), **how)
    return out.getvalue()


@_patient
@given(_answers, st.booleans())
def test_a_table_has_a_line_an_item_and_nothing_that_a_terminal_acts_upon(shown: Shown, wide: bool) -> None:
    how = {"quiet": True, "asked_at": False, "asked": Selection(), "wide": wide}
    lines = written(shown, table.write, **how)
    assert lines.count("\n") == len(shown[0])
    assert_nothing_acts(lines)
    assert_nothing_acts(written(shown, table.write, **{**how, "quiet": False}))


@_patient
@given(_answers)
def test_a_document_is_ascii_and_as_published_and_reads_back(shown: Shown) -> None:
    document = written(shown, json_output.write, limited=False)
    assert document.replace("\n", "").isprintable()
    assert document.isascii()
    check_document(document)
    items = [shown[1].as_json(item) for item in shown[0]]
    assert json.loads(document)["items"] == items
    lines = written(shown, ndjson.write, limited=False)
    check_lines(lines)
    assert lines.isascii()
    assert [json.loads(line) for line in lines.splitlines()[1:-1]] == items


@_patient
@given(_answers)
def test_a_row_of_csv_has_its_columns_and_no_cell_that_is_a_formula(shown: Shown) -> None:
    rows = written(shown, csv_output.write)
    assert rows.count("\r\n") == rows.count("\n") == rows.count("\r") == len(shown[0]) + 1
    assert_nothing_acts(rows.replace("\r\n", "\n"))
    read = list(csv.reader(io.StringIO(rows, newline=""), strict=True))
    assert {len(row) for row in read} == {len(read[0])}
    # As most of the world reads it, and as spreadsheets do where the comma divides numbers.
    for separator in ",;":
        for row in csv.reader(io.StringIO(rows, newline=""), delimiter=separator):
            for cell in row:
                assert re.fullmatch(r"-\d+", cell) or cell.lstrip()[:1] not in set(f"=+-@\t\r{WIDE_SIGNS}")


@_patient
@given(_answers)
def test_a_name_is_one_word_to_a_shell_and_no_option(shown: Shown) -> None:
    names = written(shown, name_output.write).splitlines()
    assert len(set(names)) == len(names)
    for name in names:
        assert shlex.split(name) == [name]
        assert re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]*", name)
        assert len(name) <= 253


@pytest.mark.parametrize("mark", ["\ufe0f", "\u3164", "\u034f", "\u2800", "\U000e0100"])
def test_what_is_not_seen_is_shown_as_its_number(mark: str) -> None:
    assert text.visible(f"web1{mark}").startswith("web1\\")


def test_markup_and_shell_are_shown_as_they_are() -> None:
    item = replace(wire.socket(fleet.listeners()[2]), unit="[bold red]$(reboot)[/]")
    shown = ([item], sockets.presentation(_SERVICES, "", sockets.listener_columns()))
    for out in (
        written(shown, table.write, quiet=True, asked_at=False, asked=Selection()),
        written(shown, csv_output.write),
        written(shown, ndjson.write, limited=False),
    ):
        assert "[bold red]$(reboot)[/]" in out


@pytest.mark.parametrize("output", ["table", "wide", "json", "ndjson", "csv"])
def test_a_name_without_end_is_cut(output: str) -> None:
    item = replace(wire.socket(fleet.listeners()[2]), unit="x" * 1_000_000, owners=())
    shown = ([item], sockets.presentation(_SERVICES, "", sockets.listener_columns()))
    written_by: dict[str, Callable[[], str]] = {
        "table": lambda: written(shown, table.write, quiet=True, asked_at=False, asked=Selection()),
        "wide": lambda: written(shown, table.write, quiet=True, asked_at=False, asked=Selection(), wide=True),
        "json": lambda: written(shown, json_output.write, limited=False),
        "ndjson": lambda: written(shown, ndjson.write, limited=False),
        "csv": lambda: written(shown, csv_output.write),
    }
    said = written_by[output]()
    assert said.count("x" * (text.LONGEST - 1)) == 1
    assert len(said) < text.LONGEST + 2000
    assert "…" in said or "\\u2026" in said


def test_every_one_of_very_many_owners_is_there() -> None:
    owners = tuple(Owner(100_000 + n, "worker", "", fleet.AS_OF_US, "") for n in range(2000))
    shown = ([replace(wire.socket(fleet.listeners()[2]), owners=owners)], sockets.presentation(_SERVICES, "", ()))
    assert written(shown, csv_output.write).count("worker/") == 2000
    assert "101998, 101999)" in written(shown, table.write, quiet=True, asked_at=False, asked=Selection(), wide=True)


def test_an_owner_cannot_pass_for_two_in_csv() -> None:
    evil = Owner(17, "sshd/1 evil", "", fleet.AS_OF_US, "")
    item = replace(wire.socket(fleet.listeners()[2]), owners=(evil, Owner(18, "a", "", fleet.AS_OF_US, "")))
    rows = written(([item], sockets.presentation(_SERVICES, "", ())), csv_output.write)
    assert r",sshd/1\x20evil/17 a/18," in rows


@pytest.mark.parametrize(
    ("said", "cell"),
    [
        ("=1+1", "'=1+1"),
        ("  @x", "'  @x"),
        ("a;-1", "a;'-1"),
        ('a;"=1"', 'a;\'"=1"'),
        ("\t=1", "\\x09=1"),
        ("a=1", "a=1"),
        ("\uff1d1", "'\uff1d1"),
        ("y" * 40_000, "y" * 32_766 + "…"),
    ],
)
def test_a_cell_is_text_to_a_spreadsheet(said: str, cell: str) -> None:
    assert csv_output.safe(said) == cell
