"""Labels of hosts: who has them after whatever was given and taken, and who is asked by them."""

import asyncio
import random
import tempfile
from collections.abc import Collection
from pathlib import Path

import pytest
from fleetnet_server.errors import HostUnknown, RequestRefused
from fleetnet_server.records import Label, Selection, StaleHost
from fleetnet_server.services.labels import MOST_OF_A_HOST, Labelling
from fleetnet_server.storage import labels
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from server.reports import T0, Collector, S, collector, sock
from server.stories import reporting, tell

WEB, DB, PROD = Label("role", "web"), Label("role", "db"), Label("env", "prod")


def labelling(c: Collector) -> tuple[Labelling, list[list[int]]]:
    """Who gives labels, and whom it has told of."""
    told: list[list[int]] = []
    return Labelling(c.db, lambda host_ids: told.append(sorted(host_ids))), told


async def has(c: Collector) -> dict[str, dict[str, str]]:
    return {host.host: dict(host.labels) for host in (await c.ask_hosts()).items}


def test_labels_are_given_and_taken_at_one_stroke_and_doing_it_again_changes_nothing(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        mine, told = labelling(c)
        for name in ("db1", "web1", "web2"):
            await c.enroll(name)
        found, unmatched = await mine.label(["db1"], ["web*"], [PROD], [])
        assert ([(host.host, host.changed) for host in found], unmatched) == (
            [("db1", True), ("web1", True), ("web2", True)],
            (),
        )
        assert told == [[1, 2, 3]]
        for changed in (True, False):
            [host], _ = await mine.label(["web1"], ["web1"], [WEB], ["env", "nothing"])
            assert (host.labels, host.changed) == ((WEB,), changed)
        await mine.label(["web1"], [], [DB], [])
        assert await has(c) == {"db1": {"env": "prod"}, "web1": {"role": "db"}, "web2": {"env": "prod"}}
        assert told == [[1, 2, 3], [2], [2]]

    tell(tmp_path, story)


def test_where_one_of_all_cannot_be_labelled_none_is(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        mine, told = labelling(c)
        await c.enroll("web1")
        await c.enroll("web2")
        await mine.label(["web2"], [], [Label(f"k{n}", "v") for n in range(MOST_OF_A_HOST)], [])
        before = await has(c)
        with pytest.raises(HostUnknown, match='"nobody"'):
            await mine.label(["web1", "nobody"], [], [WEB], [])
        with pytest.raises(RequestRefused, match="web2 would have 65 labels"):
            await mine.label([], ["web*"], [WEB], [])
        assert await mine.label(["web1"], ["web*", "db*", "x"], [WEB], []) == ((), ("db*", "x"))
        assert await has(c) == before
        # What takes the place of another, or of one that is taken, is none more.
        await mine.label([], ["web2"], [WEB, Label("k1", "w")], ["k0"])
        assert len((await has(c))["web2"]) == MOST_OF_A_HOST
        assert told == [[2], [2]]

    tell(tmp_path, story)


@pytest.mark.parametrize(
    ("given", "taken", "words"),
    [
        ([], [], "name the hosts, and labels"),
        ([Label("", "x")], [], "cannot be the key"),
        ([Label("Role", "x")], [], "cannot be the key"),
        ([Label("-a", "x")], [], "cannot be the key"),
        ([Label("a" * 65, "x")], [], "cannot be the key"),
        ([], ["role="], "cannot be the key"),
        ([Label("role", "")], [], "cannot be what the label role says"),
        ([Label("role", "x" * 129)], [], "cannot be what"),
        ([Label("role", "a b")], [], "cannot be what"),
        ([Label("role", "a,b")], [], "cannot be what"),
        ([Label("role", "a\x1b[2J")], [], "cannot be what"),
        ([Label("role", "a‮b")], [], "cannot be what"),
        ([WEB, DB], [], "given twice"),
        ([WEB], ["role"], "given and taken at once"),
        ([Label(f"k{n}", "v") for n in range(65)], [], "65 labels"),
    ],
)
def test_what_cannot_be_a_label_is_refused(given: list[Label], taken: list[str], words: str, tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        mine, _ = labelling(c)
        await c.enroll("web1")
        with pytest.raises(RequestRefused, match=words):
            await mine.label(["web1"], [], given, taken)
        assert await has(c) == {"web1": {}}

    tell(tmp_path, story)


@pytest.mark.parametrize("label", [Label("a", "b"), Label("a" * 64, "x" * 128), Label("topology.k8s.io/zone", "é=b")])
def test_what_can_be_a_label_is_kept_as_it_is(label: Label, tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        mine, _ = labelling(c)
        await c.enroll("web1")
        await mine.label(["web1"], [], [label], [])
        assert await has(c) == {"web1": {label.key: label.value}}
        assert [host.host for host in (await c.ask_hosts(labels=(label,))).items] == ["web1"]

    tell(tmp_path, story)


def test_coverage_counts_the_hosts_that_have_the_labels_now_whatever_time_is_asked_about(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        mine, _ = labelling(c)
        await reporting(c, "web1", sock(1, T0))
        await reporting(c, "db1", sock(2, T0))
        await c.enroll("web2", at_us=T0 - 10 * S)
        await mine.label([], ["web*"], [WEB], [])
        for at_us in (0, T0):
            answer = await c.ask(at_us=at_us, labels=(WEB,))
            assert [item.host for item in answer.items] == ["web1"]
            assert (answer.coverage.hosts_asked, answer.coverage.hosts_fresh) == (2, 1)
            assert answer.coverage.hosts_stale == (StaleHost("web2", 0),)
            assert answer.coverage.unmatched_labels == ()
            counted = await c.questions.counts(Selection(at_us=at_us, labels=(WEB,)), T0)
            assert (counted.coverage.hosts_asked, [one.sockets for one in counted.counts]) == (2, [1])
        nobody = (await c.ask(labels=(WEB, PROD))).coverage
        assert (nobody.hosts_asked, nobody.unmatched_labels) == (0, (PROD,))
        # Each is somebody's, and nobody has both.
        await mine.label(["db1"], [], [PROD], [])
        nobody = (await c.ask_hosts(labels=(WEB, PROD))).coverage
        assert (nobody.hosts_asked, nobody.unmatched_labels) == (0, ())
        beside = (await c.ask_hosts(labels=(WEB,), host_globs=("web*", "db*"))).coverage
        assert (beside.hosts_asked, beside.unmatched_globs) == (2, ("db*",))

    tell(tmp_path, story)


_KEYS, _VALUES, _NAMES = ("a", "b", "c/d"), ("1", "2"), ("db1", "web1", "web2", "web3")


async def _is_as_the_account_has_it(directory: Path, draw: random.Random) -> None:
    account: dict[str, dict[str, str]] = {name: {} for name in _NAMES}
    async with collector(directory) as c:
        mine, _ = labelling(c)
        for name in _NAMES:
            await c.enroll(name)
        for _ in range(12):
            taken = draw.sample(_KEYS, draw.randint(0, 2))
            given = {key: draw.choice(_VALUES) for key in _KEYS if key not in taken and draw.random() < 0.6}
            globs = draw.choice(([], ["web*"], ["*1"]))
            names = draw.sample(_NAMES, draw.randint(0 if globs else 1, 2))
            meant = {name for name in _NAMES if name in names or _matches(name, globs)}
            if given or taken:
                before = {name: dict(some) for name, some in account.items()}
                for name in meant:
                    account[name] = {k: v for k, v in {**account[name], **given}.items() if k not in taken}
                found, _ = await mine.label(names, globs, [Label(*one) for one in given.items()], taken)
                assert {host.host: dict(host.labels) for host in found} == {name: account[name] for name in meant}
                assert {host.host for host in found if host.changed} == {n for n in meant if before[n] != account[n]}
            asked = {key: draw.choice(("", *_VALUES)) for key in draw.sample(_KEYS, draw.randint(0, 2))}
            expected = {n: some for n, some in account.items() if _has_all(some, asked)}
            answer = await c.ask_hosts(labels=tuple(Label(*one) for one in asked.items()))
            assert {host.host: dict(host.labels) for host in answer.items} == expected
            assert answer.coverage.hosts_asked == len(expected)
            nobodys = {k for k, v in asked.items() if not any(_has_all(some, {k: v}) for some in account.values())}
            assert {label.key for label in answer.coverage.unmatched_labels} == nobodys


def _matches(name: str, globs: Collection[str]) -> bool:
    return any({"web*": name.startswith("web"), "*1": name.endswith("1")}[glob] for glob in globs)


def _has_all(mine: dict[str, str], asked: dict[str, str]) -> bool:
    return all(key in mine and value in ("", mine[key]) for key, value in asked.items())


@given(st.integers(0, 1 << 32))
@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_is_given_and_taken_hosts_have_and_are_found_by_what_a_plain_account_says(
    tmp_path: Path, seed: int
) -> None:
    with tempfile.TemporaryDirectory(dir=tmp_path) as directory:
        asyncio.run(_is_as_the_account_has_it(Path(directory), random.Random(seed)))


def test_a_host_of_many_is_found_by_its_label_without_reading_the_others(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        for n in range(30):
            await c.enroll(f"web{n}")
        await c.db.write(labels.put, {n: (Label("role", f"r{n}"),) for n in range(1, 31)})
        assert (await c.db.read(labels.of_each, [7])) == {7: (Label("role", "r7"),)}
        assert [host.host for host in (await c.ask_hosts(labels=(Label("role", "r7"),))).items] == ["web6"]

    tell(tmp_path, story)
