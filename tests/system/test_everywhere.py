"""The host's own namespace and five others, as the command line shows them through the real agent, which is nobody, its
helper and the collector: beside what ss, netstat, ip, ethtool and the kernel's counters say inside each."""

import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from system import details, families_oracles, in_words
from system.in_words import Item
from system.laboratory import laboratory
from system.neighbourhood import BUCKETS, CHILDREN_BUCKETS, KINDS, NAME, Neighbourhood, Place, neighbourhood, whole

from demo.programs import FailedError, until

pytestmark = pytest.mark.root

_AGREE_S = 90.0  # both look at moments of their own
_LAST_AGREED_S = 90.0  # for live looks, which all the tests share
_MOVING = {"last_sent_ms", "last_received_ms", "expires_ms"}  # by themselves


@pytest.fixture(scope="module")
def around(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Neighbourhood]:
    with laboratory(tmp_path_factory.mktemp("every")) as lab, neighbourhood(lab) as made:
        yield made


@pytest.fixture(params=KINDS)
def place(around: Neighbourhood, request: pytest.FixtureRequest) -> Place:
    found: Place = around.places[request.param]
    return found


def agreed(ours: Callable[[], Any], theirs: Callable[[], Any]) -> Any:
    """What both say at last."""
    last: list[Any] = []

    def agree() -> bool:
        last[:] = [ours(), theirs()]
        return bool(last[0] == last[1])

    try:
        until(agree, within_s=_AGREE_S, what="what both say")
    except FailedError:
        assert last[0] == last[1]
    return last[0]


def documents(around: Neighbourhood, *options: str) -> dict[str, list[Item]]:
    """What one document has of each of them, by kind; of the host's own namespace the items have no inode."""
    names = {(place.shown, place.netns): kind for kind, place in around.places.items()}
    found: dict[str, list[Item]] = {kind: [] for kind in names.values()}
    for item in around.documents(*options):
        if kind := names.get((item["netns"], item["netns_inode"] or 0)):
            found[kind].append(item)
    return found


@pytest.mark.parametrize(
    ("said", "ours", "least"),
    [
        pytest.param(in_words.inet, in_words.our_inet, 25, id="inet"),
        pytest.param(families_oracles.unix, families_oracles.our_unix, 20, id="unix"),
        pytest.param(families_oracles.packet, families_oracles.our_packet, 2, id="packet"),
        pytest.param(families_oracles.raw, families_oracles.our_raw, 3, id="raw"),
        pytest.param(families_oracles.udplite, families_oracles.our_udplite, 0, id="udplite"),
    ],
)
def test_a_document_equals_ss_socket_by_socket_in_every_namespace(
    around: Neighbourhood, said: Callable[[Place], set[Any]], ours: Callable[[list[Item]], set[Any]], least: int
) -> None:
    shown: dict[str, list[Item]] = {}

    def asked() -> dict[str, set[Any]]:
        shown.update(documents(around, "-a"))
        return {kind: ours(items) for kind, items in shown.items()}

    found = agreed(asked, lambda: {kind: said(place) for kind, place in around.places.items()})
    for kind, items in shown.items():
        assert len(found[kind]) >= least, kind
        names = Counter((one["protocol"], one["inode"]) for one in items if one["inode"])
        assert set(names.values()) == {1}, kind


def test_one_namespace_named_is_what_all_of_them_have_of_it(around: Neighbourhood, place: Place) -> None:
    def alone() -> set[in_words.Extended]:
        items = around.documents("-tua", "--netns", place.shown)
        assert {one["netns"] for one in items} == {place.shown}
        return in_words.our_inet(items)

    assert_it_has_every_kind(agreed(alone, lambda: in_words.inet(place)), place)


def assert_it_has_every_kind(found: set[in_words.Extended], place: Place) -> None:
    """Without which the comparison is worth less."""
    rows, uids, _, v6only = zip(*found, strict=True)
    assert {row.state for row in rows} >= {"LISTEN", "ESTABLISHED", "FIN_WAIT2", "CLOSE_WAIT", "CLOSE"}
    assert {0, 65534} <= set(uids)
    assert set(v6only) == {True, False, None}
    assert {row.interface for row in rows} >= {"", place.device}
    assert {pid for row in rows for pid, _ in row.owners} >= {place.tenant.pid}
    assert any(row.recv_queue == 6000 for row in rows)
    assert any(row.state == "LISTEN" and row.recv_queue == 1 and row.send_queue == 16 for row in rows)


def test_a_container_is_told_with_its_id_and_unit(around: Neighbourhood) -> None:
    expected = (around.container, "docker", f"docker-{around.container}.scope")
    told = {(one["container"], one["container_runtime"], one["unit"]) for one in documents(around, "-l")["container"]}
    assert told == {expected}


def test_the_small_namespace_has_a_small_table(around: Neighbourhood) -> None:
    if not Path(CHILDREN_BUCKETS).exists():
        pytest.skip(f"this kernel has no {CHILDREN_BUCKETS}, so all namespaces share one large table")
    assert around.places["small"].run("cat", "/proc/sys/net/ipv4/tcp_ehash_entries").split() == [str(BUCKETS)]


@pytest.mark.parametrize("options", ["-rn", "-rne", "-rnee", "-rn -6", "-i"])
def test_the_layout_is_that_of_netstat_line_for_line(around: Neighbourhood, place: Place, options: str) -> None:
    sort = sorted if "6" in options else list  # routes alike in all but their interface: in the order these came up

    def ours() -> list[str]:
        return list(sort(whole(around.ask(place, *options.split())).output.splitlines()))

    lines = agreed(ours, lambda: sort(masked(place.run("netstat", *options.split()).splitlines(), options)))
    assert len(lines) > 5


def masked(lines: list[str], options: str) -> list[str]:
    """Without what history does not keep: counters of interfaces, and Ref of the routes of IPv6 but for those that
    stand for "none"."""
    if options == "-i":
        wide = (8, 6, 6, -6, 8, 6, 6, 6)
        dashes = " ".join(f"{'-':<6}" if width < 0 else f"{'-':>{width}}" for width in wide)
        return [*lines[:2], *(f"{line[:21]} {dashes} {line.split()[-1]}" for line in lines[2:])]
    return [re.sub(r"^(\S+/\d+ +\S+ +U?!?\S* +\d+ +)\d( {2,}0 \S+)$", r"\1-\2", line) for line in lines]


def test_routes_equal_those_of_ip_in_the_same_order(around: Neighbourhood) -> None:
    def theirs() -> dict[str, list[Item]]:
        return {kind: in_words.routes(place) for kind, place in around.places.items()}

    def ours() -> dict[str, list[Item]]:
        like = theirs()
        return {kind: in_words.our(items, like[kind]) for kind, items in documents(around, "-r").items()}

    for kind, found in agreed(ours, theirs).items():
        assert len(found) >= 15, kind
        assert {one["table"] for one in found} >= {100, 200, 254, 1000}
        assert max(len(one["next_hops"]) for one in found) == 2


def test_interfaces_equal_those_of_ip_and_ethtool(around: Neighbourhood) -> None:
    if shutil.which("ethtool") is None:
        pytest.skip("ethtool is not here (run tests/install-tools as root)")

    def theirs() -> dict[str, list[Item]]:
        return {kind: in_words.interfaces(place) for kind, place in around.places.items()}

    def ours() -> dict[str, list[Item]]:
        like = theirs()
        return {kind: in_words.our(items, like[kind]) for kind, items in documents(around, "-i").items()}

    for kind, found in agreed(ours, theirs).items():
        assert {one["name"] for one in found} >= {"lo", "p0", "p1", around.places[kind].device}
        assert {one.get("driver") for one in found} >= {"veth"}
        assert [one["mtu"] for one in found if one["name"] == "p0"] == [9000]


@pytest.mark.parametrize("kind", ["host", "empty"])
def test_a_live_look_equals_ss_in_every_detail_of_quiet_connections(around: Neighbourhood, kind: str) -> None:
    place = around.places[kind]
    compared: Counter[str] = Counter()

    def differences() -> list[str] | None:
        before = details.of_ss_by_inode(place)
        answer = around.ask(place, "-ta", "--live", "-o", "json")
        if answer.status:
            return [answer.errors]
        ours = details.of_documents([one for one in answer.items if one["netns"] == place.shown])
        after = details.of_ss_by_inode(place)
        return wrong(before, ours, after, compared)

    try:
        until(lambda: not differences(), within_s=_LAST_AGREED_S, what="a live look equal to what ss says")
    except FailedError as failure:
        pytest.fail(f"{failure}\n" + "\n".join((differences() or [])[:40]))
    assert compared["send_buffer_bytes"] > 15
    assert min(compared[field] for field in ("congestion_control", "rtt_us", "sent_segments")) > 7


def wrong(
    before: dict[int, details.Details],
    ours: dict[int, details.Details],
    after: dict[int, details.Details],
    compared: Counter[str],
) -> list[str]:
    """Where a look shows other sockets than ss, or other numbers than ss did both before and after it."""
    compared.clear()
    found = [f"{inode} is shown by one only" for inode in before.keys() & after.keys() ^ ours.keys()]
    for inode in before.keys() & ours.keys() & after.keys():
        for field in {*before[inode], *ours[inode]} - _MOVING:
            was, is_now, now = before[inode].get(field), ours[inode].get(field), after[inode].get(field)
            if was == now:
                compared[field] += 1
                found += [] if is_now == was else [f"{inode} {field}: {is_now}, and ss says {was}"]
    return found


def test_counters_lie_between_what_the_kernel_shows_before_and_after(around: Neighbourhood) -> None:
    places = list(around.places.values())

    def asked(*options: str) -> list[Item]:
        def answer() -> list[Item] | None:
            told = around.fleet.ask("netstat", NAME, *options, "-o", "json")
            return told.items if told.status == 0 else None

        return until(answer, within_s=_LAST_AGREED_S, what="a live look that is not too soon")

    before = {place.name: in_words.counted(place) for place in places}
    interfaces, statistics = asked("-i", "--live"), asked("-s")
    after = {place.name: in_words.counted(place) for place in places}
    for place in places:
        ours = in_words.our_counted(
            [one for one in interfaces if one["netns"] == place.shown],
            [one for one in statistics if one["netns"] == place.shown],
        )
        assert ours.keys() == before[place.name].keys() == after[place.name].keys()
        assert len(ours) > 300
        for name, shown in ours.items():
            lowest, highest = sorted((before[place.name][name], after[place.name][name]))
            assert lowest <= shown <= highest, f"{place.name}: {name}"
        assert ours["lo received_packets"] > 0
        assert ours["TcpActiveOpens"] > 5


def test_one_namespace_is_counted_alone_where_it_is_named(around: Neighbourhood) -> None:
    place = around.places["nameless"]

    def answer() -> str | None:
        told = around.ask(place, "-i", "--live")
        return told.output if told.status == 0 else None

    ours = until(answer, within_s=_LAST_AGREED_S, what="a live look that is not too soon")
    theirs = place.run("netstat", "-i")
    assert [line[:21] for line in ours.splitlines()] == [line[:21] for line in theirs.splitlines()]
