# Copyright: the fleetnet authors
# Apache License 2.0 (see LICENSE or https://www.apache.org/licenses/LICENSE-2.0)
"""The service manager of a host, asked for many units at once."""

from __future__ import annotations

import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

_ASKED = ("Id", "LoadState", "ActiveState", "UnitFileState", "MainPID", "ExecMainStartTimestampMonotonic")


class UnitError(Exception):
    """A unit did not do what it was to do; with the end of what it wrote."""


@dataclass(frozen=True)
class Unit:
    """A unit as it stands."""

    name: str
    active: bool
    enabled: bool
    started_at: float  # by the host's clock, seconds since 1970; 0 if it does not run

    def is_older_than(self, paths: list[Path]) -> bool:
        """Whether one of these was put there after it was started. A change that an earlier run made and did not live
        to make known is found by this, too."""
        newest = max((os.lstat(str(path)).st_ctime for path in paths if os.path.lexists(str(path))), default=0.0)
        return self.active and 0 < self.started_at < newest


def look(names: list[str]) -> dict[str, Unit]:
    """How units stand; one that is not there is neither active nor enabled."""
    told = _systemctl("show", "--property=" + ",".join(_ASKED), *names)
    found = {}
    for name, part in zip(names, told.split("\n\n"), strict=False):
        values = dict(line.split("=", 1) for line in part.strip().splitlines())
        began_us = int(values.get("ExecMainStartTimestampMonotonic") or 0)
        running = values["ActiveState"] in ("active", "activating", "reloading")
        found[name] = Unit(
            name=name,
            active=running,
            enabled=values["UnitFileState"] == "enabled",
            started_at=time.time() - time.clock_gettime(time.CLOCK_MONOTONIC) + began_us / 1e6 if began_us else 0.0,
        )
    return found


def reload_all() -> None:
    """Read the unit files anew."""
    _systemctl("daemon-reload")


def enable(names: list[str]) -> None:
    """Start them at boot."""
    _systemctl("--quiet", "enable", *names)


def do(verb: str, names: list[str]) -> None:
    """start, restart or stop; returns when that is done. Raises UnitError with what the units wrote."""
    done = subprocess.run(["systemctl", verb, *names], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    if done.returncode != 0:
        raise UnitError(
            "systemctl {} {}: {}\n{}".format(
                verb, " ".join(names), done.stdout.decode(errors="replace").strip().splitlines()[0], journal(names)
            )
        )


def stop(names: list[str]) -> None:
    """They end, and what was wrong with them is forgotten."""
    _systemctl("stop", *names, fails=False)
    _systemctl("reset-failed", *names, fails=False)


def disable_and_stop(names: list[str]) -> None:
    """They end, and do not start again."""
    _systemctl("--quiet", "disable", "--now", *names)
    _systemctl("reset-failed", *names, fails=False)


def journal(names: list[str], lines: int = 10) -> str:
    """The end of what units wrote."""
    command = ["journalctl", "--no-pager", "--output=cat", f"--lines={lines}", *("--unit=" + name for name in names)]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
    return done.stdout.decode(errors="replace").strip()


def _systemctl(*arguments: str, fails: bool = True) -> str:
    done = subprocess.run(["systemctl", *arguments], capture_output=True, check=False)
    if done.returncode != 0 and fails:
        raise UnitError("systemctl {}: {}".format(" ".join(arguments), done.stderr.decode(errors="replace").strip()))
    return done.stdout.decode()
