"""QIDO-RS and WADO-RS (DICOM PS3.18 10.6, 10.4): a DICOMweb archive is asked for a series, instance by instance.

One instance in each answer keeps the memory bounded, whatever the series.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from email.message import Message
from typing import Any
from urllib.parse import quote

from pydicom.datadict import tag_for_keyword

from dicomnode.config.destinations import WebDestination
from dicomnode.deliver.answers import uid_of
from dicomnode.deliver.archive import FoundSeries, FoundStudy, count_of
from dicomnode.deliver.qido import identity_of, rows_of, text_in
from dicomnode.deliver.stow import values
from dicomnode.deliver.web_client import WebClient
from dicomnode.dicom.uids import is_valid_uid
from dicomnode.errors import DeliveryError
from dicomnode.records import Patient
from dicomnode.web.client import Answer
from dicomnode.web.credentials import Credentials

ACCEPT = 'multipart/related; type="application/dicom"; transfer-syntax=*'
FIELDS = "IssuerOfPatientID,PatientID,PatientBirthDate,PatientSex,StudyDate,StudyTime"
MOST_ANSWERS = 200
Taken = Callable[[str], AbstractContextManager[Callable[[bytes], None]]]


class WebArchive:
    """A DICOMweb archive.

    Parameters
    ----------
    taken : for a study, opens what is given the bytes of each instance, a file of PS3.10, on its way into the spool.
    most : instances of a series that are fetched.
    """

    def __init__(self, destination: WebDestination, taken: Taken, *, most: int) -> None:
        self._destination, self._taken, self._most = destination, taken, most
        self._credentials = Credentials(destination.auth)
        self._query = f"{destination.query_url or destination.url}/studies"

    def studies(self, patient: Patient, days: str) -> list[FoundStudy]:
        """QIDO-RS for studies by patient ID and date.

        Raises
        ------
        AssociationRejected, DestinationUnavailable : no whole answer in time, no connection, or not allowed.
        DeliveryError : an answer that is none, or far too many matches.
        """
        asked = f"PatientID={quote(patient.patient_id, safe='')}&StudyDate={days}"
        return [_study(row) for row in self._rows(f"{self._query}?{asked}&includefield={FIELDS}")]

    def series(self, study_uid: str) -> list[FoundSeries]:
        """QIDO-RS for the CT series of a study; raises as :meth:`studies`."""
        url = f"{self._query}/{study_uid}/series?Modality=CT&includefield=NumberOfSeriesRelatedInstances"
        found = (_series(row) for row in self._rows(url))
        return [one for one in found if one is not None]

    def fetch(self, study_uid: str, series_uid: str) -> int:
        """WADO-RS of every instance of a series; raises as :meth:`studies`, and what ``taken`` raises."""
        of_series = f"{study_uid}/series/{series_uid}/instances"
        uids = [_uid(row, "SOPInstanceUID") for row in self._rows(f"{self._query}/{of_series}", self._most)]
        with self._client() as client, self._taken(study_uid) as take:
            for uid in uids:
                if not is_valid_uid(uid):
                    raise DeliveryError("QIDO-RS named an instance by something that is no UID")
                url = f"{self._destination.url}/studies/{of_series}/{uid}"
                take(_instance(client.request("GET", url, headers={"Accept": ACCEPT})))
        return len(uids)

    def _rows(self, url: str, most: int = MOST_ANSWERS) -> list[dict[str, Any]]:
        with self._client() as client:
            rows = rows_of(client.request("GET", f"{url}{'&' if '?' in url else '?'}limit={most + 1}"), url)
        if len(rows) > most:
            raise DeliveryError(f"QIDO-RS was answered with more than {most} matches")
        return [row for row in rows if isinstance(row, dict)]

    def _client(self) -> WebClient:
        return WebClient(self._destination, self._credentials)


def _study(row: dict[str, Any]) -> FoundStudy:
    said = identity_of(row)
    patient = Patient(
        patient_id=said.get("PatientID", ""),
        issuer=said.get("IssuerOfPatientID", ""),
        birth_date=said.get("PatientBirthDate", ""),
        sex=said.get("PatientSex", ""),
    )
    when = {"date": _said(row, "StudyDate"), "time": _said(row, "StudyTime")}
    return FoundStudy(study_uid=uid_of(values(row, _tag("StudyInstanceUID"))), patient=patient, **when)


def _series(row: dict[str, Any]) -> FoundSeries | None:
    uid = _uid(row, "SeriesInstanceUID")
    instances = count_of(_said(row, "NumberOfSeriesRelatedInstances"))
    return FoundSeries(series_uid=uid, modality=_said(row, "Modality"), instances=instances) if uid else None


def _tag(keyword: str) -> str:
    return f"{tag_for_keyword(keyword):08X}"


def _said(row: dict[str, Any], keyword: str) -> str:
    return text_in(values(row, _tag(keyword)))


def _uid(row: dict[str, Any], keyword: str) -> str:
    return uid_of(values(row, _tag(keyword))) or ""


def _instance(answer: Answer) -> bytes:
    """The one part of an answer (RFC 2387), or its body where the server answers with the file itself.

    Raises
    ------
    DeliveryError : there is no instance in it.
    """
    if answer.status != 200:
        raise DeliveryError(f"WADO-RS was answered with HTTP {answer.status}")
    header = Message()
    header["Content-Type"] = answer.headers.get("content-type", "")
    if header.get_content_type() == "application/dicom":
        return answer.content
    boundary = str(header.get_param("boundary") or "")
    if header.get_content_type() != "multipart/related" or not boundary:
        raise DeliveryError("WADO-RS was answered with something that holds no instance")
    return part_of(answer.content, boundary)


def part_of(body: bytes, boundary: str) -> bytes:
    """The first part of a multipart body, as bytes: it is binary, which no parser of mail may touch.

    Raises
    ------
    DeliveryError : the body does not end as it should.

    >>> part_of(b"--b\\r\\nContent-Type: application/dicom\\r\\n\\r\\n\\r\\n\\n--\\x00\\r\\n--b--\\r\\n", "b")
    b'\\r\\n\\n--\\x00'
    """
    line = re.escape(b"--" + boundary.encode("latin-1"))
    found = re.search(rb"(?:^|\r\n)" + line + rb"[ \t]*\r\n(.*?)\r\n" + line, body, re.DOTALL)
    if found is None or b"\r\n\r\n" not in b"\r\n" + found[1]:
        raise DeliveryError("WADO-RS was answered with a body that is cut off")
    return (b"\r\n" + found[1]).partition(b"\r\n\r\n")[2]
