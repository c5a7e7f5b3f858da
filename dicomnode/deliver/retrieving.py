"""Query and Retrieve SCU (C-FIND, C-MOVE; DICOM PS3.4 C.4.1, C.4.2): an archive has a series sent to this node.

The images come over associations of the archive's own, as any others: it must know this node's AE title and address.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

from pydicom.dataset import Dataset
from pynetdicom import build_context
from pynetdicom.association import Association
from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelMove  # type: ignore[attr-defined]

from dicomnode.config.destinations import Destination
from dicomnode.deliver.archive import FoundSeries, FoundStudy, count_of
from dicomnode.deliver.one_service import association_for
from dicomnode.deliver.outgoing import NATIVE
from dicomnode.deliver.query import answers_to, queryable, uid_in
from dicomnode.dicom.identity import identity_in
from dicomnode.dicom.statuses import Category, category, sentence
from dicomnode.dicom.values import text_of
from dicomnode.errors import AssociationRejected, DeliveryError
from dicomnode.records import Patient

STUDY_ROOT_MOVE = str(StudyRootQueryRetrieveInformationModelMove)
MOVE_DESTINATION_UNKNOWN = 0xA801
MOST_ANSWERS = 200
"""Who answers with more was asked for one patient and did not understand."""


class DimseArchive:
    """An archive that is asked by C-FIND and C-MOVE.

    Parameters
    ----------
    calling_ae : of this node, to which the images go.
    timeout_s : how long the archive may be silent while it sends a series.
    """

    def __init__(self, destination: Destination, calling_ae: str, *, timeout_s: float) -> None:
        self._destination, self._calling_ae, self._timeout_s = destination, calling_ae, timeout_s

    def studies(self, patient: Patient, days: str) -> list[FoundStudy]:
        """C-FIND at STUDY level by patient ID and date.

        Raises
        ------
        AssociationRejected : no association, no answer in time, or it was lost.
        DeliveryError : a failure was answered, or far too many matches.
        """
        identifier = _identifier("STUDY", PatientID=patient.patient_id, StudyDate=days)
        for keyword in ("StudyInstanceUID", "IssuerOfPatientID", "PatientBirthDate", "PatientSex", "StudyTime"):
            setattr(identifier, keyword, "")
        return [_study(answer) for answer in self._find(identifier)]

    def series(self, study_uid: str) -> list[FoundSeries]:
        """C-FIND at SERIES level; raises as :meth:`studies`."""
        identifier = _identifier("SERIES", StudyInstanceUID=study_uid, Modality="CT", SeriesInstanceUID="")
        identifier.NumberOfSeriesRelatedInstances = ""
        found = (_series(answer) for answer in self._find(identifier) if _is_of(answer, study_uid))
        return [one for one in found if one is not None]

    def _find(self, identifier: Dataset) -> list[Any]:
        found = []
        with queryable(self._destination, self._calling_ae) as assoc:
            for answer in answers_to(assoc, identifier):
                found.append(answer)
                if len(found) > MOST_ANSWERS:
                    raise DeliveryError(f"C-FIND was answered with more than {MOST_ANSWERS} matches")
        return found

    def fetch(self, study_uid: str, series_uid: str) -> int:
        """C-MOVE of a series to this node.

        Raises
        ------
        AssociationRejected : no association, no answer in time, or it was lost.
        DeliveryError : C-MOVE is not offered, or a failure was answered.
        """
        identifier = _identifier("SERIES", StudyInstanceUID=study_uid, SeriesInstanceUID=series_uid)
        with self._movable() as assoc:
            assoc.dimse_timeout = self._timeout_s
            return _moved(assoc, identifier, self._calling_ae)

    def _movable(self) -> AbstractContextManager[Association]:
        context = build_context(STUDY_ROOT_MOVE, list(NATIVE))
        refused = DeliveryError(f"{self._destination.ae_title} does not accept Study Root Retrieve (C-MOVE)")
        return association_for("C-MOVE", self._destination, self._calling_ae, context, refused=refused)


def _moved(assoc: Association, identifier: Dataset, to: str) -> int:
    for status, _ in assoc.send_c_move(identifier, to, STUDY_ROOT_MOVE):
        if "Status" not in status:
            raise AssociationRejected("the association was lost, or no answer came in time, during the C-MOVE")
        kind = category(status.Status)
        if kind is Category.PENDING:
            continue
        if status.Status == MOVE_DESTINATION_UNKNOWN:
            raise DeliveryError(f"the archive does not know {to!r} as a destination; register this node there")
        # a warning says that some could not be sent: what came is looked at as any series is
        if kind in (Category.SUCCESS, Category.WARNING):
            return int(status.get("NumberOfCompletedSuboperations", 0) or 0)
        raise DeliveryError(f"C-MOVE was answered with {sentence(status.Status)}")
    raise AssociationRejected("the C-MOVE was not answered to its end")


def _identifier(level: str, **keys: str) -> Dataset:
    identifier = Dataset()
    identifier.QueryRetrieveLevel = level
    for keyword, value in keys.items():
        setattr(identifier, keyword, value)
    return identifier


def _study(answer: Any) -> FoundStudy:
    if answer is None:
        return FoundStudy(study_uid=None, patient=Patient(patient_id=""))
    said = identity_in(answer)
    patient = Patient(
        patient_id=said.get("PatientID", ""),
        issuer=said.get("IssuerOfPatientID", ""),
        birth_date=said.get("PatientBirthDate", ""),
        sex=said.get("PatientSex", ""),
    )
    when = {name: text_of(answer, keyword) for name, keyword in (("date", "StudyDate"), ("time", "StudyTime"))}
    return FoundStudy(study_uid=uid_in(answer, "StudyInstanceUID"), patient=patient, **when)


def _is_of(answer: Any, study_uid: str) -> bool:
    return answer is not None and uid_in(answer, "StudyInstanceUID") in ("", study_uid)


def _series(answer: Any) -> FoundSeries | None:
    uid = uid_in(answer, "SeriesInstanceUID")
    instances = count_of(text_of(answer, "NumberOfSeriesRelatedInstances"))
    return FoundSeries(series_uid=uid, modality=text_of(answer, "Modality"), instances=instances) if uid else None
