"""Everything that happened to an identifier, in order."""

from __future__ import annotations

from sqlalchemy import CompoundSelect, Select, or_, select, union_all
from sqlalchemy.orm import Session

from dicomnode.dicom.uids import names_of
from dicomnode.store.history.lines import EventLine
from dicomnode.store.receive.arrivals import Arrival, arrivals_of
from dicomnode.store.tables import SET_ASIDE, Event, Instance, Job, Result, Series


def events_of(session: Session, identifier: str) -> list[EventLine]:
    """Everything that happened to an accession number, a study, series or SOP instance UID, or a job id, in order.

    It begins with the association that brought the images. A UID that is none is looked for as it was sent, too.
    """
    studies, jobs = studies_named(session, identifier), _jobs_of(identifier)
    if not studies and not jobs:
        return []
    arrived = arrivals_of(session, studies or select(Job.study_uid).where(Job.id.in_(jobs)))
    rows = session.scalars(select(Event).where(Event.id.in_(_about(studies, jobs))).order_by(Event.at, Event.id))
    events = [
        EventLine(
            at=row.at,
            subject=row.subject,
            subject_id=row.subject_id,
            name=row.name,
            before=row.before,
            after=row.after,
            series_uid=row.series_uid,
            job_id=row.job_id,
            detail=row.detail,
        )
        for row in rows
    ]
    # Sorting keeps the order of what happened at one moment.
    return sorted([*map(_arrival_line, arrived), *events], key=lambda line: line.at) if events or studies else []


def _arrival_line(arrival: Arrival) -> EventLine:
    told = {"calling_ae": arrival.calling_ae, "called_ae": arrival.called_ae, "address": arrival.address}
    seconds = round(arrival.last_at - arrival.opened_at, 3)
    several = {"associations": arrival.associations} if arrival.associations > 1 else {}
    return EventLine(
        at=arrival.opened_at,
        subject="association",
        subject_id=arrival.association_id,
        name="received",
        before="",
        after=arrival.outcome,
        series_uid="",
        job_id=None,
        detail={**told, "images": arrival.images, "seconds": seconds, **several},
    )


def studies_named(session: Session, identifier: str) -> list[str]:
    """Study UIDs by an accession number, or by the UID of a study, a series, an image or a result."""
    names = names_of(identifier)
    by_series = select(Series.study_uid).where(
        or_(
            Series.study_uid.in_(names),
            Series.series_uid.in_(names),
            (Series.accession_number == identifier) & (Series.accession_number != ""),
        )
    )
    by_instance = select(Instance.study_uid).where(Instance.sop_instance_uid.in_(names))
    by_result = select(Result.study_uid).where(
        or_(Result.sop_instance_uid == identifier, Result.series_uid == identifier)
    )
    found = set(session.scalars(union_all(by_series, by_instance, by_result)))
    if found or _jobs_of(identifier):
        return sorted(found)
    return sorted(set(session.scalars(_by_data_set(identifier))))


def _by_data_set(identifier: str) -> Select[str]:
    """By the UID that an image has in its data set, where the command named another: no column, so it is asked last."""
    stated = Instance.header["SOPInstanceUID"].as_string()
    return select(Instance.study_uid).where(SET_ASIDE, stated == identifier)


def _jobs_of(identifier: str) -> list[int]:
    # A job id is short; a UID without dots does not exist, so the two cannot be confused.
    return [int(identifier)] if identifier.isdigit() and len(identifier) < 12 else []


def _about(studies: list[str], jobs: list[int]) -> CompoundSelect[int]:
    """Ids of the events of studies and of jobs; each question has an index of its own, which one with OR would not."""
    of_studies = select(Event.id).where(Event.study_uid.in_(studies))
    of_their_jobs = select(Event.id).join(Job, Job.id == Event.job_id).where(Job.study_uid.in_(studies))
    return union_all(of_studies, of_their_jobs, select(Event.id).where(Event.job_id.in_(jobs)))
