"""Everything that happened to an identifier, in order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields

from sqlalchemy import BindParameter, Select, bindparam, or_, select, union_all
from sqlalchemy.orm import Session

from dicomnode.dicom.uids import names_of
from dicomnode.store.history.lines import EventLine
from dicomnode.store.receive.arrivals import Arrival, arrivals_of
from dicomnode.store.tables import SET_ASIDE, Event, Instance, Job, Result, Series


def _any_of(name: str) -> BindParameter[Sequence[object]]:
    return bindparam(name, expanding=True)


# Built once: to build them takes longer than to run them.
_NAMED = union_all(
    select(Series.study_uid).where(
        or_(
            Series.study_uid.in_(_any_of("names")),
            Series.series_uid.in_(_any_of("names")),
            (Series.accession_number == bindparam("identifier")) & (Series.accession_number != ""),
        )
    ),
    select(Instance.study_uid).where(Instance.sop_instance_uid.in_(_any_of("names"))),
    select(Result.study_uid).where(
        or_(Result.sop_instance_uid == bindparam("identifier"), Result.series_uid == bindparam("identifier"))
    ),
)
# Each question has an index of its own, which one with OR would not.
_ABOUT = union_all(
    select(Event.id).where(Event.study_uid.in_(_any_of("studies"))),
    select(Event.id).join(Job, Job.id == Event.job_id).where(Job.study_uid.in_(_any_of("studies"))),
    select(Event.id).where(Event.job_id.in_(_any_of("jobs"))),
)
_COLUMNS = tuple(Event.__table__.c[one.name] for one in fields(EventLine))
_EVENTS = select(*_COLUMNS).where(Event.id.in_(_ABOUT)).order_by(Event.at, Event.id)


def events_of(session: Session, identifier: str) -> list[EventLine]:
    """Everything that happened to an accession number, a study, series or SOP instance UID, or a job id, in order.

    It begins with the association that brought the images. A UID that is none is looked for as it was sent, too.
    """
    studies, jobs = studies_named(session, identifier), _jobs_of(identifier)
    if not studies and not jobs:
        return []
    arrived = arrivals_of(session, studies, jobs)
    rows = session.execute(_EVENTS, {"studies": studies, "jobs": jobs})
    events = [EventLine(**row._mapping) for row in rows]
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
    found = set(session.scalars(_NAMED, {"names": names_of(identifier), "identifier": identifier}))
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
