"""Files that a DICOMweb archive answers enter the spool as images do, and what was not asked for does not."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import generate_uid

from dicomnode.deliver.wado import part_of
from dicomnode.errors import DeliveryError
from dicomnode.ops.fetched import FetchedImages, split
from dicomnode.store.engine import Store
from tests.acceptance.scanner import small_study
from tests.integration.assemble.world import World


def file_of(ds: Dataset) -> bytes:
    """As an archive answers it."""
    buffer = BytesIO()
    dcmwrite(buffer, ds, enforce_file_format=True)
    return buffer.getvalue()


@pytest.fixture
def world(store: Store, tmp_path: Path) -> World:
    return World(store, tmp_path)


def taken(world: World) -> FetchedImages:
    return FetchedImages(world.config, world.store, owner="node", sender="archive")


def test_fetched_files_become_a_series_as_if_an_association_had_brought_them(world: World) -> None:
    images = small_study("head")
    with taken(world).of(str(images[0].StudyInstanceUID)) as take:
        for ds in images:
            take(file_of(ds))
    world.settle()
    (job,) = world.jobs()
    assert job.study_uid == images[0].StudyInstanceUID
    assert len(world.instances()) == len(images)
    row = world.instances()[0]
    kept = dcmread(world.config.spool_dir / row.path)
    assert kept.PixelData == images[0].PixelData
    assert kept.file_meta.SourceApplicationEntityTitle == "archive"


def test_an_instance_of_another_study_is_not_kept(world: World) -> None:
    with pytest.raises(DeliveryError, match="another study"), taken(world).of(generate_uid()) as take:
        take(file_of(small_study("head")[0]))
    assert world.instances() == []
    assert [path for path in world.config.spool_dir.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("body", [b"", b"<html>no</html>", b"\0" * 200, b"\0" * 128 + b"DICM" + b"\xff" * 40])
def test_what_is_no_dicom_file_is_refused(body: bytes) -> None:
    with pytest.raises(DeliveryError, match="no DICOM file"):
        split(body, "archive", "NODE")


@pytest.mark.parametrize("body", [b"", b"--b\r\n\r\nDICM", b"--c\r\n\r\nDICM\r\n--c--", b"--b\r\nType: x\r\n--b--"])
def test_a_body_that_is_cut_off_or_has_another_boundary_is_refused(body: bytes) -> None:
    with pytest.raises(DeliveryError, match="cut off"):
        part_of(body, "b")
