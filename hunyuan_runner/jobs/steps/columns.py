"""What steps share."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa


def add_columns(connection: sa.Connection, table: str, *columns: sa.Column[Any]) -> None:
    """Add those of these columns that are not there yet, to `table`."""
    present = columns_of(connection, table)
    for column in columns:
        if column.name not in present:
            definition = sa.schema.CreateColumn(column).compile(dialect=connection.dialect)
            connection.exec_driver_sql(f"ALTER TABLE {table} ADD COLUMN {definition}")


def columns_of(connection: sa.Connection, table: str) -> set[str]:
    return {column["name"] for column in sa.inspect(connection).get_columns(table)}
