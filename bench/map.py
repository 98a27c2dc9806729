"""What a map costs whoever asks for it: `python -m bench.map` (or `make bench-map`).

Sockets of a fleet of 1,000 hosts are drawn to edges, few and very many of them, each in a process of its own: the
hosts, programs and edges are the same, only connections are more. Both halves of each are there. Nothing is asked over
gRPC; `make bench-answers` has the figures of that.
"""

import argparse
import itertools
import json
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from cli.scene import Scene
from fleetnet_cli.edges.drawing import Drawing
from fleetnet_cli.edges.places import Places
from fleetnet_cli.edges.wanted import Wanted
from fleetnet_cli.records import Socket

from bench.measures import Bar

_HOSTS: Final = 1_000
_SERVERS: Final = 5  # that each host talks to
_PORT: Final = 5432
_FIRST_EPHEMERAL: Final = 32_768
_FEW: Final = 10_000


def _address(host: int) -> str:
    return f"10.0.{host // 250}.{host % 250 + 1}"


def _fleet() -> Scene:
    scene = Scene()
    for host in range(_HOSTS):
        scene.place(f"host{host:04}", _address(host))
        scene.listens(f"host{host:04}", f"0.0.0.0:{_PORT}", "server")
    return scene


def _connections(sockets: int) -> Iterator[Socket]:
    """Clients first and servers afterwards, so that no half is soon followed by the other."""
    pairs = [(host, (host + 7 * n) % _HOSTS) for host in range(_HOSTS) for n in range(1, _SERVERS + 1)]
    made = Scene()
    made.talks("client", f"{_address(0)}:1", f"{_address(0)}:1", "client")
    made.talks("server", f"{_address(0)}:1", f"{_address(0)}:1", "server")
    client, server = made.connections
    for one, is_client in ((client, True), (server, False)):
        for number, (here, there) in enumerate(itertools.islice(itertools.cycle(pairs), sockets // 2)):
            ends = (_address(here), _FIRST_EPHEMERAL + number // len(pairs), _address(there), _PORT)
            local, port, remote, remote_port = ends if is_client else (*ends[2:], *ends[:2])
            yield replace(
                one, host=f"host{here if is_client else there:04}", local_address=local, local_port=port,
                remote_address=remote, remote_port=remote_port,
            )  # fmt: skip


def _alone(sockets: int) -> dict[str, float]:
    scene = _fleet()
    began_s = time.process_time()
    for _ in _connections(sockets):
        pass
    made_s = time.process_time() - began_s
    with Drawing(Places(scene.namespaces), Wanted()) as drawing:
        for listener in scene.listeners:
            drawing.listener(listener)
        for socket in _connections(sockets):
            drawing.half(socket, asked=True)
        edges = len(drawing.edges())
    taken_s = time.process_time() - began_s - 2 * made_s
    most_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"edges": edges, "us_a_socket": taken_s / sockets * 1e6, "most_mib": most_kib / 1024}


def _apart(sockets: int) -> dict[str, float]:
    """In a process of its own, whose most memory is that of this alone."""
    command = [sys.executable, "-m", "bench.map", "--sockets", str(sockets), "--alone"]
    found: dict[str, float] = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    print(
        f"  {sockets:>9,} sockets: {found['edges']:,.0f} edges, {found['us_a_socket']:.1f} µs of CPU a socket, "
        f"{found['most_mib']:.0f} MiB at most",
        flush=True,
    )
    return found


def main() -> None:
    """Prints the figures, then the bar."""
    parser = argparse.ArgumentParser(prog="bench.map", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--sockets", type=int, default=1_000_000, help="very many (default 1,000,000)")
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.alone:
        print(json.dumps(_alone(asked.sockets)))
        return
    few, many = _apart(_FEW), _apart(asked.sockets)
    more_mib = many["most_mib"] - few["most_mib"]
    print(Bar(f"memory that {asked.sockets:,} sockets take beyond {_FEW:,}", 12, more_mib, "MiB").line())


if __name__ == "__main__":
    main()
