"""Whatever a host calls what it has: little of it is kept, and the log stays lines of what can be seen."""

import sqlite3
from contextlib import closing

import pytest
from cli.nasty import DRAWN, PIECES
from fleetnet_proto.v1 import query_pb2, report_pb2
from fleetnet_server.rpc import bounds
from google.protobuf.descriptor import FieldDescriptor
from recorded import playing, streams
from recorded.releases import recorded_releases
from server.agents import DEADLINE_S
from server.running import Running

RELEASE = recorded_releases()[-1]
NASTY = "".join([*PIECES, *DRAWN])
LONG = (NASTY * 20)[:4_000]
# As much as fits into one message beside all others.
HUGE = (NASTY * 2_000)[:150_000]
MOST_BYTES = 4 * max(bounds.NAME, bounds.PATH, bounds.WORDS, bounds.SENTENCE)  # UTF-8


def defile(message: report_pb2.AgentMessage) -> None:
    """Have every text in it be hostile and long, and one be huge."""
    texts = [
        (owner, field)
        for owner, field, _ in streams.fields_of(message)
        if field.type == FieldDescriptor.TYPE_STRING and not field.is_repeated
    ]
    for number, (owner, field) in enumerate(texts[:120]):
        setattr(owner, field.name, HUGE if number == len(texts) // 2 else LONG)


@pytest.fixture(scope="module")
def told(collector: Running) -> Running:
    """A collector that was told a recording with such texts in it, and has taken all of it."""
    recording = streams.read(RELEASE / streams.AGENT, report_pb2.AgentMessage)
    with collector.channel(collector.join(playing.HOST)) as channel:
        playing.play(channel, recording, defile).stream.close()
    return collector


def test_no_text_of_a_host_takes_more_than_its_bound_in_the_database(told: Running) -> None:
    kept = 0
    with closing(sqlite3.connect(f"file:{told.data}/fleetnet.db?mode=ro", uri=True)) as db:
        for (table,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall():
            for _, column, *_ in db.execute(f'PRAGMA table_info("{table}")').fetchall():
                longest = db.execute(
                    f'SELECT max(length(CAST("{column}" AS BLOB))) FROM "{table}" '
                    f"WHERE typeof(\"{column}\") IN ('text', 'blob')"
                ).fetchone()[0]
                assert (longest or 0) <= MOST_BYTES, f"{table}.{column}"
                kept = max(kept, longest or 0)
        assert db.execute("SELECT count(*) FROM quarantine").fetchone() == (0,)
    # And they were kept, if not as long.
    assert kept > bounds.WORDS


def test_no_answer_holds_more_of_it_and_the_log_is_lines_of_what_can_be_seen(told: Running) -> None:
    with told.admin() as channel:
        queries = told.queries(channel)
        answers = [
            *queries.ListSockets(query_pb2.ListSocketsRequest(), timeout=DEADLINE_S),
            *queries.ListHosts(query_pb2.ListHostsRequest(), timeout=DEADLINE_S),
            *queries.ListNamespaces(query_pb2.ListNamespacesRequest(), timeout=DEADLINE_S),
        ]
    texts = [value for part in answers for _, _, value in streams.fields_of(part) if isinstance(value, str)]
    assert any("\x1b[2J" in text for text in texts)
    # A source's name stands before its detail.
    assert max(map(len, texts)) <= bounds.PATH + bounds.NAME
    assert "level=error" not in told.log()
    for line in told.log().splitlines():
        assert line.isprintable()
        assert len(line) < 2_000
