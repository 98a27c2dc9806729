"""What a document shows of a socket that was looked at live: all that history has of one, and what it does not keep."""

from fleetnet_cli.live import LiveSocket, Timer
from fleetnet_cli.output.presentation import Presentation
from fleetnet_cli.output.sockets import KIND, as_json
from fleetnet_cli.services import Services

# idiag_timer of include/uapi/linux/inet_diag.h
_TIMERS = {1: "retransmission", 2: "keepalive", 3: "time-wait", 4: "zero-window-probe"}


def presentation(services: Services) -> Presentation[LiveSocket]:
    """Sockets with their volatile numbers, for documents alone."""
    return Presentation(
        kind=KIND,
        as_json=lambda one: {**as_json(one.socket, services), **_volatile(one)},
        columns=(),
        nothing="no such sockets",
        host_of=lambda one: one.socket.host,
    )


def _volatile(one: LiveSocket) -> dict[str, object]:
    return {
        "timer": _timer_as_json(one.timer) if one.timer else None,
        "tcp": dict(one.tcp) if one.tcp else None,
        "memory": dict(one.memory) if one.memory else None,
    }


def _timer_as_json(timer: Timer) -> dict[str, object]:
    return {
        "kind": _TIMERS.get(timer.kind, str(timer.kind)),
        "expires_ms": timer.expires_ms,
        "retransmits": timer.retransmits,
    }
