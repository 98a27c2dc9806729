"""Record a session of a real agent with a real collector, as root:
`PYTHONPATH=tests:. python -m recorded.record_streams`.

It is done once for each release, when it is made, and never again: another recording would say less of that release.
Everything happens in namespaces of its own (network, mounts, processes, host name), so nothing of this machine's
sockets is in it, and what else is of this machine is taken out (stripped.py). The scenario is the same each time;
ports, cookies and moments are the kernel's.

1. The first stream breaks in the middle of its snapshot: a gap.
2. A snapshot of two namespaces: TCP in several states, UDP, raw, packet and UNIX sockets, interfaces, routes.
3. A connection opens, its peer finishes, it closes; a listener comes and goes.
4. Brief connections in both namespaces.
5. An interface gets an address; a live look with everything; the second namespace ends.
6. A digest (every few seconds here instead of every ten minutes).
7. The collector ends, and sends the agent away.
"""

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from fleetnet_proto.v1 import report_pb2, sockets_pb2
from recorded import streams
from recorded.releases import present_release
from recorded.stripped import FROM_US, stripped
from recorded.tap import Tap
from system import families
from system.zoo import connect, listen

from demo.fleet import Fleet, environment
from demo.programs import Programs

_ROOT: Final = Path(__file__).resolve().parents[2]
_HOST: Final = "recorded"
_ADDRESS: Final = "127.0.0.1:17443"
_AGENT: Final = (
    "import sys; from fleetnet_agent.uplink import seldom; seldom.DIGEST_EVERY_S = 4.0; "
    "from fleetnet_agent.main import main; sys.exit(main())"
)
STAYS_S: Final = 1.5  # in CLOSE_WAIT, for questions to find it there
_CLOSE_WAIT: Final = sockets_pb2.STATE_CLOSE_WAIT


def main() -> int:
    """Record, in namespaces of its own."""
    if os.geteuid() != 0:
        print("record_streams: needs root, for it makes namespaces", file=sys.stderr)
        return 2
    if "--inside" not in sys.argv:
        own = ("unshare", "--net", "--mount", "--uts", "--pid", "--fork", "--mount-proc")
        return subprocess.run(
            [*own, sys.executable, "-m", "recorded.record_streams", "--inside"], stdin=subprocess.DEVNULL, check=False
        ).returncode
    for command in (
        ("mount", "-t", "tmpfs", "none", "/run"),
        ("ip", "link", "set", "lo", "up"),
        (
            "ip",
            "link",
            "add",
            "eth0",
            "address",
            "02:00:00:00:00:01",
            "type",
            "veth",
            "peer",
            "name",
            "eth1",
            "address",
            "02:00:00:00:00:02",
        ),
        ("ip", "address", "add", "198.18.0.1/24", "dev", "eth0"),
        ("ip", "link", "set", "eth0", "up"),
        ("ip", "route", "add", "default", "via", "198.18.0.254"),
        ("ip", "netns", "add", "inner"),
    ):
        subprocess.run(command, check=True)
    with tempfile.TemporaryDirectory() as made, _session(Path(made)) as session:
        session.play()
    session.keep(present_release())
    return 0


class _Session:
    """Everything that takes part."""

    def __init__(self, directory: Path, programs: Programs) -> None:
        self._directory = directory
        self._programs = programs
        self._fleet = Fleet(directory, programs)
        self._fleet.start_collector("--advertise", _ADDRESS)
        self._fleet.enroll(_HOST)
        self._resident = programs.start("resident", [sys.executable, "-m", "system.resident"])
        inside = ("nsenter", "--net=/run/netns/inner", sys.executable, "-m", "system.resident")
        self._inner = programs.start("inner", [*inside])
        for resident in (self._resident, self._inner):
            resident.wait_for("^resident ")
        self._kept = [*families.unix(directory), *families.raw(), *families.packet()]
        self.tap = Tap(_ADDRESS, self._fleet.report_address, self._fleet.data, self._fleet.state(_HOST))

    def play(self) -> None:
        """The scenario."""
        run = ("run", "--state", str(self._fleet.state(_HOST)), "--namespaces", "all", "--with-helper")
        agent = self._programs.start("agent", [sys.executable, "-c", _AGENT, *run])
        self._until(lambda batch: batch.snapshot.last, "the last part of a snapshot")
        self._states()
        for resident, netns in ((self._resident, 0), (self._inner, None)):
            resident.tell("short 3")
            self._until(lambda batch: _is_brief(batch, netns), "brief connections")  # noqa: B023 - waited for here
        subprocess.run(["ip", "address", "add", "198.18.0.2/24", "dev", "eth0"], check=True)
        self._until(lambda batch: bool(batch.namespaces and not batch.HasField("snapshot")), "an address")
        self._fleet.expect(0, "netstat", _HOST, "-s")
        self._fleet.expect(0, "netstat", _HOST, "-i", "--live")
        self._fleet.expect(0, "netstat", _HOST, "-a", "--live", "-o", "json")
        self._inner.stop()
        subprocess.run(["ip", "netns", "delete", "inner"], check=True)
        self._until(lambda batch: bool(batch.namespaces_gone), "the end of a namespace")
        so_far = len(self.tap.said)
        self.tap.until(lambda: any(m.batch.HasField("digest") for m in self.tap.said[so_far:]), "a digest")
        self._fleet.collector.stop()
        self.tap.until(lambda: any(m.HasField("reconnect") for m in self.tap.answered), "a farewell")
        agent.stop()

    def _states(self) -> None:
        listener = listen(socket.AF_INET, "127.0.0.1")
        client, accepted = connect(listener, "127.0.0.1")
        port = listener.getsockname()[1]
        self._until(lambda batch: any(told.local_port == port for told in batch.opened), "a listener")
        client.shutdown(socket.SHUT_WR)
        self._until(
            lambda batch: any(told.local_port == port and told.state == _CLOSE_WAIT for told in batch.changed),
            "a change of state",
        )
        time.sleep(STAYS_S)
        for opened in (accepted, client, listener):
            opened.close()
        self._until(lambda batch: bool(batch.closed), "an end")

    def _until(self, true: Callable[[report_pb2.Batch], bool], what: str) -> None:
        self.tap.until(lambda: any(true(message.batch) for message in self.tap.said), what)

    def keep(self, release: Path) -> None:
        """Write down what both sides said."""
        streams.write(release / streams.AGENT, stripped(self.tap.said))
        for message in self.tap.answered:
            streams.change(message, ["wall_clock_us"], lambda _: FROM_US)
        streams.write(release / streams.COLLECTOR, self.tap.answered)
        for name in (streams.AGENT, streams.COLLECTOR):
            print(f"{(release / name).stat().st_size} bytes in {release / name}")


def _is_brief(batch: report_pb2.Batch, netns: int | None) -> bool:
    return any(
        told.opened_at_is == sockets_pb2.OPENED_AT_IS_UNSEEN and (told.key.netns == 0) == (netns == 0)
        for told in batch.opened
    )


@contextmanager
def _session(directory: Path) -> Iterator[_Session]:
    told = {**environment(directory), "PYTHONPATH": f"{_ROOT}:{_ROOT / 'tests'}"}
    with Programs(directory, told) as programs:
        session = _Session(directory, programs)
        try:
            yield session
        finally:
            session.tap.stop()


if __name__ == "__main__":
    sys.exit(main())
