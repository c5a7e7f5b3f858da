"""The shipped model of brain oedema, asked as the node asks it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from dicomnode.app.known_head import known_context, make_known_head
from dicomnode.clinical.scores.report import reference_scores
from dicomnode.records import (
    ContextSource,
    ContextValue,
    Finding,
    Inapplicable,
    Inputs,
    NotApplicable,
    PatientContext,
    ScoreFinding,
    Volume,
)
from dicomnode.zoo.edema.model import IMAGE_ALONE
from dicomnode.zoo.registry import Registry
from dicomnode.zoo.runner import Runner


@pytest.fixture(scope="module")
def runner() -> Runner:
    return Runner(Registry().get("edema"), threads=1)


@pytest.fixture(scope="module")
def volume(tmp_path_factory: pytest.TempPathFactory) -> Volume:
    return make_known_head(tmp_path_factory.mktemp("head")).volume


@pytest.fixture(scope="module")
def whole(runner: Runner) -> PatientContext:
    return known_context(runner.manifest)


def finding_of(runner: Runner, volume: Volume, context: PatientContext) -> Finding:
    (finding,) = runner.run(Inputs(volume=volume, context=context))
    return finding


def score_of(runner: Runner, volume: Volume, context: PatientContext) -> ScoreFinding:
    finding = finding_of(runner, volume, context)
    assert isinstance(finding, ScoreFinding)
    return finding


def without(context: PatientContext, *names: str) -> PatientContext:
    return replace(context, values=tuple(value for value in context.values if value.name not in names))


def test_a_result_tells_presence_inputs_and_what_each_variable_does(
    runner: Runner, volume: Volume, whole: PatientContext
) -> None:
    finding = score_of(runner, volume, whole)
    assert 0.0 < finding.value < 1.0
    assert finding.threshold is not None
    assert finding.category is not None
    assert finding.category[2] == ("Present" if finding.value >= finding.threshold else "Absent")
    assert len(finding.contributions) == 33
    shares = [float(one.label.split("(attention ")[1].split(" %")[0]) for one in finding.contributions]
    assert sum(shares) == pytest.approx(100.0, abs=17.0)  # each is rounded
    assert (finding.missing, finding.warnings) == ((), ())


def test_a_contribution_is_what_the_probability_loses_without_its_variable(
    runner: Runner, volume: Volume, whole: PatientContext
) -> None:
    finding, less = score_of(runner, volume, whole), score_of(runner, volume, without(whole, "glucose"))
    (change,) = (one.change for one in finding.contributions if one.label.startswith("Glucose"))
    assert change == pytest.approx(finding.value - less.value, abs=1e-6)
    assert less.missing == ("Glucose",)


def test_with_the_image_alone_it_answers_and_says_so(runner: Runner, volume: Volume) -> None:
    finding = score_of(runner, volume, PatientContext())
    assert 0.0 < finding.value < 1.0
    assert IMAGE_ALONE in finding.warnings
    assert len(finding.missing) == 33


def test_what_was_measured_of_the_head_stands_beside_it_without_anybody_asking(runner: Runner, volume: Volume) -> None:
    finding = score_of(runner, volume, PatientContext())
    beside = {one.name: one for one in reference_scores((finding,), volume, PatientContext())}
    share = beside["hypodense_share"]
    assert share.value is not None
    assert 0.0 <= share.value < 100.0
    assert "without fluid" in share.meaning
    assert "Significant" in beside["midline_shift"].meaning or "Not significant" in beside["midline_shift"].meaning
    assert beside.keys() <= {"midline_shift", "evans_index", "hypodense_share"}


def test_a_child_lies_outside_of_its_population(runner: Runner, volume: Volume, whole: PatientContext) -> None:
    child = ContextValue(name="age", value=11.0, source=ContextSource.HL7, unit="a")
    finding = finding_of(runner, volume, replace(whole, values=(*without(whole, "age").values, child)))
    assert isinstance(finding, NotApplicable)
    assert finding.reason is Inapplicable.OUTSIDE_POPULATION


def test_the_bundle_is_small(runner: Runner) -> None:
    assert (Path(runner.manifest.path) / "models" / "model.safetensors").stat().st_size < 8_000_000
