"""Which key objects reject something, and what they name."""

from __future__ import annotations

import pytest
from pydicom.dataset import Dataset

from dicomnode.dicom.rejections import TITLES, rejection_in
from tests.tools.key_objects import key_object
from tests.tools.series import ct_series

IMAGES = ct_series(range(0, 30, 10), name="rejected", matrix=8)


@pytest.mark.parametrize("code", sorted(TITLES))
def test_each_title_of_iocm_rejects_the_images_it_names(code: str) -> None:
    note = rejection_in(ds := key_object(IMAGES, code))
    assert note is not None
    assert (note.code, note.meaning, note.sop_instance_uid) == (code, TITLES[code], ds.SOPInstanceUID)
    assert note.instances == tuple(str(image.SOPInstanceUID) for image in IMAGES)


@pytest.mark.parametrize(("code", "scheme"), [("113000", "DCM"), ("113001", "99ACME"), ("", "")])
def test_any_other_key_object_rejects_nothing(code: str, scheme: str) -> None:
    assert rejection_in(key_object(IMAGES, code, scheme)) is None


def test_what_only_the_content_names_is_rejected_too_and_a_broken_uid_is_passed_over() -> None:
    ds = key_object(IMAGES, "113001")
    del ds.CurrentRequestedProcedureEvidenceSequence
    ds.ContentSequence[-1].ReferencedSOPSequence[0].ReferencedSOPInstanceUID = "not a uid"
    note = rejection_in(ds)
    assert note is not None
    assert note.instances == tuple(str(image.SOPInstanceUID) for image in IMAGES[:-1])


def test_a_key_object_without_anything_rejects_nothing() -> None:
    assert rejection_in(Dataset()) is None
