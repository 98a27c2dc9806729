"""Hosts that boot: systemd as process 1, its units, sshd, journal, users and file system of their own.

A booted host stands at a place on a `Fabric`, so several share a switch, and laid over one image, so each costs what it
changes. systemd-nspawn starts it; nobody's service manager on this machine hears of it.

What must stay true: whatever ends the test, nothing of a host stays. Its mounts are in a namespace that ends with it,
its processes in one that ends with its launcher, which ends with us; its control groups bear our process id and are
removed at the end, or by the next run.
"""

import contextlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from system.booted_image import image

from demo.fabric import Host, why_not
from demo.programs import FailedError, Program, Programs, until

_CGROUPS: Final = Path("/sys/fs/cgroup")
_PREFIX: Final = "fleetnet-booted-"
_BOOT_S: Final = 120.0
_RUN_S: Final = 120.0
_NEEDED: Final = ("mmdebstrap", "systemd-nspawn", "unshare")
_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

# $0 is the list of control groups, then: lower, upper, work, root, and the command. The launcher enters the groups
# first, for what is process 1 of a host may not meddle with those of this machine.
_LAUNCH: Final = """
for group in $0; do echo $$ > "$group/cgroup.procs" || exit 1; done
mkdir -p /run/systemd/nspawn && mount -t tmpfs none /run/systemd/nspawn || exit 1  # it leaves things there
mount -t overlay -o "lowerdir=$1,upperdir=$2,workdir=$3" overlay "$4" || exit 1
shift 4
exec "$@"
"""


def why_not_booted() -> str:
    """Why no host can be booted here, as one sentence; empty if one can."""
    if why := why_not():
        return why
    missing = [tool for tool in _NEEDED if shutil.which(tool) is None]
    if missing:
        return f"booted hosts need {' and '.join(missing)} (run tests/install-tools as root)"
    if "overlay" not in Path("/proc/filesystems").read_text():
        return "booted hosts need a kernel with overlayfs"
    return ""


@dataclass(slots=True)
class Booted:
    """A host that boots. Between `stop` and `start` it is off, and its files are as they were."""

    place: Host
    directory: Path
    programs: Programs
    lower: Path
    binds: tuple[str, ...] = ()  # FILE:WHERE of this machine's that it has too, as --bind= of systemd-nspawn
    _launcher: Program | None = field(default=None, init=False)

    @property
    def name(self) -> str:
        """Its host name."""
        return self.place.name

    @property
    def upper(self) -> Path:
        """What it has that the image has not: files written here before the start are on it."""
        return self.directory / "upper"

    @property
    def init(self) -> int:
        """Its process 1, as this machine numbers it. Raises FailedError where it is off."""
        for launcher in self._children(self._launcher.pid if self._launcher else 0):
            for pid in self._children(launcher):
                with contextlib.suppress(FileNotFoundError):
                    if re.search(r"^NSpid:.*\t1$", Path("/proc", str(pid), "status").read_text(), re.MULTILINE):
                        return pid
        raise FailedError(f"{self.name} is off", self._launcher.tail() if self._launcher else "")

    @property
    def root(self) -> Path:
        """Its files while it is on, with its /run and /tmp."""
        return Path("/proc", str(self.init), "root")

    def start(self) -> None:
        """Boot it; returns when everything is started."""
        for part in ("upper", "work", "root"):
            (self.directory / part).mkdir(parents=True, exist_ok=True)
        (self.upper / "etc").mkdir(exist_ok=True)
        (self.upper / "etc/hostname").write_text(f"{self.name}\n")
        groups = _make_groups(self.place.namespace)
        self._launcher = self.programs.start(
            f"{self.name}.boot",
            [
                # Who is process 1 of the launcher's namespace takes all with it, the host's process 1 too, which
                # nothing else would end with us.
                *("unshare", "--mount", "--propagation=private", "--pid", "--fork", "--kill-child", "--mount-proc"),
                *("sh", "-c", _LAUNCH, " ".join(map(str, groups))),
                *(str(self.lower), *(str(self.directory / part) for part in ("upper", "work", "root"))),
                *("systemd-nspawn", "--quiet", "--register=no", "--keep-unit", f"--machine={self.name}"),
                *("-D", str(self.directory / "root"), "--boot", "--console=pipe", "--link-journal=no"),
                # A network namespace that was there before does not give it the right to that by itself.
                *("--resolv-conf=off", "--timezone=off", "--capability=CAP_NET_ADMIN"),
                f"--network-namespace-path=/run/netns/{self.place.namespace}",
                *(f"--bind={each}" for each in self.binds),
            ],
        )
        self.wait_until_up()

    def wait_until_up(self) -> None:
        """Wait until everything is started that starts at boot. Raises FailedError where a unit failed."""
        state = until(self._settled, within_s=_BOOT_S, what=f"the boot of {self.name}")
        if state != "running":
            raise FailedError(f"{self.name} came up {state}", self.run("systemctl", "--failed", "--no-legend"))

    def _settled(self) -> str | None:
        assert self._launcher is not None
        if not self._launcher.running:
            raise FailedError(f"{self.name} did not boot", self._launcher.tail())
        with contextlib.suppress(FailedError):
            state = self.attempt("systemctl", "is-system-running").stdout.strip()
            return state if state in ("running", "degraded", "maintenance") else None
        return None

    def reboot(self) -> None:
        """Boot it anew, as `reboot` typed on it does."""
        assert self._launcher is not None
        self.attempt("systemctl", "reboot")
        self._launcher.wait(within_s=_BOOT_S)  # with --keep-unit it leaves the next start to whoever started it
        self.start()

    def stop(self) -> None:
        """Cut its power."""
        if self._launcher:
            self._launcher.kill()
            self._launcher = None
        _remove_groups(self.place.namespace)

    def command(self, *arguments: str) -> list[str]:
        """The same command, to be run on this host as root, with nothing of our environment."""
        namespaces = ("--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--root", "--wdns=/")
        return ["nsenter", "--target", str(self.init), *namespaces, "--", "env", "-i", f"PATH={_PATH}", *arguments]

    def attempt(self, *arguments: str, told: str = "", within_s: float = _RUN_S) -> "subprocess.CompletedProcess[str]":
        """Run a command on this host; how it ended. `told` is its standard input."""
        try:
            return subprocess.run(
                self.command(*arguments), input=told, capture_output=True, text=True, timeout=within_s, check=False
            )
        except subprocess.TimeoutExpired:
            raise FailedError(f"`{' '.join(arguments)}` did not end on {self.name} within {within_s:g} s") from None

    def run(self, *arguments: str, told: str = "", within_s: float = _RUN_S) -> str:
        """Run a command on this host that succeeds; its output."""
        done = self.attempt(*arguments, told=told, within_s=within_s)
        if done.returncode != 0:
            raise FailedError(
                f"`{' '.join(arguments)}` ended on {self.name} with status {done.returncode}", done.stdout + done.stderr
            )
        return done.stdout

    def property(self, unit: str, name: str) -> str:
        """One property of a unit, as `systemctl show` has it."""
        return self.run("systemctl", "show", "--value", f"--property={name}", unit).strip()

    def journal(self, unit: str) -> str:
        """What a unit has written since the boot."""
        return self.run("journalctl", "--no-pager", "--output=cat", "--boot", f"--unit={unit}")

    def let_units_be_bounded(self) -> None:
        """Have MemoryMax=, CPUQuota= and TasksMax= enforced, of what is started from now on. A container is shown the
        groups of version 1 read-only, and its systemd then bounds nothing and says nothing."""
        listed = self.run("findmnt", "--noheadings", "--list", "--types", "cgroup", "--output", "TARGET,OPTIONS")
        for target, options in (line.split() for line in listed.splitlines()):
            if "ro" in options.split(","):
                self.run("mount", "-o", "remount,bind,rw", target)
        self.run("systemctl", "daemon-reexec")  # it asks once, when it starts, which groups it may write to
        self.wait_until_up()

    @staticmethod
    def _children(pid: int) -> list[int]:
        with contextlib.suppress(FileNotFoundError):
            return [int(child) for child in Path("/proc", str(pid), "task", str(pid), "children").read_text().split()]
        return []


@contextlib.contextmanager
def booted(place: Host, directory: Path, programs: Programs, *binds: str) -> Iterator[Booted]:
    """A host, off as yet, that is removed in the end. Raises FailedError where there is no image and none can be
    built."""
    _sweep()
    made = Booted(place, directory, programs, image(), binds)
    try:
        yield made
    finally:
        made.stop()
        shutil.rmtree(directory, ignore_errors=True)


def _hierarchies() -> list[Path]:
    """Where this machine's control groups are mounted: one place for version 2 alone, else one for each controller."""
    if (_CGROUPS / "cgroup.procs").exists():
        return [_CGROUPS]
    return [entry for entry in _CGROUPS.iterdir() if not entry.is_symlink() and (entry / "cgroup.procs").exists()]


def _make_groups(name: str) -> list[Path]:
    groups = [root / f"{_PREFIX}{os.getpid()}-{name}" for root in _hierarchies()]
    for group in groups:
        group.mkdir(exist_ok=True)
        # A new group of this controller has no processors and no memory of its own, and then takes no process.
        for what in ("cpuset.cpus", "cpuset.mems"):
            if (group / what).exists() and (group.parent / what).exists():
                (group / what).write_text((group.parent / what).read_text())
    return groups


def _remove_groups(name: str) -> None:
    for root in _hierarchies():
        _remove_group(root / f"{_PREFIX}{os.getpid()}-{name}")


def _sweep() -> None:
    """Remove the groups that killed runs have left behind."""
    for root in _hierarchies():
        for group in root.glob(f"{_PREFIX}*"):
            maker = group.name.removeprefix(_PREFIX).split("-")[0]
            if not Path("/proc", maker).exists():
                _remove_group(group)


def _remove_group(group: Path) -> None:
    """From the innermost on. What just ended may be in it for a moment still."""

    def gone() -> bool:
        for inner, _, _ in os.walk(group, topdown=False):
            with contextlib.suppress(OSError):
                os.rmdir(inner)
        return not group.exists()

    with contextlib.suppress(FailedError):
        until(gone, within_s=10.0, what=f"the end of {group}")
