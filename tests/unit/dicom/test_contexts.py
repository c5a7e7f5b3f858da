"""Which presentation contexts reception accepts, and in which order of preference; who may associate."""

from __future__ import annotations

import pynetdicom.sop_class
import pytest

from dicomnode.config.whole import Config
from dicomnode.dicom.contexts import (
    LOSSLESS,
    LOSSY_POSSIBLE,
    STORAGE_SOP_CLASSES,
    TRANSFER_SYNTAXES,
    UNCOMPRESSED,
    is_storage,
)
from dicomnode.receive.admission import Admission, Rejection, Requestor


def test_all_promised_transfer_syntaxes_are_there_once() -> None:
    promised = {"1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99"}
    promised |= {f"1.2.840.10008.1.2.4.{n}" for n in (50, 51, 57, 70, 80, 81, 90, 91, 201, 202, 203)}
    promised |= {"1.2.840.10008.1.2.5"}
    assert set(TRANSFER_SYNTAXES) == promised
    assert len(TRANSFER_SYNTAXES) == len(promised)
    assert (*UNCOMPRESSED, *LOSSLESS, *LOSSY_POSSIBLE) == TRANSFER_SYNTAXES


def test_every_storage_class_that_pynetdicom_knows_is_accepted() -> None:
    known = pynetdicom.sop_class._STORAGE_CLASSES.values()
    assert len(known) > 150
    assert all(is_storage(uid) for uid in known)


@pytest.mark.parametrize("uid", ["1.2.840.10008.5.1.4.1.1.66.7", "1.2.840.10008.5.1.4.1.1.9999", "1.3.46.670589.2.3.1"])
def test_newer_and_private_classes_are_accepted(uid: str) -> None:
    assert uid not in STORAGE_SOP_CLASSES
    assert is_storage(uid)


@pytest.mark.parametrize(
    "uid",
    [
        "1.2.840.10008.1.1",  # Verification
        "1.2.840.10008.1.20.1",  # Storage Commitment
        "1.2.840.10008.5.1.4.1.2.2.1",  # Study Root FIND
        "1.2.840.10008.5.1.4.31",  # Modality Worklist
        "1.2.840.10008.5.1.4.1.1.200.4",  # Protocol Approval FIND, below the root of the storage classes
        "1.2.840.10008.1.3.10",  # Media Storage Directory
    ],
)
def test_other_services_are_no_storage(uid: str) -> None:
    assert not is_storage(uid)


def admission(**config: object) -> Admission:
    return Admission(Config.model_validate({"node": {"ae_title": "NODE"}, **config}))


def ask(rules: Admission, **changes: object) -> Rejection | None:
    asked = {"called_ae": "NODE", "calling_ae": "CT", "address": "10.0.0.1", **changes}
    state = {"others": asked.pop("others", 0), "draining": asked.pop("draining", False)}
    return rules.rejection(Requestor(**asked), **state)


def test_without_listed_senders_anyone_may_send() -> None:
    assert admission().is_open
    assert ask(admission()) is None


@pytest.mark.parametrize(
    ("calling_ae", "address", "admitted"),
    [
        ("CT", "10.1.2.3", True),
        ("CT", "::ffff:10.1.2.3", True),
        ("CT", "10.1.3.3", False),
        ("MR", "10.1.2.3", False),
        ("MR", "fe80::1%eth0", True),
        ("PACS", "192.0.2.1", True),
        ("pacs", "192.0.2.1", False),
    ],
)
def test_title_and_address_must_be_listed_together(calling_ae: str, address: str, admitted: bool) -> None:
    senders = [
        {"ae_title": "CT", "host": "10.1.2.0/24"},
        {"ae_title": "MR", "host": "fe80::/10"},
        {"ae_title": "PACS"},
    ]
    rejection = ask(admission(sender=senders), calling_ae=calling_ae, address=address)
    assert rejection is (None if admitted else Rejection.CALLING_AE_NOT_RECOGNISED)


def test_a_full_node_says_so_to_those_only_who_may_send() -> None:
    rules = admission(sender=[{"ae_title": "CT"}], reception={"max_associations": 2})
    assert ask(rules, others=1) is None
    assert ask(rules, others=2) is Rejection.LOCAL_LIMIT_EXCEEDED
    assert ask(rules, others=2, calling_ae="X") is Rejection.CALLING_AE_NOT_RECOGNISED
    assert ask(rules, others=2, called_ae="X") is Rejection.CALLED_AE_NOT_RECOGNISED
    assert ask(rules, draining=True) is Rejection.TEMPORARY_CONGESTION
