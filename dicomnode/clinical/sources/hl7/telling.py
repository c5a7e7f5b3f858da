"""What the parts of a message share: whose it is, when and by whom it was written, and what was wrong with it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import tzinfo

from dicomnode.clinical.sources.hl7.header import Header
from dicomnode.clinical.sources.hl7.message import Segment
from dicomnode.clinical.sources.hl7.rules import Rules
from dicomnode.clinical.sources.hl7.statements import Standing
from dicomnode.clinical.sources.hl7.times import moment_of
from dicomnode.clinical.values import refused
from dicomnode.errors import ContextError, ContextRefusal
from dicomnode.records import Observation, Patient, ReportSection
from dicomnode.store.clinical.statements import Told


@dataclass(frozen=True, slots=True)
class Fault:
    """One part that is the node's to read and cannot be used. ``place``: of the segment, from 1 among its kind."""

    segment: str
    place: int
    field: int
    why: ContextRefusal


@dataclass(slots=True, kw_only=True)
class Telling:
    """A message that is being read for one patient.

    Attributes
    ----------
    zone : of times that state no offset: that of MSH-7, else the node's.
    told_at : when the message was written, seconds since the epoch.
    """

    header: Header
    rules: Rules
    patient: Patient
    zone: tzinfo
    told_at: float
    told: list[Told] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)

    def key(self, *about: str) -> str:
        """Names an observation: what this sender says about it later has the same."""
        whose = [self.header.application, self.header.facility, self.patient.patient_id, self.patient.issuer]
        return hashlib.sha256(json.dumps([*whose, *about]).encode()).hexdigest()

    def say(self, key: str, standing: Standing, known: Observation | ReportSection | None) -> None:
        """Keep a statement."""
        self.told.append(Told(key=key, patient=self.patient, told_at=self.told_at, rank=standing.value, known=known))

    def require_one_word(self, key: str, standing: Standing, known: Observation) -> None:
        """See that the same message does not say another value of the same observation, where neither corrects.

        Raises
        ------
        ContextError : it does; neither counts.
        """
        others = [one.known for one in self.told if one.key == key and one.rank == standing.value]
        if any(not isinstance(other, Observation) or other.value != known.value for other in others):
            raise refused(ContextRefusal.SEVERAL_VALUES)

    def fault(self, segment: Segment, place: int, number: int, fault: ContextError) -> None:
        """Keep what is wrong with a part."""
        self.faults += [Fault(segment.name, place, number, why) for _, why in fault.faults]

    def where(self, segment: str, place: str) -> str:
        """Provenance: who said it in which message, and where in it."""
        return f"{self.header.application} {self.header.control_id} {segment} {place}".strip()

    def moment(self, texts: Iterable[str]) -> float | None:
        """The first moment that is stated; None where none is.

        Raises
        ------
        ContextError : it is no moment, or not told to the minute.
        """
        return moment_of(next((text for text in texts if text), ""), self.zone)
