"""Protocol statistics: whatever a kernel counts, netstat(8) says the same of it, word for word and in that order."""

import io
import subprocess
from collections.abc import Sequence
from itertools import groupby

import pytest
from fleetnet_cli.commands.netstat.statistics import of_table
from fleetnet_cli.commands.netstat.wish import Wish
from fleetnet_cli.live import Statistic
from fleetnet_cli.output.netstat import sentences, statistics
from fleetnet_cli.output.terminal import Terminal
from hypothesis import given, settings
from hypothesis import strategies as st

pytestmark = pytest.mark.root

# The kernel's order of groups, and its files; one that netstat does not know among them.
_FILES = {
    "snmp": ("Ip", "Icmp", "IcmpMsg", "Tcp", "Udp", "UdpLite"),
    "netstat": ("TcpExt", "IpExt", "Newest"),
    "snmp6": ("Ip6", "Icmp6", "Udp6", "UdpLite6"),
}
_KINDS = (sentences.ALWAYS, sentences.COUNTED, sentences.RECEIVED, sentences.SENT, sentences.UNSAID)
_UNHEARD_OF = ("InType3", "OutTransmits", "InCsumErrors", "TCPNewest")
_OPTIONS = {(): (), ("tcp",): ("-t",), ("udp",): ("-u",), ("raw",): ("-w",), ("udplite",): ("-U",)}


def names(group: str) -> list[str]:
    """All that have a sentence, and some that have none."""
    return sorted({name for kind in _KINDS for name in kind.get(group, ())} | set(_UNHEARD_OF))


def theirs(counted: Sequence[Statistic], *options: str) -> list[str]:
    """What netstat says where /proc/net has nothing but this."""
    texts = dict.fromkeys(_FILES, "")
    for group, members in groupby(counted, key=lambda one: one.group):
        told = list(members)
        if "6" in group:
            texts["snmp6"] += "".join(f"{group}{one.name} {one.value}\n" for one in told)
        else:
            rows = (" ".join(one.name for one in told), " ".join(str(one.value) for one in told))
            texts["snmp" if group in _FILES["snmp"] else "netstat"] += "".join(f"{group}: {row}\n" for row in rows)
    files = 'printf %s "$1" > snmp && printf %s "$2" > netstat && printf %s "$3" > snmp6'
    script = f'mount -t tmpfs none /proc && mkdir /proc/net && cd /proc/net && {files} && shift 3 && exec netstat "$@"'
    command = ["unshare", "--mount", "sh", "-c", script, "sh", *texts.values(), "-s", *options]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()


def ours(counted: Sequence[Statistic], wish: Wish) -> list[str]:
    """What we say of it."""
    out = io.StringIO()
    statistics.write(of_table(counted, wish), wish.protocols, Terminal(out))
    return out.getvalue().splitlines()


@pytest.mark.parametrize("family", ["ipv4", "ipv6"])
@pytest.mark.parametrize("value", [0, 7])
def test_every_counter_that_has_a_sentence_is_told_as_netstat_does(family: str, value: int) -> None:
    every = [
        Statistic(0, group, name, value) for groups in _FILES.values() for group in groups for name in names(group)
    ]
    assert ours(every, Wish("web1", families=(family,))) == theirs(every, "-4" if family == "ipv4" else "-6")


@st.composite
def _counted(draw: st.DrawFn) -> list[Statistic]:
    groups = [group for groups in _FILES.values() for group in groups]
    return [
        Statistic(0, group, name, draw(st.sampled_from([0, 1, 2**63 - 1])))
        for group in groups
        for name in draw(st.lists(st.sampled_from(names(group)), min_size=1, max_size=6, unique=True))
    ]


@settings(max_examples=40)
@given(_counted(), st.sampled_from(sorted(_OPTIONS)), st.sampled_from(["ipv4", "ipv6"]))
def test_whatever_order_they_come_in_the_lines_are_those_of_netstat(
    counted: list[Statistic], protocols: tuple[str, ...], family: str
) -> None:
    options = (*_OPTIONS[protocols], "-4" if family == "ipv4" else "-6")
    assert ours(counted, Wish("web1", protocols=protocols, families=(family,))) == theirs(counted, *options)
