"""Telling the service manager how it goes: sd_notify(3), in a few lines of the standard library.

One datagram to the socket that NOTIFY_SOCKET names; without one nothing is told. What must stay true: telling never
blocks and never fails, for an agent that cannot tell its manager goes on all the same.
"""

import contextlib
import os
import socket
from collections.abc import Mapping
from typing import Final

VARIABLES: Final = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")
SOME_S: Final = 10.0  # between two statuses where no watchdog asks for more
LONGEST: Final = 200  # characters of a status


class Notifier:
    """The service manager, as a process sees it that was started by one, or by none."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._address = _address(environment.get("NOTIFY_SOCKET", ""))
        self._status = ""
        watchdog_s = _watchdog_s(environment) if self._address else 0.0
        self.has_watchdog = watchdog_s > 0
        self.every_s = min(watchdog_s / 2, SOME_S) if self.has_watchdog else SOME_S  # to be called `alive` in

    def ready(self) -> None:
        """The start is over."""
        self._tell("READY=1")

    def alive(self, status: str) -> None:
        """Work goes on, and this is how, on one line."""
        lines = ["WATCHDOG=1"] if self.has_watchdog else []
        line = "".join(letter if letter.isprintable() else "?" for letter in status[:LONGEST])
        if line != self._status:
            self._status = line
            lines.append(f"STATUS={line}")
        if lines:
            self._tell(*lines)

    def stopping(self) -> None:
        """The end has begun."""
        self._tell("STOPPING=1")

    def _tell(self, *lines: str) -> None:
        if not self._address:
            return
        # A socket for each: this process may have become another user since the last, or its manager have begun anew.
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as connection:
            connection.setblocking(False)
            connection.sendto("\n".join(lines).encode(errors="replace"), self._address)


def without_notify(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment for a child that is not to speak for its parent."""
    return {name: value for name, value in environment.items() if name not in VARIABLES}


def _address(name: str) -> str:
    """As Python has it: an abstract socket, which systemd writes with "@", begins with a zero byte."""
    if name.startswith("@"):
        return f"\0{name[1:]}"
    return name if name.startswith("/") else ""  # there are others, of virtual machines, which no service gets


def _watchdog_s(environment: Mapping[str, str]) -> float:
    """How long the manager waits for a sign of life; 0 where it does not."""
    period, pid = environment.get("WATCHDOG_USEC", ""), environment.get("WATCHDOG_PID", "")
    meant_for_us = not pid or pid == str(os.getpid())
    return int(period) / 1_000_000 if meant_for_us and period.isascii() and period.isdigit() else 0.0
