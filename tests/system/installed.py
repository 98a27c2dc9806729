"""What an admin installs by hand, on a booted host: the four distributions, the units, and what these need.

As docs/operations.md has it: a virtual environment of the host's own Python in /opt/fleetnet/VERSION, our wheels in it
by pip, `current` beside it, then the units, users and directories. The libraries of others are those of the environment
that the tests run in, for a host has nothing to fetch them from; they are the locked ones.
"""

import importlib.metadata
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from fleetnet_agent.version import VERSION
from system.booted import Booted

from demo.programs import FailedError

ROOT: Final = Path(__file__).resolve().parents[2]
HOME: Final = f"/opt/fleetnet/{VERSION}"
BIN: Final = "/opt/fleetnet/current/bin"
# What `systemd-analyze security` may say of each, from 0 to 10.
BARS: Final = {"fleetnet-agent": 1.6, "fleetnet-agent-enroll": 1.6, "fleetnet-helper": 2.0, "fleetnet-server": 1.5}
PACKAGING: Final = ROOT / "packaging"
_DISTRIBUTIONS: Final = ("proto", "agent", "server", "cli")


def build_wheels(directory: Path) -> list[Path]:
    """The four wheels, as `make dist` makes them."""
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    where = [str(ROOT / name) for name in _DISTRIBUTIONS]
    done = subprocess.run(
        [*command, "--wheel-dir", str(directory), *where], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise FailedError("the wheels could not be built", done.stderr)
    return sorted(directory.glob("*.whl"))


def install(host: Booted, wheels: list[Path]) -> None:
    """Everything but the settings, nothing of it started."""
    host.run("python3", "-m", "venv", HOME)
    (packages,) = (host.root / HOME[1:]).glob("lib/python3*/site-packages")
    ours = f"python{sys.version_info.major}.{sys.version_info.minor}"
    if packages.parent.name != ours:
        raise FailedError(f"the host has {packages.parent.name}, and libraries are here for {ours} alone")
    for name in _libraries():
        _copy_library(name, packages)
    (host.root / HOME[1:] / "wheels").mkdir()
    for wheel in wheels:
        shutil.copy(wheel, host.root / HOME[1:] / "wheels")
    pip = (f"{HOME}/bin/pip", "install", "--quiet", "--no-index", "--no-deps", "--disable-pip-version-check")
    host.run(*pip, "--root-user-action=ignore", *(f"{HOME}/wheels/{wheel.name}" for wheel in wheels))
    host.run("ln", "-sfn", VERSION, "/opt/fleetnet/current")
    install_units(host)


def install_units(host: Booted) -> None:
    """The units, and the users and directories that they need."""
    for place, where in (("systemd", "systemd/system"), ("sysusers.d", "sysusers.d"), ("tmpfiles.d", "tmpfiles.d")):
        (host.root / "etc" / where).mkdir(parents=True, exist_ok=True)
        for file in (PACKAGING / place).iterdir():
            shutil.copy(file, host.root / "etc" / where)
    (host.root / "etc/fleetnet").mkdir(mode=0o755, exist_ok=True)
    host.run("systemd-sysusers")
    host.run("systemd-tmpfiles", "--create", "/etc/tmpfiles.d/fleetnet-server.conf")
    host.run("systemctl", "daemon-reload")


def _libraries() -> list[str]:
    """Those that are locked, but for those of other systems, which are not here either."""
    locked = re.findall(r"^([\w.-]+)==", (ROOT / "requirements/runtime.txt").read_text(), re.MULTILINE)
    here = {_usual(one.name) for one in importlib.metadata.distributions()}
    return [name for name in locked if _usual(name) in here]


def _usual(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()  # PEP 503


def _copy_library(name: str, packages: Path) -> None:
    for file in importlib.metadata.files(name) or ():
        if file.parts[0] == "..":
            continue  # a console script
        target = packages / file
        target.parent.mkdir(parents=True, exist_ok=True)
        # With its time, by which Python knows what is compiled of it: a service may write nothing there.
        shutil.copy2(file.locate(), target)
