"""Counters from the texts of /proc/net, and from this machine's."""

import contextlib
from pathlib import Path

import pytest
from fleetnet_agent.network.statistics import STATISTICS_FILES, counters, statistics
from fleetnet_agent.records import Interface, InterfaceCounters, Statistic
from fleetnet_agent.sources.source import MalformedError
from hypothesis import given
from hypothesis import strategies as st

DEV = """\
Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier comp
    lo: 1000      10    0    0    0     0          0         0     1000      10    0    0    0     0       0          0
  eth0: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16
veth12345678901: 18446744073709551615 2 0 0 0 0 0 0 3 4 0 0 0 0 0 0
"""
SNMP = """\
Ip: Forwarding DefaultTTL InReceives
Ip: 1 64 9
IcmpMsg: OutType3
IcmpMsg: 2
Tcp: MaxConn ActiveOpens
Tcp: -1 5
"""
NETSTAT = "TcpExt: SyncookiesSent TWRecycled\nTcpExt: 0 7\n"
SNMP6 = "Ip6InReceives                   \t3\nIcmp6InType135                  \t4\nUdp6NoPorts 5\nUdpLite6InErrors 6\n"


def link(index: int, name: str) -> Interface:
    return Interface(index, name, 1, b"", 1500, 0x1043, 6, "", 0, ())


def test_the_counters_of_an_interface_stand_beside_its_mtu_and_flags() -> None:
    shown = counters(DEV, [link(2, "eth0"), link(1, "lo"), link(9, "gone")], netns=7)
    assert [one.name for one in shown] == ["lo", "eth0"]
    assert shown[1] == InterfaceCounters(7, "eth0", 1500, 0x1043, 1, 2, 3, 4, 5, 9, 10, 11, 12, 13)


def test_a_counter_beyond_what_the_wire_carries_stands_still() -> None:
    (one,) = counters(DEV, [link(3, "veth12345678901")])
    assert one.received_bytes == 2**63 - 1


def test_a_name_may_hold_what_python_takes_for_the_end_of_a_line() -> None:
    lines = DEV.split("\n")
    (one,) = counters("\n".join([*lines[:3], lines[3].replace("eth0", "e\x1ch\x85")]), [link(2, "e\x1ch\x85")])
    assert (one.received_bytes, one.send_overruns) == (1, 13)


def test_statistics_have_the_groups_and_names_of_the_kernels_files() -> None:
    assert statistics({"snmp6": SNMP6, "netstat": NETSTAT, "snmp": SNMP}, netns=4) == [
        Statistic(4, "Ip", "Forwarding", 1),
        Statistic(4, "Ip", "DefaultTTL", 64),
        Statistic(4, "Ip", "InReceives", 9),
        Statistic(4, "IcmpMsg", "OutType3", 2),
        Statistic(4, "Tcp", "MaxConn", -1),
        Statistic(4, "Tcp", "ActiveOpens", 5),
        Statistic(4, "TcpExt", "SyncookiesSent", 0),
        Statistic(4, "TcpExt", "TWRecycled", 7),
        Statistic(4, "Ip6", "InReceives", 3),
        Statistic(4, "Icmp6", "InType135", 4),
        Statistic(4, "Udp6", "NoPorts", 5),
        Statistic(4, "UdpLite6", "InErrors", 6),
    ]


def test_a_kernel_without_ipv6_has_no_file_of_it() -> None:
    assert statistics({"netstat": NETSTAT}) == [
        Statistic(0, "TcpExt", "SyncookiesSent", 0),
        Statistic(0, "TcpExt", "TWRecycled", 7),
    ]


@pytest.mark.parametrize(
    "wrong",
    [
        "Ip: A B\n",
        "Ip: A B\nIp: 1\n",
        "Ip: A\nTcp: 1\n",
        "Ip A\nIp 1\n",
        "Ip: A\nIp: x\n",
        "Ip: A\nIp: 1_0\n",
        "Ip: A\nIp: ٣\n",
        "Ip: A\nIp: " + "9" * 5000 + "\n",
        "\n\n",
    ],
)
def test_what_is_no_statistics_is_refused(wrong: str) -> None:
    with pytest.raises(MalformedError):
        statistics({"snmp": wrong})


@pytest.mark.parametrize("wrong", ["Ip6InReceives\n", "Ip6InReceives 1 2\n", "Ip7InReceives 1\n", "Ip6InReceives x\n"])
def test_what_is_no_statistics_of_ipv6_is_refused(wrong: str) -> None:
    with pytest.raises(MalformedError):
        statistics({"snmp6": wrong})


@pytest.mark.parametrize("columns", ["1 2 3", " ".join(["1"] * 17), "-1" + " 1" * 15, "x" + " 1" * 15])
def test_what_are_no_counters_is_refused(columns: str) -> None:
    with pytest.raises(MalformedError):
        counters(f"\n\n  eth0: {columns}\n", [link(2, "eth0")])


@given(st.text(max_size=100), st.integers(0, len(SNMP)), st.integers(0, len(SNMP)))
def test_no_text_raises_anything_but_a_source_error(text: str, cut: int, end: int) -> None:
    for damaged in (text, SNMP[:cut] + text + SNMP[end:], SNMP6[:cut] + text + SNMP6[end:], DEV[:cut] + text):
        for name in STATISTICS_FILES:
            with contextlib.suppress(MalformedError):
                statistics({name: damaged})
        with contextlib.suppress(MalformedError):
            counters(damaged, [link(1, "lo")])


def test_what_this_machine_shows_is_understood() -> None:
    net = Path("/proc/net")
    (lo,) = counters((net / "dev").read_text(), [link(1, "lo")])
    assert lo.received_packets == lo.sent_packets
    texts = {name: (net / name).read_text() for name in STATISTICS_FILES if (net / name).exists()}
    shown = {(one.group, one.name) for one in statistics(texts)}
    assert {("Ip", "InReceives"), ("Tcp", "ActiveOpens"), ("TcpExt", "TCPTimeouts")} <= shown
