"""What a thread lays aside, and that it has it back."""

import threading
from pathlib import Path

import pytest
from fleetnet_agent.helper.capabilities import CAP_NET_BROADCAST, without_all_but


def in_effect() -> int:
    """The effective capabilities of this thread, as the kernel tells."""
    status = Path("/proc/thread-self/status").read_text()
    return int(status.partition("CapEff:")[2].split()[0], 16)


def test_what_was_laid_aside_is_there_again_afterwards_even_after_an_error() -> None:
    before = in_effect()
    with pytest.raises(ValueError, match="inside"), without_all_but():  # noqa: PT012  # what is in effect inside counts
        assert in_effect() == 0
        raise ValueError("inside")
    assert in_effect() == before


def test_what_is_kept_is_of_what_there_was() -> None:
    with without_all_but(CAP_NET_BROADCAST):
        assert in_effect() in (0, 1 << CAP_NET_BROADCAST)
        with without_all_but(CAP_NET_BROADCAST, 21, 38):
            assert in_effect() in (0, 1 << CAP_NET_BROADCAST), "nothing is gained"


def test_it_concerns_one_thread_alone() -> None:
    before = in_effect()
    told: list[int] = []
    with without_all_but():
        other = threading.Thread(target=lambda: told.append(in_effect()))
        other.start()
        other.join()
        assert told == [0], "a thread that is made inside has what its maker has"
    inside, told_of_it = threading.Event(), threading.Event()

    def lay_aside() -> None:
        with without_all_but():
            inside.set()
            told_of_it.wait(10)

    thread = threading.Thread(target=lay_aside)
    thread.start()
    assert inside.wait(10)
    assert in_effect() == before
    told_of_it.set()
    thread.join()
