"""The simulated fleet does what it says, in small: real streams, and what they told is in history."""

import json
import os
import re
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from fleetnet_proto.v1 import report_pb2

from bench.fleet import herd, identities, rotation
from bench.fleet.population import SERVICES, Population
from demo.fleet import Fleet, environment
from demo.programs import Programs

ROOT = Path(__file__).resolve().parents[2]


def batches(bodies: object) -> list[report_pb2.Batch]:
    return [report_pb2.Batch.FromString(body) for body in bodies]  # type: ignore[attr-defined]  # an iterator of bytes


def test_one_seed_makes_one_host() -> None:
    def sockets(seed: int) -> list[tuple[int, int, bytes]]:
        parts = [body for body, _ in Population(seed).snapshot()]
        return [(s.key.cookie, s.local_port, s.remote_address) for b in batches(parts) for s in b.opened]

    assert sockets(1) == sockets(1)
    assert sockets(1) != sockets(2)


def test_what_changes_adds_up() -> None:
    population = Population(1, connections=10)
    [snapshot] = batches(body for body, _ in population.snapshot())
    there = {socket.key.cookie for socket in snapshot.opened}
    assert len(there) == 10 + len(SERVICES)
    for _ in range(20):
        for batch in batches(population.change(3)):
            new, gone = {s.key.cookie for s in batch.opened}, {s.key.cookie for s in batch.closed}
            assert len(new) == len(gone) == 3
            assert gone <= there | new
            assert not new & there
            there = (there | new) - gone
    assert len(there) == 10 + len(SERVICES)


@pytest.mark.slow
def test_simulated_agents_are_agents_to_a_collector(tmp_path: Path) -> None:
    with Programs(tmp_path, environment(tmp_path)) as programs:
        _simulate(tmp_path, programs)


def _simulate(tmp_path: Path, programs: Programs) -> None:
    fleet = Fleet(tmp_path, programs)
    fleet.start_collector()
    names = [f"host{number}" for number in range(5)]
    ca_pem = (fleet.data / "ca.pem").read_bytes()
    identities.write(list(identities.join(names, fleet.admin_socket, fleet.enroll_address, ca_pem)), tmp_path / "five")
    command = [sys.executable, "-m", "bench.fleet.agents", "--identities", str(tmp_path / "five")]
    orders = "connect 100\nchurn 5 100 2\nlive 50 5 2\nlisten 23456\nend\n"
    done = subprocess.run(
        [*command, "--report", fleet.report_address],
        input=orders, capture_output=True, text=True, timeout=60, check=True, cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    _, _, churned, lived, listened = [json.loads(line) for line in done.stdout.splitlines()]
    assert listened["batches"] == 1
    assert lived["leaves"] > 0
    assert fleet.expect(0, "who-listens", "23456", "--max-age", "1h", "-o", "json").items[0]["host"] in names
    fleet.collector.stop()
    with sqlite3.connect(f"file:{fleet.data}/fleetnet.db?mode=ro", uri=True) as database:
        [(opened,)] = database.execute("SELECT count(*) FROM current").fetchall()
        [(closed,)] = database.execute("SELECT count(*) FROM history").fetchall()
    assert opened == 5 * len(Population(1).sockets) + 1
    assert closed == (churned["changes"] + lived["changes"]) // 2
    assert len(re.findall("event=.stream opened", fleet.collector.says())) == 5 + lived["leaves"]


def test_a_batch_that_is_stored_twice_or_never_or_out_of_turn_is_counted() -> None:
    agents = [{"epoch": 7, "sequence": 3}, {"epoch": 8, "sequence": 0}]
    right = [(7, 0, 1), (7, 1, 2), (7, 2, 3)]
    assert herd.lost_or_doubled(agents, right) == 0
    assert herd.lost_or_doubled(agents, right[:2]) == 1
    assert herd.lost_or_doubled(agents, [*right, (7, 2, 3)]) == 1
    assert herd.lost_or_doubled(agents, [(7, 0, 2), (7, 2, 3)]) == 1
    assert herd.lost_or_doubled(agents, [*right, (8, 0, 1)]) == 1


def test_what_a_return_tells_is_reckoned_in_scaled_seconds() -> None:
    def agent(*attempts: tuple[float, str], acknowledged_s: float) -> dict[str, object]:
        return {"attempts": [(90.0, "welcome"), *attempts], "acknowledged_s": [90.5, acknowledged_s]}

    told = herd.Return(
        scale=10.0, lost_s=100.0, started_s=160.0, back_s=161.0,
        agents=[
            agent((130.0, "refused"), (161.2, "welcome"), acknowledged_s=161.3),
            agent((130.05, "refused"), (161.25, "sent away"), (162.0, "welcome"), acknowledged_s=162.5),
            agent((100.1, "broken"), (160.95, "broken"), (162.05, "welcome"), acknowledged_s=162.1),
        ],
    )  # fmt: skip
    assert sorted(told.connects_s) == [160.95, 161.2, 161.25, 162.0, 162.05]
    assert told.most_in_a_second(told.connects_s) == 2
    assert told.most_in_a_second(told.in_vain_s) == 2
    assert told.first_acknowledged_s == pytest.approx([3.0, 11.0, 15.0])


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_small_herd_comes_back_and_nothing_is_lost(tmp_path: Path) -> None:
    options = herd.options_for(["--agents=20", "--scale=100", "--away-s=100", "--processes=1"])
    _most, _p99, *bars = herd.measure(
        options, tmp_path
    )  # how many came in a second, and how soon, is the machine's affair
    assert [bar.line() for bar in bars if not bar.met] == []
    assert len(bars) == 4


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_ca_of_a_small_fleet_makes_way_for_another_and_no_host_is_lost(tmp_path: Path) -> None:
    _away, *bars = rotation.measure(rotation.options_for(["--agents=20"]), tmp_path)  # how long is the machine's affair
    assert [bar.line() for bar in bars if not bar.met] == []
    assert len(bars) == 6
