"""A measure of the head stands once in text and overview: with the marks, else beside the score it was measured for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from pydicom.dataset import Dataset

from dicomnode.clinical.scores.report import reference_scores
from dicomnode.encode.context import context_of
from dicomnode.encode.kinds.text import text_report
from dicomnode.encode.pictures import drawing
from dicomnode.encode.pictures.overview import (
    BANNER_HEIGHT,
    GRID,
    HEADER_HEIGHT,
    PANEL_WIDTH,
    SIZE,
    overview_image,
)
from dicomnode.encode.references import by_themselves
from dicomnode.records import (
    Case,
    ContextSource,
    ContextValue,
    Contribution,
    HeadMeasures,
    PatientContext,
    ReferenceScore,
    ScoreFinding,
)
from dicomnode.zoo.edema.beside import told_of
from tests.unit.encode.cases import EVEN, case_of, changed, score_of
from tests.unit.encode.pictures.test_overview import written
from tests.unit.encode.test_kinds_of_blood import items_of

BLEED = (((25.0, 60.0, 40.0), (12.0, 14.0, 10.0)),)
OF_MARKS = HeadMeasures(likeness=0.9, midline_shift_mm=6.0, evans_index=0.28, hypodense_percent=5.0)
OF_SCORE = HeadMeasures(likeness=1.0, midline_shift_mm=5.0, evans_index=0.27, hypodense_percent=9.0)
GCS = ContextValue(name="gcs", value=10.0, unit="{score}", source=ContextSource.HL7)
READ = ContextValue(name="midline_shift", value=8.0, unit="mm", source=ContextSource.SR)


def oedema() -> ScoreFinding:
    return score_of(label="Brain oedema", reference=tuple(told_of(OF_SCORE)), contributions=())


def case_with(*values: ContextValue, marks: HeadMeasures | None) -> Case:
    """A bleed and a score of oedema, with what the node gives beside them. ``marks``: measured with the marks."""
    plain = case_of(EVEN, BLEED)
    findings = (*(replace(mask, head=marks) for mask in plain.masks), oedema())
    return changed(plain, findings=findings, reference=reference_scores(findings, plain.volume, PatientContext(values)))


def lines_of(report: Dataset) -> list[str]:
    return [" ".join(str(item.TextValue).split()) for item in items_of(report) if "TextValue" in item]


def about(case: Case, *words: str) -> dict[str, list[str]]:
    """Lines of the text report in which each word stands."""
    lines = lines_of(text_report(context_of(case)))
    return {word: [line for line in lines if word in line] for word in words}


def test_what_the_marks_tell_of_the_head_is_not_told_again_and_carries_its_verdict() -> None:
    told = about(case_with(GCS, marks=OF_MARKS), "Midline shift", "Evans index", "Hypodense share")
    assert told == {
        "Midline shift": [
            "Midline shift at the septum pellucidum: about 6 mm to the left. Significant (more than 5 mm)."
        ],
        "Evans index": ["Evans index: 0.28. No ventriculomegaly (more than 0.30)."],
        "Hypodense share": [
            "Hypodense share of the cerebrum, without fluid and blood: about 5 % (oedema, infarct or white matter as "
            "in old age)."
        ],
    }


def test_without_marks_they_stand_once_beside_the_score_that_they_were_measured_for() -> None:
    case = case_with(GCS, marks=None)
    told = about(case, "Midline shift", "Evans index", "Hypodense share")
    assert [len(lines) for lines in told.values()] == [1, 1, 1]
    assert told["Midline shift"] == ["Midline shift: 5 mm. Not significant (more than 5 mm)."]
    assert told["Hypodense share"][0].startswith("Hypodense share of the cerebrum: 9 %.")
    lines = lines_of(text_report(context_of(case)))
    definition = next(place for place, line in enumerate(lines) if line.startswith("Brain oedema: Modified"))
    assert lines[definition + 1] == told["Midline shift"][0]


@pytest.mark.parametrize("marks", [OF_MARKS, None])
def test_what_somebody_read_is_told_with_its_source_beside_the_measure(marks: HeadMeasures | None) -> None:
    case = case_with(READ, marks=marks)
    assert "midline_shift" in {one.name for one in by_themselves(case)}
    (measured, read, inputs) = about(case, "Midline shift")["Midline shift"]
    assert ("6 mm" if marks else "5 mm") in measured
    assert read == "Midline shift: 8 mm. Significant (more than 5 mm)."
    assert inputs == "Midline shift: inputs Midline shift 8 mm (SR)."


@pytest.mark.parametrize("marks", [OF_MARKS, None])
def test_the_overview_has_each_measure_once(marks: HeadMeasures | None, monkeypatch: pytest.MonkeyPatch) -> None:
    rows: list[str] = []
    row = drawing.Pen.row

    def noted(pen: drawing.Pen, left: int, right: int, y: int, name: str, value: str, size: int = 15) -> int:
        rows.append(name)
        return row(pen, left, right, y, name, value, size)

    monkeypatch.setattr(drawing.Pen, "row", noted)
    overview_image(case_with(GCS, marks=marks))
    assert [_starting(rows, name) for name in ("Midline", "Evans", "Hypodense")] == [1, 1, 1]


def test_the_panel_of_three_models_ends_within_its_box_and_tells_the_first_reference_scores(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    case = three_models()
    found = written(case, monkeypatch)
    left, bottom = SIZE[0] - PANEL_WIDTH - 20, BANNER_HEIGHT + HEADER_HEIGHT + GRID[1]
    panel = {text: at for text, at in found.items() if at[0] >= left and at[1] > BANNER_HEIGHT + HEADER_HEIGHT}
    assert {text: at for text, at in panel.items() if at[1] > bottom} == {}
    assert {"ICH Score", "FUNC score", "Brain oedema", "Poor outcome at 90 days"} <= {*panel}


def three_models() -> Case:
    """As the protocol of a bleed gives it: marks, a poor outcome with all that stands beside it, and oedema."""
    plain = case_of(EVEN, BLEED)
    changes = tuple(Contribution(f"A variable, number {place}", 0.02) for place in range(6))
    cam = ReferenceScore(name="cam_at_bleed", label="Score-CAM at the bleed", value=12.0, unit="%", meaning="")
    outcome = score_of(
        name="prognosis",
        label="Poor outcome at 90 days",
        reference=(cam,),
        contributions=changes,
        attention=np.zeros(plain.volume.hu.shape, np.uint8),
    )
    findings = (
        *(replace(mask, head=OF_MARKS) for mask in plain.masks),
        outcome,
        replace(oedema(), contributions=changes),
    )
    reference = reference_scores(findings, plain.volume, PatientContext((GCS,)))
    return changed(plain, findings=findings, reference=reference)


def _starting(rows: Sequence[str], name: str) -> int:
    return sum(row.startswith(name) for row in rows)
