"""Studies that end without a result: one coded report each, where a destination takes it, and never one too many."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid
from sqlalchemy import update

from dicomnode.assemble.not_performed import NotPerformedReports
from dicomnode.errors import Refusal
from dicomnode.execute.note_writer import write_not_performed
from dicomnode.execute.tasks import NotPerformedTask
from dicomnode.store.engine import Store
from dicomnode.store.queue.jobs import cancel_job, claim_job, requeue_job
from dicomnode.store.queue.runs import fail_job, pending_runs, start_run
from dicomnode.store.tables import Job, Series
from tests.integration.assemble.test_assembly import EVEN, deliver_results, dose_report, head
from tests.integration.assemble.world import ANY_CT, World, data_set_of
from tests.integration.store.fixture import both_databases

QUIET_S = 600.0


class Study(World):
    """A node whose one destination takes reports that nothing was done."""

    def __init__(self, store: Store, data_dir: Path, *, results: tuple[str, ...] = ("sr", "not_performed")) -> None:
        pacs = {"name": "pacs", "ae_title": "PACS", "host": "127.0.0.1", "port": 104, "results": results}
        head_ct = {**ANY_CT, "destinations": ["pacs"]}
        super().__init__(
            store,
            data_dir,
            protocols=(head_ct,),
            reception={"selection_wait_s": 0.0, "study_quiet_s": QUIET_S},
            destination=[pacs],
        )

    def decide(self, *, after_s: float = QUIET_S + 1) -> None:
        """The study has been quiet for so long; assembler and reports look."""
        self.age(after_s)
        self.change(
            lambda session: session.execute(
                update(Series).values(not_performed_due_at=Series.not_performed_due_at - after_s)
            )
        )
        self.assembler.tick()
        NotPerformedReports(self.config, self.store).tick()

    def reports(self) -> list[Job]:
        """Jobs that write reports."""
        return [job for job in self.jobs() if job.task == "not_performed"]

    def reasons(self) -> list[str]:
        """What they are about."""
        return [str((job.about or {})["refusal"]) for job in self.reports()]

    def fail(self, *, quarantine: bool = False) -> None:
        """The model breaks on the only job."""
        with self.store.write() as session:
            claim = claim_job(session, owner="worker", lease_s=60.0)
            assert claim is not None
            (run,) = pending_runs(session, claim, {})
            start_run(session, claim, run)
            fail_job(session, claim, run=run, error="LookupError", retry_at=None, quarantine=quarantine)


@pytest.fixture
def study(store: Store, tmp_path: Path) -> Study:
    return Study(store, tmp_path / "data")


def scout(**attributes: Any) -> list[Dataset]:
    """A localizer of the same study."""
    return head("scout", [0.0], ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"], **attributes)


def gappy() -> list[Dataset]:
    """A head with a slice missing."""
    return head("gappy", offsets=[offset for offset in EVEN if offset != 72])


@both_databases
def test_a_study_whose_only_series_is_refused_gets_one_report_and_keeps_it_at_one(study: Study) -> None:
    study.assemble(gappy())
    study.decide(after_s=61)
    assert study.reports() == []
    study.decide()
    (report,) = study.reports()
    assert (report.status, report.protocol, report.series_id) == ("queued", "head-ct", 1)
    about = report.about or {}
    assert about["refusal"] == "missing_slices"
    assert "between slices" in about["detail"]
    for _ in range(3):
        study.change(lambda session: session.execute(update(Series).values(not_performed_due_at=0.0)))
        study.decide()
    assert len(study.reports()) == 1


def test_scouts_beside_a_series_that_came_to_a_result_are_not_worth_a_word(study: Study) -> None:
    study.assemble(scout(), head())
    deliver_results(study)
    study.decide()
    study.decide()
    assert study.reports() == []


def test_the_series_that_was_nearest_to_a_result_gives_the_reason_not_the_scout(study: Study) -> None:
    study.assemble(scout(), head("angio", SeriesDescription="CTA head"), gappy()[:9])
    study.decide()
    study.decide()
    assert study.reasons() == ["contrast_angiography"]


def test_a_study_of_scouts_alone_says_so(study: Study) -> None:
    study.assemble(scout())
    study.decide()
    study.decide()
    assert study.reasons() == ["localizer"]


def test_what_no_protocol_would_have_taken_is_passed_over(study: Study) -> None:
    study.assemble([dose_report(head())], gappy_of_another_modality())
    study.decide()
    study.decide()
    assert study.reports() == []


def gappy_of_another_modality() -> list[Dataset]:
    """No CT: the protocol asks for Modality CT."""
    series = gappy()
    for ds in series:
        ds.Modality = "PT"
    return series


@pytest.mark.parametrize("quarantine", [False, True])
def test_a_run_that_failed_is_reported_without_its_message(study: Study, quarantine: bool) -> None:
    study.assemble(head())
    study.age(30)
    study.fail(quarantine=quarantine)
    study.decide()
    (report,) = study.reports()
    assert report.about == {"refusal": "run_failed", "detail": ""}


def test_a_job_that_waits_or_runs_is_waited_for(study: Study) -> None:
    study.assemble(gappy(), head())
    study.decide()
    study.decide()
    assert study.reports() == []
    study.fail()
    study.decide()
    assert study.reasons() == ["run_failed"]


def test_an_analysis_that_an_operator_cancelled_is_not_reported(study: Study) -> None:
    study.assemble(gappy(), head())
    study.change(lambda session: cancel_job(session, 1))
    study.decide()
    study.decide()
    assert study.reports() == []


def test_a_result_that_comes_after_all_takes_the_reports_place(study: Study) -> None:
    study.assemble(head())
    study.fail()
    study.decide()
    study.change(lambda session: requeue_job(session, 1))
    # The analysis, not the report, is what the worker takes next.
    study.change(lambda session: session.execute(update(Job).where(Job.id == 2).values(ready_at=4e9)))
    deliver_results(study)
    assert [(job.task, job.status) for job in study.jobs()] == [
        ("analysis", "delivering"),
        ("not_performed", "superseded"),
    ]
    study.decide()
    assert len(study.reports()) == 1


def test_a_destination_that_takes_no_reports_gets_none(store: Store, tmp_path: Path) -> None:
    study = Study(store, tmp_path / "data", results=("sr",))
    study.assemble(gappy())
    study.decide()
    study.decide()
    assert study.reports() == []
    assert study.series(gappy()).not_performed_due_at is None


def test_two_studies_are_two_reports(study: Study) -> None:
    study.assemble(gappy(), head("other", EVEN[:4], StudyInstanceUID=generate_uid()))
    study.decide()
    study.decide()
    assert sorted(study.reasons()) == ["missing_slices", "too_few_slices"]


def broken_off(ds: Dataset, at: int) -> bytes:
    """The data set with a sequence in front of an element that goes on for ever, or is none."""
    body = data_set_of(ds)
    place = body.index(struct.pack("<HH", at >> 16, at & 0xFFFF))
    return body[:place] + b"\x08\x00\x40\x11SQ\x00\x00\xff\xff\xff\xff" + bytes(range(200))


def test_a_series_of_which_no_file_can_be_read_is_reported_where_the_study_is_named(
    study: Study, tmp_path: Path
) -> None:
    images = gappy()
    study.send_bytes([(ds, broken_off(ds, 0x00280010)) for ds in images])
    assert {row.reason for row in study.instances()} == {"unreadable"}
    study.settle()
    study.assembler.tick()
    study.decide()
    assert study.reasons() == ["unreadable"]
    paths = tuple(study.config.spool_dir.absolute() / row.path for row in study.instances())
    result = write_not_performed(
        NotPerformedTask(
            paths=paths,
            refusal=Refusal.UNREADABLE,
            detail="",
            protocol="head-ct",
            research=True,
            generation=1,
            folder=tmp_path / "report",
            timezone="UTC",
            station_ae_title="NODE",
        )
    )
    report = dcmread(result.path)
    assert report.StudyInstanceUID == images[0].StudyInstanceUID
    assert report.PatientID == images[0].PatientID


def test_a_series_of_which_no_file_can_be_read_is_not_reported_where_nobody_knows_the_study(study: Study) -> None:
    study.send_bytes([(ds, broken_off(ds, 0x0020000D)) for ds in gappy()])
    study.settle()
    study.assembler.tick()
    study.decide()
    assert study.reasons() == []


def test_what_was_read_of_a_broken_series_may_say_that_nobody_wants_it(study: Study) -> None:
    images = gappy()
    for ds in images:
        ds.Modality = "MR"
    study.send_bytes([(ds, broken_off(ds, 0x00280010)) for ds in images])
    study.settle()
    study.assembler.tick()
    study.decide()
    assert study.reasons() == []
