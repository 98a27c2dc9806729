"""What an answer shows of one host."""

from collections.abc import Iterator
from itertools import groupby
from typing import TextIO

from fleetnet_cli import times
from fleetnet_cli.labels import listed
from fleetnet_cli.lives import AgentStart
from fleetnet_cli.network import Namespace
from fleetnet_cli.output import hosts, lives, sockets, terminal
from fleetnet_cli.output.presentation import Presentation
from fleetnet_cli.records import Socket
from fleetnet_cli.services import Services
from fleetnet_cli.sheet import Sheet
from fleetnet_cli.text import visible

# A host is one item with much in it, for which no row has room.

_SAID = 12  # columns of what a line is about


def presentation(services: Services) -> Presentation[Sheet]:
    """A host as documents have it."""
    of_host = hosts.presentation()

    def as_json(sheet: Sheet) -> dict[str, object]:
        return {
            **of_host.as_json(sheet.host),
            "addresses": [
                {"netns": space.netns, "interface": one.name, "address": a.address, "prefix_length": a.prefix_length}
                for space in sheet.namespaces
                for one in space.interfaces
                for a in one.addresses
            ],
            "namespaces": [_namespace(space) for space in sheet.namespaces],
            "states": [
                {"protocol": protocol, "state": state, "count": count}
                for (protocol, state), count in sheet.states.items()
            ],
            "without_owners": sheet.without_owners,
            "listening": [sockets.as_json(each, services) for each in sheet.listeners],
            "peers": [{"address": address, "count": count} for address, count in sheet.peers],
            "lately": [lives.happening_as_json(each) for each in sheet.lately],
        }

    return Presentation(kind="HostSheet", as_json=as_json, columns=(), nothing="")


def listeners(services: Services, host: str) -> Presentation[Socket]:
    """What listens there, without the column that would say where."""
    columns = tuple(column for column in sockets.listener_columns() if column.heading != "HOST")
    return sockets.presentation(services, f"nothing listens on {host}", columns)


def write_head(sheet: Sheet, stream: TextIO, *, asked_at: bool) -> None:
    """All but the listeners, a line for each thing that there is something to say of."""
    out = terminal.of(stream)
    out.write(out.paint(visible(sheet.host.host), terminal.BOLD) + "\n")
    for about, said in _lines(sheet, asked_at=asked_at):
        if said:
            text = f"  {about.ljust(_SAID)}{visible(said)}"
            out.write((out.paint(text, terminal.YELLOW) if about in ("not seen", "gap") else text) + "\n")
    out.write("\n")


def _lines(sheet: Sheet, *, asked_at: bool) -> Iterator[tuple[str, str]]:
    host = sheet.host
    zone = times.zone_name()
    heard = f"{times.local(host.last_seen_us)} {zone}" if host.last_seen_us else "never"
    # Whether its agent is connected is known of now alone.
    connected = "" if host.connected or asked_at else ", its agent is not connected"
    yield "heard", f"{heard} ({'fresh' if host.fresh else 'stale'}{connected})"
    yield "labels", listed(host.labels)
    yield "system", ", ".join(filter(None, (host.os, host.kernel, host.architecture)))
    yield "booted", times.local(host.booted_at_us) if host.booted_at_us else ""
    enrolled = f"enrolled {times.local(host.enrolled_at_us)}"
    yield "agent", ", ".join(filter(None, (host.agent_version, enrolled, _clock(host.clock_offset_us))))
    for space in sheet.namespaces:
        if addresses := _addresses(space):
            yield "addresses", ("" if space.inode == 0 else f"{space.netns}: ") + addresses
    yield "not seen", "; ".join(host.degraded)
    yield "no owner", _counted(sheet.without_owners)
    for protocol, some in groupby(sheet.states.items(), key=lambda one: one[0][0]):
        yield protocol, _counted({state: count for (_, state), count in some})
    yield "talks to", ", ".join(f"{address} ({count})" for address, count in sheet.peers)
    for life in sheet.lately:
        if isinstance(life, AgentStart):
            yield "started", f"{'host' if life.booted else 'agent'}, {times.local(life.at_us)}"
        else:
            yield "gap", f"{times.local(life.from_us)} to {times.local(life.to_us)}: {life.reason}"


def _clock(offset_us: int) -> str:
    # Less than this is the time that a greeting travels.
    if abs(offset_us) < times.SECOND_US:
        return ""
    return f"its clock is {times.age(abs(offset_us))} {'ahead' if offset_us > 0 else 'behind'}"


def _addresses(space: Namespace) -> str:
    told = {one.name: [f"{a.address}/{a.prefix_length}" for a in one.addresses] for one in space.interfaces}
    return "; ".join(f"{name} {', '.join(some)}" for name, some in told.items() if some and name != "lo")


def _counted(counts: dict[str, int]) -> str:
    """`12 ESTABLISHED, 3 LISTEN`, the most first."""
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items(), key=lambda one: -one[1]))


def _namespace(space: Namespace) -> dict[str, object]:
    return {
        "netns": space.netns,
        "netns_inode": space.inode or None,
        "container": space.container or None,
        "container_runtime": space.runtime or None,
        "unit": space.unit or None,
    }
