"""Requests and answers of the helper: they come back as they went, and nothing else gets in."""

import contextlib
import json
import os
import socket
import struct
import time
from collections.abc import Iterator

import pytest
from fleetnet_agent.helper import frames, protocol
from fleetnet_agent.helper.requests import (
    MOST_BUFFER_BYTES,
    MOST_DESCRIPTORS,
    MOST_MOUNTS,
    MOST_OPENED,
    MOST_PIDS,
    Kind,
    Listed,
    Listing,
    ListNamespaces,
    Opened,
    OpenEvents,
    OpenInside,
)
from fleetnet_agent.helper.scan import Answer, FoundProcess, Question
from hypothesis import given
from hypothesis import strategies as st

numbers = st.integers(0, 2**63 - 1)
listings = st.builds(
    Listing,
    own=numbers,
    of_process_1=st.none() | st.booleans(),
    namespaces=st.lists(
        st.builds(
            Listed,
            inode=numbers,
            mounts=st.lists(st.text(max_size=9), max_size=MOST_MOUNTS).map(tuple),
            pids=st.lists(numbers, max_size=MOST_PIDS).map(tuple),
            nsid=st.none() | numbers,
        ),
        max_size=3,
    ).map(tuple),
    numbers=st.none() | st.frozensets(numbers, max_size=4),
    trouble=st.text(max_size=20),
)
named = st.lists(st.tuples(numbers, st.text(max_size=9)), max_size=4).map(tuple)
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


@given(
    st.just(ListNamespaces())
    | st.builds(OpenInside, kind=st.sampled_from(Kind), inodes=st.lists(numbers, max_size=5).map(tuple))
    | st.builds(OpenEvents, buffer_bytes=st.integers(0, MOST_BUFFER_BYTES))
)
def test_a_request_about_namespaces_arrives_as_it_was_made(request: ListNamespaces | OpenInside | OpenEvents) -> None:
    assert protocol.decode_request(protocol.encode_request(request)) == request


@given(listings)
def test_a_listing_arrives_as_it_was_made(listing: Listing) -> None:
    assert protocol.decode_listing(protocol.encode_listing(listing)) == listing


@given(st.builds(Opened, descriptors=named, refused=named))
def test_what_was_opened_arrives_as_it_was_told(opened: Opened) -> None:
    assert protocol.decode_opened(protocol.encode_opened(opened)) == opened


def test_an_error_arrives_as_such() -> None:
    with pytest.raises(protocol.HelperError, match="no processes"):
        protocol.decode_answer(protocol.encode_error("no processes"))


DECODERS = (
    protocol.decode_request,
    protocol.decode_answer,
    protocol.decode_listing,
    protocol.decode_opened,
    protocol.decode_events_opened,
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5), lambda one: st.lists(one, max_size=5)
)
NAMES = ("do", "kind", "inodes", "own", "of_process_1", "namespaces", "numbers", "trouble", "descriptors", "refused")


@given(st.dictionaries(st.sampled_from((*NAMES, "buffer_bytes", "error")), VALUES, max_size=6))
def test_right_names_with_wrong_values_raise_nothing_but_the_protocols_errors(message: dict[str, object]) -> None:
    listing: dict[str, object] = {"own": 1, "of_process_1": None, "namespaces": [], "numbers": [], "trouble": ""}
    opened: dict[str, object] = {"descriptors": [], "refused": []}
    for base in ({}, listing, opened, {"do": "open", "kind": "diag", "inodes": []}):
        raw = json.dumps({**base, **{name: message[name] for name in message if not base or name in base}}).encode()
        for decode in DECODERS:
            with contextlib.suppress(frames.ProtocolError, protocol.HelperError):
                decode(raw)


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
        json.dumps({"do": ["owners"]}).encode(),
        json.dumps({"do": "namespaces", "more": 1}).encode(),
        json.dumps({"do": "open", "kind": "raw", "inodes": []}).encode(),
        json.dumps({"do": "open", "kind": ["diag"], "inodes": []}).encode(),
        json.dumps({"do": "open", "kind": "diag", "inodes": list(range(MOST_OPENED + 1))}).encode(),
        json.dumps({"do": "open", "kind": "diag", "inodes": ["/etc/shadow"]}).encode(),
        json.dumps({"do": "open", "kind": "diag"}).encode(),
        json.dumps({"do": "events", "buffer_bytes": MOST_BUFFER_BYTES + 1}).encode(),
        json.dumps({"do": "events", "buffer_bytes": None}).encode(),
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
    for decode in DECODERS:
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


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@contextlib.contextmanager
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    near, far = socket.socketpair()
    with near, far:
        yield near, far


def test_descriptors_travel_with_a_frame() -> None:
    with pair() as (near, far), socket.socket() as one:
        deadline_s = time.monotonic() + 5
        frames.send(near, b"two", deadline_s, [one.fileno(), one.fileno()])
        raw, descriptors = frames.receive_with_descriptors(far, 100, deadline_s)
        assert (raw, len(descriptors)) == (b"two", 2)
        for descriptor in descriptors:
            assert os.fstat(descriptor).st_ino == os.fstat(one.fileno()).st_ino
            assert not os.get_inheritable(descriptor)
            os.close(descriptor)


@pytest.mark.parametrize("sent", [b"\0\0\0\5he", b"\xff\xff\xff\xff", b"\0\0"])
@pytest.mark.parametrize("count", [1, 3, MOST_DESCRIPTORS, 253])
def test_descriptors_that_come_with_a_broken_frame_are_closed(sent: bytes, count: int) -> None:
    with pair() as (near, far), socket.socket() as one:
        before = open_descriptors()
        socket.send_fds(near, [sent], [one.fileno()] * count)
        near.shutdown(socket.SHUT_WR)
        with pytest.raises(frames.ProtocolError):
            frames.receive_with_descriptors(far, 100, time.monotonic() + 5)
        assert open_descriptors() == before


def test_more_descriptors_than_any_answer_has_are_closed_and_refused() -> None:
    with pair() as (near, far), socket.socket() as one:
        before = open_descriptors()
        socket.send_fds(near, [struct.pack("!I", 2) + b"hi"], [one.fileno()] * (MOST_DESCRIPTORS + 1))
        with pytest.raises(frames.ProtocolError, match="descriptors"):
            frames.receive_with_descriptors(far, 100, time.monotonic() + 5)
        assert open_descriptors() == before


def test_where_no_descriptors_are_wanted_none_come_in() -> None:
    with pair() as (near, far), socket.socket() as one:
        before = open_descriptors()
        socket.send_fds(near, [struct.pack("!I", 2) + b"hi"], [one.fileno()])
        assert frames.receive(far, 100, time.monotonic() + 5) == b"hi"
        assert open_descriptors() == before
