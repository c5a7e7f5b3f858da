"""Earlier CTs: who is asked, what is refused of the answers, and what an archive on a bad day leads to."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid
from pynetdicom import AE, evt
from sqlalchemy import select

from dicomnode.config.whole import Config
from dicomnode.deliver.query import STUDY_ROOT_FIND
from dicomnode.deliver.retrieving import STUDY_ROOT_MOVE, DimseArchive
from dicomnode.dicom.libraries import set_up_pynetdicom
from dicomnode.dicom.statuses import PENDING, SUCCESS
from dicomnode.ops.priors import PriorSearches
from dicomnode.records import ContextSource, Patient
from dicomnode.store.clinical.observations import known_of
from dicomnode.store.engine import Store
from dicomnode.store.ops.priors import is_fetched
from dicomnode.store.tables import Event, PriorSearch, StudyPatient
from tests.integration.deliver.pacs import free_port, mute_port
from tests.integration.ops.test_outcomes import NEGATIVE, bleed, scanned
from tests.integration.store.fixture import both_databases

PRIOR = generate_uid()
SHADOW = {"name": "earlier", "match": {"Modality": "^CT$"}, "models": ["hemorrhage"], "shadow": True}
TWO_HOURS_BEFORE = {"StudyDate": "20270115", "StudyTime": "160000.00"}
"""Of a scan that is 10 hours after 2027-01-15 08:00 UTC."""


def study(**says: Any) -> Dataset:
    """An answer at STUDY level."""
    ds = Dataset()
    ds.QueryRetrieveLevel, ds.StudyInstanceUID = "STUDY", PRIOR
    told = {"PatientID": "A", "PatientBirthDate": "19440502", "PatientSex": "F", **TWO_HOURS_BEFORE, **says}
    for keyword, value in told.items():
        setattr(ds, keyword, value)
    return ds


class ScriptedArchive:
    """A Query/Retrieve SCP that answers what the script says, on a real socket.

    Attributes
    ----------
    studies : answered to a C-FIND at STUDY level. series : (UID, modality, instances) at SERIES level.
    wait_s : silence before each answer. move_status : at the end of a C-MOVE.
    asked : identifiers of all requests.
    """

    def __init__(self) -> None:
        self.studies: list[Dataset] = [study()]
        self.series: list[tuple[str, str, str]] = [(generate_uid(), "CT", "32")]
        self.wait_s, self.move_status = 0.0, SUCCESS
        self.asked: list[Dataset] = []

    @contextmanager
    def serving(self) -> Iterator[int]:
        """While the block lasts; its port."""
        set_up_pynetdicom()
        entity = AE("ARCHIVE")
        entity.add_supported_context(STUDY_ROOT_FIND)
        entity.add_supported_context(STUDY_ROOT_MOVE)
        handlers = [(evt.EVT_C_FIND, self._find), (evt.EVT_C_MOVE, self._move)]
        server = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
        try:
            yield server.socket.getsockname()[1]
        finally:
            server.shutdown()

    def _find(self, event: evt.Event) -> Iterator[tuple[int, Dataset | None]]:
        wanted: Any = event.identifier
        self.asked.append(wanted)
        time.sleep(self.wait_s)
        if wanted.QueryRetrieveLevel == "STUDY":
            yield from ((PENDING, answer) for answer in self.studies)
            return
        for uid, modality, instances in self.series:
            answer = Dataset()
            answer.QueryRetrieveLevel, answer.StudyInstanceUID = "SERIES", wanted.StudyInstanceUID
            answer.SeriesInstanceUID, answer.Modality = uid, modality
            answer.NumberOfSeriesRelatedInstances = instances
            yield PENDING, answer

    def _move(self, event: evt.Event) -> Iterator[Any]:
        self.asked.append(event.identifier)
        if self.move_status == 0xA801:
            yield None, None
            return
        yield "127.0.0.1", free_port(), {"contexts": []}
        yield 0


def config_of(port: int, **priors: Any) -> Config:
    archive = {"name": "archive", "ae_title": "ARCHIVE", "host": "127.0.0.1", "port": port, "timeout_s": 1.0}
    told = {"destination": "archive", "protocol": "earlier", "timeout_s": 2.0, **priors}
    return Config.model_validate({"destination": [archive], "protocol": [SHADOW], "priors": told})


def searches_of(store: Store, port: int, **priors: Any) -> PriorSearches:
    config = config_of(port, **priors)
    (destination,) = config.destination
    archive = DimseArchive(destination, "NODE", timeout_s=config.priors.timeout_s)  # type: ignore[arg-type]
    return PriorSearches(config, store, archive)


def row_of(store: Store, study_uid: str) -> PriorSearch:
    with store.read() as session:
        return session.scalars(select(PriorSearch).where(PriorSearch.study_uid == study_uid)).one()


@pytest.fixture
def archive() -> ScriptedArchive:
    return ScriptedArchive()


@both_databases
def test_a_bleed_that_the_node_saw_before_is_told_to_the_later_scan_and_nobody_is_asked(
    store: Store, archive: ScriptedArchive
) -> None:
    first = scanned(store, "A", 0, marked=bleed(12.0))
    later = scanned(store, "A", 10, marked=bleed(30.0))
    scanned(store, "B", 0, marked=NEGATIVE)
    with archive.serving() as port:
        searches = searches_of(store, port)
        archive.studies = []
        searches.look()
        searches.look()
    with store.read() as session:
        (told,) = known_of(session, Patient(patient_id="A")).observations
        events = session.scalars(select(Event.name).where(Event.subject == "prior_search", Event.study_uid == later))
        assert list(events) == ["known", "told"]
    assert (told.name, told.value, told.source) == ("prior_bleed_volume", 12.0, ContextSource.EARLIER_CT)
    assert told.provenance == f"study {first}"
    assert row_of(store, later).outcome == "told"
    assert row_of(store, first).outcome == "none"
    assert [ask.PatientID for ask in archive.asked] == ["A"]  # for the first scan alone


def test_the_nearest_earlier_study_is_fetched_by_its_thickest_series_and_known_as_fetched_before_it_comes(
    store: Store, archive: ScriptedArchive
) -> None:
    older = study(StudyInstanceUID=generate_uid(), StudyTime="090000")
    archive.studies = [older, study(), study(StudyInstanceUID=generate_uid(), StudyTime="190000")]
    thin, thick, scout, other = (generate_uid() for _ in range(4))
    archive.series = [(thin, "CT", "300"), (thick, "CT", "32"), (scout, "CT", "2"), (other, "SR", "40")]
    later = scanned(store, "A", 10, marked=bleed(30.0))
    with archive.serving() as port:
        searches_of(store, port, max_series=1).look()
    by_study, by_series, *moves = archive.asked
    assert (by_study.PatientID, by_study.StudyDate) == ("A", "20270114-20270115")
    assert by_series.StudyInstanceUID == PRIOR
    assert [(move.StudyInstanceUID, move.SeriesInstanceUID) for move in moves] == [(PRIOR, thick)]
    with store.read() as session:
        assert is_fetched(session, PRIOR)
    assert row_of(store, later).prior_study_uid == PRIOR


Script = Callable[[ScriptedArchive], None]


def says(**what: Any) -> Script:
    return lambda archive: archive.studies.__setitem__(0, study(**what))


@pytest.mark.parametrize(
    ("script", "refused"),
    [
        (says(PatientBirthDate="19700101"), {"birth_date": 1}),
        (says(PatientSex="M"), {"sex": 1}),
        (says(PatientID="B"), {"patient_id": 1}),
        (says(PatientID=""), {"patient_id": 1}),
        (says(StudyInstanceUID=""), {"study_uid": 1}),
        (says(StudyInstanceUID="../../etc"), {"study_uid": 1}),
        (says(StudyTime=""), {"time": 1}),
    ],
    ids=["birth date", "sex", "another patient", "no patient", "no UID", "no valid UID", "no time"],
)
def test_a_study_that_may_be_another_persons_is_refused_and_said(
    store: Store, archive: ScriptedArchive, script: Script, refused: dict[str, int]
) -> None:
    script(archive)
    later = scanned(store, "A", 10, marked=bleed(30.0))
    with archive.serving() as port:
        searches_of(store, port).look()
    row = row_of(store, later)
    assert (row.outcome, row.detail["refused"], row.prior_study_uid) == ("refused", refused, "")
    assert len(archive.asked) == 1  # nothing of it was asked for
    with store.read() as session:
        assert list(session.scalars(select(Event.name).where(Event.study_uid == later))) == ["refused"]


@pytest.mark.parametrize(
    ("issuer", "outcome"), [("HERE", "refused"), ("ELSEWHERE", "nothing_came"), ("", "nothing_came")]
)
def test_the_same_number_by_another_issuer_is_refused_and_silence_is_not(
    store: Store, archive: ScriptedArchive, issuer: str, outcome: str
) -> None:
    later = scanned(store, "A", 10, marked=bleed(30.0))
    with store.write() as session:
        session.scalars(select(StudyPatient).where(StudyPatient.study_uid == later)).one().issuer = issuer
    archive.studies = [study(IssuerOfPatientID="ELSEWHERE")]
    with archive.serving() as port:
        searches_of(store, port).look()
    assert row_of(store, later).outcome == outcome


@pytest.mark.parametrize("patient_id", ["A*", "?", "A\\B"])
def test_an_id_that_would_ask_for_other_patients_is_not_asked_for(
    store: Store, archive: ScriptedArchive, patient_id: str
) -> None:
    later = scanned(store, patient_id, 10, marked=bleed(30.0))
    with archive.serving() as port:
        searches_of(store, port).look()
    assert (row_of(store, later).outcome, archive.asked) == ("unusable_id", [])


def failed(store: Store, port: int, later: str, *, attempts: int) -> PriorSearch:
    """After every attempt that there is."""
    searches = searches_of(store, port, attempts=attempts)
    for _ in range(attempts):
        with store.write() as session:
            for row in session.scalars(select(PriorSearch)):
                row.next_try_at = time.time()
        searches.look()
    return row_of(store, later)


def test_an_archive_that_says_nothing_is_asked_again_and_given_up(store: Store) -> None:
    later = scanned(store, "A", 10, marked=bleed(30.0))
    with mute_port() as port:
        searches = searches_of(store, port, attempts=2)
        searches.look()
        row = row_of(store, later)
        assert (row.outcome, row.failures) == ("no_answer", 1)
        assert row.next_try_at is not None
        assert row.next_try_at > time.time() + 5.0
        row = failed(store, port, later, attempts=2)
    assert (row.outcome, row.next_try_at) == ("no_answer", None)
    assert "no answer" in row.detail["why"]


def test_a_slow_answer_is_no_answer_and_nothing_is_fetched(store: Store, archive: ScriptedArchive) -> None:
    later = scanned(store, "A", 10, marked=bleed(30.0))
    archive.wait_s = 2.5
    with archive.serving() as port:
        searches_of(store, port).look()
    row = row_of(store, later)
    assert (row.outcome, row.prior_study_uid, row.failures) == ("no_answer", "", 1)


def test_an_archive_that_does_not_know_this_node_is_told_of(store: Store, archive: ScriptedArchive) -> None:
    later = scanned(store, "A", 10, marked=bleed(30.0))
    archive.move_status = 0xA801
    with archive.serving() as port:
        searches_of(store, port, attempts=1).look()
    row = row_of(store, later)
    assert row.outcome == "no_answer"
    assert "register this node there" in row.detail["why"]


def test_an_archive_that_answers_with_all_it_has_is_stopped(store: Store, archive: ScriptedArchive) -> None:
    later = scanned(store, "A", 10, marked=bleed(30.0))
    archive.studies = [study()] * 300
    with archive.serving() as port:
        searches_of(store, port, attempts=1).look()
    assert "more than 200" in row_of(store, later).detail["why"]


def test_an_exam_without_a_bleed_asks_for_nothing(store: Store, archive: ScriptedArchive) -> None:
    scanned(store, "A", 10, marked=NEGATIVE)
    with archive.serving() as port:
        searches_of(store, port).look()
    assert archive.asked == []


def test_a_bleed_of_another_person_under_the_same_id_is_no_earlier_one(store: Store, archive: ScriptedArchive) -> None:
    scanned(store, "A", 0, marked=bleed(12.0), birth_date="20000101")
    scanned(store, "A", 10, marked=bleed(30.0))
    archive.studies = []
    with archive.serving() as port:
        searches_of(store, port).look()
    with store.read() as session:
        assert known_of(session, Patient(patient_id="A")).observations == ()
