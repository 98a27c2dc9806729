"""The tables can be spread over machines by host, as Citus does it."""

import ast
import importlib
import pkgutil
from collections.abc import Iterator
from pathlib import Path

from fleetnet_server import storage
from fleetnet_server.storage.schema import METADATA
from fleetnet_server.storage.spread import REFERENCE
from sqlalchemy import Delete, Insert, Table, UniqueConstraint, Update

DISTRIBUTED = [table for table in METADATA.tables.values() if table.name not in REFERENCE]


def statements() -> Iterator[tuple[str, Insert | Update | Delete]]:
    """Those that are constants of their modules."""
    for module in pkgutil.iter_modules(storage.__path__, f"{storage.__name__}."):
        for name, value in vars(importlib.import_module(module.name)).items():
            if isinstance(value, Insert | Update | Delete):
                yield f"{module.name}.{name}", value


def unique(table: Table) -> Iterator[set[str]]:
    """The columns of each of its keys."""
    if table.primary_key.columns:
        yield {column.name for column in table.primary_key.columns}
    for constraint in table.constraints:
        if isinstance(constraint, UniqueConstraint):
            yield {column.name for column in constraint.columns}
    for index in table.indexes:
        if index.unique:
            yield {column.name for column in index.columns}


def test_every_table_is_spread_by_host_or_has_few_rows() -> None:
    assert set(METADATA.tables) >= REFERENCE
    for table in DISTRIBUTED:
        assert "host_id" in table.columns, table.name
        assert not table.columns["host_id"].nullable, table.name


def test_every_unique_key_contains_the_host() -> None:
    for table in DISTRIBUTED:
        assert all("host_id" in key for key in unique(table)), table.name


def test_no_table_refers_to_one_that_is_spread_otherwise() -> None:
    for table in METADATA.tables.values():
        for key in table.foreign_keys:
            assert key.column.table.name in REFERENCE or (key.parent.name, key.column.name) == ("host_id", "host_id")


def changes(module: ast.Module) -> Iterator[set[str | None]]:
    """What each `update(...).….values(...)` of a module changes."""
    for node in ast.walk(module):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "values":
            made: ast.expr = node.func.value
            while isinstance(made, ast.Call) and isinstance(made.func, ast.Attribute):
                made = made.func.value
            if isinstance(made, ast.Call) and isinstance(made.func, ast.Name) and made.func.id == "update":
                yield {keyword.arg for keyword in node.keywords}


def test_no_statement_moves_a_row_to_another_host() -> None:
    found = [one for file in Path(storage.__path__[0]).glob("*.py") for one in changes(ast.parse(file.read_text()))]
    assert len(found) > 15
    assert not any("host_id" in changed for changed in found)


def test_what_is_written_of_one_host_names_it() -> None:
    for name, made in statements():
        if not isinstance(made, Insert) and made.table in DISTRIBUTED:
            assert "host_id" in str(made.whereclause), name
