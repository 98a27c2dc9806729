"""How many TCP sockets the kernel counts, beside its table."""

import subprocess
import sys
from pathlib import Path

import pytest
from fleetnet_agent.sources.source import Count
from fleetnet_agent.sources.tcp_count import counted, tcp_count

SOCKSTAT = b"sockets: used 290\nTCP: inuse 27 orphan 1 tw 4 alloc 31 mem 3\nUDP: inuse 2 mem 0\n"
SOCKSTAT6 = b"TCP6: inuse 3\nUDP6: inuse 2\n"
SNMP = (
    b"Ip: Forwarding DefaultTTL\nIp: 2 64\n"
    b"Tcp: RtoAlgorithm MaxConn ActiveOpens PassiveOpens\nTcp: 1 -1 50 60\nUdp: InDatagrams\nUdp: 5\n"
)


def test_both_families_and_what_is_in_time_wait_are_counted() -> None:
    assert counted(SOCKSTAT, SOCKSTAT6, SNMP) == Count(sockets=27 + 4 + 3, opened=50 + 60)
    assert counted(SOCKSTAT, b"", SNMP) == Count(sockets=27 + 4, opened=50 + 60)


@pytest.mark.parametrize(
    "texts",
    [
        (b"", SOCKSTAT6, SNMP),
        (SOCKSTAT, SOCKSTAT6, b""),
        (SOCKSTAT, b"TCP6: inuse\n", SNMP),
        (SOCKSTAT, SOCKSTAT6, b"Tcp: ActiveOpens PassiveOpens\nTcp: 1\n"),
        (SOCKSTAT.replace(b" tw 4", b""), SOCKSTAT6, SNMP),
        (b"TCP: inuse x tw 4\n", SOCKSTAT6, SNMP),
    ],
)
def test_what_is_not_understood_is_not_counted(texts: tuple[bytes, bytes, bytes]) -> None:
    assert counted(*texts) is None


def test_where_there_are_no_such_files_nothing_is_counted(tmp_path: Path) -> None:
    assert tcp_count(tmp_path) is None


REAL = """
import socket
from pathlib import Path
from fleetnet_agent.changes import DiagTable
from fleetnet_agent.sources.diag import DiagSocket
from fleetnet_agent.sources.tcp import Tcp
from fleetnet_agent.sources.tcp_count import tcp_count

ipv4 = socket.create_server(("127.0.0.1", 0))
ipv6 = socket.create_server(("::1", 0), family=socket.AF_INET6)
both = socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True)
bound = socket.socket()
bound.bind(("127.0.0.1", 0))
held = []
for listener in (ipv4, ipv6):
    for leaves_first in (None, 0, 1):  # open, and in TIME_WAIT or half closed at either end
        pair = [socket.create_connection(listener.getsockname()[:2]), listener.accept()[0]]
        if leaves_first is not None:
            pair.pop(leaves_first).close()
        held += pair
    first, second = socket.create_connection(listener.getsockname()[:2]), listener.accept()[0]
    first.close()
    second.close()  # TIME_WAIT
held.append(socket.create_connection(("127.0.0.1", both.getsockname()[1])))  # not accepted
while True:
    before, table = tcp_count(Path("/proc/self/net")), DiagTable(Tcp(DiagSocket()), lambda asked: {})
    opened = len(table.look().opened)
    if before == tcp_count(Path("/proc/self/net")):  # the last segments have been answered
        break
print(before.sockets, opened)
"""


@pytest.mark.root
def test_a_kernel_at_rest_counts_as_many_as_a_dump_of_it_shows() -> None:
    inside = ["unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh", sys.executable, "-c", REAL]
    done = subprocess.run(inside, capture_output=True, text=True, check=True)
    count, shown = map(int, done.stdout.split())
    assert count == shown > 15
