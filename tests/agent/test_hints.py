"""Where a new socket's owner is likely to be found, and that what leads nowhere any more takes no room."""

import pytest
from fleetnet_agent.owners import hints as hinting
from fleetnet_agent.owners.hints import Hints

HELD = {5: (10,), 6: (10, 11), 7: (12,)}


@pytest.fixture
def hints() -> Hints:
    return Hints(lambda inode: HELD.get(inode, ()))


def test_what_is_narrow_leads_to_those_who_hold_its_listeners_now(hints: Hints) -> None:
    hints.listener(5, "port 80")
    hints.listener(7, "port 80")
    assert hints.likely("port 80") == {10, 12}
    hints.forget(7)
    assert hints.likely("port 80") == {10}


def test_what_is_wide_leads_to_all_that_held_its_like(hints: Hints) -> None:
    hints.holder(5, "group", alive={10, 11, 12})
    hints.holder(7, "group", alive={10, 11, 12})
    assert hints.likely("group") == {10, 12}


def test_ten_thousand_listeners_that_came_and_went_leave_nothing(hints: Hints) -> None:
    for inode in range(100, 10_100):
        hints.listener(inode, f"port {inode}")
        hints.forget(inode)
    assert len(hints) == 0


def test_a_listener_that_is_found_again_counts_once(hints: Hints) -> None:
    hints.listener(5, "port 80")
    hints.listener(5, "port 81")
    assert hints.likely("port 80") == set()
    hints.forget(5)
    assert len(hints) == 0


def test_what_led_to_processes_that_ended_goes(hints: Hints) -> None:
    for number in range(10_000):
        hints.holder(5, f"service {number}", alive={11} if number else {10})
    assert len(hints) <= 256


def test_of_what_leads_to_the_living_there_is_a_bound_too(hints: Hints, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hinting, "MOST_HINTS", 1_000)
    for number in range(10_000):
        hints.holder(5, f"path {number}", alive={10})
        assert len(hints) <= 1_000
    assert hints.likely("path 9999") == {10}
