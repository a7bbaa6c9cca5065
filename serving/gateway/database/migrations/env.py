"""Run by Alembic: applies versions on the connection that `database.migrate` made."""

from alembic import context
from sqlalchemy import Connection

from serving.gateway.database.tables import Base


def _run(connection: Connection) -> None:
    # The caller's transaction holds all versions, on SQLite too: half a migration is never visible.
    context.configure(connection=connection, target_metadata=Base.metadata)
    with context.begin_transaction():
        context.run_migrations()


_run(context.config.attributes["connection"])
