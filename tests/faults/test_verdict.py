"""What is wrong with a history is found, each kind of it, and what is right is let pass."""

import dataclasses

import pytest
from faults import verdict
from faults.history import EXACT, GAP, OPEN, SEEN, UNSEEN, Gap, History, Interval
from faults.ledger import FAR_US, Change, HostClock, Truth
from faults.verdict import Horizon
from faults.workload import Name

S = 1_000_000
NAME: Name = ("tcp", "ipv4", "127.0.0.1", 80, None, None)
COLLECTOR = ("198.18.0.1", 7543)
HORIZON = Horizon(0, 100 * S)

# A listener from 10 s to 50 s; each change is seen within a second.
TRUTH = Truth({NAME: [Change("LISTEN", 10 * S, 11 * S, ""), Change(None, 50 * S, 51 * S, "")]}, {7: NAME})
RIGHT = Interval(1, 7, NAME, "LISTEN", 10 * S + 5, SEEN, 50 * S + 5, EXACT, 50 * S)


def wrong(*intervals: Interval, gaps: tuple[tuple[int, int], ...] = (), truth: Truth = TRUTH) -> list[str]:
    told = sorted(intervals, key=lambda one: one.opened_at_us)
    history = History(told, [Gap(begin * S, end * S, "away") for begin, end in gaps], [], 100 * S)
    return verdict.judge(truth, history, HORIZON, COLLECTOR).wrong


def but(**different: object) -> Interval:
    return dataclasses.replace(RIGHT, **different)  # type: ignore[arg-type]  # of the fields, as each test names them


def test_a_history_that_is_right_is_right() -> None:
    assert wrong(RIGHT) == []


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ((), "history does not say so"),
        ((but(opened_at_us=20 * S),), "history does not say so"),
        ((but(opened_at_us=5 * S),), "not there"),
        ((but(closed_at_us=FAR_US, closed_at_is=OPEN),), "not there"),
        ((but(closed_at_us=40 * S),), "called closed (exact) while it went on"),
        ((but(state="CLOSE_WAIT"),), "but history has CLOSE_WAIT"),
        ((RIGHT, but(socket_id=2, opened_at_us=20 * S)), "two intervals of one name overlap"),
        ((RIGHT, but(socket_id=1, name=(*NAME[:3], 81, None, None))), "two intervals of one socket_id overlap"),
        ((RIGHT, but(socket_id=2, cookie=8, name=(*NAME[:3], 81, None, None))), "nobody opened this"),
        ((but(closed_at_is=GAP),), "a gap that is not recorded"),
    ],
)
def test_what_is_wrong_is_found(told: tuple[Interval, ...], words: str) -> None:
    assert any(words in sentence for sentence in wrong(*told)), wrong(*told)


def test_a_gap_excuses_what_is_missing_in_it_and_nothing_else() -> None:
    late = but(opened_at_us=30 * S)
    assert wrong(late, gaps=((9, 31),)) == []
    assert wrong(late, gaps=((9, 25),)) != []


@pytest.mark.parametrize("how", [EXACT, SEEN, GAP])
def test_no_gap_excuses_a_socket_that_is_called_closed_while_it_lives(how: int) -> None:
    found = wrong(but(closed_at_us=40 * S, closed_at_is=how, last_seen_us=20 * S), gaps=((20, 60),))
    assert any("while it went on" in sentence for sentence in found)


def test_a_life_too_short_for_a_look_is_there_by_its_end() -> None:
    truth = Truth({NAME: [Change("LISTEN", 10 * S, 12 * S, ""), Change(None, 11 * S, 12 * S, "")]}, {7: NAME})
    brief = but(opened_at_us=11 * S, closed_at_us=11 * S, opened_at_is=UNSEEN, state="CLOSE")
    assert wrong(brief, truth=truth) == []
    assert wrong(dataclasses.replace(brief, name=("tcp", "ipv4", "0.0.0.0", 0, None, None)), truth=truth) == []
    assert any("is not in history" in sentence for sentence in wrong(truth=truth))
    assert wrong(truth=truth, gaps=((10, 12),)) == []


def test_what_is_left_of_an_aborted_connections_addresses_is_not_the_listener_that_has_them_later() -> None:
    aborted = ("tcp", "ipv4", "127.0.0.1", NAME[3], "127.0.0.1", 9)
    lived = [Change("ESTABLISHED", 4 * S, 5 * S, ""), Change(None, 5 * S, 6 * S, "")]
    truth = Truth({**TRUTH.changes, aborted: lived}, {**TRUTH.cookies, 8: aborted})
    end = but(socket_id=2, cookie=8, opened_at_us=5 * S, closed_at_us=5 * S, opened_at_is=UNSEEN, state="CLOSE")
    assert wrong(RIGHT, end, truth=truth) == []
    assert wrong(RIGHT, dataclasses.replace(end, opened_at_is=SEEN), truth=truth) != []


def test_the_agents_own_connections_are_known() -> None:
    own = but(socket_id=3, cookie=9, name=("tcp", "ipv6", "::ffff:198.18.0.2", 4, "::ffff:198.18.0.1", 7543))
    assert wrong(RIGHT, own) == []


def stored(*rows: tuple[int, int, int]) -> History:
    return History([], [], list(rows), 0)


def test_every_acknowledged_batch_is_to_be_stored_exactly_once_and_in_order() -> None:
    assert verdict.judge_sequence(stored((5, 0, 1), (5, 1, 2), (6, 0, 1)), [(5, 2), (6, 1)]) == []
    assert "stored after 2" in verdict.judge_sequence(stored((5, 0, 1), (5, 1, 2), (5, 1, 2)), [])[0]
    assert "stored after 1" in verdict.judge_sequence(stored((5, 0, 1), (5, 1, 3)), [])[0]
    assert "was acknowledged" in verdict.judge_sequence(stored((5, 0, 1)), [(5, 2)])[0]


ITEM = {
    "protocol": "tcp", "family": "ipv4", "local_address": "127.0.0.1", "local_port": 80, "remote_address": None,
    "remote_port": None, "state": "LISTEN",
}  # fmt: skip


def test_an_answer_about_the_past_is_to_show_what_was_and_nothing_else() -> None:
    assert verdict.judge_answer(TRUTH, HORIZON, 30 * S, [ITEM], set()) == []
    assert verdict.judge_answer(TRUTH, HORIZON, 60 * S, [], set()) == []
    assert "was LISTEN" in verdict.judge_answer(TRUTH, HORIZON, 30 * S, [], set())[0]
    assert "was None" in verdict.judge_answer(TRUTH, HORIZON, 60 * S, [ITEM], set())[0]
    assert "nobody opened" in verdict.judge_answer(TRUTH, HORIZON, 60 * S, [{**ITEM, "local_port": 81}], set())[0]


def test_there_are_no_more_gaps_than_causes() -> None:
    kept = History([], [Gap(1, 2, verdict.AGENT_RESTARTED), Gap(3, 4, verdict.AGENT_RESTARTED)], [], 0)
    assert verdict.judge_gaps(kept, restarts=2, clock_changes=0) == []
    assert "happened 1 times" in verdict.judge_gaps(kept, restarts=1, clock_changes=0)[0]


def test_what_the_clock_leapt_over_is_to_be_a_gap_and_there_two_rows_may_overlap() -> None:
    twice = (RIGHT, but(socket_id=2, opened_at_us=20 * S))
    for gaps, words in (((), "no gap tells"), (((19, 55),), "")):
        history = History(list(twice), [Gap(begin * S, end * S, "set") for begin, end in gaps], [], 100 * S)
        found = verdict.judge(TRUTH, history, HORIZON, COLLECTOR, HostClock(20 * S, [(30 * S, 30 * S, -10 * S)])).wrong
        assert (words in found[0]) if words else found == []
