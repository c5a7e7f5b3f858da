"""Findings on disk between run and encoding."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dicomnode.errors import InferenceError
from dicomnode.execute.findings_file import FINDINGS, findings_bytes, load_findings, save_findings, write_findings
from dicomnode.execute.handed import stored
from dicomnode.records import FindingConcepts, ImageFinding, MaskFinding, ScoreFinding
from tests.unit.encode.cases import EVEN, case_of, predicted_of, score_of, with_probability

BLEED = (((25.0, 60.0, 40.0), (12.0, 14.0, 10.0)),)


def test_a_mask_comes_back_with_its_measurements(tmp_path: Path) -> None:
    (finding,) = case_of(EVEN, BLEED).masks
    save_findings(tmp_path / "findings.npz", [finding])
    (loaded,) = load_findings(tmp_path / "findings.npz")
    assert isinstance(loaded, MaskFinding)
    assert np.array_equal(loaded.mask, finding.mask)
    assert np.array_equal(loaded.lesion_labels, finding.lesion_labels)
    assert (loaded.total, loaded.lesions, loaded.model) == (finding.total, finding.lesions, finding.model)
    assert loaded.concepts is None


def test_bytes_that_another_machine_made_are_the_file_that_this_one_writes(tmp_path: Path) -> None:
    findings = with_probability(case_of(EVEN, BLEED)).masks
    save_findings(tmp_path / "here.npz", findings)
    there = findings_bytes(findings)
    write_findings(tmp_path / "there.npz", memoryview(there))
    assert (tmp_path / "there.npz").read_bytes() == (tmp_path / "here.npz").read_bytes()
    assert stored(tmp_path / "here.npz", FINDINGS).tobytes() == there
    (loaded,), (again,) = load_findings(io.BytesIO(there)), load_findings(tmp_path / "here.npz")
    assert (loaded.name, loaded.model) == (again.name, again.model)


def test_bytes_of_findings_that_are_not_there_are_no_findings(tmp_path: Path) -> None:
    with pytest.raises(InferenceError, match="findings cannot be read: FileNotFoundError"):
        stored(tmp_path / "gone.npz", FINDINGS)


@pytest.mark.parametrize("site", [None, ("69536005", "SCT", "Head")])
def test_the_codes_of_a_bundle_come_back(tmp_path: Path, site: tuple[str, str, str] | None) -> None:
    concepts = FindingConcepts(("91723000", "SCT", "Anatomical Structure"), ("78961009", "SCT", "Spleen"), site)
    finding = replace(case_of(EVEN, BLEED).masks[0], concepts=concepts)
    save_findings(tmp_path / "findings.npz", [finding])
    (loaded,) = load_findings(tmp_path / "findings.npz")
    assert isinstance(loaded, MaskFinding)
    assert loaded.concepts == concepts


def test_probabilities_come_back_step_for_step(tmp_path: Path) -> None:
    (finding,) = with_probability(case_of(EVEN, BLEED)).masks
    save_findings(tmp_path / "findings.npz", [finding, replace(finding, name="edema", probability=None)])
    first, second = load_findings(tmp_path / "findings.npz")
    assert isinstance(first, MaskFinding)
    assert isinstance(second, MaskFinding)
    assert np.array_equal(first.probability, finding.probability)
    assert second.probability is None


@pytest.mark.parametrize(
    "score",
    [score_of(), score_of(interval=None, threshold=None, category=None, reference=(), inputs=(), missing=())],
    ids=["with everything", "bare"],
)
def test_a_score_comes_back_as_it_was(tmp_path: Path, score: object) -> None:
    save_findings(tmp_path / "findings.npz", [score])  # type: ignore[list-item]
    assert load_findings(tmp_path / "findings.npz") == (score,)


def test_where_a_score_comes_from_comes_back_voxel_for_voxel(tmp_path: Path) -> None:
    seen = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    save_findings(tmp_path / "findings.npz", [score_of(attention=seen), score_of()])
    first, second = load_findings(tmp_path / "findings.npz")
    assert isinstance(first, ScoreFinding)
    assert np.array_equal(first.attention, seen)
    assert second == score_of()


def test_a_predicted_scan_comes_back_voxel_for_voxel(tmp_path: Path) -> None:
    image = predicted_of(case_of(EVEN), warnings=("One.", "Two."))
    chance = np.arange(image.hu.size, dtype=np.uint16).reshape(image.hu.shape)
    save_findings(tmp_path / "findings.npz", [image, replace(image, probability=chance, note="Blood on it: 35 %")])
    loaded, more = load_findings(tmp_path / "findings.npz")
    assert isinstance(loaded, ImageFinding)
    assert isinstance(more, ImageFinding)
    assert np.array_equal(loaded.hu, image.hu)
    assert (loaded.horizon, loaded.warnings, loaded.model) == (image.horizon, image.warnings, image.model)
    assert (loaded.probability, loaded.note, more.note) == (None, "", "Blood on it: 35 %")
    assert np.array_equal(more.probability, chance)


def test_masks_and_scores_of_one_run_share_a_file_in_order(tmp_path: Path) -> None:
    (finding,) = case_of(EVEN, BLEED).masks
    other = replace(finding, name="edema")
    save_findings(tmp_path / "findings.npz", [finding, score_of(), other])
    loaded = load_findings(tmp_path / "findings.npz")
    assert [item.name for item in loaded] == ["hemorrhage", "poor_outcome_90d", "edema"]


def test_a_finding_of_an_unknown_type_is_damage(tmp_path: Path) -> None:
    meta = np.frombuffer(json.dumps([{"type": "rumour"}]).encode(), dtype=np.uint8)
    np.savez_compressed(tmp_path / "findings.npz", meta=meta)
    with pytest.raises(InferenceError, match="cannot be read: ValueError"):
        load_findings(tmp_path / "findings.npz")


def test_what_the_decision_and_the_languages_need_comes_back_hashable(tmp_path: Path) -> None:
    (plain,) = case_of(EVEN, BLEED).masks
    finding = replace(
        plain,
        exam_probability=0.08,
        exam_threshold=0.56,
        dense_pieces=2,
        dense_ml=0.42,
        dense_rule="a rule",
        translations=(("de", "Intrakranielle Blutung"),),
        model=replace(plain.model, translations=(("de", "gemalten Köpfen"),)),
    )
    save_findings(tmp_path / "findings.npz", [finding])
    (loaded,) = load_findings(tmp_path / "findings.npz")
    assert isinstance(loaded, MaskFinding)
    assert (loaded.decision, loaded.grounds) == (finding.decision, finding.grounds)
    assert (loaded.dense_pieces, loaded.dense_ml, loaded.dense_rule) == (2, 0.42, "a rule")
    assert (loaded.translations, loaded.lesions[0].side) == (finding.translations, finding.lesions[0].side)
    assert {loaded.model} == {finding.model}
