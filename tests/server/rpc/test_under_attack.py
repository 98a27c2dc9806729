"""Each attack alone, in small, upon a real collector, by a process of its own: a host that means what it says is heard
all the while, memory stays within a bound, and the log says little. How much slower it is heard, `make bench-attack`
measures; that a quota is told of, test_under_stress.py.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from server.agents import ReportStream
from server.running import Running, ports_of

from bench.attack.attacker import ATTACKS
from bench.fleet import identities
from bench.growth import taken_bytes
from bench.orders import Ordered
from server import messages

MIB = 2**20
# What reports that are not stored yet may take (--memory-mib), and a collector with nothing to do.
MOST_BYTES = (64 + 250) * MIB
# How many make the attack be on.
SMALL = {
    "idle": 200,
    "handshakes": 100,
    "enroll": 200,
    "oversize": 6,
    "gzip": 6,
    "tiny": 150,
    "listeners": 65_000,
    "times": 20,
    "calls": 60,
}
HEARD_TIMES = 5
MOST_LINES = 60  # of one attack; idle ones, which are none of anybody's, have none


@dataclass
class Scene:
    """A collector, somebody who wishes it ill, and a host that does not."""

    collector: Running
    attacker: Ordered
    honest: ReportStream
    next_sequence: int = 2


def least_done(kind: str) -> int:
    """What an attack that is on has done; of listeners it counts the reports, of some 13,000 each."""
    return SMALL[kind] // 13_000 if kind == "listeners" else SMALL[kind]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """One for all attacks, each after another."""
    directory = tmp_path_factory.mktemp("attack")
    collector = Running(directory / "data", "--memory-mib=64")
    file = directory / "identities"
    admin, ca_pem = Path(collector.admin_socket), collector.ca_pem
    identities.write(list(identities.join(["attacker"], admin, collector.enroll_address, ca_pem)), file)
    attacker = Ordered(
        "bench.attack.attacker",
        *("--identities", str(file), "--report", collector.report_address, "--enroll", collector.enroll_address),
    )
    try:
        with collector.channel(collector.join("honest")) as channel:
            honest = ReportStream(channel)
            honest.open(messages.hello())
            honest.send(batch=messages.batch(1, snapshot=True))
            honest.await_ack(1)
            yield Scene(collector, attacker, honest)
            honest.close()
    finally:
        attacker.end()
        collector.kill()


def test_each_attack_is_made() -> None:
    assert set(SMALL) == set(ATTACKS)


@pytest.mark.slow
@pytest.mark.parametrize("kind", SMALL)
def test_an_honest_host_is_heard_under_attack(scene: Scene, kind: str) -> None:
    collector, pid = scene.collector, scene.collector.process.pid
    lines_before = len(collector.log().splitlines())
    first = scene.next_sequence
    scene.next_sequence += HEARD_TIMES
    scene.attacker.tell(f"begin {kind} {SMALL[kind]}")
    scene.attacker.answer(120)
    for sequence in range(first, first + HEARD_TIMES):
        scene.honest.send(batch=messages.batch(sequence, messages.listener(10_000 + sequence)))
        scene.honest.await_ack(sequence)
        assert taken_bytes(pid) < MOST_BYTES
    scene.attacker.tell("stop")
    assert scene.attacker.answer(120)["done"] >= least_done(kind)
    assert collector.process.poll() is None
    assert max(ports_of(collector, "honest")) == 10_000 + first + HEARD_TIMES - 1
    said = collector.log().splitlines()[lines_before:]
    assert [line for line in said if "level=error" in line] == []
    assert len(said) <= MOST_LINES
