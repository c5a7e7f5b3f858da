"""The experiment behind the shipped weights, from cohorts to report, with few patients and few steps."""

from __future__ import annotations

import csv
import json
import math
import re
import shutil
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from dicomnode.cohort.edition import Version
from dicomnode.errors import TrainingError
from dicomnode.train.engine import FitSettings
from dicomnode.train.experiment.arms import Arm, Plan, Runs, best_runs, folder_of, run_arms
from dicomnode.train.experiment.cohorts import Part, make_cohorts, with_fewer
from dicomnode.train.experiment.command import run
from dicomnode.train.experiment.report import not_trained
from dicomnode.train.experiment.ship import install
from dicomnode.train.hemorrhage import experiment as hemorrhage
from dicomnode.train.hemorrhage.cohorts import PARTS
from dicomnode.train.hemorrhage.committee import committee
from dicomnode.train.hemorrhage.detector import EXPERIMENT as EXPERIMENT_OF_THE_DETECTOR
from dicomnode.train.hemorrhage.experiment import PROGRAM, SECOND, STUDENT, TEACHER, UNRANKED
from dicomnode.train.hemorrhage.recipes import BUNDLE, SEATS, detector_learner, detector_recipe, student_recipe
from dicomnode.train.manifest import Case, Manifest, Split, read_manifest
from dicomnode.train.outputs.probability import UNCALIBRATED, Probability
from dicomnode.train.results import Results, results_of
from dicomnode.train.settings import TrainSettings
from dicomnode.train.slices.learner import SliceLearner

# Patients whose scans have few slices; some with blood, some without.
FEW = (
    Part(name="a-few", site="A", arm="ich", patients=3, seed=131, use=Split.TRAIN, followups=True),
    Part(name="a-calibration", site="A", arm="mixed", patients=2, seed=187, use=Split.CALIBRATION, followups=False),
    Part(name="b-pool", site="B", arm="ich", patients=1, seed=59, use=Split.UNLABELLED, followups=False),
    Part(name="b-test", site="B", arm="mixed", patients=2, seed=55, use=Split.TEST, followups=True),
)
FEW = tuple(replace(part, version=Version.ONE) for part in FEW)
MATRIX = 96


def coarse(arm: Arm) -> Arm:
    """The same arm on planes of 4 mm a pixel: the same network, a sixteenth of the work."""

    def learner() -> SliceLearner:
        fine = arm.learner()
        assert isinstance(fine, SliceLearner)
        recipe = replace(fine.recipe, planes=replace(fine.recipe.planes, size=64, pixel_mm=4.0))
        return SliceLearner(recipe, fine.without, fine.member_of, fine.ranked_share)

    return replace(arm, learner=learner)


ARMS = tuple(coarse(arm) for arm in hemorrhage.ARMS)
SETTINGS = TrainSettings(
    fit=FitSettings(epochs=1, learning_rate=2e-3, patience=0),
    steps=2,
    batch=4,
    skip_unusable=True,
    progress=False,
)
EXPERIMENT = replace(hemorrhage.EXPERIMENT, parts=FEW, arms=ARMS, settings=SETTINGS)
NAMES = tuple(arm.name for arm in ARMS)
PLAN = Plan((1,), NAMES, SETTINGS)
# The first test that asks for ``runs`` waits for four trainings, longer still where other work runs beside.
pytestmark = pytest.mark.timeout(1200)


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("experiment")


@pytest.fixture(scope="module")
def manifest(out: Path) -> Path:
    return make_cohorts(out / "cohorts", None, 1, EXPERIMENT.parts, MATRIX)


@pytest.fixture(scope="module")
def runs(out: Path, manifest: Path) -> Runs:
    return dict(run_arms(manifest, out, ARMS, PLAN))


@pytest.fixture(scope="module")
def reported(out: Path, runs: Runs) -> str:
    """What the command prints when it is called again for one seed more, and is to train nothing."""
    called = ["hemorrhage", "--out", str(out), "--seeds", "1", "2", "--epochs", "1", "--steps", "2", "--trained-only"]
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(StringIO()) as printed:
        patch.setattr("sys.argv", called)
        run(EXPERIMENT, PROGRAM)
    return printed.getvalue()


@pytest.fixture(scope="module")
def read(manifest: Path) -> Manifest:
    return read_manifest(manifest)


def test_the_parts_share_no_patient() -> None:
    seeds = [part.seed for part in PARTS]
    assert len(set(seeds)) == len(seeds)


def test_a_validating_patient_has_one_exam_and_the_others_both(read: Manifest) -> None:
    assert [case.id for case in read.of(Split.VALIDATION)] == ["a-few-painted/COHORT-0003"]
    assert sorted(case.id for case in read.of(Split.TRAIN)) == [
        f"a-few-painted/COHORT-000{k}{scan}" for k in (1, 2) for scan in ("", "-followup")
    ]


def test_of_fewer_exams_to_learn_from_all_others_stay_as_they_are(manifest: Path, read: Manifest) -> None:
    fewer = read_manifest(with_fewer(manifest, 3))
    first = [case for split in (Split.TRAIN, Split.VALIDATION) for case in fewer.of(split)]
    assert [case.id for case in first] == [f"a-few-painted/COHORT-000{number}" for number in (1, 2, 3)]
    for split in (Split.TEST, Split.CALIBRATION, Split.UNLABELLED):
        assert fewer.of(split) == read.of(split)


def test_unlabelled_exams_carry_neither_mask_nor_label(read: Manifest) -> None:
    (case,) = read.of(Split.UNLABELLED)
    assert (case.masks, case.labels, case.site) == ({}, {}, "B")


def test_the_types_of_blood_add_up_to_all_of_it(read: Manifest) -> None:
    assert read.of(Split.TRAIN)[0].masks["extra_axial"].values == (3, 4, 5)
    assert read.of(Split.TRAIN)[0].masks["hemorrhage"].values == ()


def test_every_arm_is_scored_on_the_same_exams(runs: Runs) -> None:
    assert set(runs) == {(1, arm) for arm in NAMES}
    assert len({results.ids for results in runs.values()}) == 1


def test_what_is_trained_is_not_trained_again(out: Path, manifest: Path, runs: Runs) -> None:
    weights = folder_of(out, (1, STUDENT)) / "best.safetensors"
    before = weights.stat().st_mtime_ns
    again = dict(run_arms(manifest, out, ARMS, PLAN))
    assert {run: results["score"].tolist() for run, results in again.items()} == {
        run: results["score"].tolist() for run, results in runs.items()
    }
    assert weights.stat().st_mtime_ns == before


def test_the_second_student_starts_from_the_first_and_sees_unlabelled_exams(out: Path, runs: Runs) -> None:
    settings = json.loads((folder_of(out, (1, SECOND)) / "report" / "report.json").read_text())["about"]["settings"]
    assert settings["teacher"] == str(folder_of(out, (1, STUDENT)) / "best.safetensors")
    assert settings["ranked_share"] == 0.1


def test_only_what_is_trained_is_reported_where_nothing_is_to_be_trained(out: Path, manifest: Path, runs: Runs) -> None:
    more = Plan((1, 2), (TEACHER, STUDENT), SETTINGS)
    done = run_arms(manifest, out, ARMS, more, trained_only=True)
    assert [run for run, _ in done] == [(1, TEACHER), (1, STUDENT)]


def test_the_report_says_synthetic_and_the_weights_fit_the_zoos_network(out: Path, runs: Runs, reported: str) -> None:
    said = reported.splitlines()
    assert said[:-1] == [f"seed 1, {arm}: 4 test exams" for arm in NAMES]
    report = Path(said[-1])
    text = report.read_text()
    assert f"Made by `{PROGRAM} --out FOLDER --anatomy TEMPLATES --seeds 1 2 --arms 'teacher' 'student' " in text
    assert "(synthetic)" in text
    assert "research, not for diagnosis" in text.lower()
    assert "student minus teacher" in text
    assert "student minus student without ranker" in text
    assert "second student minus student" in text
    assert f"Not trained, so nothing is said of it: {', '.join(f'{arm} of seed 2' for arm in NAMES)}." in text
    for name in ("intraventricular", "extra_axial", "-15 HU", "+15 HU", "distance of slices"):
        assert name in text
    pictures = re.findall(r"\]\((\w+\.png)\)", text)
    assert "roc.png" in pictures
    assert all((report.parent / name).stat().st_size > 1000 for name in pictures)
    figures = json.loads((report.parent / "figures.json").read_text())
    assert [(run["seed"], run["arm"]) for run in figures["shipped"]] == best_runs(out, runs, ARMS, SEATS)
    student, teacher = (figures["arms"][f"seed 1, {arm}"]["false_ml"][0] for arm in (STUDENT, TEACHER))
    of_each_seed = re.search(r"student minus teacher.*?\| marked[^|]*\|[^|]*\|[^|]*\| ([-+.\d]+) \|", text, re.DOTALL)
    assert of_each_seed
    assert float(of_each_seed[1]) == pytest.approx(student - teacher, abs=0.001)
    assert set(figures["cohorts"]) == {
        "a-few-painted",
        "a-calibration-painted",
        "b-pool-painted",
        "b-test-painted",
    }
    with (report.parent / "training.csv").open() as log:
        epochs = list(csv.DictReader(log))
    assert [(int(row["seed"]), row["arm"], row["epoch"]) for row in epochs] == [(1, arm, "1") for arm in NAMES]
    assert all(0.0 < float(row["loss"]) < 5.0 for row in epochs)
    state = load_file(report.parent / "students.safetensors")
    assert state["members.0.1.head.weight"].dtype == torch.float16
    student_recipe().bundled().load_state_dict(state)


def test_what_ships_and_its_report_are_installed_in_their_places(out: Path, reported: str, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(BUNDLE / "configs", bundle / "configs")
    (bundle / "models").mkdir()
    install(replace(EXPERIMENT, bundle=bundle, docs=tmp_path / "docs"), out)
    assert (bundle / "models" / "model.safetensors").read_bytes() == (
        out / "summary" / "students.safetensors"
    ).read_bytes()
    exam = json.loads((tmp_path / "docs" / "figures.json").read_text())["exam"]
    text = (bundle / "configs" / "metadata.json").read_text()
    assert all(f'"exam_{name}": {value:g}' in text for name, value in exam.items())
    assert {path.name for path in (tmp_path / "docs").iterdir()} >= {"report.md", "training.csv", "roc.png"}
    with pytest.raises(TrainingError, match="no place in the project"):
        install(replace(EXPERIMENT, bundle=None), out)


def test_a_report_of_all_that_was_planned_misses_nothing(runs: Runs) -> None:
    assert not_trained(PLAN, runs) == []


def _validated(out: Path, scores: dict[tuple[int, str], list[float]]) -> Runs:
    for (seed, arm), values in scores.items():
        report = folder_of(out, (seed, arm)) / "report"
        report.mkdir(parents=True)
        (report / "report.json").write_text(json.dumps({"history": [{"score": value} for value in values]}))
    return {run: results_of([], []) for run in scores}


def test_the_two_best_students_of_different_seeds_ship_and_no_other_arm(tmp_path: Path) -> None:
    runs = _validated(
        tmp_path,
        {
            (1, STUDENT): [0.7, 0.8],
            (2, STUDENT): [0.9, 0.5],
            (2, SECOND): [0.8, 0.91],
            (3, STUDENT): [0.85],
            (3, UNRANKED): [0.99],
            (3, TEACHER): [0.99],
        },
    )
    assert best_runs(tmp_path, runs, ARMS, SEATS) == [(2, SECOND), (3, STUDENT)]


def test_the_detector_is_seated_like_the_students_and_tells_five_findings(tmp_path: Path) -> None:
    learner = detector_learner()
    save_file(learner.recipe.build().state_dict(), tmp_path / "one.safetensors")
    network = EXPERIMENT_OF_THE_DETECTOR.assemble([tmp_path / "one.safetensors"], tmp_path / "both.safetensors")
    assert network.eval()(torch.rand(1, 6, 32, 32)).shape == (1, len(learner.recipe.planes.findings), 32, 32)
    with pytest.raises(TrainingError, match="no place in the project"):
        install(replace(EXPERIMENT_OF_THE_DETECTOR, bundle=None), tmp_path)


def test_pixels_are_marked_from_the_probability_that_is_asked_for(tmp_path: Path) -> None:
    recipe = detector_recipe()
    save_file(recipe.build().state_dict(), tmp_path / "one.safetensors")
    plain, moved = (
        committee([tmp_path / "one.safetensors"], tmp_path / f"{share}.safetensors", detector_recipe, share).eval()
        for share in (0.5, 0.4)
    )
    image = torch.rand(1, 6, 32, 32)
    before, after = plain(image).sigmoid(), moved(image).sigmoid()
    assert torch.equal(after[:, 0] > 0.5, before[:, 0] > 0.4)
    torch.testing.assert_close(after[:, 0].logit(), before[:, 0].logit() + math.log(0.6 / 0.4), atol=2e-3, rtol=0.0)
    torch.testing.assert_close(after[:, 1:], before[:, 1:])


def test_a_single_student_takes_both_seats(out: Path, tmp_path: Path, runs: Runs) -> None:
    weights = folder_of(out, (1, STUDENT)) / "best.safetensors"
    committee([weights], tmp_path / "both.safetensors")
    state = load_file(tmp_path / "both.safetensors")
    assert torch.equal(state["members.0.1.head.weight"], state["members.1.1.head.weight"])


def _results(labels: list[float], scores: list[float]) -> Results:
    rows = [{"label": label, "score": score} for label, score in zip(labels, scores, strict=True)]
    return results_of([Case(id=str(n), patient=str(n), site="A") for n in range(len(rows))], rows)


@pytest.mark.parametrize(
    ("labels", "scores"),
    [([1.0, 1.0], [0.1, 0.9]), ([0.0, 1.0, 0.0], [0.9, 0.1, 0.8]), ([0.0, 1.0], [0.3, 0.3])],
    ids=["one kind of exam", "falling with the truth", "all alike"],
)
def test_scores_that_can_calibrate_nothing_stay_as_they_are(labels: list[float], scores: list[float]) -> None:
    assert Probability("exam").calibration(_results(labels, scores)) == UNCALIBRATED


def test_an_overconfident_network_is_toned_down_and_its_threshold_parts_the_exams() -> None:
    apart = _results([0.0, 0.0, 0.0, 1.0, 1.0, 1.0], [0.001, 0.01, 0.9, 0.6, 0.999, 0.9999])
    found = Probability("exam").calibration(apart)
    assert found
    assert 0.0 < found["slope"] < 1.0
    assert 0.05 <= found["threshold"] <= 0.95
