"""Study and series UIDs that are none: kept together, refused with the true code, told, and found again."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from dicomnode.store.engine import Store
from dicomnode.store.history.events import events_of
from tests.integration.assemble.world import World
from tests.integration.store.fixture import both_databases
from tests.tools.series import ct_series

TOO_LONG = "1.2.840." + "7" * 59
"""67 characters."""


@pytest.fixture
def world(store: Store, tmp_path: Path) -> World:
    """A spool, a database and an assembler."""
    return World(store, tmp_path / "data")


@both_databases
@pytest.mark.parametrize("keyword", ["StudyInstanceUID", "SeriesInstanceUID"])
def test_a_uid_of_67_characters_is_one_refused_series_that_is_found_under_what_was_sent(
    world: World, keyword: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, logger="dicomnode.receive.intake"):
        world.send(ct_series(matrix=4, **{keyword: TOO_LONG}))
    world.settle()
    rows = world.instances()
    assert len({(row.study_uid, row.series_uid) for row in rows}) == 1
    assert {row.reason for row in rows} == {"invalid_uid"}
    with world.store.read() as session:
        events = events_of(session, TOO_LONG)
    assert "invalid_uid" in str([event.detail for event in events] + [event.after for event in events])
    (line,) = [record for record in caplog.records if record.message == "UID is no UID"]
    assert (line.keyword, line.sent, line.calling_ae) == (keyword, TOO_LONG, "CT1")


def test_images_without_any_uid_are_not_thrown_together(world: World) -> None:
    world.send(ct_series(matrix=4, StudyInstanceUID="", SeriesInstanceUID=""))
    rows = world.instances()
    assert len({row.series_uid for row in rows}) == len(rows) == 30
    assert {row.reason for row in rows} == {"invalid_uid"}
