"""What an archive says it has of a patient, and how it is asked for it: in one shape for DIMSE and DICOMweb."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from dicomnode.records import Patient


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundStudy:
    """A study as an archive answers; what it does not say is empty.

    Attributes
    ----------
    study_uid : None where it cannot be read.
    patient : whose it is, as the archive says; with an empty ID where it does not.
    date, time : StudyDate and StudyTime as stated.
    """

    study_uid: str | None
    patient: Patient
    date: str = ""
    time: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundSeries:
    """A series of a study. ``instances``: how many it has; None where the archive does not say."""

    series_uid: str
    modality: str
    instances: int | None


class Archive(Protocol):
    """An archive that can be asked. Each raises :class:`~dicomnode.errors.DeliveryError`."""

    def studies(self, patient: Patient, days: str) -> list[FoundStudy]:
        """Studies of a patient ID. ``days``: range of StudyDate, ``YYYYMMDD-YYYYMMDD``."""

    def series(self, study_uid: str) -> list[FoundSeries]:
        """CT series of a study."""

    def fetch(self, study_uid: str, series_uid: str) -> int:
        """Have a series sent to this node; returns how many instances the archive says that it sent."""


def count_of(value: object) -> int | None:
    """A number of instances; None where it is none.

    >>> count_of("32"), count_of(" 7 "), count_of(""), count_of("many"), count_of(None)
    (32, 7, None, None, None)
    """
    text = str(value).strip()
    return int(text) if text.isdecimal() and len(text) < 10 else None
