"""Counters that the kernel shows as text: those of interfaces, and those of protocols. Pure.

Formats: /proc/net/dev (net/core/net-procfs.c), /proc/net/snmp and netstat (net/ipv4/proc.c), snmp6 (net/ipv6/proc.c).

What must stay true: whatever the text is, the only exception is MalformedError; a file that is not there (a kernel
without IPv6) is no error.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from fleetnet_agent.records import Interface, InterfaceCounters, Statistic
from fleetnet_agent.sources.source import MalformedError

COUNTERS_FILE: Final = "dev"
STATISTICS_FILES: Final = ("snmp", "netstat", "snmp6")  # in the order in which their values are given

_IPV6_GROUPS = ("Ip6", "Icmp6", "UdpLite6", "Udp6")
_COLUMNS = 16  # of /proc/net/dev, eight each way
_MOST = 2**63 - 1  # the wire's largest; a 64-bit counter beyond it stands still there


def counters(text: str, links: Iterable[Interface], netns: int = 0) -> list[InterfaceCounters]:
    """What /proc/net/dev says of these interfaces, in its order; what only one of the two has is left out. Raises
    MalformedError."""
    by_name = {link.name: link for link in links}
    found = []
    for line in _lines(text)[2:]:
        name, _, numbers = line.partition(":")  # which no name has in it
        link = by_name.get(name.strip(" "))
        if link is not None:
            found.append(_counters(link, _numbers(numbers.split()), netns))
    return found


def statistics(texts: Mapping[str, str], netns: int = 0) -> list[Statistic]:
    """What the files of STATISTICS_FILES say, by their names, in their order. Raises MalformedError."""
    found: list[Statistic] = []
    for name in STATISTICS_FILES:
        read = _ipv6 if name == "snmp6" else _pairs_of_lines
        found += (Statistic(netns, *one) for one in read(texts.get(name, "")))
    return found


def _pairs_of_lines(text: str) -> Iterator[tuple[str, str, int]]:
    """`Tcp: ActiveOpens PassiveOpens` and, in the next line, `Tcp: 3 4`."""
    lines = _lines(text)
    if len(lines) % 2:
        raise MalformedError("names of statistics without their values")
    for names, values in zip(lines[::2], lines[1::2], strict=True):
        group, *columns = names.split() or [""]
        again, *numbers = values.split() or [""]
        if group != again or not group.endswith(":") or len(columns) != len(numbers):
            raise MalformedError("statistics whose names and values do not belong together")
        for name, value in zip(columns, _numbers(numbers), strict=True):
            yield group[:-1], name, value


def _ipv6(text: str) -> Iterator[tuple[str, str, int]]:
    """`Ip6InReceives 3`, a line each."""
    for line in _lines(text):
        fields = line.split()
        group = next((group for group in _IPV6_GROUPS if line.startswith(group)), None)
        if len(fields) != 2 or group is None:
            raise MalformedError("a line of /proc/net/snmp6 is not a name and a value")
        yield group, fields[0].removeprefix(group), _numbers(fields[1:])[0]


def _lines(text: str) -> list[str]:
    """Not splitlines(), which takes more for the end of a line than the kernel keeps out of an interface's name."""
    return text.removesuffix("\n").split("\n") if text else []


def _numbers(texts: list[str]) -> list[int]:
    # Not int() alone, which takes `1_000` and digits of any script, and is slow where a text is long.
    if not all(text.removeprefix("-").isdecimal() and text.isascii() and len(text) <= 20 for text in texts):
        raise MalformedError("a counter is not a number")
    return [max(-_MOST, min(_MOST, int(text))) for text in texts]


def _counters(link: Interface, numbers: list[int], netns: int) -> InterfaceCounters:
    if len(numbers) != _COLUMNS or min(numbers) < 0:
        raise MalformedError(f"an interface has {len(numbers)} counters")
    return InterfaceCounters(
        netns=netns,
        name=link.name,
        mtu=link.mtu,
        flags=link.flags,
        received_bytes=numbers[0],
        received_packets=numbers[1],
        receive_errors=numbers[2],
        receive_drops=numbers[3],
        receive_overruns=numbers[4],
        sent_bytes=numbers[8],
        sent_packets=numbers[9],
        send_errors=numbers[10],
        send_drops=numbers[11],
        send_overruns=numbers[12],
    )
