"""What a document shows of a socket that was looked at live: all that history has of one, and what it does not keep."""

from fleetnet_cli.live import LiveSocket, Timer
from fleetnet_cli.output.presentation import Column, Presentation
from fleetnet_cli.output.sockets import CELLS, FIELDS, KIND, as_json, wide_columns
from fleetnet_cli.records import Socket
from fleetnet_cli.services import Services

# idiag_timer of include/uapi/linux/inet_diag.h
_TIMERS = {1: "retransmission", 2: "keepalive", 3: "time-wait", 4: "zero-window-probe"}

# By the names of live.proto.
_TCP = (
    "rtt_us",
    "rtt_variation_us",
    "min_rtt_us",
    "congestion_window",
    "slow_start_threshold",
    "retransmitted_segments",
    "lost_segments",
    "acknowledged_bytes",
    "received_bytes",
    "sent_bytes",
    "sent_segments",
    "received_segments",
    "delivery_rate",
    "last_sent_ms",
    "last_received_ms",
    "send_mss",
    "retransmission_timeout_us",
    "congestion_control",
)
_MEMORY = (
    "receive_allocated_bytes",
    "receive_buffer_bytes",
    "send_allocated_bytes",
    "send_buffer_bytes",
    "forward_allocated_bytes",
    "send_queued_bytes",
    "option_bytes",
    "backlog_bytes",
    "drops",
)
_FIELDS = (
    *FIELDS,
    *(f"timer.{name}" for name in ("kind", "expires_ms", "retransmits")),
    *(f"tcp.{name}" for name in _TCP),
    *(f"memory.{name}" for name in _MEMORY),
)


def presentation(services: Services) -> Presentation[LiveSocket]:
    """Sockets with their volatile numbers, for every format but netstat's own layout."""
    return Presentation(
        kind=KIND,
        as_json=lambda one: {**as_json(one.socket, services), **_volatile(one)},
        columns=(
            *(_of_socket(column) for column in wide_columns()),
            Column("TIMER", lambda one: _timer(one.timer) if one.timer else ""),
            Column("RTT (us)", lambda one: str(one.tcp["rtt_us"]) if one.tcp else "", right=True, if_any=True),
        ),
        nothing="no such sockets",
        host_of=lambda one: one.socket.host,
        fields=_FIELDS,
        cells=CELLS,
    )


def _of_socket(column: Column[Socket]) -> Column[LiveSocket]:
    return Column(column.heading, lambda one: column.cell(one.socket), right=column.right, if_any=column.if_any)


def _timer(timer: Timer) -> str:
    return f"{_TIMERS.get(timer.kind, str(timer.kind))} {timer.expires_ms} ms, {timer.retransmits} times"


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
