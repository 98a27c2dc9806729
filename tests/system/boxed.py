"""A host with processes and named network namespaces of its own, beside its network: an agent on it that reads every
namespace sees those of the host and nothing else that is on this machine."""

from dataclasses import dataclass
from pathlib import Path

from system.laboratory import Laboratory
from system.streets import child_of

from demo.fabric import Host

# Mounts that are covered are still listed, so those of other namespaces are taken away; it has mounts of its own.
_EMPTY = r"""
sed -n 's/^nsfs \([^ ]*\) .*/\1/p' /proc/self/mounts | while read -r one; do umount -l "$one"; done
mount -t tmpfs none /run/netns && echo boxed && exec cat
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
    own = ("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
    program = lab.programs.start(f"{name}.first", host.command(*own, "sh", "-c", _EMPTY))
    program.wait_for("^boxed")
    return Box(host.name, host.namespace, host.address, Path("/proc", str(child_of(program.pid))))
