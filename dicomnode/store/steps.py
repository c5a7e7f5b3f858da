"""Deleting much without keeping anybody waiting: what goes is found without a lock, and goes some rows at a time."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, delete, select

from dicomnode.store.engine import Store
from dicomnode.store.tables import Base

AT_ONCE = 500
"""Rows in one transaction; databases take no more than some thousand identifiers in one statement."""


def delete_in_steps(store: Store, table: type[Base], *where: ColumnElement[bool]) -> int:
    """Delete the rows that fulfil all conditions, each some in a transaction of their own; returns how many went.

    A row that no longer fulfils them when its turn comes stays.
    """
    with store.read() as session:
        found = session.scalars(select(table.id).where(*where)).all()
    gone = 0
    for begin in range(0, len(found), AT_ONCE):
        some = found[begin : begin + AT_ONCE]
        with store.write() as session:
            statement = delete(table).where(table.id.in_(some), *where)
            done: Any = session.execute(statement, execution_options={"synchronize_session": False})
            gone += done.rowcount
    return gone
