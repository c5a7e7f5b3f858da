"""Structured reports of others among what was received: each is read once."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import exists, func, select
from sqlalchemy.orm import Session

from dicomnode.errors import Refusal
from dicomnode.kinds import COMPREHENSIVE_3D_SR, COMPREHENSIVE_SR, ENHANCED_SR
from dicomnode.store.inserting import insert_if_absent
from dicomnode.store.states import InstanceStatus
from dicomnode.store.tables import Instance, ReadReport

BASIC_TEXT_SR = "1.2.840.10008.5.1.4.1.1.88.11"
REPORT_CLASSES = (BASIC_TEXT_SR, ENHANCED_SR, COMPREHENSIVE_SR, COMPREHENSIVE_3D_SR)


@dataclass(frozen=True, slots=True)
class Unread:
    """A received report. ``path``: below the spool."""

    instance_id: int
    path: str


def newest_instance(session: Session) -> int:
    """The highest id of a received file; 0 where there is none."""
    return session.scalar(select(func.max(Instance.id))) or 0


def unread_reports(session: Session, *, after: int, limit: int) -> Sequence[Unread]:
    """The oldest reports that nobody has read; own results and rejected ones are none.

    Parameters
    ----------
    after : an id up to which all were read: there is no index by class, and a second look at millions would cost.
    """
    read = exists().where(ReadReport.instance_id == Instance.id)
    statement = (
        select(Instance.id, Instance.path)
        .where(
            Instance.id > after,
            Instance.sop_class_uid.in_(REPORT_CLASSES),
            Instance.status == InstanceStatus.NOT_USED,
            Instance.reason == Refusal.NOT_CT,
            ~read,
        )
        .order_by(Instance.id)
        .limit(limit)
    )
    return [Unread(row.id, row.path) for row in session.execute(statement)]


def mark_read(session: Session, report: Unread, outcome: str) -> None:
    """The report was read, by this node or by another one."""
    insert_if_absent(session, ReadReport, instance_id=report.instance_id, outcome=outcome, read_at=time.time())
