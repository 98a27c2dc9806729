"""Run by Alembic: applies migrations to the connection that storage/migrate.py hands over.

Without a connection it writes the statements out instead (`upgrade(..., sql=True)`), for the dialect in the
configuration's `dialect` attribute.
"""

from alembic import context

from fleetnet_server.storage import views
from fleetnet_server.storage.schema import METADATA

connection = context.config.attributes.get("connection")
if connection is not None:
    views.drop(connection)
    # The caller's transaction holds all steps together: Alembic neither begins nor commits one.
    context.configure(connection=connection, target_metadata=METADATA)
else:
    context.configure(dialect_name=context.config.attributes["dialect"], target_metadata=METADATA)
with context.begin_transaction():
    context.run_migrations()
