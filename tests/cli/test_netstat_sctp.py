"""SCTP in the layout of netstat(8), which is given the kernel's files of it, for few kernels have SCTP."""

import io
import subprocess

import pytest
from cli.test_netstat import socket
from fleetnet_cli.live import LiveSocket
from fleetnet_cli.output.names import Numeric
from fleetnet_cli.output.netstat import inet
from fleetnet_cli.output.terminal import Terminal

pytestmark = pytest.mark.root

# net/sctp/proc.c
_ENDPOINTS = """\
 ENDPT     SOCK   STY SST HBKT LPORT   UID INODE LADDRS
ffff8880  ffff8881 2   10  29   3868     0 17001 198.18.0.1
ffff8882  ffff8883 2   7   30   3869 65534 17002 2001:0DB8:0000:0000:0000:0000:0000:0001
"""
_ASSOCIATIONS = (
    " ASSOC     SOCK   STY SST ST HBKT ASSOC-ID TX_QUEUE RX_QUEUE UID INODE LPORT RPORT LADDRS <-> RADDRS HBINT\n"
    "ffff8884 ffff8885 2   1   3  0      1  12   7  0 17003 3868  40000  198.18.0.1 <-> *198.18.0.2 \t7500\n"
)
_ENDPOINT = {"protocol": "sctp", "remote_address": "", "remote_port": 0, "owners": ()}
OURS = [
    socket(**_ENDPOINT, state="LISTEN", local_port=3868, uid=0, inode=17001),
    socket(
        **_ENDPOINT, state="CLOSE", family="ipv6", local_address="2001:db8::1", local_port=3869, uid=65534, inode=17002
    ),
    socket(
        protocol="sctp", owners=(), local_port=3868, remote_port=40000, recv_queue=7, send_queue=12, uid=0, inode=17003
    ),
]


def theirs(options: str) -> list[str]:
    script = (
        "mount -t tmpfs none /proc && mkdir -p /proc/net/sctp && cd /proc/net/sctp && "
        'printf %s "$1" > eps && printf %s "$2" > assocs && exec netstat "$3"'
    )
    command = ["unshare", "--mount", "sh", "-c", script, "sh", _ENDPOINTS, _ASSOCIATIONS, options]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.splitlines()


@pytest.mark.parametrize("options", ["-Sna", "-Snae", "-Snao"])
def test_endpoints_and_associations_have_the_columns_of_netstat(options: str) -> None:
    out = io.StringIO()
    layout = inet.Layout(all=True, extend="e" in options, timers="o" in options)
    inet.write(map(LiveSocket, OURS), Numeric(), layout, Terminal(out), heading=True)
    real = theirs(options)
    assert len(real) == 5
    assert sorted(out.getvalue().splitlines()) == sorted(real)
