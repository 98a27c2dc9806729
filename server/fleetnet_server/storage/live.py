"""Live looks that one collector has another make: questions, and the parts of their answers, for seconds.

What must stay true: a question is taken by one collector; of an answer that nobody takes only a few parts are kept, and
nothing of it once the question is gone.
"""

from collections.abc import Collection
from typing import Final, NamedTuple

from sqlalchemy import ColumnElement, Connection, delete, func, insert, select, update

from fleetnet_server.storage.schema import hosts, live_answers, live_questions, sessions

MOST_PARTS: Final = 16  # of an answer that wait to be taken: each is a quarter of a megabyte or so


class Asked(NamedTuple):
    """A question that nobody has taken."""

    host_id: int
    host: str
    question_id: int


class Part(NamedTuple):
    """A part of an answer; a name of an error in `refused` makes it the last."""

    part: int
    refused: str
    message: bytes


def reports(conn: Connection, host_id: int, heard_since_us: int) -> bool:
    """Whether the host has a stream at any collector, as far as the database knows."""
    open_now = (
        select(sessions.c.host_id)
        .join(hosts, (hosts.c.host_id == sessions.c.host_id) & (hosts.c.generation == sessions.c.generation))
        .where(
            hosts.c.host_id == host_id,
            sessions.c.ended_at_us.is_(None),
            func.coalesce(hosts.c.last_heard_us, sessions.c.started_at_us) >= heard_since_us,
        )
    )
    return conn.execute(open_now).first() is not None


def ask(conn: Connection, host_id: int, question_id: int, message: bytes, now_us: int) -> None:
    """Have a host looked at by the collector that it reports to."""
    conn.execute(
        insert(live_questions).values(host_id=host_id, question_id=question_id, asked_at_us=now_us, message=message)
    )


def waiting(conn: Connection, since_us: int) -> list[Asked]:
    """Questions that were asked since and that nobody has taken."""
    query = (
        select(live_questions.c.host_id, hosts.c.name, live_questions.c.question_id)
        .join(hosts, hosts.c.host_id == live_questions.c.host_id)
        .where(live_questions.c.taken_at_us.is_(None), live_questions.c.asked_at_us >= since_us)
    )
    return [Asked(*row) for row in conn.execute(query)]


def take(conn: Connection, host_id: int, question_id: int, now_us: int) -> bytes | None:
    """Take a question: its message, or None if another was quicker or it is gone."""
    return conn.execute(
        update(live_questions)
        .where(*_this(host_id, question_id), live_questions.c.taken_at_us.is_(None))
        .values(taken_at_us=now_us)
        .returning(live_questions.c.message)
    ).scalar_one_or_none()


def put(conn: Connection, host_id: int, question_id: int, part: Part) -> bool | None:
    """Put down a part of an answer. False if there is no room before others are taken; None if nobody asks any more."""
    # Held until the end of the transaction, so that it is not forgotten in between.
    question = select(live_questions.c.host_id).where(*_this(host_id, question_id)).with_for_update()
    if conn.execute(question).first() is None:
        return None
    if conn.execute(select(func.count()).where(*_of(host_id, question_id))).scalar_one() >= MOST_PARTS:
        return False
    conn.execute(insert(live_answers).values(host_id=host_id, question_id=question_id, **part._asdict()))
    return True


def parts(conn: Connection, host_id: int, question_id: int) -> list[Part]:
    """The parts that wait, in their order."""
    query = (
        select(live_answers.c.part, live_answers.c.refused, live_answers.c.message)
        .where(*_of(host_id, question_id))
        .order_by(live_answers.c.part)
    )
    return [Part(*row) for row in conn.execute(query)]


def drop(conn: Connection, host_id: int, question_id: int, numbers: Collection[int]) -> None:
    """These parts have been taken."""
    conn.execute(delete(live_answers).where(*_of(host_id, question_id), live_answers.c.part.in_(numbers)))


def forget(conn: Connection, host_id: int, question_id: int) -> None:
    """Nobody asks any more."""
    conn.execute(delete(live_questions).where(*_this(host_id, question_id)))
    conn.execute(delete(live_answers).where(*_of(host_id, question_id)))


def clear(conn: Connection, before_us: int) -> None:
    """Forget what was asked before, by a collector that did not live to forget it."""
    old = select(live_questions.c.host_id, live_questions.c.question_id).where(live_questions.c.asked_at_us < before_us)
    for host_id, question_id in conn.execute(old).all():
        forget(conn, host_id, question_id)


def _this(host_id: int, question_id: int) -> tuple[ColumnElement[bool], ...]:
    return (live_questions.c.host_id == host_id, live_questions.c.question_id == question_id)


def _of(host_id: int, question_id: int) -> tuple[ColumnElement[bool], ...]:
    return (live_answers.c.host_id == host_id, live_answers.c.question_id == question_id)
