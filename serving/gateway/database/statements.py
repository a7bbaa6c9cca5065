"""The one statement that each of the two databases writes in its own dialect."""

from typing import Any

from sqlalchemy import Table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession

from serving.gateway.database.tables import Base

Insert = postgresql.Insert | sqlite.Insert
"""An INSERT that can say what happens when the row is there already."""


def table_of(row: type[Base]) -> Table:
    """Find the table of a row class.

    Args:
        row: one of `tables`.

    Returns:
        Its table.

    Raises:
        TypeError: the class has none.
    """
    if not isinstance(row.__table__, Table):
        raise TypeError(f"{row.__name__} has no table of its own, expected one of tables.py.")
    return row.__table__


def insert_into(session: AsyncSession, row: type[Base]) -> Insert:
    """Begin an INSERT of the session's database.

    Args:
        session: which tells the database.
        row: one of `tables`.

    Returns:
        The statement, to be continued with `on_conflict_...`.
    """
    dialect = session.get_bind().dialect.name
    table = table_of(row)
    return postgresql.insert(table) if dialect == "postgresql" else sqlite.insert(table)


def changed_rows(result: Any) -> int:
    """Tell how many rows a statement changed.

    Args:
        result: of an UPDATE or a DELETE.

    Returns:
        Their number.
    """
    return int(result.rowcount)
