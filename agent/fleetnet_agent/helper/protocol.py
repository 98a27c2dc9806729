"""What the agent and its privileged helper say to each other: one request and one answer to a connection.

Each is JSON. The requests are a closed set:

    {"do": "owners", "inodes": [N, …] | null, "pids": [N, …] | null, "skip": [N, …]}
        → {"processes": [[pid, start_ticks, name, exe, program, [inode, …]], …], "pids": [N, …], "unreadable": [N, …]}
    {"do": "namespaces"}
        → {"own": N, "of_process_1": true | false | null, "numbers": [N, …] | null, "trouble": "one sentence",
           "namespaces": [[inode, ["path", …], [pid, …], nsid | null], …]}
    {"do": "open", "kind": "diag" | "route" | "statistics", "inodes": [N, …]}
        → {"descriptors": [[inode, "what"], …], "refused": [[inode, "why"], …]} and as many descriptors (SCM_RIGHTS)
    {"do": "events", "buffer_bytes": N}
        → {"buffer_bytes": N} and one descriptor

or, where the helper could not, {"error": "one sentence"}. Pure; frames travel by `frames.py`. Standard library only.
"""

import json
from itertools import groupby
from typing import Any

from fleetnet_agent.helper.frames import ProtocolError
from fleetnet_agent.helper.requests import (
    LONGEST_PATH,
    MOST_BUFFER_BYTES,
    MOST_DESCRIPTORS,
    MOST_MOUNTS,
    MOST_NAMESPACES,
    MOST_OPENED,
    MOST_PIDS,
    EventsOpened,
    Kind,
    Listed,
    Listing,
    ListNamespaces,
    Opened,
    OpenEvents,
    OpenInside,
)
from fleetnet_agent.helper.scan import Answer, FoundProcess, Question

REQUEST_BYTES = 1 << 20
ANSWER_BYTES = 1 << 24
MOST_NUMBERS = 65536  # in one list of a request
LARGEST_NUMBER = 2**63 - 1

_SENTENCE = 512  # characters

Request = Question | ListNamespaces | OpenInside | OpenEvents


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


def encode_request(request: ListNamespaces | OpenInside | OpenEvents) -> bytes:
    """A request about namespaces."""
    match request:
        case ListNamespaces():
            return _encode({"do": "namespaces"})
        case OpenInside():
            return _encode({"do": "open", "kind": request.kind.value, "inodes": request.inodes})
        case OpenEvents():
            return _encode({"do": "events", "buffer_bytes": request.buffer_bytes})


def decode_request(raw: bytes) -> Request:
    """A request. Raises ProtocolError for anything that is not exactly one."""
    request = _decode(raw)
    match request.get("do"), request.keys() - {"do"}:
        case "owners", names if names == {"inodes", "pids", "skip"}:
            return _question(request)
        case "namespaces", names if not names:
            return ListNamespaces()
        case "open", names if names == {"kind", "inodes"}:
            if request["kind"] not in [kind.value for kind in Kind]:
                raise ProtocolError("not a kind that this helper opens")
            return OpenInside(Kind(request["kind"]), tuple(_numbers(request["inodes"], MOST_OPENED)))
        case "events", names if names == {"buffer_bytes"}:
            return OpenEvents(_number(request["buffer_bytes"], MOST_BUFFER_BYTES))
    raise ProtocolError("not a request that this helper knows")


def _question(request: dict[str, Any]) -> Question:
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
    answer = _answer(raw, {"processes", "pids", "unreadable"})
    return Answer(
        processes=tuple(_process(process) for process in _list(answer["processes"], ANSWER_BYTES)),
        pids=tuple(_numbers(answer["pids"], ANSWER_BYTES)),
        unreadable=tuple(_numbers(answer["unreadable"], ANSWER_BYTES)),
    )


def encode_listing(listing: Listing) -> bytes:
    """An answer to `namespaces`."""
    return _encode(
        {
            "own": listing.own,
            "of_process_1": listing.of_process_1,
            "namespaces": [[one.inode, one.mounts, one.pids, one.nsid] for one in listing.namespaces],
            "numbers": None if listing.numbers is None else sorted(listing.numbers),
            "trouble": listing.trouble[:_SENTENCE],
        }
    )


def decode_listing(raw: bytes) -> Listing:
    """An answer to `namespaces`. Raises ProtocolError, or HelperError with the helper's own words."""
    answer = _answer(raw, {"own", "of_process_1", "namespaces", "numbers", "trouble"})
    if not (answer["of_process_1"] is None or isinstance(answer["of_process_1"], bool)):
        raise ProtocolError("not an answer that this agent knows")
    numbers = answer["numbers"]
    return Listing(
        own=_number(answer["own"]),
        of_process_1=answer["of_process_1"],
        namespaces=tuple(_listed(one) for one in _list(answer["namespaces"], MOST_NAMESPACES)),
        numbers=None if numbers is None else frozenset(_numbers(numbers, ANSWER_BYTES)),
        trouble=_text(answer["trouble"], _SENTENCE),
    )


def encode_opened(opened: Opened) -> bytes:
    """An answer to `open`."""
    descriptors = [
        [inode, *(name for _, name in some)] for inode, some in groupby(opened.descriptors, lambda one: one[0])
    ]
    return _encode({"descriptors": descriptors, "refused": opened.refused})


def decode_opened(raw: bytes) -> Opened:
    """An answer to `open`. Raises ProtocolError, or HelperError with the helper's own words."""
    answer = _answer(raw, {"descriptors", "refused"})
    descriptors: list[tuple[int, str]] = []
    for one in _list(answer["descriptors"], MOST_DESCRIPTORS):
        inode, *names = _list(one, 1 + MOST_DESCRIPTORS) or [None]
        number = _number(inode)
        descriptors += [(number, _text(name, _SENTENCE)) for name in names]
    if len(descriptors) > MOST_DESCRIPTORS:
        raise ProtocolError("more descriptors than one answer has")
    return Opened(
        descriptors=tuple(descriptors),
        refused=tuple(_named(one) for one in _list(answer["refused"], MOST_OPENED)),
    )


def encode_events_opened(opened: EventsOpened) -> bytes:
    """An answer to `events`."""
    return _encode({"buffer_bytes": opened.buffer_bytes})


def decode_events_opened(raw: bytes) -> EventsOpened:
    """An answer to `events`. Raises ProtocolError, or HelperError with the helper's own words."""
    return EventsOpened(_number(_answer(raw, {"buffer_bytes"})["buffer_bytes"]))


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


def _answer(raw: bytes, names: set[str]) -> dict[str, Any]:
    answer = _decode(raw)
    if isinstance(answer.get("error"), str):
        raise HelperError(answer["error"][:_SENTENCE])
    if answer.keys() != names:
        raise ProtocolError("not an answer that this agent knows")
    return answer


def _list(value: object, at_most: int) -> list[object]:
    if not isinstance(value, list) or len(value) > at_most:
        raise ProtocolError("not a list, or one too long")
    return value


def _number(value: object, at_most: int = LARGEST_NUMBER) -> int:
    (number,) = _numbers([value], 1)
    if number > at_most:
        raise ProtocolError("a number that is too large")
    return number


def _text(value: object, at_most: int) -> str:
    if not isinstance(value, str) or len(value) > at_most:
        raise ProtocolError("not a text, or one too long")
    return value


def _listed(value: object) -> Listed:
    fields = _list(value, 4)
    if len(fields) != 4:
        raise ProtocolError("not a namespace")
    inode, mounts, pids, nsid = fields
    return Listed(
        inode=_number(inode),
        mounts=tuple(_text(mount, LONGEST_PATH) for mount in _list(mounts, MOST_MOUNTS)),
        pids=tuple(_numbers(pids, MOST_PIDS)),
        nsid=None if nsid is None else _number(nsid),
    )


def _named(value: object) -> tuple[int, str]:
    fields = _list(value, 2)
    if len(fields) != 2:
        raise ProtocolError("not a namespace and a text")
    return _number(fields[0]), _text(fields[1], _SENTENCE)


def _numbers(value: object, at_most: int) -> list[int]:
    if not isinstance(value, list) or len(value) > at_most:
        raise ProtocolError("not a list of numbers, or one too long")
    # Without a bytecode for each: an answer has one for every socket of the host.
    if value and (set(map(type, value)) != {int} or min(value) < 0 or max(value) > LARGEST_NUMBER):
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
