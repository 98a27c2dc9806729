"""Finds namespaces with their interfaces and routes, now or at a time past.

The order is SQL's, so that an answer can be cut and sent a page at a time. A page costs one statement that counts what
belongs to its namespaces and two that load it, more where it is much: one namespace may have thousands of routes, and
what is held in memory is to be bounded.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, case, func, select, tuple_, union_all

from fleetnet_server.network import NamespaceAnswer
from fleetnet_server.records import NamespaceQuestion
from fleetnet_server.storage import interfaces, namespaces, routes, schema, spans
from fleetnet_server.storage.moments import Moment, of_hosts

PAGE = 200
ROWS_AT_ONCE = 5_000

_HOST_NETNS = 0

Pair = tuple[int, int]  # host_id and netns


def pages(
    conn: Connection, question: NamespaceQuestion, moment: Moment | None, host_ids: Collection[int] | None
) -> Iterator[tuple[NamespaceAnswer, ...]]:
    """The namespaces asked for, at most PAGE a page, at most one more than the limit (so that cutting is noticed).

    `moment` None asks about now, `host_ids` None about all hosts.
    """
    table = schema.namespaces
    columns = [table.c[name] for name in ("host_id", *namespaces.COLUMNS)]
    conditions = of_hosts(table, host_ids)
    if question.own_only:
        conditions.append(table.c.netns == _HOST_NETNS)
    parts = [
        part.add_columns(schema.hosts.c.name.label("host"), _seen().label("last_seen_us"))
        .join_from(table, schema.hosts, schema.hosts.c.host_id == table.c.host_id)
        .where(*conditions)
        for part in spans.at(table, moment, columns)
    ]
    found = union_all(*parts).subquery()
    own_first = case((found.c.netns == _HOST_NETNS, 0), else_=1)
    query = select(found).order_by(found.c.host, own_first, found.c.name, found.c.netns)
    if question.selection.limit:
        query = query.limit(question.selection.limit + 1)
    with conn.execute(query, execution_options={"stream_results": True, "max_row_buffer": PAGE}) as result:
        for rows in result.partitions(PAGE):
            for portion in _portions(conn, rows, question, moment):
                yield _answers(conn, portion, question, moment)


def _seen() -> ColumnElement[int]:
    # Every whole look confirms all that is open, without a write to each row.
    table, look_us = schema.namespaces, schema.hosts.c.last_look_us
    confirmed = and_(table.c.closed_at_us.is_(None), look_us > table.c.seen_at_us)
    return case((confirmed, look_us), else_=table.c.seen_at_us)


def _portions(
    conn: Connection, rows: Sequence[Row[Any]], question: NamespaceQuestion, moment: Moment | None
) -> Iterator[list[Row[Any]]]:
    """The rows in their order, as many at a time as have some ROWS_AT_ONCE interfaces and routes together."""
    sizes = _sizes(conn, {(row.host_id, row.netns) for row in rows}, question, moment)
    portion: list[Row[Any]] = []
    size = 0
    for row in rows:
        portion.append(row)
        size += sizes.get((row.host_id, row.netns), 0)
        if size >= ROWS_AT_ONCE:
            yield portion
            portion, size = [], 0
    if portion:
        yield portion


def _sizes(
    conn: Connection, pairs: Collection[Pair], question: NamespaceQuestion, moment: Moment | None
) -> Mapping[Pair, int]:
    wanted = [
        *([] if question.without_interfaces else [schema.interfaces]),
        *([] if question.without_routes else [schema.routes]),
    ]
    if not wanted:
        return {}
    parts = [
        part.where(tuple_(table.c.host_id, table.c.netns).in_(list(pairs)))
        for table in wanted
        for part in spans.at(table, moment, (table.c.host_id, table.c.netns))
    ]
    found = union_all(*parts).subquery()
    query = select(found.c.host_id, found.c.netns, func.count()).group_by(found.c.host_id, found.c.netns)
    return {(row[0], row[1]): row[2] for row in conn.execute(query)}


def _answers(
    conn: Connection, rows: Sequence[Row[Any]], question: NamespaceQuestion, moment: Moment | None
) -> tuple[NamespaceAnswer, ...]:
    pairs = {(row.host_id, row.netns) for row in rows}
    with_interfaces = {} if question.without_interfaces else interfaces.load(conn, pairs, moment)
    with_routes = {} if question.without_routes else routes.load(conn, pairs, moment)
    answers = []
    for row in rows:
        of_interfaces = with_interfaces.get((row.host_id, row.netns), [])
        of_routes = with_routes.get((row.host_id, row.netns), [])
        answers.append(
            NamespaceAnswer(
                host=row.host,
                namespace=replace(
                    namespaces.of_row(row),
                    interfaces=tuple(interface for interface, _ in of_interfaces),
                    routes=tuple(route for route, _ in of_routes),
                ),
                opened_at_us=row.since_us,
                interfaces_since_us=tuple(since_us for _, since_us in of_interfaces),
                routes_since_us=tuple(since_us for _, since_us in of_routes),
                last_seen_us=row.last_seen_us,
            )
        )
    return tuple(answers)
