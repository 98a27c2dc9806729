"""The window of unacknowledged batches: ordered, bounded, renumbered when a stream breaks."""

import pytest
from fleetnet_agent.uplink.window import Kind, Window
from hypothesis import given
from hypothesis import strategies as st


def differences(window: Window, *bodies: bytes) -> None:
    for body in bodies:
        window.put(Kind.DIFFERENCE, body)


def sent(window: Window) -> list[tuple[int, bytes]]:
    out = []
    while (entry := window.next_unsent()) is not None:
        out.append((entry.sequence, entry.body))
    return out


def test_sequences_begin_at_one_and_go_up_by_one() -> None:
    window = Window()
    differences(window, b"a", b"b", b"c")
    assert sent(window) == [(1, b"a"), (2, b"b"), (3, b"c")]
    assert sent(window) == []


def test_an_acknowledgement_is_cumulative_and_comes_twice_without_harm() -> None:
    window = Window()
    differences(window, b"a", b"b", b"c")
    sent(window)
    assert [entry.body for entry in window.acknowledge(2)] == [b"a", b"b"]
    assert window.acknowledge(2) == []
    assert window.acknowledge(1) == []
    assert (len(window), window.in_flight, window.acknowledged) == (1, 1, 2)


def test_what_was_not_sent_cannot_be_acknowledged() -> None:
    window = Window()
    differences(window, b"a", b"b")
    window.next_unsent()
    with pytest.raises(ValueError, match="acknowledged 2, sent up to 1"):
        window.acknowledge(2)


def test_the_credit_bounds_what_is_held_and_what_is_in_flight() -> None:
    window = Window(credit=3)
    differences(window, b"a", b"b", b"c")
    assert not window.room
    window.begin_stream(0, 2)
    assert [sequence for sequence, _ in sent(window)] == [1, 2]
    window.acknowledge(1)
    assert sent(window) == [(3, b"c")]
    assert not window.room


def test_without_a_stream_as_many_are_held_as_were_given_at_the_beginning() -> None:
    window = Window(credit=5)
    window.begin_stream(0, 2)
    window.put(Kind.DIFFERENCE, b"a")
    window.put(Kind.DIFFERENCE, b"b")
    assert not window.room
    window.end_stream()
    for body in (b"c", b"d", b"e"):
        assert window.room
        window.put(Kind.DIFFERENCE, body)
    assert not window.room
    window.begin_stream(0, 2)
    assert [entry.body for entry in (window.next_unsent(), window.next_unsent()) if entry] == [b"a", b"b"]
    assert window.next_unsent() is None


def test_a_new_stream_sends_again_what_is_not_stored() -> None:
    window = Window()
    differences(window, b"a", b"b", b"c")
    sent(window)
    assert [entry.body for entry in window.begin_stream(1, 32)] == [b"a"]
    assert sent(window) == [(2, b"b"), (3, b"c")]


def test_parts_of_a_snapshot_die_with_their_stream_and_leave_no_hole() -> None:
    window = Window()
    differences(window, b"a")
    window.put(Kind.PART, b"p0")
    window.put(Kind.PART, b"p1")
    window.put(Kind.LAST_PART, b"p2")
    differences(window, b"b")
    sent(window)
    window.begin_stream(2, 32)
    assert sent(window) == [(3, b"b")]
    assert window.put(Kind.PART, b"q0") == 4


@pytest.mark.parametrize("committed", [1, 5])
def test_a_collector_that_speaks_of_another_past_is_noticed(committed: int) -> None:
    window = Window()
    differences(window, b"a", b"b", b"c")
    sent(window)
    window.acknowledge(2)
    with pytest.raises(ValueError, match=f"stored {committed}"):
        window.begin_stream(committed, 32)


def test_a_new_epoch_begins_at_one() -> None:
    window = Window()
    differences(window, b"a", b"b")
    sent(window)
    window.acknowledge(1)
    window.restart()
    assert window.put(Kind.DIFFERENCE, b"c") == 1


@given(st.lists(st.sampled_from(["put", "part", "send", "ack", "break"]), max_size=80), st.randoms())
def test_whatever_happens_the_collector_gets_every_difference_once_and_in_order(steps: list[str], draw: object) -> None:
    """A model collector that commits what arrives in sequence: nothing is lost, doubled or reordered."""
    window = Window(credit=6)
    made: list[bytes] = []
    stored: list[bytes] = []
    committed = 0
    flight: list[tuple[int, bytes]] = []
    for step in steps:
        if step in ("put", "part") and window.room:
            kind = Kind.DIFFERENCE if step == "put" else Kind.PART
            body = f"{step}{len(made)}".encode()
            made += [body] if step == "put" else []
            window.put(kind, body)
        elif step == "send" and (entry := window.next_unsent()):
            flight.append((entry.sequence, entry.body))
        elif step in ("ack", "break"):
            arrived = draw.randint(0, len(flight))  # type: ignore[attr-defined]  # a random.Random
            for sequence, body in flight[:arrived]:
                assert sequence == committed + 1
                committed = sequence
                stored.append(body)
            flight = flight[arrived:]
            if step == "ack":
                window.acknowledge(committed)
            else:
                flight.clear()
                window.begin_stream(committed, 6)
    window.begin_stream(committed, 6)
    while (entry := window.next_unsent()) is not None:
        stored.append(entry.body)
        window.acknowledge(entry.sequence)
    assert [body for body in stored if body.startswith(b"put")] == made
