"""Whether a secret of a known form shows: in the command lines and environments of processes, watched while something
happens, and in files.

What must stay true: whoever is watched is not slowed down much, so a process is read when it is new, again while it may
still become another program, and then rarely.
"""

import contextlib
import os
import re
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

TOKEN: Final = re.compile(rb"fnt1\.[A-Za-z0-9_-]{60,}")  # fleetnet_server/identity/tokens.py
_EVERY_S: Final = 0.02
_YOUNG_S: Final = 0.3
_ALL_EVERY_S: Final = 2.0


class Watched:
    """All processes of this machine, those of hosts that boot here among them."""

    def __init__(self) -> None:
        self.seen: set[bytes] = set()  # command lines and environments in which the secret was
        self.programs: set[bytes] = set()  # the first word of each command line

    def look(self, pid: str) -> None:
        """At one process; nothing where it has ended."""
        with contextlib.suppress(OSError):
            line = Path("/proc", pid, "cmdline").read_bytes()
            self.programs.add(line.split(b"\0")[0])
            self.seen.update(text for text in (line, Path("/proc", pid, "environ").read_bytes()) if TOKEN.search(text))


@contextlib.contextmanager
def watched() -> Iterator[Watched]:
    """Watch all processes from now to the end."""
    made, ends = Watched(), threading.Event()

    def watch() -> None:
        born: dict[str, float] = {}
        all_again = 0.0
        while not ends.wait(_EVERY_S):
            now = time.monotonic()
            there = [name for name in os.listdir("/proc") if name.isdigit()]
            born = {pid: born.get(pid, now) for pid in there}
            every, all_again = (True, now + _ALL_EVERY_S) if now >= all_again else (False, all_again)
            for pid in there:
                if every or now - born[pid] < _YOUNG_S:
                    made.look(pid)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield made
    finally:
        ends.set()
        thread.join()


def files_with_it(places: Iterable[Path]) -> list[Path]:
    """Below these, each on its own file system and no further."""
    found = []
    for place in places:
        for directory, inner, names in os.walk(place):
            inner[:] = [name for name in inner if not os.path.ismount(f"{directory}/{name}")]
            for file in (Path(directory, name) for name in names):
                with contextlib.suppress(OSError):
                    if file.is_file() and not file.is_symlink() and TOKEN.search(file.read_bytes()):
                        found.append(file)
    return found
