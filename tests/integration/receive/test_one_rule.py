"""What is a slice is decided once, at reception: what is none changes nothing in its series."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydicom.uid import generate_uid

from dicomnode.store.engine import Store
from tests.integration.assemble.test_assembly import head
from tests.integration.assemble.test_not_performed import Study
from tests.integration.assemble.world import World


@pytest.fixture
def world(store: Store, tmp_path: Path) -> World:
    return World(store, tmp_path / "data", reception={"selection_wait_s": 0.0})


def test_a_localizer_that_comes_late_does_not_reopen_its_series(world: World) -> None:
    series = head()
    world.assemble(series)
    (scout,) = head()[:1]
    scout.SOPInstanceUID = scout.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    scout.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    world.assemble([scout])
    assert [(row.status, row.reason) for row in world.instances()[-1:]] == [("not_used", "localizer")]
    assert world.series(series).reopened == 0
    assert [job.status for job in world.jobs()] == ["queued"]


def test_another_system_s_secondary_capture_is_called_one_at_reception(world: World) -> None:
    (capture,) = head()[:1]
    capture.SOPClassUID = capture.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
    world.assemble([capture])
    assert [row.reason for row in world.instances()] == ["secondary_capture"]


def test_a_study_of_pictures_alone_is_not_reported_as_not_performed(store: Store, tmp_path: Path) -> None:
    study = Study(store, tmp_path / "data")
    (capture,) = head()[:1]
    capture.SOPClassUID = capture.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
    study.assemble([capture])
    study.decide()
    study.decide()
    assert study.reports() == []
