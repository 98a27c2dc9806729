"""Interfaces in the layout of netstat(8), to the space. Counters that were not looked at are `-`.

Without -a only those that are up; by name, the number at its end as a number. Labels of additional addresses (eth0:1),
which netstat shows as interfaces, are not kept.
"""

from collections.abc import Iterable

from fleetnet_cli.network import Interface, InterfaceItem
from fleetnet_cli.output.netstat import dotted
from fleetnet_cli.output.terminal import Terminal

# IFF_* of include/uapi/linux/if.h with netstat's letter, in netstat's order; P stands for two of them.
_LETTERS = (
    (0x200, "A"),  # ALLMULTI
    (0x2, "B"),  # BROADCAST
    (0x4, "D"),  # DEBUG
    (0x8, "L"),  # LOOPBACK
    (0x1000, "M"),  # MULTICAST
    (0x8000, "d"),  # DYNAMIC
    (0x100, "P"),  # PROMISC
    (0x20, "N"),  # NOTRAILERS
    (0x80, "O"),  # NOARP
    (0x10, "P"),  # POINTOPOINT
    (0x800, "s"),  # SLAVE
    (0x400, "m"),  # MASTER
    (0x40, "R"),  # RUNNING
    (0x1, "U"),  # UP
)
_UP = 0x1
_ALL_FLAGS = 0xFFFF  # what the ioctl has room for

# The names of live.proto in the order of the columns, each with its layout.
_COLUMNS = (
    ("received_packets", ">8"),
    ("receive_errors", ">6"),
    ("receive_drops", ">6"),
    ("receive_overruns", "<6"),
    ("sent_packets", ">8"),
    ("send_errors", ">6"),
    ("send_drops", ">6"),
    ("send_overruns", ">6"),
)


def write(items: Iterable[InterfaceItem], everything: bool, out: Terminal, *, heading: bool) -> int:
    """Writes the lines; returns how many."""
    shown = sorted((i for i in items if everything or is_up(i.interface)), key=lambda i: _place(i.interface.name))
    if heading:
        columns = "Iface             MTU    RX-OK RX-ERR RX-DRP RX-OVR    TX-OK TX-ERR TX-DRP TX-OVR Flg"
        out.write(f"Kernel Interface table\n{columns}\n")
    out.write("".join(line(item) + "\n" for item in shown))
    return len(shown)


def is_up(interface: Interface) -> bool:
    """Netstat shows it without -a."""
    return bool(interface.flags & _UP)


def line(item: InterfaceItem) -> str:
    """One interface, without its line end."""
    one, counters = item.interface, item.counters
    numbers = " ".join(format(str(counters[name]) if counters else "-", form) for name, form in _COLUMNS)
    flags = "".join(letter for bit, letter in _LETTERS if one.flags & bit)
    flags = flags if one.flags & _ALL_FLAGS else "[NO FLAGS]"
    return dotted(f"{one.name[:15]:<15} {one.mtu:>5} {numbers} {flags}")


def _place(name: str) -> tuple[str, int]:
    start = name.rstrip("0123456789")
    return start, int(name[len(start) :] or 0)
