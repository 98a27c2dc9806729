"""What all tables have in common: the one collection that they belong to, and how their names are made and kept."""

from sqlalchemy import ColumnElement, MetaData, String, Text
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler

METADATA = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)

# In the info of an index that one engine alone has: the name of that engine.
ONLY_ON = "only on"

# Answers are ordered by name and address; PostgreSQL would order text by the language of its cluster.
Name = String().with_variant(Text(collation="C"), "postgresql")


class NoBytes(ColumnElement[bytes]):
    """A value of no bytes, written into a statement: what is that to one engine is empty text to SQLite."""

    # Nothing in it tells one from another: without this SQLAlchemy compiles each statement that has one anew.
    _traverse_internals = []  # noqa: RUF012  # SQLAlchemy's own way of saying it
    inherit_cache = True


@compiles(NoBytes)
def _no_bytes(_element: NoBytes, compiler: SQLCompiler, **_: object) -> str:
    return "x''" if compiler.dialect.name == "sqlite" else "''"
