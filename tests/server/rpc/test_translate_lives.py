"""What happened on a host, from messages to records and back."""

import pytest
from fleetnet_proto.v1 import query_pb2
from fleetnet_server.errors import RequestRefused
from fleetnet_server.lives import AgentStart
from fleetnet_server.records import Gap, Net
from fleetnet_server.rpc import translate_lives


def asked(host: str = "web1", *, since_us: int = 5, **selection: object) -> query_pb2.ListLivesRequest:
    chosen = query_pb2.Selection(host=host, **selection)  # type: ignore[arg-type]  # the caller names fields
    return query_pb2.ListLivesRequest(sockets=query_pb2.ListSocketsRequest(selection=chosen), since_us=since_us)


def test_a_question_names_one_host_and_a_time() -> None:
    question = translate_lives.question(asked(at_us=9, limit=3))
    assert (question.sockets.selection.host, question.sockets.selection.at_us) == ("web1", 9)
    assert (question.sockets.selection.limit, question.since_us) == (3, 5)


def test_a_container_and_a_net_narrow_it() -> None:
    message = asked()
    message.container = "mail"
    message.local.CopyFrom(query_pb2.Net(address=b"\x0a\0\0\0", prefix_bits=8))
    question = translate_lives.question(message)
    assert (question.sockets.container, question.sockets.local) == ("mail", Net(b"\x0a\0\0\0", 8))
    message.local.prefix_bits = 33
    with pytest.raises(RequestRefused, match="no net"):
        translate_lives.question(message)


@pytest.mark.parametrize(
    ("message", "why"),
    [
        (asked(""), "one host"),
        (asked("web1", host_glob="web*"), "one host"),
        (asked(since_us=0), "1970"),
        (asked(since_us=-1), "1970"),
        (asked(since_us=1 << 62), "2100"),
        (asked(at_us=4), "later than"),
    ],
)
def test_what_makes_no_sense_is_refused(message: query_pb2.ListLivesRequest, why: str) -> None:
    with pytest.raises(RequestRefused, match=why):
        translate_lives.question(message)


def test_what_is_not_known_of_a_question_is_refused() -> None:
    # Field 1000, a number.
    newer = query_pb2.ListLivesRequest.FromString(asked().SerializeToString() + b"\xc0\x3e\x01")
    with pytest.raises(RequestRefused, match="newer than the collector"):
        translate_lives.question(newer)


def test_gaps_and_starts_are_told_as_they_are_kept() -> None:
    lives = (Gap(1, 2, "host rebooted"), AgentStart(3, True, "0.1.0", "6.1", 2))
    [page] = translate_lives.pages(lives)
    assert page.items[0].gap == query_pb2.GapItem(from_us=1, to_us=2, reason="host rebooted")
    start = query_pb2.AgentStart(at_us=3, booted=True, agent_version="0.1.0", kernel="6.1", booted_at_us=2)
    assert page.items[1].agent_start == start
