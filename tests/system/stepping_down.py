"""An agent that is started as root, on a host, and gives root up for the owner of its state.

It runs from an environment that every user can read, in mounts of its own: another user can walk neither to pytest's
folders nor, often, to a clone. What is mounted on the machine later is seen there too, as by a service of systemd.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from system.laboratory import Laboratory

from demo.fabric import Host
from demo.programs import Program

NOBODY = 65534

_ROOT = Path(__file__).resolve().parents[2]
_SEEN = Path("/mnt")
_MOUNTS = (
    "mount -t tmpfs -o mode=0755 none /mnt && cd /mnt && mkdir lab agent proto site && "
    'mount --bind "$0" lab && mount --bind "$1" agent && mount --bind "$2" proto && mount --bind "$3" site && '
    'shift 3 && exec "$@"'
)


def interpreter() -> str:
    """A Python of this version that every user can run; skips where there is none."""
    name = f"python3.{sys.version_info.minor}"
    for candidate in (os.path.realpath(sys.executable), f"/usr/bin/{name}", f"/usr/local/bin/{name}"):
        try:
            subprocess.run([candidate, "-c", "import ssl"], user=NOBODY, group=NOBODY, extra_groups=[], check=True)
        except (OSError, subprocess.CalledProcessError):
            continue
        return candidate
    pytest.skip(f"no {name} here that users other than root can run (Debian: apt-get install python3)")


def make_environment(directory: Path) -> str:
    """A virtual environment with what is installed for the tests, as it is seen in the end; its Python."""
    subprocess.run([interpreter(), "-m", "venv", "--without-pip", directory / "venv"], check=True)
    (packages,) = directory.glob("venv/lib/python3*/site-packages")
    (packages / "seen.pth").write_text("".join(f"{_SEEN / name}\n" for name in ("agent", "proto", "site")))
    return str(_SEEN / "lab" / "venv" / "bin" / "python")


def start_agent(lab: Laboratory, host: Host, state: Path, *options: str) -> Program:
    """Start it; its state is nobody's from now on."""
    lab.directory.chmod(0o711)
    for path in (state, *state.iterdir()):
        os.chown(path, NOBODY, NOBODY)
    python = make_environment(lab.directory)
    site = Path(pytest.__file__).parents[1]
    run = "import sys; from fleetnet_agent.main import main; sys.exit(main())"
    seen = _SEEN / "lab" / state.relative_to(lab.directory)
    mounts = ("unshare", "--mount", "--propagation", "slave", "sh", "-c", _MOUNTS)
    command = host.command(
        *(*mounts, str(lab.directory), str(_ROOT / "agent"), str(_ROOT / "proto"), str(site)),
        *(python, "-c", run, "run", "--state", str(seen), "--with-helper", *options),
    )
    return lab.programs.start(host.name, command, {"TMPDIR": str(_SEEN / "lab"), "PYTHONPATH": ""})
