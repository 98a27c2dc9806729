"""What lives in a network namespace: unit and container of its processes, by their control groups. Anybody may read
them."""

from collections.abc import Collection
from pathlib import Path

from fleetnet_agent.cgroups import NOWHERE, Place, place_of

_CGROUP_BYTES = 16_384
_TRIES = 2


class Places:
    """Places by network namespace, read again only when other processes live there."""

    def __init__(self, proc: Path) -> None:
        self._proc = proc
        self._known: dict[int, tuple[tuple[int, ...], Place, int]] = {}  # of which pids, and how often looked at

    def of(self, netns: int, pids: tuple[int, ...]) -> Place:
        """That of the first process in a container, else of the first that has one at all."""
        known, place, tries = self._known.get(netns, ((), NOWHERE, 0))
        if known != pids:
            tries = 0
        if tries < _TRIES:  # a process may be moved into its group a moment after it is there
            place = self._place(pids)
            self._known[netns] = (pids, place, tries + 1)
        return place

    def keep(self, there: Collection[int]) -> None:
        """Forget all namespaces but these."""
        self._known = {netns: known for netns, known in self._known.items() if netns in there}

    def _place(self, pids: Collection[int]) -> Place:
        places = [place for pid in pids if (place := self._place_of(pid)) != NOWHERE]
        return next((place for place in places if place.container), places[0] if places else NOWHERE)

    def _place_of(self, pid: int) -> Place:
        try:
            with open(self._proc / str(pid) / "cgroup", "rb", buffering=0) as file:
                text = (file.read(_CGROUP_BYTES) or b"").decode(errors="replace")
        except OSError:
            return NOWHERE
        return place_in(text)


def place_in(text: str) -> Place:
    """Unit and container of a process, from the text of its /proc/PID/cgroup (cgroups(7)). Pure.

    The line of cgroup2 counts; where it says nothing, that of a cgroup1 hierarchy which names a container.
    """
    lines = [fields for line in text.split("\n") if len(fields := line.split(":", 2)) == 3]
    places = [(fields[0] == "0", place_of(fields[2])) for fields in lines]
    unified = next((place for is_unified, place in places if is_unified), NOWHERE)
    if unified.container:
        return unified
    return next((place for _, place in places if place.container), unified)
