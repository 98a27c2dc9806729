"""Plays what a recorded agent said to a real collector of today, and asks the questions whose answers are kept.

The times of a recording lie in the past, and a collector compares them with its own clock: what it is told is moved so
that the last look was a moment ago (streams.moved), and times in the answers are moved back. Numbers of live requests
become those that the collector asks with.
"""

import datetime
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import grpc
from fleetnet_proto.v1 import report_pb2
from recorded import streams
from server.agents import DEADLINE_S, ReportStream
from server.running import Running

HOST: Final = "recorded"
CLI: Final = Path(sys.executable).parent / "fleetnet"
_EARLIER_US: Final = 1_000_000
"""How long ago the last look was: nothing that is told lies in the future."""
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
# Of the moment at which it was played or asked, and not of what was told.
_OF_THE_PLAYING: Final = frozenset({"as_of", "clock_offset_us", "enrolled_at", "last_seen"})
_HALF_A_SECOND_US: Final = 500_000  # further from a look than any clock of a test's machine is off

Questions = dict[str, tuple[str, ...]]
NOW: Final[Questions] = {
    "now": ("netstat", HOST, "-a"),
    "interfaces": ("netstat", HOST, "-i"),
    "routes": ("netstat", HOST, "-r"),
    "hosts": ("hosts",),
}
THEN: Final[Questions] = {
    "tcp": ("netstat", HOST, "-ta"),
    "inner": ("netstat", HOST, "-a", "--netns", "inner"),
    "CLOSE_WAIT": ("who-holds", "CLOSE_WAIT"),
}
LIVE: Final[Questions] = {
    "live sockets": ("netstat", HOST, "-t", "--live", "--timers"),
    "live interfaces": ("netstat", HOST, "-i", "--live"),
    "live statistics": ("netstat", HOST, "-s", "--live"),
}


@dataclass(frozen=True, slots=True)
class Played:
    """A recording that a collector has been told."""

    stream: ReportStream
    by_us: int  # its times were moved so far
    looks_us: list[int]  # of its batches, as recorded, first to last
    live: list[report_pb2.AgentMessage]


def play(
    channel: grpc.Channel,
    recording: list[report_pb2.AgentMessage],
    touched: Callable[[report_pb2.AgentMessage], None] = lambda message: None,
) -> Played:
    """Tell it all but the live looks, and await each acknowledgement; `touched` changes each message before."""
    grpc.channel_ready_future(channel).result(DEADLINE_S)  # for Hello says now, and is to be heard now
    stream, now_us = ReportStream(channel), time.time_ns() // 1_000
    by_us = now_us - _EARLIER_US - streams.last_look_us(recording)
    told = streams.moved(recording, by_us, now_us)
    for message in told:
        touched(message)
    stream.open(told[0].hello)
    batches = [message.batch for message in told if message.HasField("batch")]
    for batch in batches:
        stream.send(batch=batch)
        stream.await_ack(batch.sequence)
    looks_us = sorted({batch.look_at_us - by_us for batch in batches})
    return Played(stream, by_us, looks_us, [message for message in told if message.HasField("live")])


def answers(collector: Running, played: Played) -> dict[str, Any]:
    """What the command line answers now, of the past, and live."""
    found = answers_now(collector, played)
    third_us = played.looks_us[2] + _HALF_A_SECOND_US
    for name, question in THEN.items():
        found[f"{name}, after the third look"] = ask(
            collector, played, *question, "--at", _text(third_us + played.by_us)
        )
    gap_us = played.looks_us[0] - _HALF_A_SECOND_US
    found["in the gap"] = ask(collector, played, *THEN["tcp"], "--at", _text(gap_us + played.by_us))
    for name, question in LIVE.items():
        found[name] = look_live(collector, played, *question)
    return found


def answers_now(collector: Running, played: Played) -> dict[str, Any]:
    """What it answers of the present alone."""
    return {name: ask(collector, played, *question) for name, question in NOW.items()}


def in_lines(found: dict[str, Any]) -> str:
    """As it is kept: JSON with an item a line, so that a difference can be read."""
    told = []
    for name, answer in sorted(found.items()):
        document = dict(answer["document"] or {})
        items = ",\n  ".join(json.dumps(item, sort_keys=True) for item in document.pop("items", []))
        head = json.dumps({**answer, "document": document}, sort_keys=True)
        told.append(f'{json.dumps(name)}: {{"answer": {head}, "items": [\n  {items}\n]}}')
    return "{\n" + ",\n".join(told) + "\n}\n"


def ask(collector: Running, played: Played, *question: str) -> dict[str, Any]:
    """One answer: its status, and its document in recorded time."""
    process = start(collector, *question)
    return answer_of(process, played)


def start(collector: Running, *question: str) -> "subprocess.Popen[str]":
    """Ask, and do not wait."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("FLEETNET_", "XDG_"))}
    command = [str(CLI), "--server", f"unix://{collector.admin_socket}", *question, "-o", "json"]
    return subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**kept, "TZ": "UTC"},
    )  # fmt: skip


def answer_of(process: "subprocess.Popen[str]", played: Played) -> dict[str, Any]:
    """What it printed at last, in recorded time."""
    out, err = process.communicate(timeout=30)
    return {"status": process.returncode, "said": err, "document": _back(json.loads(out or "null"), played.by_us)}


def look_live(collector: Running, played: Played, *question: str) -> dict[str, Any]:
    """Ask for a live look, which is answered with the recorded one that had the same parts wanted."""
    process = start(collector, *question)
    try:
        # What else the collector may say meanwhile is not about this question.
        while not (message := played.stream.receive()).HasField("look_now"):
            pass
        look_now = message.look_now
        for recorded in played.live:
            part = recorded.live
            if bool(part.sockets) == look_now.wanted.sockets and bool(part.statistics) == look_now.wanted.statistics:
                part.request = look_now.request
                played.stream.send(live=part)
        return answer_of(process, played)
    finally:
        process.kill()
        process.communicate()


def _back(told: Any, by_us: int) -> Any:
    """The same in recorded time."""
    if isinstance(told, dict):
        return {key: _back(value, by_us) for key, value in told.items() if key not in _OF_THE_PLAYING}
    if isinstance(told, list):
        return [_back(value, by_us) for value in told]
    if isinstance(told, str) and _TIME.fullmatch(told):
        at = datetime.datetime.fromisoformat(told)
        return _text(round(at.timestamp() * 1e6) - by_us)
    return told


def _text(at_us: int) -> str:
    at = datetime.datetime.fromtimestamp(at_us // 1_000_000, datetime.UTC).replace(microsecond=at_us % 1_000_000)
    return at.isoformat().replace("+00:00", "Z")
