"""How many TCP sockets there are by another count of the kernel's than its table: /proc/net/sockstat, sockstat6 and
snmp (net/ipv4/proc.c, net/ipv6/proc.c). Costs a thousandth of a dump.

What must stay true: whatever the texts are, no exception; what is not understood is not counted.
"""

from collections.abc import Iterable
from pathlib import Path

from fleetnet_agent.sources.source import Count


def tcp_count(net: Path) -> Count | None:
    """As of now; `net` is the namespace's /proc/net. None where that does not tell."""
    try:
        sockstat, snmp = (net / "sockstat").read_bytes(), (net / "snmp").read_bytes()
        has_ipv6 = (net / "sockstat6").exists()
        return counted(sockstat, (net / "sockstat6").read_bytes() if has_ipv6 else b"", snmp)
    except OSError:
        return None


def counted(sockstat: bytes, sockstat6: bytes, snmp: bytes) -> Count | None:
    """What the files say; None where they do not. `sockstat6` is empty without IPv6. Pure."""
    try:
        (ipv4,) = (_named(words[1::2], words[2::2]) for words in _lines(sockstat, b"TCP:"))
        ipv6 = [_named(words[1::2], words[2::2]) for words in _lines(sockstat6, b"TCP6:")]
        names, values = _lines(snmp, b"Tcp:")
        totals = _named(names[1:], values[1:])
        return Count(
            ipv4[b"inuse"] + ipv4[b"tw"] + sum(each[b"inuse"] for each in ipv6),
            totals[b"ActiveOpens"] + totals[b"PassiveOpens"],
        )
    except (ValueError, KeyError):
        return None


def _lines(text: bytes, group: bytes) -> list[list[bytes]]:
    return [line.split() for line in text.splitlines() if line.startswith(group)]


def _named(names: Iterable[bytes], values: Iterable[bytes]) -> dict[bytes, int]:
    return {name: int(value) for name, value in zip(names, values, strict=True)}
