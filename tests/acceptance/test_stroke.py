"""The protocol of a stroke for real: HL7 over TLS and a structured report tell, a CT asks, two models answer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from sqlalchemy import func, select

from dicomnode.dicom import codes
from dicomnode.kinds import COMPREHENSIVE_3D_SR, ENHANCED_SR, SECONDARY_CAPTURE
from dicomnode.store.tables import ClinicalValue
from tests.acceptance.hl7_node import by_mutual_tls, node_with_hl7, peer_of
from tests.acceptance.orthanc import Orthanc
from tests.acceptance.reading import contents
from tests.acceptance.served import ServedNode
from tests.acceptance.test_deterioration import (
    DONE_S,
    FIRST,
    LOCAL,
    REQUEST,
    TOLD,
    about,
    done,
    results_of,
    sent,
    told_by_hl7,
    told_by_report,
)
from tests.acceptance.test_deterioration import LABEL as DETERIORATION
from tests.acceptance.test_edema import LABEL as OEDEMA
from tests.acceptance.test_tiny_bundles import coded, group_of, job_of, numbers, scores_report, texts, until
from tests.integration.encode.test_validate import judged
from tests.integration.execute.life_world import named_by, predecessors_of, title_of, uids_of
from tests.tools.hl7_messages import D_DIMER, framed

pytestmark = [pytest.mark.tools, pytest.mark.timeout(1800)]

MODELS = ("deterioration", "edema")
ONE_SET = Counter({COMPREHENSIVE_3D_SR: 1, ENHANCED_SR: 1, SECONDARY_CAPTURE: 1})
"""Scores, text and overview."""
NOT_TOLD = ("D-dimer", "Fibrinogen", "Haemoglobin", "HbA1c", "LDL cholesterol", "C-reactive protein, sensitive")
A_CHILD = "20080601"


@dataclass(frozen=True)
class Hospital:
    """A node with the protocol, and the archive that it sends to."""

    node: ServedNode
    pacs: Orthanc

    def told(self, name: str, *values: tuple[str, str, str], **told: str) -> None:
        told_by_hl7(self.node, name, *values, **told)

    def values_of(self, name: str) -> int:
        """How many values are stored that messages about a patient told."""
        told = select(func.count()).where(ClinicalValue.provenance.like(f"LAB {name}%"))
        with self.node.reading() as session:
            return session.scalar(told) or 0

    def runs_of(self, study_uid: str) -> dict[str, tuple[str, int]]:
        """Status and attempts of each model."""
        job = job_of(self.node, study_uid)
        return {run.model: (str(run.status), run.attempts) for run in getattr(job, "runs", ())}


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory, pacs: Orthanc) -> Iterator[Hospital]:
    hl7, laboratory = by_mutual_tls(tmp_path_factory.mktemp("ca"), LOCAL)
    folder = tmp_path_factory.mktemp("node")
    with node_with_hl7(folder, pacs, MODELS, hl7, protocol="stroke", laboratory=laboratory, issuer="HOSPITAL") as node:
        yield Hospital(node, pacs)


@pytest.fixture(scope="module")
def elsa(hospital: Hospital, tmp_path_factory: pytest.TempPathFactory) -> list[Dataset]:
    """Results about a woman of whom nearly all was told, the request by a structured report."""
    hospital.told("ELSA", *FIRST, (D_DIMER, "1.9", "mg/L{FEU}"), **TOLD)
    folder = tmp_path_factory.mktemp("elsa")
    told_by_report(hospital.node, folder, "ELSA", REQUEST)
    return done(hospital.node, hospital.pacs, sent(hospital.node, folder, "ELSA"))


def kinds_of(results: Sequence[Dataset]) -> Counter[str]:
    return Counter(str(ds.SOPClassUID) for ds in results)


def text_report(results: Sequence[Dataset]) -> str:
    """All that the one report for reading says, in one line."""
    (report,) = [ds for ds in results if ds.SOPClassUID == ENHANCED_SR]
    said = [str(item.TextValue) for item in contents(report) if "TextValue" in item]
    return " ".join(" ".join(said).split())


def saved(results: Sequence[Dataset], folder: Path) -> list[Path]:
    paths = [folder / f"{ds.SOPInstanceUID}.dcm" for ds in results]
    for path, ds in zip(paths, results, strict=True):
        ds.save_as(path)
    return paths


def test_both_models_answer_in_one_set_of_results_that_tells_what_each_of_them_used(elsa: list[Dataset]) -> None:
    assert kinds_of(elsa) == ONE_SET
    for label, high, low in ((DETERIORATION, "15508007", "75976002"), (OEDEMA, "52101004", "2667000")):
        group = group_of(scores_report(elsa), label)
        value, threshold = numbers(group)[:2]
        assert 0.0 < value < 1.0
        assert coded(group, codes.RISK_CATEGORY) == (high if value >= threshold else low)
        used = texts(group, codes.INPUT_USED)
        assert any(
            line.startswith("D-dimer 1.9 mg/L{FEU} (HL7, 2026-01-01T10:00+00:00, 15 min before") for line in used
        )
        assert "Haemoglobin" in texts(group, codes.INPUT_MISSING)
        assert f"{label}: 0." in text_report(elsa)
    deterioration, oedema = (group_of(scores_report(elsa), label) for label in (DETERIORATION, OEDEMA))
    (definition,) = texts(deterioration, codes.DEFINITION)
    assert "within 7 days of admission the NIHSS rises by 2 points or more" in definition
    assert any("14 words (SR" in line for line in texts(deterioration, codes.INPUT_USED))
    assert "a dark rim about a lesion" in " ".join(texts(oedema, codes.DEFINITION))
    assert "D-dimer 1.9 mg/L{FEU}" in text_report(elsa)


def test_the_results_of_the_protocol_are_valid(elsa: list[Dataset], tmp_path: Path) -> None:
    verdict = judged(saved(elsa, tmp_path), fast=True)
    assert (verdict.returncode, verdict.stdout) == (0, ""), verdict.stdout + verdict.stderr


@pytest.mark.full
def test_the_reports_of_the_protocol_pass_every_judge(elsa: list[Dataset], tmp_path: Path) -> None:
    reports = [ds for ds in elsa if ds.Modality == "SR"]
    verdict = judged(saved(reports, tmp_path), fast=False)
    assert (verdict.returncode, verdict.stdout) == (0, ""), verdict.stdout + verdict.stderr


def test_half_is_missing_and_a_laboratory_value_that_comes_late_withdraws_what_both_models_said(
    hospital: Hospital, tmp_path: Path
) -> None:
    hospital.told("FLORA", *FIRST, **TOLD)
    study_uid = sent(hospital.node, tmp_path, "FLORA")
    first = done(hospital.node, hospital.pacs, study_uid)
    for label in (DETERIORATION, OEDEMA):
        group = group_of(scores_report(first), label)
        assert set(NOT_TOLD) <= set(texts(group, codes.INPUT_MISSING))
        assert len(numbers(group)) >= 2  # it answers all the same
    assert "Request, indication" in texts(group_of(scores_report(first), DETERIORATION), codes.INPUT_MISSING)
    assert all(name in text_report(first) for name in NOT_TOLD)

    hospital.told("FLORA", (D_DIMER, "2600", "ng/mL{FEU}"))
    until(lambda: sorted(hospital.node.states(study_uid)) == ["done", "done", "superseded"], within_s=DONE_S)
    later = [ds for ds in results_of(hospital.pacs, study_uid) if ds.SOPInstanceUID not in uids_of(first)]
    (note,) = [ds for ds in later if ds.Modality == "KO"]
    assert (title_of(note), named_by(note)) == (("113001", "DCM"), uids_of(first))
    second = [ds for ds in later if ds.Modality != "KO"]
    assert kinds_of(second) == ONE_SET
    for label in (DETERIORATION, OEDEMA):
        group = group_of(scores_report(second), label)
        used = texts(group, codes.INPUT_USED)
        assert any(line.startswith("D-dimer 2.6 mg/L{FEU} (HL7") for line in used)
        assert "D-dimer" not in texts(group, codes.INPUT_MISSING)
    for before, after in zip(*(sorted_reports(results) for results in (first, second)), strict=True):
        assert predecessors_of(after) >= {str(before.SOPInstanceUID)}
        assert predecessors_of(after) <= uids_of(sorted_reports(first))


def sorted_reports(results: Sequence[Dataset]) -> list[Dataset]:
    return sorted((ds for ds in results if ds.Modality == "SR"), key=lambda ds: str(ds.SOPClassUID))


@pytest.mark.parametrize(
    ("name", "told", "why"),
    [
        ("GRETA", {"EVT": "yes"}, "no thrombectomy; here yes"),
        ("HEDDA", {"MCA": "no"}, "occlusion of the middle cerebral artery; here no"),
    ],
)
def test_who_is_none_of_those_that_deterioration_is_for_gets_no_number_of_it_and_one_of_oedema(
    hospital: Hospital, tmp_path: Path, name: str, told: dict[str, str], why: str
) -> None:
    hospital.told(name, *FIRST, **{**TOLD, **told})
    results = done(hospital.node, hospital.pacs, sent(hospital.node, tmp_path, name))
    assert_not_applicable(results, DETERIORATION, why)
    oedema = group_of(scores_report(results), OEDEMA)
    assert 0.0 < numbers(oedema)[0] < 1.0


def test_of_a_child_neither_gives_a_number(hospital: Hospital, tmp_path: Path) -> None:
    hospital.told("IDA", *FIRST, born=A_CHILD, **TOLD)
    results = done(hospital.node, hospital.pacs, sent(hospital.node, tmp_path, "IDA", born=A_CHILD))
    for label in (DETERIORATION, OEDEMA):
        assert_not_applicable(results, label, "adults; here 17 a")


def assert_not_applicable(results: Sequence[Dataset], label: str, why: str) -> None:
    group = group_of(scores_report(list(results)), label)
    assert numbers(group) == []
    assert coded(group, codes.APPLICABILITY) == codes.NOT_APPLICABLE.value
    assert coded(group, codes.WHY_NOT_APPLICABLE) == "POPULATION"
    assert why in " ".join(texts(group, codes.IMPRESSION))
    assert f"{label}: not applicable" in text_report(results)


def test_where_nobody_told_of_occlusion_and_thrombectomy_the_result_says_that_it_could_not_be_judged(
    hospital: Hospital, tmp_path: Path
) -> None:
    hospital.told("JUNA", *FIRST, **{name: says for name, says in TOLD.items() if name not in ("MCA", "EVT")})
    results = done(hospital.node, hospital.pacs, sent(hospital.node, tmp_path, "JUNA"))
    assert 0.0 < numbers(group_of(scores_report(results), DETERIORATION))[0] < 1.0
    unjudged = "within the population: occlusion of the middle cerebral artery; no thrombectomy."
    assert unjudged in text_report(results)


def test_a_kill_between_storing_and_acknowledging_a_message_changes_nothing_of_the_one_set_of_results(
    hospital: Hospital, tmp_path: Path
) -> None:
    told = about("KAJA", *FIRST, (D_DIMER, "1.9", "mg/L{FEU}"), **TOLD)
    count = len(FIRST) + 1 + len(TOLD)
    peer = peer_of(hospital.node)
    peer.socket.sendall(framed(told))  # the answer, if any was written, is not had
    until(lambda: hospital.values_of("KAJA") == count)
    hospital.node.kill()
    peer.socket.close()
    hospital.node.start()
    with peer_of(hospital.node) as again:
        assert again.send(told).code == "AA"
    assert hospital.values_of("KAJA") == count
    results = done(hospital.node, hospital.pacs, sent(hospital.node, tmp_path, "KAJA"))
    assert kinds_of(results) == ONE_SET
    used = texts(group_of(scores_report(results), DETERIORATION), codes.INPUT_USED)
    assert sum(line.startswith("D-dimer 1.9 mg/L{FEU} (HL7") for line in used) == 1


def test_kills_between_the_answers_of_the_models_and_delivery_leave_one_set_of_results(
    hospital: Hospital, tmp_path: Path
) -> None:
    hospital.told("LOTTA", *FIRST, **TOLD)
    hospital.pacs.stop()
    study_uid = sent(hospital.node, tmp_path, "LOTTA")
    answered = dict.fromkeys(MODELS, ("succeeded", 1))
    until(lambda: hospital.runs_of(study_uid) == answered, within_s=DONE_S)
    hospital.node.kill()
    hospital.node.start()
    until(lambda: hospital.node.states(study_uid) == ["delivering"], within_s=DONE_S)
    hospital.node.kill()
    hospital.pacs.start()
    hospital.node.start()
    assert kinds_of(done(hospital.node, hospital.pacs, study_uid)) == ONE_SET
    assert hospital.runs_of(study_uid) == answered  # no model was asked again
