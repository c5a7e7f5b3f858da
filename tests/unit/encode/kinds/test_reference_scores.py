"""Reference scores in the results: a group for each, with its inputs; the context that was used is in the UIDs."""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from dicomnode.encode.case import encode_case
from dicomnode.encode.context import context_of
from dicomnode.encode.files import bytes_of
from dicomnode.encode.kinds.scores import score_report
from dicomnode.encode.kinds.text import text_report
from dicomnode.encode.validate import validate
from dicomnode.encode.wording import Wording
from dicomnode.errors import EncodeError
from dicomnode.kinds import Kind
from dicomnode.language import Language, listed, told
from dicomnode.records import Case, ReferenceScore, ScoreInput
from tests.unit.encode.cases import EVEN, case_of, changed, not_applicable_of, score_of
from tests.unit.encode.kinds.test_sr import code_of, items, numbers, walk

BLEED = (((25.0, 60.0, 40.0), (12.0, 14.0, 10.0)),)
GCS = ScoreInput("Glasgow Coma Scale", "10", "file", "2026-11-28T02:10+01:00", -4800.0)
VOLUME = ScoreInput("Bleed, volume by ABC/2", "35.0 mL", "measured")


def score(name: str, **more: object) -> ReferenceScore:
    plain = ReferenceScore(name=name, label=name.upper(), value=None, unit="{score}", meaning=f"Meaning of {name}.")
    return replace(plain, **more)  # type: ignore[arg-type]


KNOWN = score("ich", value=4.0, working="GCS 1, volume 1", inputs=(GCS, VOLUME))
OPEN = score("func", possible=(3.0, 5.0), inputs=(GCS,), missing=("Age",))
TWICE = score("max_ich", possible=(3.0, 4.0), inputs=(GCS, VOLUME))
SILENT = score("bat", missing=("Blend sign",))


@pytest.fixture(scope="module")
def case() -> Case:
    return changed(case_of(EVEN, BLEED), reference=(KNOWN, OPEN, TWICE, SILENT))


@pytest.fixture(scope="module")
def groups(case: Case) -> list[Dataset]:
    report = score_report(context_of(case))
    assert report is not None
    return items(dcmread(BytesIO(bytes_of(report))), "125007")


def texts(group: Dataset, code: str) -> list[str]:
    return [str(item.TextValue) for item in walk(group) if item.ValueType == "TEXT" and code_of(item) == code]


def test_a_known_score_has_its_number_its_working_and_its_inputs_with_time_and_distance(groups: list[Dataset]) -> None:
    assert numbers(groups[0], "ICH") == [4.0]
    assert texts(groups[0], "REFSCORE") == ["ICH: 4. Meaning of ich."]
    assert texts(groups[0], "WORKING") == ["GCS 1, volume 1"]
    assert texts(groups[0], "INPUT") == [
        "Glasgow Coma Scale 10 (file, 2026-11-28T02:10+01:00, 1.3 h before the scan)",
        "Bleed, volume by ABC/2 35.0 mL (measured)",
    ]


def test_an_open_score_has_two_numbers_and_says_why(groups: list[Dataset]) -> None:
    assert numbers(groups[1], "FUNC") == []
    assert (numbers(groups[1], "LOWEST"), numbers(groups[1], "HIGHEST")) == ([3.0], [5.0])
    assert texts(groups[1], "REFSCORE") == ["FUNC: 3 to 5, as inputs are missing. Meaning of func."]
    assert texts(groups[1], "INPUTMISSING") == ["Age"]
    assert texts(groups[2], "REFSCORE") == [
        "MAX_ICH: 3 to 4, as the volumes by ABC/2 and by voxels lead to both. Meaning of max_ich."
    ]


def test_a_score_that_cannot_be_computed_says_so_without_a_number(groups: list[Dataset]) -> None:
    (answer,) = items(groups[3], "COMPUTABILITY")
    assert answer.ConceptCodeSequence[0].CodeValue == "NOTCOMPUTABLE"
    assert [item for item in walk(groups[3]) if item.ValueType == "NUM"] == []
    assert texts(groups[3], "REFSCORE") == ["BAT: cannot be computed. Meaning of bat."]


def test_in_german_the_report_is_german_and_what_is_measured_stays_out_of_the_identity(case: Case) -> None:
    meaning = told("Not known: {names}.", names=listed(["Age"]))
    told_of = {"label": "ICH Score", "meaning": meaning, "missing": ("Age",)}
    own = changed(case, reference=(replace(KNOWN, **told_of),), language=Language.GERMAN)  # type: ignore[arg-type]
    report = score_report(context_of(own))
    assert report is not None
    (group,) = items(dcmread(BytesIO(bytes_of(report))), "125007")
    assert texts(group, "REFSCORE") == ["ICH-Score: 4. Nicht bekannt: Alter."]
    assert texts(group, "INPUT")[0] == "Glasgow Coma Scale 10 (Datei, 2026-11-28T02:10+01:00, 1,3 h vor dem Scan)"
    assert texts(group, "INPUTMISSING") == ["Alter"]
    more = replace(own.reference[0], inputs=(GCS, replace(VOLUME, value="35.1 mL")))
    assert context_of(changed(own, reference=(more,))).digest == context_of(own).digest


def test_the_text_report_tells_them_with_their_inputs(case: Case) -> None:
    report = dcmread(BytesIO(bytes_of(text_report(context_of(case)))))
    told = " ".join(" ".join(str(item.TextValue) for item in walk(report) if item.ValueType == "TEXT").split())
    assert "ICH: 4. Meaning of ich." in told
    assert "ICH: inputs Glasgow Coma Scale 10 (file, 2026-11-28T02:10+01:00, 1.3 h before the scan)" in told
    assert "FUNC: not known: Age." in told
    assert "BAT: inputs" not in told


def test_reference_scores_stand_behind_those_of_models_and_the_whole_report_is_read_back(
    case: Case, tmp_path: Path
) -> None:
    whole = changed(case, findings=(*case.findings, score_of(), not_applicable_of()))
    results = {result.kind: result for result in encode_case(whole, tmp_path)}
    assert "scores" in results
    other = replace(whole, reference=(replace(KNOWN, value=3.0), *whole.reference[1:]))
    with pytest.raises(EncodeError, match="the values differ from those computed"):
        validate(results[Kind.SCORES].path, context_of(other), Kind.SCORES, {})


def test_without_any_there_is_no_report_of_scores_and_the_uids_are_those_of_before(case: Case, tmp_path: Path) -> None:
    plain = changed(case, reference=())
    assert score_report(context_of(plain)) is None
    assert context_of(plain).digest != context_of(case).digest


@pytest.mark.parametrize(
    ("changes", "is_other"),
    [
        ({"value": "11"}, True),
        ({"source": "HL7"}, True),
        ({"observed_at": "2026-11-28T02:11+01:00"}, True),
        ({}, False),
    ],
)
def test_another_value_source_or_time_makes_other_results(case: Case, changes: dict[str, str], is_other: bool) -> None:
    other = changed(case, reference=(replace(KNOWN, inputs=(replace(GCS, **changes), VOLUME)), *case.reference[1:]))
    assert (context_of(other).digest != context_of(case).digest) is is_other


def test_what_is_measured_does_not_enter_the_identity_since_it_follows_from_the_mask(case: Case) -> None:
    other = changed(
        case, reference=(replace(KNOWN, inputs=(GCS, replace(VOLUME, value="35.1 mL"))), *case.reference[1:])
    )
    assert context_of(other).digest == context_of(case).digest


@pytest.mark.parametrize(
    ("offset_s", "said"),
    [
        (None, ""),
        (-1200.0, "20 min before the scan"),
        (0.0, "0 min after the scan"),
        (5400.0, "1.5 h after the scan"),
        (-86400.0 * 3, "3 d before the scan"),
    ],
)
def test_the_distance_from_the_scan_is_said_in_words(offset_s: float | None, said: str) -> None:
    assert Wording().offset_phrase(offset_s) == said
