"""The shipped model of the outcome after a bleed, asked as the node asks it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from dicomnode.app.known_head import KnownHead, known_context, known_findings, make_known_head
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
)
from dicomnode.zoo.registry import Registry
from dicomnode.zoo.runner import Runner


@pytest.fixture(scope="module")
def runner() -> Runner:
    return Runner(Registry().get("prognosis"), threads=1)


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> KnownHead:
    return make_known_head(tmp_path_factory.mktemp("head"))


def finding_of(runner: Runner, head: KnownHead, context: PatientContext) -> Finding:
    earlier = known_findings(runner.manifest, head)
    (finding,) = runner.run(Inputs(volume=head.volume, context=context, earlier=earlier))
    return finding


def score_of(runner: Runner, head: KnownHead, context: PatientContext) -> ScoreFinding:
    finding = finding_of(runner, head, context)
    assert isinstance(finding, ScoreFinding)
    return finding


def test_a_result_says_that_the_positive_is_the_poor_outcome(runner: Runner, head: KnownHead) -> None:
    finding = score_of(runner, head, known_context(runner.manifest))
    assert 0.0 < finding.value < 1.0
    assert finding.label == "Poor outcome at 90 days"
    assert "counted the good outcome as positive" in finding.definition
    assert finding.threshold is not None
    assert finding.category is not None
    assert finding.category[0] == ("POOR_OUTCOME" if finding.value >= finding.threshold else "GOOD_OUTCOME")
    assert (finding.missing, finding.warnings) == ((), ())


def test_an_old_patient_in_coma_does_worse_than_a_young_one_awake(runner: Runner, head: KnownHead) -> None:
    def of(age: float, gcs: float) -> float:
        names = {"age": age, "gcs": gcs}
        values = tuple(ContextValue(name=name, value=v, source=ContextSource.FILE) for name, v in names.items())
        return score_of(runner, head, PatientContext(values)).value

    assert of(86.0, 5.0) > of(48.0, 15.0)


def test_from_the_ct_alone_it_answers_says_what_is_missing_and_is_less_sure(runner: Runner, head: KnownHead) -> None:
    alone, known = (score_of(runner, head, one) for one in (PatientContext(), known_context(runner.manifest)))
    assert len(alone.missing) == len(runner.manifest.needs.variables) + len(runner.manifest.needs.texts)
    assert any("CT alone" in one for one in alone.warnings)
    assert any("no head trauma" in one for one in alone.warnings)
    assert alone.interval is not None
    assert known.interval is not None
    assert alone.interval[1] - alone.interval[0] > known.interval[1] - known.interval[0]
    bleed = known_findings(runner.manifest, head)
    beside = {one.name for one in reference_scores((*bleed, alone), head.volume, PatientContext())}
    assert {"ich_score", "func", "max_ich"} <= beside


@pytest.mark.parametrize("name", ["trauma", "brain_tumour", "aneurysm"])
def test_another_disease_lies_outside_of_its_population(runner: Runner, head: KnownHead, name: str) -> None:
    context = known_context(runner.manifest)
    kept = tuple(value for value in context.values if value.name != name)
    told = ContextValue(name=name, value=True, source=ContextSource.HL7)
    finding = finding_of(runner, head, replace(context, values=(*kept, told)))
    assert isinstance(finding, NotApplicable)
    assert finding.reason is Inapplicable.OUTSIDE_POPULATION


def test_the_bundle_is_small(runner: Runner) -> None:
    assert (Path(runner.manifest.path) / "models" / "model.safetensors").stat().st_size < 8_000_000
