"""The fleet's hosts and their labels for completion: from a file of this user, asked for anew when it is a minute old.

Who presses TAB waits for a fifth of a second at most. The asking is a process of its own, which goes on if that was too
short, so the next TAB has the names. What goes wrong is nobody's trouble: then there are no names. What must stay true:
names are a host's, and only plain ones are kept; of labels whoever proposes them sees to that.
"""

import contextlib
import fcntl
import json
import os
import re
import subprocess
import sys
import time
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fleetnet_cli.records import Host

from fleetnet_cli.settings import Destination

_BUDGET_S = 0.2
_FRESH_S = 60.0
_USABLE_S = 24 * 3600.0  # older names are worse than none
_ASKING_S = 5.0  # how long a collector may say nothing
_MOST = 20_000
_PLAIN = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,251}[a-z0-9])?", re.ASCII)  # as `token create` takes them


def names(destination: Destination) -> list[str]:
    """The names that are known, after `_BUDGET_S` at most."""
    kept = _kept(destination).get("hosts")
    named = kept if isinstance(kept, list) else []
    return [name for name in named if isinstance(name, str) and _PLAIN.fullmatch(name)]


def labels(destination: Destination) -> dict[str, list[str]]:
    """The values of each key of a label that are known, after `_BUDGET_S` at most."""
    kept = _kept(destination).get("labels")
    known = kept.items() if isinstance(kept, dict) else ()
    return {key: [v for v in values if isinstance(v, str)] for key, values in known if isinstance(values, list)}


def _kept(destination: Destination) -> dict[str, object]:
    """What the file has, where it is of this collector."""
    file = _file(destination)
    there = destination.login is not None if destination.over_network else Path(destination.address).exists()
    if _age_s(file) < _FRESH_S or not there:
        return _read(file, destination)
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        # -P: a module in the folder that one happens to be in must not be run by a TAB.
        command = [sys.executable, "-P", "-m", __name__, destination.address, str(destination.login or "")]
        asking = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
        asking.wait(_BUDGET_S)
    return _read(file, destination)


def ask(destination: Destination) -> None:
    """Asks the collector and keeps what it says; two that ask at once ask once."""
    from fleetnet_cli.client import Collector  # gRPC costs a tenth of a second
    from fleetnet_cli.records import Selection

    file = _file(destination)
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with os.fdopen(_opened(file.with_suffix(".lock")), "wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with Collector(destination, _ASKING_S) as collector:
            hosts, labels = _known(collector.hosts(Selection()))
        written = file.with_suffix(".new")
        written.unlink(missing_ok=True)  # of one who was killed
        with os.fdopen(_opened(written, os.O_EXCL), "w") as new:
            json.dump({"collector": str(destination), "hosts": hosts, "labels": labels}, new)
        written.replace(file)


def _known(answer: "Iterable[Host]") -> tuple[list[str], dict[str, list[str]]]:
    """The names of hosts, and the values of each key of their labels, _MOST of each."""
    names: list[str] = []
    values: dict[str, set[str]] = {}
    labels = 0
    for host in answer:
        if _PLAIN.fullmatch(host.host) and len(names) < _MOST:
            names.append(host.host)
        for label in host.labels:
            known = values.setdefault(label.key, set())
            if label.value not in known and labels < _MOST:
                known.add(label.value)
                labels += 1
    return names, {key: sorted(some) for key, some in sorted(values.items())}


def _opened(path: Path, more: int = 0) -> int:
    # Whoever may be root in a home that is not his must not be led to a file elsewhere.
    return os.open(path, os.O_CREAT | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC | more, 0o600)


def _file(destination: Destination) -> Path:
    cache = os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
    return Path(cache) / f"fleetnet/hosts-{zlib.crc32(str(destination).encode(errors='replace')):08x}.json"


def _age_s(file: Path) -> float:
    try:
        return abs(time.time() - file.stat().st_mtime)  # of a clock that was set back too
    except OSError:
        return float("inf")


def _read(file: Path, destination: Destination) -> dict[str, object]:
    if _age_s(file) > _USABLE_S:
        return {}
    try:
        kept = json.loads(file.read_bytes())
    except (OSError, ValueError):
        return {}
    return kept if isinstance(kept, dict) and kept.get("collector") == str(destination) else {}


if __name__ == "__main__":
    with contextlib.suppress(Exception):  # there is nobody to tell
        ask(Destination(sys.argv[1], Path(sys.argv[2]) if sys.argv[2] else None))
