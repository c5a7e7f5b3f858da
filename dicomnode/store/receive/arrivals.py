"""Which associations brought the images of a study: where the history of anything that was made of them begins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import BindParameter, ColumnElement, Select, bindparam, func, select
from sqlalchemy.orm import Session

from dicomnode.store.tables import Association, Instance, Job, Series

SAME_TRANSFER_S = 60.0
"""Some PACS open an association for each image: as close as this, those of one peer are one transfer."""


@dataclass(slots=True, kw_only=True)
class Arrival:
    """Images that one peer brought in one association, or in several that followed one another.

    Attributes
    ----------
    images : of the study that is asked about; a file that came again counts where it came last.
    outcome : of the last association.
    """

    association_id: int
    calling_ae: str
    called_ae: str
    address: str
    opened_at: float
    last_at: float
    outcome: str
    images: int
    associations: int = 1

    def goes_on_as(self, other: Arrival) -> bool:
        """Whether another one belongs to the same transfer."""
        same_peer = (self.calling_ae, self.called_ae, self.address) == (
            other.calling_ae,
            other.called_ae,
            other.address,
        )
        return same_peer and other.opened_at - self.last_at <= SAME_TRANSFER_S

    @property
    def _peer(self) -> tuple[str, str, str]:
        return self.calling_ae, self.called_ae, self.address

    def extend(self, other: Arrival) -> None:
        """Take another one in."""
        self.last_at, self.outcome = max(self.last_at, other.last_at), other.outcome
        self.images += other.images
        self.associations += other.associations


def _brought(wanted: ColumnElement[bool]) -> Select[Any]:
    # By their series, which an index gives; what a sweep found has no association, and finds none in the join.
    series = select(Series.id).where(wanted)
    images = (
        select(Instance.association_id, func.count().label("images"))
        .where(Instance.series_id.in_(series))
        .group_by(Instance.association_id)
        .subquery()
    )
    table = Association.__table__
    joined = select(table, images.c.images).join_from(table, images, table.c.id == images.c.association_id)
    return joined.order_by(table.c.opened_at, table.c.id)


# Built once: to build them takes longer than to run them.
_ANY: BindParameter[Any] = bindparam("any", expanding=True)
_OF_STUDIES = _brought(Series.study_uid.in_(_ANY))
_OF_JOBS = _brought(Series.study_uid.in_(select(Job.study_uid).where(Job.id.in_(_ANY))))


def arrivals_of(session: Session, studies: Sequence[str], jobs: Sequence[int] = ()) -> list[Arrival]:
    """Who brought the images of these studies, or where none is named of these jobs, in the order of time."""
    arrivals: list[Arrival] = []
    of_any = {"any": studies or jobs}
    for row in session.execute(_OF_STUDIES if studies else _OF_JOBS, of_any):
        arrival = Arrival(
            association_id=row.id,
            calling_ae=row.calling_ae,
            called_ae=row.called_ae,
            address=row.peer_address,
            opened_at=row.opened_at,
            last_at=row.ended_at or row.last_seen_at,
            outcome=row.outcome,
            images=row.images,
        )
        if arrivals and arrivals[-1].goes_on_as(arrival):
            arrivals[-1].extend(arrival)
        else:
            arrivals.append(arrival)
    return arrivals
