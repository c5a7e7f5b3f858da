"""What is to be delivered soon: studies of jobs that a worker has at hand."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import select
from sqlalchemy.orm import Session

from dicomnode.store.pausing import Part, paused
from dicomnode.store.states import JobStatus, JobTask
from dicomnode.store.tables import Job

MAX_STUDIES = 50
"""Most that are told at once: as many as deliveries are claimed at once."""


def studies_coming(session: Session, destination: str, protocols: Collection[str]) -> list[str]:
    """Study Instance UIDs of the analyses under way whose results may go to a destination, oldest job first.

    Reads only. None where the destination is paused.

    Parameters
    ----------
    protocols : names of those that name the destination.
    """
    underway = (Job.status == JobStatus.RUNNING, Job.task == JobTask.ANALYSIS, Job.protocol.in_(protocols))
    goes_on = ~paused(Part.DESTINATION, destination)
    statement = select(Job.study_uid).where(*underway, goes_on).order_by(Job.id).limit(MAX_STUDIES)
    return list(dict.fromkeys(session.scalars(statement)))
