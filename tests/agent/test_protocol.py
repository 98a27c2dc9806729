"""Requests and answers of the helper: they come back as they went, and nothing else gets in."""

import contextlib
import json
import socket
import struct
import time

import pytest
from fleetnet_agent.helper import frames, protocol
from fleetnet_agent.owners.scan import Answer, FoundProcess, Question
from hypothesis import given
from hypothesis import strategies as st

numbers = st.integers(0, 2**63 - 1)
sets = st.frozensets(numbers, max_size=5)
processes = st.builds(
    FoundProcess,
    pid=numbers,
    start_ticks=numbers,
    name=st.text(max_size=8),
    exe=st.text(max_size=8),
    program=st.text(max_size=8),
    inodes=st.lists(numbers, max_size=4).map(tuple),
)
answers = st.builds(
    Answer,
    processes=st.lists(processes, max_size=3).map(tuple),
    pids=st.lists(numbers, max_size=5).map(tuple),
    unreadable=st.lists(numbers, max_size=5).map(tuple),
)


@given(st.builds(Question, inodes=st.none() | sets, pids=st.none() | sets, skip=sets))
def test_a_question_arrives_as_it_was_asked(question: Question) -> None:
    assert protocol.decode_request(protocol.encode_question(question)) == question


@given(answers)
def test_an_answer_arrives_as_it_was_given(answer: Answer) -> None:
    assert protocol.decode_answer(protocol.encode_answer(answer)) == answer


def test_an_error_arrives_as_such() -> None:
    with pytest.raises(protocol.HelperError, match="no processes"):
        protocol.decode_answer(protocol.encode_error("no processes"))


def asked(**changed: object) -> bytes:
    return json.dumps({"do": "owners", "inodes": None, "pids": None, "skip": [], **changed}).encode()


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"[]",
        b"null",
        b"\xff",
        b"[" * 100_000,
        b'{"do":"owners","inodes":null,"pids":null,"skip":[' + b"9" * 5000 + b"]}",
        asked(do="kill"),
        asked(more=1),
        asked(inodes=5),
        asked(inodes=["5"]),
        asked(inodes=[True]),
        asked(inodes=[-1]),
        asked(inodes=[1.5]),
        asked(pids=[2**63]),
        asked(skip=None),
        asked(skip=list(range(protocol.MOST_NUMBERS + 1))),
        json.dumps({"do": "owners"}).encode(),
    ],
)
def test_anything_but_a_known_request_is_refused(raw: bytes) -> None:
    with pytest.raises(frames.ProtocolError):
        protocol.decode_request(raw)


@given(
    st.binary(max_size=60)
    | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(json.dumps).map(str.encode)
)
def test_noise_raises_nothing_but_the_protocols_errors(raw: bytes) -> None:
    for decode in (protocol.decode_request, protocol.decode_answer):
        with contextlib.suppress(frames.ProtocolError, protocol.HelperError):
            decode(raw)


@pytest.mark.parametrize("process", [5, [], [1, 2, 3, "", "", []], [1, 2, "", "", "", [""]], ["1", 2, "", "", "", []]])
def test_a_process_that_is_none_is_refused(process: object) -> None:
    with pytest.raises(frames.ProtocolError):
        protocol.decode_answer(json.dumps({"processes": [process], "pids": [], "unreadable": []}).encode())


def test_a_frame_arrives_whole_and_one_too_long_is_refused_unread() -> None:
    near, far = socket.socketpair()
    with near, far:
        deadline_s = time.monotonic() + 5
        frames.send(near, b"hello", deadline_s)
        assert frames.receive(far, 100, deadline_s) == b"hello"
        near.sendall(struct.pack("!I", 101))
        with pytest.raises(frames.ProtocolError, match="101"):
            frames.receive(far, 100, deadline_s)


def test_a_frame_that_is_cut_or_too_slow_ends() -> None:
    near, far = socket.socketpair()
    with far:
        with near:
            near.sendall(struct.pack("!I", 5) + b"he")
            with pytest.raises(TimeoutError):
                frames.receive(far, 100, time.monotonic() + 0.05)
            near.sendall(struct.pack("!I", 5) + b"he")
        with pytest.raises(frames.ProtocolError, match="ended"):
            frames.receive(far, 100, time.monotonic() + 5)
