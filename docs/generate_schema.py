"""Write docs/schema.md from what the tables and views say of themselves where they are declared.

Usage: python docs/generate_schema.py > docs/schema.md   (`make generate` does so; a test says when it is due)
"""

import sys
from collections.abc import Iterable, Iterator

from fleetnet_server.storage import views
from fleetnet_server.storage.metadata import ONLY_ON
from fleetnet_server.storage.schema import METADATA
from sqlalchemy import Column, Index, Table, UniqueConstraint
from sqlalchemy.dialects import postgresql
from sqlalchemy.engine import Dialect

_DIALECT: Dialect = postgresql.dialect()  # type: ignore[no-untyped-call]

_BEGINNING = """\
# The database

Written by `make generate` from server/fleetnet_server/storage; edit the sentences there.

To ask in SQL, use the six views: their columns keep their names and their meaning, and new ones come at the end. They
need no more than `SELECT` on themselves (PostgreSQL: `GRANT SELECT ON listeners, sockets, socket_history,
socket_counts, socket_trends, host_labels TO reader`, once more after an upgrade that made them anew), and on SQLite
`sqlite3 -readonly fleetnet.db` is enough, also while a collector writes. The tables may change with any version. On
PostgreSQL a view of your own that shows one of these keeps an upgrade from changing them, and the collector says so:
drop yours, start it, and make yours anew.

Times of the views are text in UTC on SQLite and `timestamptz` on PostgreSQL, of the host's clock; of `socket_trends`
they are the collector's. Names, units and paths come from hosts as they are, control characters too. What a host was
not heard to say is not in them: `hosts.last_heard_us` tells how long ago that was, and `gaps` of which times its
history is not whole. `fleetnet` itself says so with each answer.

```sql
-- What listens on 443, wherever it can be reached?
SELECT host, local_address, processes, unit FROM listeners
WHERE protocol = 'tcp' AND local_port = 443 AND exposed = 'yes';

-- What listens where others can reach it, on all web servers?
SELECT host, local_port, processes FROM listeners JOIN host_labels USING (host)
WHERE exposed = 'yes' AND key = 'role' AND value = 'web';

-- Who held connections to 10.1.2.3 at noon?
SELECT host, processes, local_port, remote_port, state, closed_at_is FROM socket_history
WHERE remote_address = '10.1.2.3' AND opened_at <= '2026-11-29T12:00:00Z'
AND (closed_at > '2026-11-29T12:00:00Z' OR closed_at IS NULL);

-- In which states is all that the fleet holds open? Whatever it holds, this reads some ten rows for each host.
SELECT protocol, state, sum(sockets) AS sockets FROM socket_counts GROUP BY protocol, state ORDER BY 3 DESC;

-- Do connections that nobody closes grow on db3? Between two rows the count was that of the earlier one. Of a time in
-- which db3 was not heard (sessions, gaps) there are no rows, and the one before says nothing of it.
SELECT at, sockets, highest FROM socket_trends
WHERE host = 'db3' AND protocol = 'tcp' AND state = 'CLOSE_WAIT' ORDER BY at;

-- What of one host ended since then? Quick with much history: it follows an index, which knows of ten minutes at a
-- time. The number is that of date +%s, once in its tens of minutes and once with six zeros.
SELECT * FROM socket_history WHERE host = 'web1'
AND ended_in >= 1795953600 / 600 AND closed_at_us >= 1795953600000000;
```
"""


def document() -> str:
    """The whole page."""
    tables = [METADATA.tables[name] for name in sorted(METADATA.tables)]
    parts = [_BEGINNING, "## Views\n", *map(_view, views.VIEWS), "## Tables\n", *map(_table, tables)]
    return "\n".join(parts)


def _view(view: views.View) -> str:
    rows = ((f"`{name}`", sentence) for name, sentence in view.columns)
    return f"### {view.name}\n\n{view.comment}\n\n{_grid(('column', 'what it is'), rows)}"


def _table(table: Table) -> str:
    rows = ((f"`{column.name}`", _type(column), column.comment or "") for column in table.columns)
    facts = "".join(f"- {fact}\n" for fact in _facts(table))
    return f"### {table.name}\n\n{table.comment}\n\n{_grid(('column', 'type', 'what it is'), rows)}\n{facts}"


def _type(column: "Column[object]") -> str:
    """As PostgreSQL calls it."""
    told = str(column.type.compile(_DIALECT)).partition(" COLLATE")[0].lower()
    return f"{told}, may be empty" if column.nullable else told


def _facts(table: Table) -> Iterator[str]:
    if table.primary_key.columns:
        yield f"key: {_names(table.primary_key.columns)}"
    for constraint in sorted(table.constraints, key=lambda one: str(one.name)):
        if isinstance(constraint, UniqueConstraint):
            yield f"unique: {_names(constraint.columns)}"
    for index in sorted(table.indexes, key=lambda one: str(one.name)):
        yield f"index: {', '.join(_keys(index))}{_only(index)}"


def _keys(index: Index) -> list[str]:
    return [one.name if isinstance(one, Column) else str(one)[1:-1] for one in index.expressions]


def _only(index: Index) -> str:
    where = index.dialect_options["postgresql"]["where"]
    rows = "" if where is None else f", of rows with {where}"
    return f"{rows}, on PostgreSQL alone" if ONLY_ON in index.info else rows


def _names(columns: "Iterable[Column[object]]") -> str:
    return ", ".join(column.name for column in columns)


def _grid(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = (head, tuple("---" for _ in head), *rows)
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)


if __name__ == "__main__":
    sys.stdout.write(document())
