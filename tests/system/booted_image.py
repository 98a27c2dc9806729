"""The file system that booted hosts start from: this machine's own release, small, with systemd, Python and sshd.

Built once from the machine's own package sources (about a minute, 220 MB) and kept in /var/cache/fleetnet-tests,
outside of the tree, named for its recipe: another recipe or release is another image, and one that was not used for a
month goes.

What must stay true: an image that is there is whole, for it is built beside its place and renamed; two runs never build
the same one at once; nobody writes to it, for hosts lay their changes over it.
"""

import fcntl
import hashlib
import platform
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from demo.programs import FailedError

_CACHE: Final = Path("/var/cache/fleetnet-tests")
_SOURCES: Final = (
    Path("/etc/apt/sources.list.d/debian.sources"),
    Path("/etc/apt/sources.list.d/ubuntu.sources"),
    Path("/etc/apt/sources.list"),
)
_PACKAGES: Final = ("systemd", "systemd-sysv", "dbus", "python3-venv", "openssh-server", "iproute2")
_LEFT_OUT: Final = ("doc", "man", "locale", "info")  # of /usr/share
_WITHIN_S: Final = 600.0
_KEPT_S: Final = 30 * 86_400.0  # from its last use: another tree on this machine may run on an older one
# A host has no resolver: what asks for its own name must find it in a file, or waits for seconds.
_MADE: Final = {
    "etc/resolv.conf": "",
    "etc/hosts": "127.0.0.1 localhost\n::1 localhost\n",
    "etc/machine-id": "",  # each host draws its own
}


def image() -> Path:
    """The image of this machine's release, built if it is not there. Raises FailedError."""
    sources = _sources()
    recipe = _recipe(sources)
    place = _CACHE / hashlib.sha256(repr((recipe, _MADE)).encode()).hexdigest()[:16]
    with _alone():
        if not place.is_dir():
            _build(recipe, place)
        place.touch()
        for image in _CACHE.glob("*/"):
            if time.time() - image.stat().st_mtime > _KEPT_S:
                shutil.rmtree(image)
    return place


def _sources() -> Path:
    for file in _SOURCES:
        if file.is_file():
            return file
    raise FailedError(f"this machine has no package sources ({', '.join(map(str, _SOURCES))}) to make a host from")


def _recipe(sources: Path) -> list[str]:
    return [
        *("mmdebstrap", "--quiet", "--variant=minbase", f"--include={','.join(_PACKAGES)}"),
        '--aptopt=Acquire::Languages "none"',
        *(f"--dpkgopt=path-exclude=/usr/share/{part}/*" for part in _LEFT_OUT),
        *(platform.freedesktop_os_release()["VERSION_CODENAME"], "PLACE", str(sources)),
    ]


def _build(recipe: list[str], place: Path) -> None:
    beside = place.with_suffix(".new")
    shutil.rmtree(beside, ignore_errors=True)
    command = [str(beside) if word == "PLACE" else word for word in recipe]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_WITHIN_S, check=False)
    except subprocess.TimeoutExpired:
        raise FailedError(f"an image for booted hosts was not built within {_WITHIN_S:g} s") from None
    if done.returncode != 0:
        raise FailedError(
            f"no image for booted hosts could be built (mmdebstrap: status {done.returncode})", done.stderr
        )
    for name, text in _MADE.items():
        (beside / name).unlink(missing_ok=True)
        (beside / name).write_text(text)
    beside.rename(place)


@contextmanager
def _alone() -> Iterator[None]:
    _CACHE.mkdir(mode=0o755, parents=True, exist_ok=True)
    with (_CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
