from __future__ import annotations

from pathlib import Path

import pytest

from dicomnode.errors import ManifestError
from dicomnode.train.manifest import Case, Manifest, Split
from dicomnode.train.splits import draw_splits, folds_of, stratum_of


def cases(patients: int = 60, positive_every: int = 4) -> tuple[Case, ...]:
    """Patients with one to three exams; every fourth patient has the outcome, in one of the exams only."""
    made = []
    for p in range(patients):
        for exam in range(1 + p % 3):
            sick = p % positive_every == 0 and exam == 0
            made.append(Case(id=f"e{p}-{exam}", patient=f"p{p:03d}", image=Path("x"), labels={"death": float(sick)}))
    return tuple(made)


def patients_of(exams: tuple[Case, ...]) -> set[str]:
    return {case.patient for case in exams}


def test_no_patient_stands_on_both_sides_of_a_fold_and_every_exam_is_tested_once() -> None:
    exams = cases()
    folds = folds_of(exams, seed=3, label="death")
    assert len(folds) == 5
    for fold in folds:
        assert not patients_of(fold.train) & patients_of(fold.test)
        assert len(fold.train) + len(fold.test) == len(exams)
    assert sorted(case.id for fold in folds for case in fold.test) == sorted(case.id for case in exams)


def test_folds_are_stratified_and_of_equal_size() -> None:
    folds = folds_of(cases(), seed=3, label="death")
    assert {len(patients_of(fold.test)) for fold in folds} == {12}
    assert [sum(case.labels["death"] for case in fold.test) for fold in folds] == [3, 3, 3, 3, 3]


def test_folds_follow_the_seed_and_not_the_order_of_the_rows() -> None:
    exams = cases()
    once, again = folds_of(exams, 3, "death"), folds_of(exams[::-1], 3, "death")
    assert [patients_of(fold.test) for fold in once] == [patients_of(fold.test) for fold in again]
    assert [patients_of(fold.test) for fold in once] != [patients_of(f.test) for f in folds_of(exams, 4, "death")]


def test_a_later_patient_without_label_changes_no_other_stratum() -> None:
    assert stratum_of([Case(id="a", patient="p", image=Path("x"))], "death") == "unknown"
    assert stratum_of(
        [Case(id="a", patient="p", image=Path("x"), labels={"death": 1.0}), Case(id="b", patient="p", image=Path("x"))],
        "death",
    ) == ("positive")


def test_splits_are_drawn_by_patient_in_their_shares_in_every_stratum() -> None:
    drawn = draw_splits(Manifest(Path("m.csv"), cases(80)), seed=1, label="death")
    found = {split: patients_of(drawn.of(split)) for split in (Split.TRAIN, Split.VALIDATION, Split.TEST)}
    assert sum(len(patients) for patients in found.values()) == 80
    assert len(set().union(*found.values())) == 80
    assert [len(found[split]) for split in found] == [56, 12, 12]
    assert [int(sum(case.labels["death"] for case in drawn.of(split))) for split in found] == [14, 3, 3]


def test_splits_that_are_there_are_kept() -> None:
    given = Manifest(Path("m.csv"), (Case(id="a", patient="p", image=Path("x"), split=Split.TEST),))
    assert draw_splits(given, seed=1) is given


def test_small_strata_leave_no_split_empty() -> None:
    for patients in (3, 4, 5, 7):
        drawn = draw_splits(Manifest(Path("m.csv"), cases(patients)), seed=1, label="death")
        found = [patients_of(drawn.of(split)) for split in (Split.TRAIN, Split.VALIDATION, Split.TEST)]
        assert all(found)
        assert sum(len(part) for part in found) == len(set().union(*found)) == patients


def test_too_few_patients_are_refused() -> None:
    with pytest.raises(ManifestError, match="4 patients are too few for 5 folds"):
        folds_of(cases(4), seed=1)
    with pytest.raises(ManifestError, match="1 patients are too few for 3 splits"):
        draw_splits(Manifest(Path("m.csv"), cases(1)), seed=1)
