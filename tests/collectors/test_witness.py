"""What is wrong with a host's writers, or with what is kept of it, is found; what is right is let pass."""

import dataclasses

import pytest
from collectors.agents import Ledger
from collectors.story import unlike
from collectors.witness import Kept, Seen, account

OLD, NEW = "collector1.1", "collector2.1"


def began(generation: int, behind: int, by: str, epoch: int = 1) -> Seen:
    return Seen(generation, epoch, True, behind, behind, by, 1)


def stored(generation: int, sequence: int, by: str, epoch: int = 1) -> Seen:
    return Seen(generation, epoch, False, sequence - 1, sequence, by, 1)


MOVED = [began(1, 0, OLD), stored(1, 1, OLD), began(2, 1, NEW), stored(2, 2, NEW), began(3, 0, NEW, epoch=2)]


def test_a_host_that_moved_and_was_started_again_had_one_writer_at_a_time() -> None:
    told = account([*MOVED, stored(3, 1, NEW, epoch=2)])
    assert (told.wrong, told.stored, told.moves) == ([], {1: 2, 2: 1}, 1)


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        ([stored(1, 1, OLD)], "an older stream wrote"),
        ([*MOVED[:3], stored(1, 2, OLD)], "an older stream wrote"),
        ([*MOVED[:3], stored(2, 2, OLD)], "another collector wrote for a stream"),
        ([*MOVED[:3], stored(2, 1, NEW)], "not the next after 1"),
        ([*MOVED[:3], stored(2, 3, NEW)], "not the next after 1"),
        ([*MOVED[:2], began(2, 0, NEW)], "does not go on where 1 was stored"),
        ([*MOVED[:3], began(2, 1, OLD)], "has not the next number"),
    ],
)
def test_two_writers_and_batches_stored_twice_or_not_at_all_are_found(seen: list[Seen], words: str) -> None:
    [sentence] = account(seen).wrong
    assert words in sentence


LEDGER = Ledger("host", {1: 10}, {1: 20}, {2}, {5: 7}, restarts=1)
KEPT = Kept([], [(1, 10, 20)], [(2, 3)], ["agent restarted"], [(10, 1, 1)], [(1, 0, 0), (10, 1, 1)])


@pytest.mark.parametrize(
    ("different", "words"),
    [
        ({"closed": []}, "missing: {(1, 20): 1}"),
        ({"closed": [(1, 10, 20), (1, 10, 20)]}, "too many: {(1, 20): 1}"),
        ({"closed": [(1, 11, 20)]}, "opened at 10, kept is 11"),
        ({"open": [(2, 3), (3, 3)]}, "too many: {3: 1}"),
        ({"gaps": []}, "started again 1 times"),
    ],
)
def test_what_is_kept_otherwise_than_told_is_found(different: dict[str, object], words: str) -> None:
    assert list(unlike(LEDGER, KEPT, {5: 7})) == []
    [sentence] = unlike(LEDGER, dataclasses.replace(KEPT, **different), {5: 7})  # type: ignore[arg-type]  # its fields
    assert words in sentence


def test_what_was_acknowledged_and_is_not_stored_is_found() -> None:
    assert "7 was acknowledged last, 6 stored" in next(unlike(LEDGER, KEPT, {5: 6}))
