"""Every kind of fault: what it takes hold of, how it begins and how it ends.

A fault takes hold of something (an agent's process, the network of a host, a disk …); another of the same waits until
it has let go. All that is drawn is drawn beforehand, from the seed.
"""

import errno
import os
import random
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from faults.ground import Ground, Managed, Site

_HOUR_US = 3_600_000_000
_POINT_S = 10.0  # a named point is waited for as long

AGENT_POINTS = ("after-look", "before-write", "after-write-before-ack", "acknowledged")
SPOOL_POINTS = ("spool-before-fsync", "spool-after-fsync")
COLLECTOR_POINTS = ("before-commit", "after-commit-before-ack", "mid-group", "after-hello")
NETWORK = ("cut", "refuse", "half-close", "half-open", "deaf", "delay", "throttle")


@dataclass(slots=True)
class Fault:
    """One fault, as drawn."""

    at_s: float
    kind: str
    host: int  # of a host, by number; -1: the collector, or all
    lasts_s: float
    number: float  # what it means depends on the kind
    word: str = ""
    done: bool = False  # it truly happened

    def __str__(self) -> str:
        whom = f"h{self.host}" if self.host >= 0 else "collector"
        return f"{self.at_s:.2f} s: {self.kind} {self.word} {whom} for {self.lasts_s:.2f} s ({self.number:.4g})"


Step = Callable[[Ground, Fault], None]


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of fault. `over` says whether it has ended before its time."""

    holds: str
    weight: float
    lasts_s: tuple[float, float]
    begin: Step
    end: Step
    of_host: bool = True
    words: tuple[str, ...] = ("",)
    number: tuple[float, float] = (0.0, 1.0)
    over: Callable[[Ground, Fault], bool] = lambda _ground, _fault: False
    gentle: bool = False  # leaves no gap, if it does not last


def draw(random_: random.Random, kinds: dict[str, float], hosts: int, count: int, within_s: float) -> list[Fault]:
    """Faults in the order in which they begin; `kinds` with the weight of each."""
    drawn = []
    for at_s in sorted(random_.uniform(0.0, within_s) for _ in range(count)):
        (name,) = random_.choices(list(kinds), list(kinds.values()))
        kind = KINDS[name]
        host = random_.randrange(hosts)
        if kind.holds == "clock":  # of one host: what the others answer about the past can be judged to the second
            host = hosts - 1
        drawn.append(
            Fault(at_s, name, host if kind.of_host else -1, random_.uniform(*kind.lasts_s),
                  random_.uniform(*kind.number), random_.choice(kind.words))
        )  # fmt: skip
    return drawn


def site_of(ground: Ground, fault: Fault) -> Site:
    """The host that it is about."""
    return ground.sites[fault.host]


# Processes.


def _process(ground: Ground, fault: Fault) -> Managed:
    return ground.collector if fault.host < 0 else site_of(ground, fault).agent


def _kill(ground: Ground, fault: Fault) -> None:
    _process(ground, fault).kill()
    fault.done = True


def _stop(ground: Ground, fault: Fault) -> None:
    process = _process(ground, fault)
    process.wanted = False
    process.signal(signal.SIGTERM)
    fault.done = True


def _start(ground: Ground, fault: Fault) -> None:
    _process(ground, fault).kill()
    if fault.host < 0:
        ground.collector_armed = ""
        ground.start_collector()
    else:
        site_of(ground, fault).armed = ""
        ground.start_agent(site_of(ground, fault))


def _kill_both(ground: Ground, fault: Fault) -> None:
    for process in (ground.collector, *(site.agent for site in ground.sites)):
        process.kill()
    fault.done = True


def _start_both(ground: Ground, fault: Fault) -> None:
    ground.start_collector()
    for site in ground.sites:
        ground.start_agent(site)


def _arm(ground: Ground, fault: Fault) -> None:
    """Start it so that it ends at a named point; what it is doing now ends with it."""
    point = f"{fault.word}@{int(fault.number)}"
    _process(ground, fault).kill()
    if fault.host < 0:
        ground.collector_armed = point
        ground.start_collector()
    else:
        site_of(ground, fault).armed = point
        ground.start_agent(site_of(ground, fault))
    _process(ground, fault).wanted = False  # nobody starts it again but this fault's end


def _has_died(ground: Ground, fault: Fault) -> bool:
    process = _process(ground, fault)
    fault.done = fault.done or not process.runs
    return fault.done


def _slow(ground: Ground, fault: Fault) -> None:
    _arm(ground, fault)
    _process(ground, fault).wanted = True
    fault.done = True


def _freeze(ground: Ground, fault: Fault) -> None:
    _process(ground, fault).signal(signal.SIGSTOP)
    fault.done = True


def _thaw(ground: Ground, fault: Fault) -> None:
    _process(ground, fault).signal(signal.SIGCONT)


# The network.


def _peer(ground: Ground, fault: Fault) -> str:
    return "*" if fault.host < 0 else site_of(ground, fault).place.address


def _proxy(ground: Ground, fault: Fault) -> None:
    number = {"delay": f" {fault.number:.3f}", "throttle": f" {int(fault.number * 4_000) + 200}"}.get(fault.word, "")
    ground.tell_proxy(f"{_peer(ground, fault)} {fault.word}{number}")
    fault.done = True


def _pass(ground: Ground, fault: Fault) -> None:
    ground.tell_proxy(f"{_peer(ground, fault)} pass")


def _silence(ground: Ground, fault: Fault) -> None:
    site_of(ground, fault).place.ip(
        "neighbour", "replace", ground.place.address, "lladdr", "02:00:00:00:00:01", "nud", "permanent", "dev", "eth0"
    )
    fault.done = True


def _unsilence(ground: Ground, fault: Fault) -> None:
    site_of(ground, fault).place.ip("neighbour", "delete", ground.place.address, "dev", "eth0")


# Disks and the database.


def _disk(ground: Ground, fault: Fault) -> Path:
    return ground.fleet.data if fault.host < 0 else site_of(ground, fault).state


def _fill(ground: Ground, fault: Fault) -> None:
    """Take all room but a few pages, so that some begin and none can end."""
    disk = _disk(ground, fault)
    left = int(fault.number * 8)
    with (disk / "filler").open("wb") as file:
        while not fault.done:
            room = os.statvfs(disk)
            try:
                os.posix_fallocate(file.fileno(), 0, max(1, (room.f_bavail - left)) * room.f_frsize)
            except OSError as error:  # what it is filled for has taken some in between
                if error.errno != errno.ENOSPC:
                    raise
                if not room.f_bavail:
                    break
            else:
                fault.done = True


def _empty(ground: Ground, fault: Fault) -> None:
    (_disk(ground, fault) / "filler").unlink(missing_ok=True)


def _lock(ground: Ground, fault: Fault) -> None:
    fault.done = ground.store.lock()


def _unlock(ground: Ground, _fault: Fault) -> None:
    ground.store.unlock()


def _kill_database(ground: Ground, fault: Fault) -> None:
    fault.done = ground.store.kill()


def _start_database(ground: Ground, _fault: Fault) -> None:
    ground.store.start()


# Clocks.


def _set_clock(ground: Ground, fault: Fault) -> None:
    site = site_of(ground, fault)
    site.set_clock(site.ahead_us + int(fault.number * _HOUR_US))
    fault.done = True


# The spool.


def _damage(ground: Ground, fault: Fault) -> None:
    """While the agent is down: cut its spool off somewhere, or flip some bits of it."""
    site = site_of(ground, fault)
    site.agent.kill()
    for path in sorted(path for path in site.state.glob("spool*") if path.is_file() and path.stat().st_size):
        content = bytearray(path.read_bytes())
        if fault.word == "truncate":
            path.write_bytes(content[: int(len(content) * fault.number)])
        else:
            draw = random.Random(fault.number)
            for _ in range(1 + int(fault.number * 8)):
                content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
            path.write_bytes(content)
        fault.done = True


def _nothing(_ground: Ground, _fault: Fault) -> None:
    pass


KINDS: dict[str, Kind] = {
    "agent-kill": Kind("agent", 4, (0.0, 2.0), _kill, _start),
    "agent-stop": Kind("agent", 1, (0.6, 2.0), _stop, _start),
    "agent-point": Kind(
        "agent", 4, (_POINT_S, _POINT_S), _arm, _start,
        words=tuple(f"{point}=kill" for point in AGENT_POINTS), number=(1, 4), over=_has_died,
    ),
    "agent-spool-point": Kind(
        "agent", 0, (45.0, 45.0), _arm, _start, words=tuple(f"{point}=kill" for point in SPOOL_POINTS), number=(1, 6),
        over=_has_died,
    ),
    "agent-freeze": Kind("agent", 2, (0.2, 4.0), _freeze, _thaw, gentle=True),
    "collector-kill": Kind("collector", 4, (0.0, 3.0), _kill, _start, of_host=False, gentle=True),
    "collector-stop": Kind("collector", 1, (3.0, 4.0), _stop, _start, of_host=False, gentle=True),
    "collector-point": Kind(
        "collector", 4, (_POINT_S, _POINT_S), _arm, _start, of_host=False,
        words=tuple(f"{point}=kill" for point in COLLECTOR_POINTS), number=(1, 6), over=_has_died, gentle=True,
    ),
    "collector-slow": Kind(
        "collector", 1, (2.0, 6.0), _slow, _start, of_host=False,
        words=("before-commit=sleep:2", "after-commit-before-ack=sleep:2", "after-commit-before-ack=error"),
        number=(2, 20), gentle=True,
    ),
    "collector-away": Kind("collector", 0, (38.0, 45.0), _kill, _start, of_host=False),
    "collector-freeze": Kind("collector", 2, (0.2, 4.0), _freeze, _thaw, of_host=False, gentle=True),
    "both-kill": Kind("all", 1, (0.0, 2.0), _kill_both, _start_both, of_host=False),
    "network": Kind("network", 12, (0.2, 6.0), _proxy, _pass, words=NETWORK, gentle=True),
    "network-of-all": Kind(
        "networks", 2, (0.2, 4.0), _proxy, _pass, of_host=False, words=(*NETWORK, "close"), gentle=True
    ),
    "network-silent": Kind("network", 3, (0.5, 6.0), _silence, _unsilence, gentle=True),
    "network-forgets": Kind("network", 0, (1.0, 4.0), _proxy, _pass, words=("forget",)),
    "collector-disk-full": Kind("disk", 3, (0.5, 4.0), _fill, _empty, of_host=False, gentle=True),
    "agent-disk-full": Kind("agent-disk", 2, (0.5, 6.0), _fill, _empty),
    "database-locked": Kind("database", 3, (0.5, 9.0), _lock, _unlock, of_host=False, gentle=True),
    "database-kill": Kind("database", 0, (0.0, 4.0), _kill_database, _start_database, of_host=False, gentle=True),
    "clock-forward": Kind("clock", 1, (0.0, 0.1), _set_clock, _nothing, number=(0.5, 5.0)),
    "clock-back": Kind("clock", 0, (0.0, 0.1), _set_clock, _nothing, number=(-5.0, -0.5)),
    "spool-damage": Kind("agent", 2, (0.0, 1.0), _damage, _start, words=("truncate", "flip")),
}  # fmt: skip


def holds(fault: Fault, hosts: int) -> set[str]:
    """All that a fault takes hold of, by name."""
    what = KINDS[fault.kind].holds
    if what == "all":
        return {"collector", *(f"agent{number}" for number in range(hosts))}
    if what == "networks":
        return {f"network{number}" for number in range(hosts)}
    return {f"{what}{fault.host}" if fault.host >= 0 else what}


def weights(mood: str, engine: str) -> dict[str, float]:
    """How often each kind comes in a round: a gentle one takes nothing from an agent, a rough one a lot. In a long one
    the collector is away so long that what waits for it goes to disk, and what befalls the agents befalls that."""
    usual = {name: kind.weight for name, kind in KINDS.items() if kind.weight}
    if engine != "sqlite":  # a server of its own: it can be killed, and does not fill the collector's disk
        usual |= {"database-kill": usual.pop("collector-disk-full")}
    if mood == "gentle":
        return {name: weight for name, weight in usual.items() if KINDS[name].gentle}
    if mood == "rough":
        return {name: weight * (1 if KINDS[name].gentle else 3) for name, weight in usual.items()}
    return {name: weight for name, weight in usual.items() if name.startswith(("agent", "spool", "clock"))}
