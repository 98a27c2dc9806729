"""What is left in history when sockets have been led through their states."""

import pytest
from system import archive, ledger
from system.archive import Interval
from system.judging import judge
from system.laboratory import REPORT_PORT, Laboratory

from demo.programs import until

pytestmark = pytest.mark.root

_STEPS = 4


def test_a_listener_leaves_one_interval_and_a_connection_one_for_each_state(lab: Laboratory) -> None:
    host = lab.fabric.add_host("life")
    fleet = lab.fleet()
    fleet.enroll("life", fleet.place)  # from elsewhere, so that it leaves no TIME_WAIT on the host
    agent = fleet.start_agent("life", host)
    fleet.wait_until_fresh("life")
    life = lab.start(host, "life")
    seen: list[list[ledger.Entry]] = []
    for step in range(_STEPS):
        if step:
            life.tell("")
        until(lambda step=step: life.says().count("ledger ") > step, within_s=60.0, what=f"step {step}")  # type: ignore[misc]
        seen.append(ledger.read(life.says()))

        def shown(step: int = step) -> bool:
            items = fleet.ask("netstat", "life", "-tuan", "-o", "json").items
            return not judge([item for item in items if item["remote_port"] != REPORT_PORT], seen[step])

        until(shown, within_s=60.0, what=f"step {step} in the answer")
    agent.stop()
    fleet.collector.stop()

    kept = archive.read(fleet.data, "life")
    listener, client, accepted = seen[0]
    assert kept.doubled() == []
    assert kept.gaps == []
    assert states(kept.of(listener)) == ["LISTEN"]
    assert states(kept.of(client)) == ["ESTABLISHED", "FIN_WAIT2", "TIME_WAIT"]
    assert states(kept.of(accepted)) == ["ESTABLISHED", "CLOSE_WAIT"]
    assert kept.of(listener)[0].closed_at_us is not None
    assert kept.of(accepted)[-1].closed_at_us is not None
    assert kept.of(client)[-1].closed_at_us is None, "TIME_WAIT lasts a minute, and is still there"
    for entry in (client, accepted):
        intervals = kept.of(entry)
        assert len({interval.socket_id for interval in intervals}) == 1, "one socket through all its states"
        assert [a.closed_at_us for a in intervals[:-1]] == [b.opened_at_us for b in intervals[1:]], "adjoining"


def states(intervals: list[Interval]) -> list[str]:
    return [interval.state for interval in intervals]
