"""INSERT that yields to an equal row, on both kinds of database."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from dicomnode.store.tables import Base


def insert_if_absent(session: Session, table: type[Base], **values: Any) -> bool:
    """Insert a row, or leave what a concurrent transaction or an earlier call has inserted; whether it is new."""
    dialects: dict[str, Callable[..., Any]] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}
    insert = dialects[session.get_bind().dialect.name]
    statement = insert(table).values(**values).on_conflict_do_nothing().returning(table.id)
    return session.scalar(statement) is not None
