"""`fleetnet map` as it is typed: what is asked of the collector, what is said of the answer, and what is drawn."""

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from typing import Any

import grpc
import pytest
from cli.canned import Canned
from cli.conftest import Ran
from cli.nasty import DRAWN
from fleetnet_cli.edges import questions
from fleetnet_cli.edges.records import Edge, End, Place
from fleetnet_cli.output import dot, graph, mermaid
from fleetnet_cli.services import parse
from fleetnet_cli.text import visible
from fleetnet_proto.v1 import query_pb2, sockets_pb2
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cli import fleet, talkers

SERVICES = parse(fleet.SERVICES)


@pytest.fixture
def mapped(canned: Canned) -> Canned:
    """The collector of the talkers."""
    canned.sockets, canned.namespaces, canned.narrows = talkers.sockets(), talkers.namespaces(), True
    return canned


def sockets_asked(canned: Canned) -> list[Any]:
    """The questions about connections, in the one form that has a place for all."""
    kinds = query_pb2.ListSocketsRequest | query_pb2.FindSocketsRequest | query_pb2.SeekSocketsRequest
    asked: list[Any] = [request for request in canned.asked if isinstance(request, kinds)]
    return [request for request in asked if not getattr(request, "sockets", request).listeners_only]


def without_liars(canned: Canned) -> list[query_pb2.SocketItem]:
    """All sockets but those at addresses that their hosts do not have."""
    return [socket for socket in canned.sockets if [owner.name for owner in socket.owners] != ["liar"]]


def edges(ran: Ran) -> list[tuple[str | None, str | None, int | None]]:
    """Their hosts and ports."""
    items = json.loads(ran.out)["items"]
    return [(item["client"]["host"], item["server"]["host"], item["port"]) for item in items]


def test_of_a_whole_fleet_it_is_three_questions(mapped: Canned, fleetnet: Callable[..., Ran]) -> None:
    assert len(edges(fleetnet("map", "-o", "json"))) == 11
    assert [type(request) for request in mapped.asked] == [
        query_pb2.ListNamespacesRequest, query_pb2.ListSocketsRequest, query_pb2.ListSocketsRequest,
    ]  # fmt: skip
    [connections] = sockets_asked(mapped)
    assert [sockets_pb2.State.Name(state).removeprefix("STATE_") for state in connections.states] == [
        "ESTABLISHED", "CLOSE_WAIT", "FIN_WAIT1", "FIN_WAIT2",
    ]  # fmt: skip
    assert connections.protocols == [fleet.TCP, fleet.UDP]


def test_what_narrows_it_narrows_the_question_and_other_halves_are_asked_for_by_address(
    mapped: Canned, fleetnet: Callable[..., Ran]
) -> None:
    mapped.hosts = [host for host in mapped.hosts if host.host == "db1"]
    fleetnet("map", "db1", "--unit", "a.service", "--port", "5432", "--tcp", "--at", "2026-03-01 12:00")
    mine, mine_remote, others, others_remote, *beside = sockets_asked(mapped)
    assert (mine.selection.host_glob, mine.unit, mine.protocols) == ("db1", "a.service", [fleet.TCP])
    assert [(r.first, r.last) for r in mine.local_ports] == [(5432, 5432)]
    assert [(r.first, r.last) for r in mine_remote.remote_ports] == [(5432, 5432)]
    for other in (others, others_remote):
        assert (other.sockets.selection.host_glob, other.sockets.unit, list(other.host_globs)) == ("", "", [])
        addresses = {net.address for net in other.remotes}
        assert {fleet.packed("198.18.0.3"), fleet.packed("127.0.0.1")} <= addresses
    assert beside == []
    assert all(_at_us(request) for request in mapped.asked)


def _at_us(request: Any) -> int:
    for inner in ("sockets", "hosts"):
        request = getattr(request, inner, request)
    return int(request.selection.at_us)


def test_of_more_addresses_than_a_question_takes_all_is_asked(
    mapped: Canned, fleetnet: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(questions, "_MOST_NETS", 1)
    fleetnet("map", "--process", "postgres")
    _, others, beside = sockets_asked(mapped)
    assert isinstance(others, query_pb2.ListSocketsRequest)
    assert beside.selection.host_glob == "db1"


def test_the_ends_of_an_edge_are_hosts_of_the_glob_or_processes_of_the_name(
    mapped: Canned, fleetnet: Callable[..., Ran]
) -> None:
    mapped.hosts = [host for host in mapped.hosts if host.host == "odd"]
    assert ("odd", None, 5432) in edges(fleetnet("map", "odd", "-o", "json"))
    assert mapped.asked[0] == query_pb2.ListHostsRequest(selection=query_pb2.Selection(host_glob="odd"))


@pytest.mark.parametrize("host", ["db1", "odd", "web1"])
def test_the_map_of_a_host_takes_no_word_that_the_whole_map_doubts(
    mapped: Canned, fleetnet: Callable[..., Ran], host: str
) -> None:
    # odd says that it has web1's address, and reports web1's half of a connection as web1 does.
    [reported] = [item for item in mapped.sockets if (item.host, item.local_port) == ("odd", 42000)]
    true = query_pb2.SocketItem()
    true.CopyFrom(reported)
    true.host = "web1"
    mapped.sockets.append(true)
    [of_odd] = [item for item in mapped.namespaces if item.host == "odd"]
    of_odd.namespace.interfaces[0].addresses.add(address=fleet.packed("198.18.0.2"), prefix_length=24)
    whole = json.loads(fleetnet("map", "-o", "json").out)["items"]
    assert sum(edge["server"]["why"] == "several-sockets" for edge in whole) == 2
    mapped.hosts = [item for item in mapped.hosts if item.host == host]
    ran = fleetnet("map", host, "-o", "json")
    assert json.loads(ran.out)["items"] == [edge for edge in whole if host in ends(edge)]


def ends(edge: dict[str, Any]) -> set[str]:
    """The hosts that may be at one of them, but for an address that is shared on bridges."""
    both = edge["client"], edge["server"]
    return {end["host"] for end in both} | {place["host"] for end in both for place in end["one_of"]}


def test_who_else_reports_a_half_is_asked_for_only_where_another_host_has_its_address(
    mapped: Canned, fleetnet: Callable[..., Ran]
) -> None:
    mapped.hosts = [host for host in mapped.hosts if host.host == "web1"]
    fleetnet("map", "web1")
    assert len(sockets_asked(mapped)) == 2


def test_a_glob_that_nothing_matches_is_said_as_everywhere(mapped: Canned, fleetnet: Callable[..., Ran]) -> None:
    mapped.hosts, mapped.coverage = [], query_pb2.Coverage(as_of_us=fleet.AS_OF_US)
    ran = fleetnet("map", "nope*")
    assert (ran.status, ran.out) == (1, 'no host matches "nope*"; "fleetnet hosts" lists them\n')


def test_a_host_that_is_named_and_unknown_is_an_error_with_the_nearest(
    mapped: Canned, fleetnet: Callable[..., Ran]
) -> None:
    ran = fleetnet("map", "db2", "web*")
    assert (ran.status, ran.out) == (2, "")
    assert ran.err == 'fleetnet: no host "db2" in this fleet, did you mean "db1"? "fleetnet hosts" lists them\n'


def test_where_nobody_talks_that_is_the_answer(mapped: Canned, fleetnet: Callable[..., Ran]) -> None:
    mapped.sockets = []
    ran = fleetnet("map")
    assert (ran.status, ran.out) == (1, "nobody talks: 4 hosts, all fresh\n")
    said = 'nobody talks to 5432 held by "nginx", by tcp: 4 hosts, all fresh\n'
    assert fleetnet("map", "--port", "5432", "--process", "nginx", "--tcp").out == said
    assert fleetnet("map", "-o", "dot", "-q").status == 1


def test_the_answer_reaches_as_far_as_the_least_of_its_parts(mapped: Canned, fleetnet: Callable[..., Ran]) -> None:
    mapped.sockets = [socket for socket in mapped.sockets if socket.host != "odd"]
    assert fleetnet("map", "-o", "json").status == 0
    mapped.coverage.hosts_fresh = 3
    mapped.coverage.hosts_stale.extend(fleet.stale(180, "db1"))
    ran = fleetnet("map")
    assert ran.status == 3
    assert ran.out.endswith("4 hosts, 1 stale: db1 (3 h)\n")
    mapped.breaks_after_pages = 0
    assert fleetnet("map").status == 3


def test_an_address_that_two_hosts_say_they_have_makes_the_answer_partial(
    mapped: Canned, fleetnet: Callable[..., Ran]
) -> None:
    mapped.sockets = without_liars(mapped)
    ran = fleetnet("map", "-q")
    assert (ran.status, ran.err) == (3, "")
    assert fleetnet("map", "--limit", "1").status == 0, "what is not shown is not doubted"
    for item in mapped.namespaces:
        item.namespace.interfaces[0].kind = "bridge"
    assert fleetnet("map").status == 0


def test_so_does_a_socket_at_an_address_that_its_host_does_not_have(
    mapped: Canned, fleetnet: Callable[..., Ran]
) -> None:
    for item in mapped.namespaces:
        item.namespace.interfaces[0].kind = "bridge"
    ran = fleetnet("map", "--port", "443")
    assert ran.status == 3
    said = "whose 203.0.113.10 is cannot be told: no host has that address, and a socket that fits is reported by odd"
    assert said in ran.out.splitlines()
    mapped.sockets = without_liars(mapped)
    assert fleetnet("map", "--port", "443").status == 0


def test_a_limit_cuts_and_says_so(mapped: Canned, fleetnet: Callable[..., Ran]) -> None:
    _heading, _row, reach = fleetnet("map", "--limit", "1").out.splitlines()
    assert reach == "4 hosts, all fresh; cut at 1 by --limit, there is more"
    assert json.loads(fleetnet("map", "--limit", "2", "-o", "json").out)["coverage"]["truncated"]
    assert "cut at 2 by --limit" in fleetnet("map", "--limit", "2", "-o", "mermaid").out
    whole = fleetnet("map", "--limit", "11", "-o", "json")
    assert not json.loads(whole.out)["coverage"]["truncated"]


def test_wrong_usage_is_one_sentence(mapped: Canned, fleetnet: Callable[..., Ran]) -> None:
    said = 'fleetnet: --external ech: it is each, servers or none; did you mean "each"?\n'
    ran = fleetnet("map", "--external", "ech")
    assert (ran.status, ran.err) == (2, said)
    assert fleetnet("map", "--port", "nosuch").status == 2
    assert fleetnet("hosts", "-o", "dot").err.startswith("fleetnet: -o dot makes no sense for hosts")
    assert not mapped.asked


def test_a_collector_that_refuses_is_heard(mapped: Canned, fleetnet: Callable[..., Ran]) -> None:
    mapped.refuses = (grpc.StatusCode.PERMISSION_DENIED, "viewers only")
    assert fleetnet("map").status == 4


_hostile = st.lists(st.sampled_from(DRAWN) | st.text(st.characters(codec="utf-8"), max_size=6), max_size=6).map("".join)
_place = st.builds(Place, _hostile, st.just("host") | _hostile)
_ends = st.builds(
    End, host=_hostile, netns=_hostile, process=_hostile, address=_hostile, why=_hostile,
    one_of=st.lists(_place, max_size=2).map(tuple),
)  # fmt: skip
_edges = st.builds(
    Edge, _ends, _ends, st.just("tcp"), st.sampled_from([0, 80, 5432]), st.sampled_from(["both-ends", "one-end"]),
    st.sampled_from(["listener", "unknown"]), st.sampled_from([1, 7]),
)  # fmt: skip
_graphs = st.lists(_edges, max_size=4).map(lambda found: graph.of(found, SERVICES))
_patient = settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow], deadline=None)

# Every line that there may be, to the letter: whatever else a name makes of one is an escape.
_DOT_LABEL = r'"(?:[^"\\\n]|\\["\\])*"'
_DOT = re.compile(
    rf"""digraph\ fleetnet\ \{{
    \n\ \ graph\ \[rankdir=LR,\ label={_DOT_LABEL}\];
    \n\ \ node\ \[shape=box\];
    (?:\n\ \ subgraph\ cluster_\d+\ \{{
        \n\ \ \ \ graph\ \[label={_DOT_LABEL}\];
        (?:\n\ \ \ \ n\d+\ \[label={_DOT_LABEL}\];)+
    \n\ \ \}})*
    (?:\n\ \ n\d+\ \[label={_DOT_LABEL}\];)*
    (?:\n\ \ n\d+\ ->\ n\d+\ \[label={_DOT_LABEL}(?:,\ style=dashed)?(?:,\ dir=none)?\];)*
    \n\}}\n""",
    re.VERBOSE,
)
_MERMAID_LABEL = r'"(?:[A-Za-z0-9 .,?()/_-]|\#\d+;)*"'
_MERMAID = re.compile(
    rf"""flowchart\ LR
    \n\ \ %%\ {_MERMAID_LABEL}
    (?:\n\ \ subgraph\ s\d+\ \[{_MERMAID_LABEL}\]
        (?:\n\ \ \ \ n\d+\[{_MERMAID_LABEL}\])+
    \n\ \ end)*
    (?:\n\ \ n\d+\[{_MERMAID_LABEL}\])*
    (?:\n\ \ n\d+\ (?:-->|-\.->|---|-\.-)\|{_MERMAID_LABEL}\|\ n\d+)*
    \n""",
    re.VERBOSE,
)


@_patient
@given(_graphs, _hostile)
def test_whatever_hosts_say_a_drawing_has_boxes_and_lines_and_text_alone(drawn: graph.Graph, reach: str) -> None:
    assert _DOT.fullmatch(dot.write(drawn, reach))
    assert _MERMAID.fullmatch(mermaid.write(drawn, reach))


@given(_hostile)
def test_a_label_reads_back_as_the_text_that_it_shows(text: str) -> None:
    unescaped = re.sub(r"\\(.)", r"\1", dot.quoted(text)[1:-1]).replace("&amp;", "&")
    assert unescaped == visible(text)
    decoded = re.sub(r"#(\d+);", lambda code: chr(int(code[1])), mermaid.quoted(text)[1:-1])
    shown = re.sub(r"\\x(3c|3e|26|60|22)", lambda code: chr(int(code[1], 16)), decoded)
    assert re.sub(r"\\x(3c|3e|26|60|22)", lambda code: chr(int(code[1], 16)), visible(text)) == shown
    assert not set(decoded) & set('<>&`"')


def test_graphviz_draws_what_hosts_say_as_text_and_acts_upon_none_of_it() -> None:
    if shutil.which("dot") is None:
        pytest.skip("needs dot (run tests/install-tools as root)")
    nasty = ["".join(DRAWN), *DRAWN]
    found = [
        Edge(End(name, name, process=name), End(address=name, why=name), "tcp", 80, "one-end", "unknown")
        for name in nasty
    ]
    text = dot.write(graph.of(found, SERVICES), "".join(DRAWN))
    done = subprocess.run(["dot", "-Tsvg"], input=text, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    elements = re.findall(r"<([a-z!?][^\s>/]*)", done.stdout, re.IGNORECASE)
    assert set(elements) <= {"?xml", "!DOCTYPE", "!--", "svg", "g", "title", "polygon", "path", "text"}
    assert "href" not in re.sub(r">[^<]*<", "><", done.stdout).replace("xlink", "").replace("xmlns:", "")
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in done.stdout.replace("&#45;", "-")
