"""What an interface's driver says of it: speed, duplex, link and its own name, by the SIOCETHTOOL ioctl.

Needs no privilege, and works on any socket of the interface's namespace. Formats: struct ethtool_link_settings,
ethtool_drvinfo and ethtool_value in include/uapi/linux/ethtool.h; struct ifreq in include/uapi/linux/if.h.

What must stay true: what a driver does not say is unknown, never an error, and never a guess.
"""

import ctypes
import fcntl
import os
import struct
from dataclasses import dataclass

SIOCETHTOOL = 0x8946  # include/uapi/linux/sockios.h
ETHTOOL_GDRVINFO, ETHTOOL_GLINK, ETHTOOL_GLINKSETTINGS = 0x03, 0x0A, 0x4C
IFNAMSIZ = 16
SPEED_UNKNOWN = 0xFFFFFFFF
DUPLEXES = {0: 1, 1: 2}  # DUPLEX_HALF, DUPLEX_FULL: as in records.Interface

_SETTINGS = struct.Struct("=IIBBBBBBBb")  # command, speed, duplex, port, phy_address, …, link_mode_masks_nwords
_SETTINGS_BYTES = 48
_MASK_WORDS_MOST = 127  # of each of three masks; the kernel keeps their number in a signed byte
_DRIVER = struct.Struct("=I32s")
_DRIVER_BYTES = 196
_VALUE = struct.Struct("=II")
_REQUEST = struct.Struct(f"@{IFNAMSIZ}sP16x")  # ifreq: name, pointer, and the rest of its union


@dataclass(frozen=True, slots=True)
class Said:
    """What a driver says; the defaults where it does not."""

    speed_mbps: int = 0
    duplex: int = 0
    link: bool | None = None
    driver: str = ""


def ask(descriptor: int, name: str) -> Said:
    """What is said of an interface in the namespace of a socket. Never raises."""
    interface = os.fsencode(name)
    if len(interface) >= IFNAMSIZ or b"\0" in interface:
        return Said()
    speed_mbps, duplex = decode_settings(_settings(descriptor, interface))
    return Said(
        speed_mbps,
        duplex,
        decode_link_value(_call(descriptor, interface, _VALUE.pack(ETHTOOL_GLINK, 0))),
        decode_driver(_call(descriptor, interface, struct.pack(f"=I{_DRIVER_BYTES - 4}x", ETHTOOL_GDRVINFO))),
    )


def decode_settings(answer: bytes) -> tuple[int, int]:
    """Speed in Mbit/s and duplex of struct ethtool_link_settings; 0 where not known."""
    if len(answer) < _SETTINGS_BYTES or mask_words(answer) < 0:
        return 0, 0
    _, speed, duplex = _SETTINGS.unpack_from(answer)[:3]
    return (0 if speed == SPEED_UNKNOWN else speed), DUPLEXES.get(duplex, 0)


def mask_words(answer: bytes) -> int:
    """How many words its masks have; negative where the kernel tells how many it would have wanted."""
    return int(_SETTINGS.unpack_from(answer)[-1])


def decode_link_value(answer: bytes) -> bool | None:
    """Whether there is a link; None where the driver does not say."""
    return None if len(answer) < _VALUE.size else _VALUE.unpack_from(answer)[1] != 0


def decode_driver(answer: bytes) -> str:
    """Name of the driver; "" where it has none."""
    if len(answer) < _DRIVER.size:
        return ""
    name: bytes = _DRIVER.unpack_from(answer)[1]
    return name.partition(b"\0")[0].decode("utf-8", "surrogateescape")


def _settings(descriptor: int, interface: bytes) -> bytes:
    """The kernel first tells how large its masks are, then answers who knows that."""
    told = _call(descriptor, interface, _settings_request(0))
    words = -mask_words(told) if told else 0
    if not 0 < words <= _MASK_WORDS_MOST:
        return b""
    return _call(descriptor, interface, _settings_request(words))


def _settings_request(words: int) -> bytes:
    fixed = _SETTINGS.pack(ETHTOOL_GLINKSETTINGS, 0, 0, 0, 0, 0, 0, 0, 0, words)
    return fixed.ljust(_SETTINGS_BYTES + 3 * 4 * words, b"\0")


def _call(descriptor: int, interface: bytes, question: bytes) -> bytes:
    """What the kernel makes of a question; b"" where it refuses."""
    space = ctypes.create_string_buffer(question, len(question))
    try:
        fcntl.ioctl(descriptor, SIOCETHTOOL, _REQUEST.pack(interface, ctypes.addressof(space)))
    except OSError:
        return b""
    return space.raw
