"""What an answer or a batch costs, counted in statements and judged by the engine's own plan of them."""

import re
from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection, Engine, event

_SHARD = re.compile(r"_\d{6,}$")  # the number of a shard, behind the name of its table or index
Asked = list[tuple[str, Any]]


def asked_of(engine: Engine) -> Asked:
    """Each statement of the pieces of work to come, with its values; how a transaction begins is left out."""
    found: Asked = []

    def note(_conn: object, _cursor: object, sql: str, values: object, *_: object) -> None:
        if not sql.startswith("BEGIN"):  # of which one driver tells and another does not
            found.append((sql, values))

    event.listen(engine, "before_cursor_execute", note)
    return found


def pieces(engine: str, rows: int) -> int:
    """In how many statements so many rows are looked up or put in: on SQLite 256 at a time, and then a power of two."""
    return rows // 256 + (rows % 256).bit_count() if engine == "sqlite" else 1


def plan(conn: Connection, sql: str, values: Any) -> list[str]:
    """How the engine goes about a statement: each step that reads a table, with the index and what it does with it."""
    if conn.dialect.name == "sqlite":
        return [str(row) for row in conn.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", values)]
    # On Citus each shard's own plan is told, if it is told what this one is.
    conn.exec_driver_sql("SET LOCAL citus.propagate_set_commands = 'local'")
    # Tables of a test are so small that reading them whole is best.
    conn.exec_driver_sql("SET LOCAL enable_seqscan = off")
    [[planned]] = conn.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {sql}", values)
    return list(_steps(planned))


def _steps(node: Any, of: str = "") -> Iterator[str]:
    """In the order of the plan, with the parts that Citus puts around those of its shards."""
    if isinstance(node, list):
        for one in node:
            yield from _steps(one, of)
    elif isinstance(node, dict):
        of = _SHARD.sub("", node.get("Relation Name", of))
        below = [value for value in node.values() if isinstance(value, dict | list)]
        if "Index Name" in node:
            yield f"{of} through {_SHARD.sub('', node['Index Name'])} by {node.get('Index Cond', '')} "
        elif "Relation Name" in node and "Plans" not in node:
            yield f"{of} whole"
        yield from _steps(below, of)


def tasks(conn: Connection, sql: str, values: Any) -> int:
    """To how many shards Citus puts a statement; 0 of one that needs none of them."""
    [[planned]] = conn.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {sql}", values)
    return sum(_tasks(planned))


def _tasks(node: Any) -> Iterator[int]:
    below = node if isinstance(node, list) else list(node.values()) if isinstance(node, dict) else []
    if isinstance(node, dict) and "Task Count" in node:
        yield node["Task Count"]
    for one in below:
        yield from _tasks(one)
