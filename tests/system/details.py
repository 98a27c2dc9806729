"""What ss tells of sockets beside their addresses, in the words of our live look, so that the two can be compared."""

import re
from collections.abc import Iterator
from typing import Any

from fleetnet_proto.v1 import live_pb2, query_pb2
from system.laboratory import REPORT_PORT

from demo.fabric import Host

Field = str
Details = dict[Field, object]
"""By the field's name in live.proto; one that a tool does not show is not there."""

_TIMERS = {"on": 1, "keepalive": 2, "timewait": 3, "persist": 4}
_TIMER_WORDS = {"retransmission": 1, "keepalive": 2, "time-wait": 3, "zero-window-probe": 4}
_MEMORY = {
    "r": "receive_allocated_bytes",
    "rb": "receive_buffer_bytes",
    "t": "send_allocated_bytes",
    "tb": "send_buffer_bytes",
    "f": "forward_allocated_bytes",
    "w": "send_queued_bytes",
    "o": "option_bytes",
    "bl": "backlog_bytes",
    "d": "drops",
}
_NUMBERS = {
    "mss": "send_mss",
    "cwnd": "congestion_window",
    "ssthresh": "slow_start_threshold",
    "bytes_sent": "sent_bytes",
    "bytes_acked": "acknowledged_bytes",
    "bytes_received": "received_bytes",
    "segs_out": "sent_segments",
    "segs_in": "received_segments",
    "lost": "lost_segments",
}
_CONGESTION = frozenset({"bbr", "cubic", "reno"})
_HIDDEN_SSTHRESH = 0xFFFF  # from here on ss shows none
_HIDDEN_RTO_US = 3_000_000  # which ss does not show


def of_ss(host: Host) -> dict[int, Details]:
    """`ss -tuaneimoOH` on a host, by cookie; without the agent's own connection, which is never quiet."""
    return dict(_of_line(line) for line in host.run("ss", "-tuaneimoOH", f"dport != {REPORT_PORT}").splitlines())


def of_ss_by_inode(host: Host) -> dict[int, Details]:
    """`ss -tinaemoOH` on a host, by inode; without what has none, and without the agent's own connection."""
    found = {}
    for line in host.run("ss", "-tinaemoOH", f"dport != {REPORT_PORT}").splitlines():
        if inode := re.search(r" ino:([1-9]\d*)", line):
            found[int(inode[1])] = _of_line(f"tcp {line}")[1]
    return found


def of_documents(items: list[dict[str, Any]]) -> dict[int, Details]:
    """The same of what the command line says of TCP, live, in JSON."""
    found = {}
    for item in items:
        if item["inode"] and item["remote_port"] != REPORT_PORT:
            timer = item["timer"] and {**item["timer"], "kind": _TIMER_WORDS[item["timer"]["kind"]]}
            queues = query_pb2.SocketItem(recv_queue=item["recv_queue"], send_queue=item["send_queue"])
            one = query_pb2.LiveItem(socket=queues, timer=timer, tcp=item["tcp"], memory=item["memory"])
            found[item["inode"]] = dict(_of_item(one))
    return found


def of_live(items: list[query_pb2.LiveItem]) -> dict[int, Details]:
    """Our answer, by cookie."""
    return {item.socket.cookie: dict(_of_item(item)) for item in items if item.socket.remote_port != REPORT_PORT}


def _of_line(line: str) -> tuple[int, Details]:
    fields = line.split()
    cookie = re.search(r"\bsk:([0-9a-f]+)", line)
    assert cookie, line
    found: Details = {"recv_queue": int(fields[2]), "send_queue": int(fields[3])}
    if timer := re.search(r"timer:\((\w+),([\w.]*),(\d+)\)", line):
        found |= {"timer": _TIMERS[timer[1]], "expires_ms": _milliseconds(timer[2]), "retransmits": int(timer[3])}
    if memory := re.search(r"skmem:\((.*?)\)", line):
        found |= {_MEMORY[name]: int(value) for name, value in re.findall(r"([a-z]+)(\d+)", memory[1])}
    for name, value in re.findall(r" (\w+):([\d.]+)(?= |$)", line):
        if name in _NUMBERS:
            found[_NUMBERS[name]] = int(value)
        elif name in ("rto", "minrtt"):
            field = {"rto": "retransmission_timeout_us", "minrtt": "min_rtt_us"}[name]
            found[field] = round(float(value) * 1000)
    if rtt := re.search(r" rtt:([\d.]+)/([\d.]+)", line):
        found["rtt_us"] = round(float(rtt[1]) * 1000)
        if variation_us := round(float(rtt[2]) * 1000):
            found["rtt_variation_us"] = variation_us
    if retransmitted := re.search(r" retrans:\d+/(\d+)", line):
        found["retransmitted_segments"] = int(retransmitted[1])
    if rate := re.search(r" delivery_rate (\d+)bps", line):
        found["delivery_rate"] = int(rate[1]) // 8
    if congestion := _CONGESTION.intersection(fields):
        (found["congestion_control"],) = congestion
    return int(cookie[1], 16), found


def _milliseconds(text: str) -> int:
    """`59sec`, `5.308ms` for five seconds and 308 ms, `1min59sec`, `119min`."""
    found = re.fullmatch(r"(?:(\d+)min)?(?:(\d+)(?:sec|\.))?(?:(\d+)ms)?", text)
    assert found, text
    minutes, seconds, milliseconds = (int(number or 0) for number in found.groups())
    return (minutes * 60 + seconds) * 1_000 + milliseconds


def _of_item(item: query_pb2.LiveItem) -> Iterator[tuple[Field, object]]:
    yield "recv_queue", item.socket.recv_queue
    yield "send_queue", item.socket.send_queue
    if item.HasField("timer"):
        yield "timer", item.timer.kind
        yield "expires_ms", item.timer.expires_ms
        yield "retransmits", item.timer.retransmits
    if item.HasField("memory"):
        yield from ((field, getattr(item.memory, field)) for field in _MEMORY.values())
    if item.HasField("tcp"):
        for field in item.tcp.DESCRIPTOR.fields:
            value = getattr(item.tcp, field.name)
            if value and not _hidden(item.tcp, field.name):
                yield field.name, value


def _hidden(tcp: live_pb2.TcpInfo, field: Field) -> bool:
    """True for what ss leaves out though it is not 0."""
    return (
        (field == "slow_start_threshold" and tcp.slow_start_threshold >= _HIDDEN_SSTHRESH)
        or (field == "retransmission_timeout_us" and tcp.retransmission_timeout_us == _HIDDEN_RTO_US)
        or (field == "rtt_variation_us" and not tcp.rtt_us)
    )
