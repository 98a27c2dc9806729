"""Protocol statistics: the groups and names of the kernel, in its order, and not the sentences of netstat(8)."""

from collections.abc import Iterable

from fleetnet_cli.live import Statistic
from fleetnet_cli.output.netstat import dotted
from fleetnet_cli.output.terminal import Terminal


def write(statistics: Iterable[Statistic], out: Terminal) -> int:
    """Writes them group by group; returns how many."""
    groups: dict[str, list[Statistic]] = {}
    for one in statistics:
        groups.setdefault(one.group, []).append(one)
    for group, members in groups.items():
        widest = max(len(one.name) for one in members)
        lines = (dotted(f"    {one.name:<{widest}}  {one.value}") + "\n" for one in members)
        out.write(dotted(f"{group}:") + "\n" + "".join(lines))
    return sum(map(len, groups.values()))
