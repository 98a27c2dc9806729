"""Whose turn it is where tests are shared out to several workers: first those that have the machine to themselves, then
all others.

What must stay true: of the tests that run alone one is running and nothing else; the tests of a file run in one worker,
in the file's order; a test that a worker did not come to, for it crashed, is another's. pytest-xdist asks (its
`Scheduling`), and a worker begins a test only when it has been given the next one too, or told that there is none.
"""

from collections import deque
from collections.abc import Sequence
from itertools import groupby
from pathlib import PurePath
from typing import Protocol

# Files and folders, from the root of the repository, of tests that others' sockets, namespaces or load could make fail.
ALONE = (
    # Agents that see every network namespace of the machine and are told the events of all.
    "tests/system/test_containers.py",
    "tests/system/test_everywhere.py",
    "tests/system/test_everywhere_in_history.py",
    "tests/system/test_forwarded.py",
    "tests/system/test_namespaces.py",
    "tests/system/test_quiet.py",
    "tests/system/test_without_a_helper.py",
    # An interface in the machine's own namespace, with a subnet that nobody else may choose meanwhile.
    "tests/system/test_fabric.py",
    # What an agent's next looks show, which a busy machine makes late.
    "tests/system/test_full_disk.py",
    "tests/system/test_zoo.py",
)
# What takes longest begins first, so that all workers end at about the same time.
EARLY = ("tests/system", "tests/week", "tests/bench", "tests/agent/test_uplink_spool.py", "tests/server")


def among(file: str, places: Sequence[str]) -> list[bool]:
    """Of each of these files and folders, whether the file is it or in it."""
    return [PurePath(file).is_relative_to(place) for place in places]


class Worker(Protocol):
    """What of pytest-xdist's WorkerController is asked here."""

    @property
    def shutting_down(self) -> bool:
        """Whether it takes no more tests."""

    def send_runtest_some(self, indices: Sequence[int]) -> None:
        """Give it tests, by their number in what it has collected."""

    def shutdown(self) -> None:
        """Let it end when it has run what it was given."""


class Turns:
    """Deals the tests out, for one run."""

    def __init__(self, workers: int, alone: Sequence[str] = ALONE, early: Sequence[str] = EARLY) -> None:
        """So many workers must have collected before the first test begins."""
        self._awaited = workers
        self._alone_places, self._early_places = alone, early
        self._collected: dict[Worker, list[str]] = {}
        self._given: dict[Worker, list[int]] = {}  # what each has still to run, or is running
        self._alone: set[int] = set()  # not run yet
        self._waiting: deque[list[int]] | None = None  # nobody's yet; None until all have collected

    @property
    def nodes(self) -> list[Worker]:
        """Those that are up."""
        return list(self._given)

    @property
    def collection_is_completed(self) -> bool:
        """Whether the tests are known."""
        return len(self._collected) >= self._awaited

    @property
    def tests_finished(self) -> bool:
        """Whether each worker may end with the test that it has."""
        return self._waiting is not None and not self._waiting and all(len(left) < 2 for left in self._given.values())

    @property
    def has_pending(self) -> bool:
        """Whether there is something to run."""
        return bool(self._waiting) or any(self._given.values())

    def add_node(self, node: Worker) -> None:
        """A worker is up."""
        self._given[node] = []

    def add_node_collection(self, node: Worker, collection: Sequence[str]) -> None:
        """A worker has collected."""
        self._collected[node] = list(collection)
        first = next(iter(self._collected.values()))
        differing = sorted(set(first) ^ set(collection)) or [f"the order of {len(first)} tests"]
        assert first == self._collected[node], f"workers have collected different tests: {', '.join(differing[:10])}"

    def schedule(self) -> None:
        """All have collected, or one that takes the place of another."""
        if self._waiting is None:
            self._waiting = self._in_turn(next(iter(self._collected.values())))
        self._deal(self._waiting)

    def _in_turn(self, tests: list[str]) -> deque[list[int]]:
        files = [test.split("::")[0] for test in tests]
        alone = [number for number, file in enumerate(files) if any(among(file, self._alone_places))]
        self._alone = set(alone)
        others = [number for number in range(len(tests)) if number not in self._alone]
        others.sort(key=lambda number: among(files[number], self._early_places), reverse=True)
        shared = [list(of_file) for _, of_file in groupby(others, lambda number: files[number])]
        return deque([alone, *shared] if alone else shared)

    def mark_test_complete(self, node: Worker, item_index: int, duration: float = 0) -> None:
        """A worker has run a test."""
        self._given[node].remove(item_index)
        self._alone.discard(item_index)
        self._deal(self._waiting or deque())

    def remove_node(self, node: Worker) -> str | None:
        """A worker has ended; the test that it died of, if any."""
        left = self._given.pop(node)
        if not left:
            return None
        self._alone.discard(left[0])
        waiting = self._waiting = self._waiting or deque()
        if left[1:]:
            waiting.appendleft(left[1:])
        self._deal(waiting)
        return self._collected[node][left[0]]

    def _deal(self, waiting: deque[list[int]]) -> None:
        while waiting and (idle := self._who_wants_more()):
            numbers = waiting.popleft()
            self._given[idle] += numbers
            idle.send_runtest_some(numbers)
        if not waiting:
            for worker in self._given:
                if not worker.shutting_down:
                    worker.shutdown()

    def _who_wants_more(self) -> Worker | None:
        """The worker that has least to run, if it is not enough."""
        alone = [worker for worker, left in self._given.items() if self._alone.intersection(left)]
        those = {worker: len(self._given[worker]) for worker in alone or self._given if not worker.shutting_down}
        least = min(those, key=those.__getitem__, default=None)
        return least if least and those[least] < 2 else None

    def mark_test_pending(self, item: str) -> None:
        """Asked for by plugins that run a test again, which are not here."""
        raise NotImplementedError

    def remove_pending_tests_from_node(self, node: Worker, indices: Sequence[int]) -> None:
        """An answer to `steal`, which is never sent."""
        raise NotImplementedError
