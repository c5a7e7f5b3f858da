"""Storage Commitment Push Model (DICOM PS3.4 annex J): what is asked, and what a report says."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pydicom.dataset import Dataset

STORAGE_COMMITMENT = "1.2.840.10008.1.20.1"
STORAGE_COMMITMENT_INSTANCE = "1.2.840.10008.1.20.1.1"
"""The well-known instance that every request and report is about (PS3.4 J.3.5)."""

REQUEST_COMMITMENT = 1
"""Action type (PS3.4 J.3.2.1)."""
ALL_COMMITTED, SOME_FAILED = 1, 2
"""Event types (PS3.4 J.3.3.1)."""

UNKNOWN_INSTANCE = 0x0112
"""Failure Reason "no such object instance" (PS3.3 C.14.1.1)."""


@dataclass(frozen=True, slots=True)
class Reference:
    """One instance that commitment is asked for."""

    sop_class_uid: str
    sop_instance_uid: str


@dataclass(frozen=True, slots=True)
class Report:
    """What a peer answers for one transaction.

    Attributes
    ----------
    committed : SOP Instance UIDs it is responsible for now.
    failed : SOP Instance UID -> Failure Reason (0008,1197).
    """

    transaction_uid: str
    committed: tuple[str, ...]
    failed: dict[str, int]


def request_of(transaction_uid: str, references: Iterable[Reference]) -> Dataset:
    """Action Information of an N-ACTION (PS3.4 table J.3-1)."""
    ds = Dataset()
    ds.TransactionUID = transaction_uid
    ds.ReferencedSOPSequence = [_item(reference) for reference in references]
    return ds


def references_in(ds: Dataset) -> tuple[str, list[Reference]]:
    """Transaction UID and instances of a request.

    Raises
    ------
    ValueError : the transaction or an instance is not named.
    """
    transaction_uid = str(ds.get("TransactionUID", ""))
    references = [_reference(item) for item in ds.get("ReferencedSOPSequence", None) or ()]
    if not transaction_uid or not references:
        raise ValueError("the request names no transaction or no instance")
    return transaction_uid, references


def report_of(transaction_uid: str, committed: Iterable[Reference], failed: Iterable[Reference]) -> Dataset:
    """Event Information of an N-EVENT-REPORT (PS3.4 table J.3-2); what failed is said to be unknown."""
    ds = request_of(transaction_uid, committed)
    if not ds.ReferencedSOPSequence:
        del ds.ReferencedSOPSequence
    items = [_item(reference) for reference in failed]
    for item in items:
        item.FailureReason = UNKNOWN_INSTANCE
    if items:
        ds.FailedSOPSequence = items
    return ds


def read_report(ds: Dataset) -> Report:
    """What the Event Information of an N-EVENT-REPORT says.

    Raises
    ------
    ValueError : the transaction is not named.
    """
    transaction_uid = str(ds.get("TransactionUID", ""))
    if not transaction_uid:
        raise ValueError("the report names no transaction")
    failed = {
        _reference(item).sop_instance_uid: int(item.get("FailureReason", 0) or 0)
        for item in ds.get("FailedSOPSequence", None) or ()
    }
    committed = [_reference(item).sop_instance_uid for item in ds.get("ReferencedSOPSequence", None) or ()]
    return Report(transaction_uid, tuple(uid for uid in committed if uid not in failed), failed)


def _item(reference: Reference) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = reference.sop_class_uid
    item.ReferencedSOPInstanceUID = reference.sop_instance_uid
    return item


def _reference(item: Dataset) -> Reference:
    reference = Reference(str(item.get("ReferencedSOPClassUID", "")), str(item.get("ReferencedSOPInstanceUID", "")))
    if not reference.sop_instance_uid:
        raise ValueError("an instance is not named")
    return reference
