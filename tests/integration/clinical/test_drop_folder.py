"""The drop folder: documents are stored, then moved; what is refused says why, and nothing is lost."""

from __future__ import annotations

import json
import logging
import os
import time
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy.exc import OperationalError

from dicomnode.app.check.context import check_context
from dicomnode.clinical.sources.drop_folder import DropFolder
from dicomnode.config.whole import Config
from dicomnode.records import Observation, Patient
from dicomnode.store.clinical.observations import known_of
from dicomnode.store.engine import Store
from tests.integration.store.fixture import sqlite_only

pytestmark = sqlite_only

GCS = {"name": "gcs", "value": 10, "observed_at": "2026-01-01T09:00:00Z"}


def document(*values: dict[str, Any], patient_id: str = "4711") -> str:
    return json.dumps({"patient": {"id": patient_id}, "values": list(values)})


class World:
    """A folder, its database, and what lies where."""

    def __init__(self, store: Store, folder: Path) -> None:
        self.store, self.folder = store, folder
        self.drop = DropFolder(store=store, folder=folder, zone=ZoneInfo("UTC"))
        folder.mkdir(exist_ok=True)

    def put(self, name: str, text: str | bytes, age_s: float = 5.0) -> Path:
        path = self.folder / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        os.utime(path, (time.time() - age_s,) * 2)
        return path

    def names(self, folder: str = ".") -> list[str]:
        return sorted(path.name for path in (self.folder / folder).iterdir() if path.is_file())

    def known(self, patient_id: str = "4711") -> tuple[Observation, ...]:
        with self.store.read() as session:
            return known_of(session, Patient(patient_id=patient_id)).observations


@pytest.fixture
def world(store: Store, tmp_path: Path) -> World:
    return World(store, tmp_path / "drop")


def test_a_document_is_stored_and_moved(world: World) -> None:
    world.put("a.json", document(GCS))
    world.put("b.csv", "patient_id;name;value;observed_at\n4711;nihss;18;2026-01-01T09:00:00Z\n")
    assert world.drop.look() == 2
    assert [one.name for one in world.known()] == ["gcs", "nihss"]
    assert (world.names(), world.names("done"), world.names("failed")) == ([], ["a.json", "b.csv"], [])


def test_a_refused_document_stores_nothing_and_lies_beside_its_reasons(world: World) -> None:
    text = document(GCS, {"name": "d_dimer", "value": 500, "unit": "ng/mL", "observed_at": "2026-01-01T09:00:00Z"})
    world.put("a.json", text)
    world.put("b.json", document(GCS, patient_id="2"))
    assert world.drop.look() == 2
    assert world.known() == ()
    assert len(world.known("2")) == 1  # the one behind it is not held up
    assert world.names("failed") == ["a.json", "a.json.reason.txt"]
    assert (world.folder / "failed/a.json").read_text() == text
    reason = (world.folder / "failed/a.json.reason.txt").read_text()
    assert reason.startswith("values[1]: unknown_unit: ")
    assert "500" not in reason


def test_the_same_document_again_is_one_row_and_keeps_both_files(world: World) -> None:
    for _ in range(2):
        world.put("a.json", document(GCS))
        world.drop.look()
    assert len(world.known()) == 1
    assert world.names("done") == ["a-2.json", "a.json"]


def test_what_a_crash_left_between_storing_and_moving_is_one_row(world: World) -> None:
    world.put("a.json", document(GCS))
    (world.folder / "done").mkdir()
    (world.folder / "done").chmod(0o500)
    if os.access(world.folder / "done", os.W_OK):  # root may write anywhere: the move is broken otherwise
        (world.folder / "done").rmdir()
        (world.folder / "done").write_text("in the way")
    world.drop.look()
    (world.folder / "done").unlink() if (world.folder / "done").is_file() else (world.folder / "done").chmod(0o700)
    assert world.names() == ["a.json"]
    world.drop.look()
    assert len(world.known()) == 1
    assert world.names() == []


def test_while_the_database_is_away_the_document_stays(world: World, tmp_path: Path) -> None:
    path = world.put("a.json", document(GCS))
    away = DropFolder(store=Store(f"sqlite:///{tmp_path}/empty.db"), folder=world.folder, zone=ZoneInfo("UTC"))
    with pytest.raises(OperationalError):
        away.look()
    assert path.exists()
    assert world.drop.look() == 1
    assert len(world.known()) == 1


@pytest.mark.parametrize("name", [".hidden.json", "notes.txt", "a.json.part"])
def test_what_is_no_document_by_its_name_is_left_alone(world: World, name: str) -> None:
    world.put(name, document(GCS))
    assert world.drop.look() == 0
    assert world.names() == [name]


def test_a_document_that_is_still_written_to_waits(world: World) -> None:
    path = world.put("a.json", document(GCS)[:20], age_s=0.0)
    assert world.drop.look() == 0
    path.write_text(document(GCS))
    os.utime(path, (time.time() - 5.0,) * 2)
    assert world.drop.look() == 1
    assert len(world.known()) == 1


def test_a_link_is_not_followed(world: World, tmp_path: Path) -> None:
    (tmp_path / "elsewhere.json").write_text(document(GCS))
    (world.folder / "a.json").symlink_to(tmp_path / "elsewhere.json")
    assert world.drop.look() == 0


def test_no_log_line_names_the_file_or_a_value(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    world.put("meier-anna.json", document(GCS, patient_id="PAT-4711"))
    world.put("meier-bert.json", document({**GCS, "value": 77}, patient_id="PAT-4711"))
    world.drop.look()
    told = " ".join(f"{record.getMessage()} {record.__dict__}" for record in caplog.records)
    assert "context stored" in told
    assert "implausible" in told
    assert not any(word in told for word in ("meier", "PAT-4711", "gcs"))


def test_documents_go_by_the_retention_of_context(world: World) -> None:
    world.put("a.json", document(GCS))
    world.put("b.json", "{")
    world.drop.look()
    assert world.drop.purge(time.time() - 60) == 0
    assert world.drop.purge(time.time() + 60) == 3
    assert world.names("done") == world.names("failed") == []


def test_check_tells_of_a_folder_that_cannot_be_used_and_of_refused_documents(world: World) -> None:
    config = Config.model_validate({"clinical": {"drop_folder": str(world.folder)}})
    (fine,) = check_context(config)
    assert fine.ok
    world.put("a.json", "{")
    world.drop.look()
    (noted,) = check_context(config)
    assert (noted.ok, noted.fatal) == (False, False)
    assert "1 refused documents" in noted.says
    in_the_way = world.put("file.txt", "")
    (bad,) = check_context(Config.model_validate({"clinical": {"drop_folder": str(in_the_way / "drop")}}))
    assert (bad.ok, bad.fatal) == (False, True)
    assert list(check_context(Config())) == []
