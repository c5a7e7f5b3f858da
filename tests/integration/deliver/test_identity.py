"""Whose study it is, asked before anything leaves: a scripted PACS that says otherwise, on SQLite and on PostgreSQL."""

from __future__ import annotations

import json
import logging
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import ImplicitVRLittleEndian
from typer.testing import CliRunner

from dicomnode.app.checkup import checkup
from dicomnode.cli.main import app
from dicomnode.config.load import load_config
from dicomnode.errors import JobError
from dicomnode.store.deliver import holding
from dicomnode.store.engine import Store
from dicomnode.store.history.events import events_of
from dicomnode.store.history.jobs import list_jobs
from dicomnode.store.queue.jobs import cancel_job
from tests.integration.deliver.pacs import ScriptedPacs
from tests.integration.deliver.world import JAPANESE, PATIENT, World, data_set_sha256
from tests.integration.store.fixture import both_databases, sqlite_only
from tests.tools.leaks import told_in

EMERGENCY = {"PatientName": "Unknown^Male", "PatientID": "TMP-12", "PatientBirthDate": "", "PatientSex": "M"}
ANOTHER = {"PatientName": "Suzuki^Ichirou", "PatientID": "0815", "PatientBirthDate": "19800505", "PatientSex": "M"}


@pytest.fixture
def pacs(tmp_path: Path) -> Iterator[ScriptedPacs]:
    with ScriptedPacs(tmp_path / "pacs") as running:
        yield running


def patient(charset: str | list[str] = "ISO_IR 192", **more: str) -> Dataset:
    ds = Dataset()
    ds.SpecificCharacterSet = charset
    for keyword, value in more.items():
        setattr(ds, keyword, value)
    return ds


def logged_by(caplog: pytest.LogCaptureFixture) -> str:
    """All that was logged, but UIDs, times and process numbers, whose digits may hold a short patient ID by chance."""
    chance = {"created", "msecs", "relativeCreated", "thread", "process"}
    kept = [{key: value for key, value in vars(record).items() if key not in chance} for record in caplog.records]
    return re.sub(r"\d+(\.\d+)+", "", str(kept))


def identities(world: World, job_id: int) -> list[str]:
    return [row.identity for row in world.rows(job_id)]


@sqlite_only
def test_a_pacs_without_the_study_gets_the_results_byte_for_byte(world: World, pacs: ScriptedPacs) -> None:
    job_id, results = world.deliver("seg", "sr")
    world.sender(world.destination(pacs.port)).step()
    assert pacs.study_looks == 1
    sent = [data_set_sha256(world.data_dir / result.path) for result in results]
    assert [stored.sha256 for stored in pacs.instances] == sent
    assert (world.job(job_id).status, identities(world, job_id)) == ("done", ["absent", "absent"])


@sqlite_only
@pytest.mark.parametrize(
    ("charset", "name"),
    [
        (["", "ISO 2022 IR 87"], JAPANESE),
        ("ISO_IR 192", f"{JAPANESE.upper()}^^"),
        ("ISO_IR 6", "YAMADA^TAROU^^^"),
        ("ISO_IR 6", "Yamada^Tarou=??^??"),
    ],
)
def test_the_same_name_in_another_spelling_changes_no_byte(
    world: World, pacs: ScriptedPacs, charset: str | list[str], name: str
) -> None:
    pacs.patients = [patient(charset, **{**PATIENT, "PatientName": name})]
    job_id, results = world.deliver("sr")
    world.sender(world.destination(pacs.port)).step()
    assert identities(world, job_id) == ["same"]
    assert pacs.instances[0].sha256 == data_set_sha256(world.data_dir / results[0].path)


@pytest.mark.parametrize("syntaxes", [[], [ImplicitVRLittleEndian]])
def test_an_emergency_patient_who_was_identified_gets_the_results(
    world: World, tmp_path: Path, syntaxes: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "dicomnode")
    pacs = ScriptedPacs(tmp_path / "pacs")
    pacs.accepted_syntaxes = syntaxes
    pacs.patients = [patient(["", "ISO 2022 IR 87"], AccessionNumber="A-77", **PATIENT)]
    with pacs:
        job_id, results = world.deliver("seg", "sr", patient=EMERGENCY)
        world.sender(world.destination(pacs.port)).step()
    assert pacs.uids == [result.sop_instance_uid for result in results]
    for stored, result in zip(pacs.instances, results, strict=True):
        received, own = dcmread(stored.path), dcmread(world.data_dir / result.path)
        assert {keyword: str(received[keyword].value) for keyword in PATIENT} == PATIENT
        assert (received.AccessionNumber, received.SpecificCharacterSet) == ("A-77", "ISO_IR 192")
        assert own.PatientName == "Unknown^Male"
        assert received.StudyInstanceUID == own.StudyInstanceUID
        public = [element for element in received if not element.tag.is_private]
        changed = {element.keyword for element in public if element != own.get(element.tag)}
        assert changed == {"PatientName", "PatientID", "PatientBirthDate", "AccessionNumber"} | {
            "OriginalAttributesSequence"
        }
    assert world.job(job_id).status == "done"
    differs = "PatientID, PatientName, PatientBirthDate, AccessionNumber"
    assert set(identities(world, job_id)) == {f"adopted: {differs}"}
    (told,) = world.events("identity", subject="job")
    assert told.detail == {"destination": "pacs", "agreement": "adopted", "differs": differs}
    with world.store.read() as session:
        assert "identity" in {event.name for event in events_of(session, str(job_id))}
    logged = logged_by(caplog)
    assert "leaves under the identity of the destination" in logged
    assert told_in(logged, ("Yamada", "山田", "4711", "A-77", "Unknown", "TMP-12", "19500102")) == []


@sqlite_only
def test_what_is_sent_again_after_a_loss_is_the_same_bytes(world: World, pacs: ScriptedPacs) -> None:
    job_id, _ = world.deliver("sr", patient=EMERGENCY)
    pacs.patients = [patient(**PATIENT)]
    pacs.aborts_after = 0
    sender = world.sender(world.destination(pacs.port))
    world.step_until(sender, lambda: world.job(job_id).status == "done")
    first = pacs.instances[-1].sha256
    pacs.instances.clear()
    other, _ = world.deliver("sr", patient=EMERGENCY)
    pacs.keeps_then_drops, pacs.hidden_looks = True, pacs.looks + 1
    world.step_until(sender, lambda: world.job(other).status == "done")
    kept, again = pacs.instances
    assert kept.sha256 == again.sha256 != first
    assert len(world.events("identity", subject="job")) == 2


def test_a_merge_changes_the_number_only_and_each_destination_has_its_own(
    world: World, pacs: ScriptedPacs, tmp_path: Path
) -> None:
    pacs.patients = [patient(**{**PATIENT, "PatientID": "E-99"})]
    job_id, results = world.deliver("sr", destinations=("pacs", "archive"))
    world.sender(world.destination(pacs.port)).step()
    with ScriptedPacs(tmp_path / "archive") as archive:
        world.sender(world.destination(archive.port, name="archive")).step()
    numbers = [str(dcmread(peer.instances[0].path).PatientID) for peer in (pacs, archive)]
    assert numbers == ["E-99", "4711"]
    assert archive.instances[0].sha256 == data_set_sha256(world.data_dir / results[0].path)
    assert identities(world, job_id) == ["adopted: PatientID", "absent"]
    assert world.job(job_id).status == "done"


def test_what_may_be_another_person_is_held_and_somebody_is_called(
    world: World, pacs: ScriptedPacs, caplog: pytest.LogCaptureFixture
) -> None:
    pacs.patients = [patient(**ANOTHER)]
    job_id, _ = world.deliver("seg", "sr")
    sender = world.sender(world.destination(pacs.port))
    sender.step()
    assert pacs.asked == []
    assert (world.statuses(job_id), world.job(job_id).status) == (["held", "held"], "delivering")
    alarms = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert [record.message for record in alarms if "result held" in record.message] == [alarms[0].message] * 2
    logged = logged_by(caplog)
    assert told_in(logged, ("Suzuki", "0815", "Yamada", "4711")) == []
    with world.store.read() as session:
        (line,) = list_jobs(session)
        assert (line.held, holding.count_held(session)) == (2, {"pacs": 2})
        assert list_jobs(session, deliveries=False) == [replace(line, deliveries=[])]
    pacs.patients = None
    other, _ = world.deliver("sr")
    sender.step()
    assert world.job(other).status == "done"  # nothing else waits for it


def test_a_study_under_two_patients_is_held_even_if_one_is_ours(world: World, pacs: ScriptedPacs) -> None:
    pacs.patients = [patient(**PATIENT), patient(**ANOTHER)]
    job_id, _ = world.deliver("sr")
    world.sender(world.destination(pacs.port)).step()
    assert (world.statuses(job_id), pacs.asked) == (["held"], [])
    assert "under 2 patients" in world.rows(job_id)[0].error


@sqlite_only
@pytest.mark.parametrize("said", ["", None])
def test_an_answer_that_names_no_study_is_about_the_one_that_was_asked_for(
    world: World, pacs: ScriptedPacs, said: str | None
) -> None:
    pacs.says, pacs.patients = {"StudyInstanceUID": said}, [patient(**ANOTHER)]
    job_id, _ = world.deliver("sr")
    world.sender(world.destination(pacs.port)).step()
    assert (world.statuses(job_id), pacs.asked) == (["held"], [])


@sqlite_only
def test_an_answer_of_which_the_study_cannot_be_told_does_not_mean_absent(world: World, pacs: ScriptedPacs) -> None:
    pacs.says, pacs.patients = {"StudyInstanceUID": ["1.2", "1.3"]}, [patient(**ANOTHER)]
    job_id, _ = world.deliver("sr")
    world.sender(world.destination(pacs.port)).step()
    assert (world.statuses(job_id), pacs.asked) == (["pending"], [])
    assert "it cannot be told which study it is about" in world.rows(job_id)[0].error


@both_databases
def test_a_conflict_that_is_settled_in_the_archive_releases_the_results(world: World, pacs: ScriptedPacs) -> None:
    pacs.patients = [patient(**ANOTHER)]
    job_id, _ = world.deliver("sr")
    sender = world.sender(world.destination(pacs.port), look_again_s=0.05)
    sender.step()
    assert world.statuses(job_id) == ["held"]
    looks = pacs.study_looks
    world.step_until(sender, lambda: pacs.study_looks > looks)
    assert world.statuses(job_id) == ["held"]
    pacs.patients = [patient(**{**PATIENT, "PatientID": "0815"})]
    world.step_until(sender, lambda: world.job(job_id).status == "done")
    assert dcmread(pacs.instances[0].path).PatientID == "0815"
    assert len(world.events("hold")) == 1


@pytest.mark.parametrize(("identity", "expected"), [("pacs", ANOTHER), ("own", PATIENT)])
def test_an_operator_who_has_looked_decides_under_whose_identity_it_goes(
    world: World, pacs: ScriptedPacs, identity: str, expected: dict[str, str]
) -> None:
    pacs.patients = [patient(**ANOTHER)]
    job_id, _ = world.deliver("seg", "sr")
    sender = world.sender(world.destination(pacs.port))
    sender.step()
    with world.store.write() as session:
        assert holding.release_held(session, job_id, identity=identity) == 2
    world.step_until(sender, lambda: world.job(job_id).status == "done")
    for stored in pacs.instances:
        received = dcmread(stored.path)
        assert {keyword: str(received[keyword].value) for keyword in PATIENT} == expected
    assert {event.detail["identity"] for event in world.events("release")} == {identity}


def test_an_operator_may_withdraw_what_is_held_for_one_destination(
    world: World, pacs: ScriptedPacs, tmp_path: Path
) -> None:
    pacs.patients = [patient(**ANOTHER)]
    job_id, _ = world.deliver("sr", destinations=("pacs", "archive"))
    world.sender(world.destination(pacs.port)).step()
    with ScriptedPacs(tmp_path / "archive") as archive:
        world.sender(world.destination(archive.port, name="archive")).step()
    with world.store.write() as session, pytest.raises(JobError, match="nothing of job"):
        holding.discard_held(session, job_id, destination="archive")
    with world.store.write() as session:
        assert holding.discard_held(session, job_id, destination="pacs") == 1
    assert world.statuses(job_id) == ["withdrawn", "proven"]
    assert (world.job(job_id).status, pacs.asked) == ("undelivered", [])


def test_cancelling_a_job_withdraws_what_is_held(world: World, pacs: ScriptedPacs) -> None:
    pacs.patients = [patient(**ANOTHER)]
    job_id, _ = world.deliver("sr")
    world.sender(world.destination(pacs.port)).step()
    with world.store.write() as session:
        cancel_job(session, job_id)
    assert world.statuses(job_id) == ["withdrawn"]


@sqlite_only
def test_a_destination_without_c_find_cannot_be_asked_and_that_is_noted(world: World, tmp_path: Path) -> None:
    pacs = ScriptedPacs(tmp_path / "pacs")
    pacs.offers_find = False
    with pacs:
        job_id, _ = world.deliver("sr", proof="status")
        world.sender(world.destination(pacs.port, proof="status")).step()
    assert world.job(job_id).status == "sent_unproven"
    assert identities(world, job_id) == ["own, since C-FIND is not offered"]
    assert world.events("identity", subject="job")[0].detail["agreement"] == "own, since C-FIND is not offered"


@sqlite_only
def test_a_trusted_destination_is_not_asked(world: World, pacs: ScriptedPacs) -> None:
    pacs.patients = [patient(**ANOTHER)]
    job_id, _ = world.deliver("sr")
    world.sender(world.destination(pacs.port, identity="trust")).step()
    assert (pacs.study_looks, world.job(job_id).status, identities(world, job_id)) == (0, "done", ["own, trusted"])


@sqlite_only
def test_nothing_leaves_while_the_question_is_not_answered(world: World, pacs: ScriptedPacs) -> None:
    pacs.study_find_status = 0xC001
    job_id, _ = world.deliver("sr")
    sender = world.sender(world.destination(pacs.port))
    sender.step()
    assert (world.statuses(job_id), pacs.asked) == (["pending"], [])
    assert "whose study it is could not be asked" in world.rows(job_id)[0].error
    pacs.study_find_status = 0
    world.step_until(sender, lambda: world.job(job_id).status == "done")


@sqlite_only
def test_a_result_that_cannot_be_read_does_not_hold_up_the_others(world: World, pacs: ScriptedPacs) -> None:
    job_id, (damaged, _) = world.deliver("seg", "sr")
    path = world.data_dir / damaged.path
    path.write_bytes(path.read_bytes()[:400])
    world.sender(world.destination(pacs.port)).step()
    assert world.statuses(job_id) == ["failed", "proven"]


@pytest.fixture
def command_line(sqlite_template: Path, tmp_path: Path, pacs: ScriptedPacs) -> Iterator[tuple[World, Path]]:
    """A world with a configuration file, as an operator has it."""
    (tmp_path / "data").mkdir()
    opened = Store(f"sqlite:///{shutil.copy(sqlite_template, tmp_path / 'data' / 'node.db')}")
    config = tmp_path / "config.toml"
    config.write_text(
        f'[node]\ndata_dir = "{tmp_path / "data"}"\nhost = "127.0.0.1"\nport = 0\n[reception]\nmin_free_gb = 0.0\n'
        f'[[destination]]\nname = "pacs"\nae_title = "PACS"\nhost = "127.0.0.1"\nport = {pacs.port}\n'
    )
    yield World(opened, tmp_path / "data"), config
    opened.close()


def run(config: Path, *arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, [*arguments, "--config", str(config)])
    return result.exit_code, result.output


def test_the_commands_show_release_and_discard_what_is_held(
    command_line: tuple[World, Path], pacs: ScriptedPacs
) -> None:
    world, config = command_line
    pacs.patients = [patient(**ANOTHER)]
    job_id, _ = world.deliver("seg", "sr")
    other, _ = world.deliver("sr")
    sender = world.sender(world.destination(pacs.port))
    sender.step()
    code, output = run(config, "jobs", "held", "--json")
    first, second = json.loads(output)["held"]
    assert (code, first["job_id"], first["count"], second["job_id"]) == (0, job_id, 2, other)
    assert "contradict" in first["reason"]
    assert "2 results held" in run(config, "jobs", "list")[1]
    found = [f for f in checkup(load_config(config, serving=False), load_models=False) if "are held" in f.says]
    assert [(f.what, f.ok) for f in found] == [("destination pacs", False)]
    assert run(config, "jobs", "release", str(job_id), "--identity", "mine")[0] == 2
    assert run(config, "jobs", "release", str(job_id), "--identity", "pacs") == (0, "2 results are released\n")
    assert run(config, "jobs", "discard", str(other)) == (0, "1 results are withdrawn\n")
    assert run(config, "jobs", "discard", str(other))[0] == 1
    world.step_until(sender, lambda: world.job(job_id).status == "done")
    assert json.loads(run(config, "jobs", "held", "--json")[1])["held"] == []
    assert "adopted: PatientID" in run(config, "jobs", "show", str(job_id), "--json")[1]


def test_check_says_whether_a_destination_can_be_asked(command_line: tuple[World, Path], pacs: ScriptedPacs) -> None:
    _, config = command_line

    def says() -> str:
        return " | ".join(f.says for f in checkup(load_config(config, serving=False), load_models=False))

    assert "is asked whose study it is before anything is sent" in says()
    pacs.study_find_status = 0xA700
    assert "cannot be asked whose study it is" in says()
    config.write_text(config.read_text() + 'identity = "trust"\n')
    assert 'identity = "trust"' in says()
