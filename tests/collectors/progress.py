"""How far all agents of a story have come, for those who wait for that and for those who are to end with it."""

import threading
from typing import Final

WITHIN_S: Final = 120.0  # a bound for what hangs, not for what is slow


class Progress:
    """Batches acknowledged to all agents together. The story goes on until `over` or `failed` is set."""

    def __init__(self) -> None:
        self.over = threading.Event()  # agents deliver what they still have, and end
        self.failed = threading.Event()  # everybody ends as he stands
        self._changed = threading.Condition()
        self._batches = 0

    @property
    def batches(self) -> int:
        """So many so far."""
        return self._batches

    def add(self, batches: int) -> None:
        """An agent has heard that so many more are stored."""
        with self._changed:
            self._batches += batches
            self._changed.notify_all()

    def fail(self) -> None:
        """Something went wrong; nobody is to wait for anything any more."""
        self.over.set()
        self.failed.set()
        self.add(0)

    def await_more(self, batches: int) -> None:
        """Return when there are so many more, or the story has failed."""
        with self._changed:
            until = self._batches + batches
            if not self._changed.wait_for(lambda: self.failed.is_set() or self._batches >= until, WITHIN_S):
                raise TimeoutError(f"no {batches} more batches were acknowledged within {WITHIN_S:.0f} s")
