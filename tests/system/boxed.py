"""A host with processes and named network namespaces of its own, beside its network: an agent on it that reads every
namespace sees those of the host and nothing else that is on this machine."""

from dataclasses import dataclass
from pathlib import Path

from system.laboratory import Laboratory
from system.streets import child_of

from demo.fabric import Host

# Mounts that are covered are still listed, so those that came from the machine are taken away: here alone, for the
# mount namespace is private (unshare(1)). One that somebody else removes meanwhile is gone here as well.
_EMPTY = """
set -e
for kept in $(sed -n 's/.* - nsfs .*/&/p' /proc/self/mountinfo | cut -d ' ' -f 5); do umount -l "$kept" || :; done
mkdir -p /run/netns
mount -t tmpfs none /run/netns
"""


@dataclass(frozen=True, slots=True)
class Box(Host):
    """The host, once its first process is there."""

    first: Path  # of its processes, in /proc

    def command(self, *arguments: str) -> list[str]:
        """See `Host`."""
        space = self.first / "ns"
        # Not slots' super(), which a dataclass with slots does not know.
        return [*Host.command(self, "nsenter", f"--mount={space / 'mnt'}", f"--pid={space / 'pid'}", "--", *arguments)]


def box(lab: Laboratory, name: str) -> Box:
    """Make one; it ends with the programs of the laboratory."""
    host = lab.fabric.add_host(name)
    return Box(host.name, host.namespace, host.address, Path("/proc", str(first_process(lab, host))))


def first_process(lab: Laboratory, host: Host, furnish: str = "") -> int:
    """Give a host processes, mounts and named namespaces of its own, and furnish it, in lines of sh; the first of these
    processes, as the machine knows it. It ends with the programs of the laboratory."""
    own = ("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
    script = f"{_EMPTY}\n{furnish}\necho boxed\nexec cat\n"
    program = lab.programs.start(f"{host.name}.first", host.command(*own, "sh", "-c", script))
    program.wait_for("^boxed")
    return child_of(program.pid)
