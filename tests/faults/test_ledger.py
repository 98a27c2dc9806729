"""The truth is read with its bounds, and a clock that is set moves them."""

import json
from pathlib import Path

from faults import ledger
from faults.ledger import FAR_US, SLACK_US, HostClock, Steering
from faults.spans import common, minus, union

S = 1_000_000
HOUR = 3_600 * S
LISTENER = ["tcp", "ipv4", "127.0.0.1", 80, None, None]


def written(directory: Path, *changes: tuple[str | None, int, int], looks: tuple[int, ...] = ()) -> tuple[Path, Path]:
    lines = [json.dumps([7, LISTENER, *change]) for change in changes]
    (directory / "ledger").write_text("\n".join(lines))
    (directory / "looks").write_text("".join(f"{at} {at}\n" for at in looks))
    return directory / "ledger", directory / "looks"


def test_a_change_is_to_be_seen_by_the_end_of_the_second_look_after_it(tmp_path: Path) -> None:
    paths = written(tmp_path, ("LISTEN", 10 * S, 11 * S), looks=(9 * S, 12 * S, 13 * S, 14 * S))
    truth = ledger.read(*paths, HostClock(100 * S))
    (change,) = truth.changes["tcp", "ipv4", "127.0.0.1", 80, None, None]
    assert (change.earliest_us, change.latest_us) == (110 * S - SLACK_US, 113 * S + SLACK_US)


def test_a_change_that_was_not_looked_at_since_is_never_late(tmp_path: Path) -> None:
    truth = ledger.read(*written(tmp_path, ("LISTEN", 10 * S, 11 * S), looks=(12 * S,)), HostClock(0))
    (change,) = next(iter(truth.changes.values()))
    assert change.latest_us > FAR_US - 1


def test_a_time_wait_ends_by_itself_after_a_minute(tmp_path: Path) -> None:
    paths = written(tmp_path, ("TIME_WAIT", 10 * S, 11 * S))
    (_, end) = next(iter(ledger.read(*paths, HostClock(0)).changes.values()))
    assert end.state is None
    assert end.earliest_us == 69 * S - SLACK_US


def test_a_time_wait_ends_where_its_addresses_are_used_again(tmp_path: Path) -> None:
    paths = written(tmp_path, ("TIME_WAIT", 10 * S, 11 * S), ("ESTABLISHED", 20 * S, 21 * S))
    _, end, again = next(iter(ledger.read(*paths, HostClock(0)).changes.values()))
    assert (end.state, again.state) == (None, "ESTABLISHED")
    assert end.earliest_us == again.earliest_us == 20 * S - SLACK_US


def test_a_clock_that_was_set_counts_from_then_on_and_may_have_shown_either_meanwhile() -> None:
    clock = HostClock(0, [(20 * S, 21 * S, HOUR)])
    assert clock.wall(10 * S, 11 * S) == (10 * S, 11 * S)
    assert clock.wall(19 * S, 22 * S) == (19 * S, 22 * S + HOUR)
    assert clock.wall(30 * S, 31 * S) == (30 * S + HOUR, 31 * S + HOUR)


def test_a_machine_whose_clock_is_steered_is_known_to_have_shown_what_was_read_around_that_moment() -> None:
    steering = Steering(5 * HOUR)
    clock = HostClock(5 * HOUR, [(40 * S, 41 * S, 4 * HOUR)], steering)
    assert clock.wall(10 * S, 11 * S) == (10 * S + 5 * HOUR, 11 * S + 5 * HOUR), "nothing was read yet"
    for at_us, moved_us in ((10 * S, 0), (20 * S, 50_000), (30 * S, 90_000), (45 * S, 80_000)):
        steering.note(at_us, 5 * HOUR + moved_us)
    assert clock.wall(12 * S, 13 * S) == (12 * S + 5 * HOUR, 13 * S + 5 * HOUR + 50_000)
    assert clock.wall(22 * S, 23 * S) == (22 * S + 5 * HOUR + 50_000, 23 * S + 5 * HOUR + 90_000)
    assert clock.wall(20 * S, 20 * S) == (20 * S + 5 * HOUR + 50_000, 20 * S + 5 * HOUR + 50_000)
    assert clock.wall(50 * S, 60 * S) == (50 * S + 4 * HOUR + 80_000, 60 * S + 4 * HOUR + 80_000)
    assert clock.set_between() == [(40 * S + 4 * HOUR + 80_000, 41 * S + 5 * HOUR + 90_000)]
    assert clock.set_between(back=True) == [(41 * S + 4 * HOUR + 90_000, 40 * S + 5 * HOUR + 80_000)]


def test_spans_are_joined_taken_away_and_shared() -> None:
    assert union([(3, 4), (1, 2), (2, 3), (9, 9), (6, 8)]) == [(1, 4), (6, 8)]
    assert minus([(1, 4), (6, 8)], [(2, 3), (7, 9)]) == [(1, 2), (3, 4), (6, 7)]
    assert common([(1, 4), (6, 8)], [(2, 3), (7, 9)]) == [(2, 3), (7, 8)]
