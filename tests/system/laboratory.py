"""Where the system tests work: hosts on a switch of their own, and a fleet of real processes on them."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from system.quick import QuickPrograms

from demo.fabric import Fabric, Host
from demo.fleet import Fleet, environment
from demo.programs import Program, Programs

_ROOT = Path(__file__).resolve().parents[2]

REPORT_PORT = 7443  # of the collector that `Laboratory.fleet` makes

# Addresses that no host has; see `silence`.
SILENT = "198.18.0.250"
STRANGER = "198.18.0.251"


@dataclass(frozen=True, slots=True)
class Laboratory:
    """One test's hosts, programs and folder."""

    directory: Path
    fabric: Fabric
    programs: Programs

    def start(self, host: Host, module: str, *arguments: str, name: str = "") -> Program:
        """Run one of the modules of this folder on a host."""
        command = host.command(sys.executable, "-m", f"system.{module}", *arguments)
        return self.programs.start(name or module, command)

    def fleet(self) -> Fleet:
        """A collector on a host of its own; started."""
        fleet = Fleet(self.directory, self.programs, self.fabric.add_host("collector"))
        fleet.start_collector()
        return fleet


@contextmanager
def laboratory(directory: Path) -> Iterator[Laboratory]:
    """A laboratory that is removed in the end, whatever happens."""
    told = {**environment(directory), "PYTHONPATH": f"{_ROOT}:{_ROOT / 'tests'}"}
    with Fabric() as fabric, QuickPrograms(directory, told) as programs:
        yield Laboratory(directory, fabric, programs)


def on_small_disk(place: Host, mounted: Path, size_bytes: int, command: list[str]) -> list[str]:
    """A command on a host that alone sees a small disk at `mounted`; others reach it by `inside`."""
    mount = f'mount -t tmpfs -o size={size_bytes},mode=0700 none "$0" && exec "$@"'
    return place.command("unshare", "--mount", "sh", "-c", mount, str(mounted), *command)


def inside(program: Program, path: Path) -> Path:
    """A path as a program sees it that has mounts of its own."""
    return Path("/proc", str(program.pid), "root", path.relative_to("/"))


def silence(host: Host, address: str) -> None:
    """What `host` sends to an address on the switch goes nowhere from now on, without an error."""
    host.ip("neighbour", "replace", address, "lladdr", "02:00:00:00:00:01", "nud", "permanent", "dev", "eth0")


def be_patient(host: Host) -> None:
    """Make the kernel of a host keep half-open and half-closed connections for minutes."""
    for name, value in {
        "tcp_syn_retries": 10,
        "tcp_synack_retries": 10,
        "tcp_orphan_retries": 12,
        "tcp_fin_timeout": 120,
    }.items():
        host.run("sh", "-c", f"echo {value} > /proc/sys/net/ipv4/{name}")
