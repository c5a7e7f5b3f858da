"""Later CTs: of which studies an archive is asked, when, and which of several is fetched."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import pytest
from pydantic import ValidationError
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid
from sqlalchemy import select

from dicomnode.config.whole import Config
from dicomnode.deliver.retrieving import DimseArchive
from dicomnode.ops.followups import SETTLED_H, LaterSearches
from dicomnode.ops.priors import PriorSearches
from dicomnode.store.engine import Store
from dicomnode.store.ops.outcomes import HOUR_S
from dicomnode.store.ops.priors import is_fetched
from dicomnode.store.tables import Event, LaterSearch, PriorSearch
from tests.integration.ops.test_outcomes import BEGIN, FORECAST, NEGATIVE, bleed, scanned
from tests.integration.ops.test_priors import ScriptedArchive, config_of, study
from tests.integration.store.fixture import both_databases

OVER_H = FORECAST.until_h + SETTLED_H


def ago(hours: float) -> float:
    """That moment as :func:`scanned` takes it, hours after its beginning."""
    return (time.time() - BEGIN) / HOUR_S - hours


def in_archive(hours_ago: float, uid: str) -> Dataset:
    """A study of the patient that the archive has."""
    at = datetime.fromtimestamp(time.time() - hours_ago * HOUR_S, UTC)
    return study(StudyInstanceUID=uid, StudyDate=f"{at:%Y%m%d}", StudyTime=f"{at:%H%M%S}")


def searches_of(store: Store, port: int) -> LaterSearches:
    config = config_of(port, followups=True)
    (destination,) = config.destination
    archive = DimseArchive(destination, "NODE", timeout_s=2.0)  # type: ignore[arg-type]
    return LaterSearches(config, store, archive, [FORECAST])


def rows(store: Store) -> dict[str, tuple[str, str]]:
    """Study -> what came of its search, and the study that was fetched."""
    with store.read() as session:
        return {one.study_uid: (one.outcome, one.later_study_uid) for one in session.scalars(select(LaterSearch))}


@both_databases
def test_once_all_that_comes_by_itself_has_come_the_ct_nearest_to_the_hour_foretold_is_fetched(store: Store) -> None:
    archive, near, far, before, late = ScriptedArchive(), *(generate_uid() for _ in range(4))
    first = scanned(store, "A", ago(OVER_H + 1), probability=0.6, marked=bleed(9.0))
    archive.studies = [
        in_archive(OVER_H + 1 - hours, uid) for hours, uid in ((60, far), (20, near), (-3, before), (80, late))
    ]
    with archive.serving() as port:
        searches_of(store, port).look()
        searches_of(store, port).look()
    asked = [one for one in archive.asked if one.QueryRetrieveLevel == "STUDY"]
    assert len(asked) == 1
    assert archive.asked[-1].StudyInstanceUID == near
    assert rows(store) == {first: ("nothing_came", near)}  # the scripted archive sends none
    with store.read() as session:
        assert is_fetched(session, near)
        events = session.scalars(select(Event.name).where(Event.subject == "later_search"))
        assert list(events) == ["nothing_came"]


def test_before_that_nobody_is_asked(store: Store) -> None:
    archive = ScriptedArchive()
    scanned(store, "A", ago(OVER_H - 1), probability=0.6, marked=bleed(9.0))
    with archive.serving() as port:
        searches_of(store, port).look()
    assert (archive.asked, rows(store)) == ([], {})


def test_where_a_later_ct_came_by_itself_nobody_is_asked(store: Store) -> None:
    archive = ScriptedArchive()
    first = scanned(store, "A", ago(OVER_H + 1), probability=0.6, marked=NEGATIVE)
    scanned(store, "A", ago(OVER_H - 29), marked=bleed(9.0))
    with archive.serving() as port:
        searches_of(store, port).look()
    assert (archive.asked, rows(store)) == ([], {first: ("known", "")})


def test_a_study_without_a_forecast_and_one_that_was_fetched_ask_for_nothing(store: Store) -> None:
    archive = ScriptedArchive()
    scanned(store, "A", ago(OVER_H + 1), marked=bleed(9.0))
    fetched = scanned(store, "B", ago(OVER_H + 2), probability=0.6, marked=bleed(9.0))
    asked = {"made_at": time.time(), "outcome": "fetched", "detail": {}, "next_try_at": None}
    with store.write() as session:
        session.add(PriorSearch(study_uid=generate_uid(), prior_study_uid=fetched, **asked))
    with archive.serving() as port:
        searches_of(store, port).look()
    assert (archive.asked, rows(store)) == ([], {})


def test_a_study_may_ask_for_the_ct_before_it_and_for_that_after_it(store: Store) -> None:
    archive, before, after = ScriptedArchive(), generate_uid(), generate_uid()
    scanned(store, "A", ago(OVER_H + 1), probability=0.6, marked=bleed(9.0))
    archive.studies = [in_archive(OVER_H + 6, before), in_archive(OVER_H - 23, after)]
    with archive.serving() as port:
        later = searches_of(store, port)
        PriorSearches(later.config, store, later.archive).look()
        later.look()
    with store.read() as session:
        assert [is_fetched(session, uid) for uid in (before, after)] == [True, True]


def test_followups_without_an_archive_are_a_fault_of_the_configuration() -> None:
    with pytest.raises(ValidationError, match="who is asked"):
        Config.model_validate({"priors": {"followups": True}})
