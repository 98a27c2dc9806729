"""What the agent and its privileged helper say to each other: one request and one answer to a connection.

A frame is its length (4 bytes, network order) and that many bytes of JSON. The requests are a closed set:

    {"do": "owners", "inodes": [N, …] | null, "pids": [N, …] | null, "skip": [N, …]}
        → {"processes": [[pid, start_ticks, name, exe, program, [inode, …]], …], "pids": [N, …], "unreadable": [N, …]}

or, where the helper could not, {"error": "one sentence"}. Pure but for `receive` and `send`. Standard library only.
"""

import json
import socket
import struct
import time
from typing import Any

from fleetnet_agent.owners.scan import Answer, FoundProcess, Question

REQUEST_BYTES = 1 << 20
ANSWER_BYTES = 1 << 24
MOST_NUMBERS = 65536  # in one list of a request
LARGEST_NUMBER = 2**63 - 1

_LENGTH = struct.Struct("!I")


class ProtocolError(Exception):
    """The other side does not keep to the protocol; the text is one sentence."""


class HelperError(Exception):
    """The helper said that it could not."""


def encode_question(question: Question) -> bytes:
    """A request for `owners`."""
    return _encode(
        {
            "do": "owners",
            "inodes": None if question.inodes is None else sorted(question.inodes),
            "pids": None if question.pids is None else sorted(question.pids),
            "skip": sorted(question.skip),
        }
    )


def decode_question(raw: bytes) -> Question:
    """A request. Raises ProtocolError for anything that is not exactly one."""
    request = _decode(raw)
    if request.keys() != {"do", "inodes", "pids", "skip"} or request["do"] != "owners":
        raise ProtocolError("not a request that this helper knows")
    return Question(
        inodes=None if request["inodes"] is None else frozenset(_numbers(request["inodes"], MOST_NUMBERS)),
        pids=None if request["pids"] is None else frozenset(_numbers(request["pids"], MOST_NUMBERS)),
        skip=frozenset(_numbers(request["skip"], MOST_NUMBERS)),
    )


def encode_answer(answer: Answer) -> bytes:
    """An answer to `owners`. Raises ProtocolError if it is too large to send."""
    raw = _encode(
        {
            "processes": [[p.pid, p.start_ticks, p.name, p.exe, p.program, p.inodes] for p in answer.processes],
            "pids": answer.pids,
            "unreadable": answer.unreadable,
        }
    )
    if len(raw) > ANSWER_BYTES:
        raise ProtocolError("there are more sockets than one answer holds")
    return raw


def encode_error(sentence: str) -> bytes:
    """An answer that says why there is none."""
    return _encode({"error": sentence})


def decode_answer(raw: bytes) -> Answer:
    """An answer to `owners`. Raises ProtocolError, or HelperError with the helper's own words."""
    answer = _decode(raw)
    if isinstance(answer.get("error"), str):
        raise HelperError(answer["error"])
    if answer.keys() != {"processes", "pids", "unreadable"} or not isinstance(answer["processes"], list):
        raise ProtocolError("not an answer that this agent knows")
    return Answer(
        processes=tuple(_process(process) for process in answer["processes"]),
        pids=tuple(_numbers(answer["pids"], ANSWER_BYTES)),
        unreadable=tuple(_numbers(answer["unreadable"], ANSWER_BYTES)),
    )


def receive(connection: socket.socket, at_most: int, deadline_s: float) -> bytes:
    """One frame, or ProtocolError, or OSError (TimeoutError at the deadline, by time.monotonic)."""
    (size,) = _LENGTH.unpack(_receive_exactly(connection, _LENGTH.size, deadline_s))
    if size > at_most:
        raise ProtocolError(f"a message of {size} bytes is larger than the {at_most} that are allowed")
    return _receive_exactly(connection, size, deadline_s)


def send(connection: socket.socket, raw: bytes, deadline_s: float) -> None:
    """Send one frame, or OSError (TimeoutError at the deadline, by time.monotonic)."""
    connection.settimeout(_left(deadline_s))  # for sendall() a limit to all of it together
    connection.sendall(_LENGTH.pack(len(raw)) + raw)


def _receive_exactly(connection: socket.socket, size: int, deadline_s: float) -> bytes:
    received = bytearray()
    while len(received) < size:
        connection.settimeout(_left(deadline_s))
        some = connection.recv(min(size - len(received), 1 << 16))
        if not some:
            raise ProtocolError("the connection ended within a message")
        received += some
    return bytes(received)


def _left(deadline_s: float) -> float:
    left = deadline_s - time.monotonic()
    if left <= 0:
        raise TimeoutError("the time for this exchange is over")
    return left


def _encode(message: dict[str, Any]) -> bytes:
    return json.dumps(message, separators=(",", ":")).encode()


def _decode(raw: bytes) -> dict[str, Any]:
    try:
        message = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise ProtocolError("not JSON") from error
    if not isinstance(message, dict):
        raise ProtocolError("not a JSON object")
    return message


def _numbers(value: object, at_most: int) -> list[int]:
    if not isinstance(value, list) or len(value) > at_most:
        raise ProtocolError("not a list of numbers, or one too long")
    if any(type(number) is not int or not 0 <= number <= LARGEST_NUMBER for number in value):
        raise ProtocolError("a list of numbers with something else in it")
    return value


def _process(value: object) -> FoundProcess:
    if not isinstance(value, list) or len(value) != 6:
        raise ProtocolError("not a process")
    pid, ticks = _numbers(value[:2], 2)
    name, exe, program = value[2:5]
    if not (isinstance(name, str) and isinstance(exe, str) and isinstance(program, str)):
        raise ProtocolError("a process without its names")
    return FoundProcess(pid, ticks, name, exe, program, tuple(_numbers(value[5], ANSWER_BYTES)))
