"""The known answer of a bundle: found again within rounding, missed by other weights."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from dicomnode.app.known_answer import (
    ANSWER,
    Answer,
    HeadFacts,
    ImageAnswer,
    MaskAnswer,
    ScoreAnswer,
    load_answer,
    save_answer,
)
from dicomnode.app.known_head import KnownHead, make_known_head
from dicomnode.app.selftest import judge
from dicomnode.cli.main import app
from dicomnode.errors import BundleError
from dicomnode.zoo.registry import BUILT_IN, Registry
from tests.tools.bundle import write_threshold_bundle
from tests.tools.foreign_bundle import change_json

HEMORRHAGE = BUILT_IN / "hemorrhage/bundle"
KNOWN = MaskAnswer(volume_ml=20.0, slices_ml=(0.0, 8.0, 12.0), probability_ml=21.0, centre_mm=(1.0, 2.0, 3.0))
FACTS = HeadFacts(seed=20, cohort_version="1", truth_ml=25.4, mean_hu=167.0)


def changed(**values: object) -> MaskAnswer:
    return KNOWN.model_copy(update=values)


def test_an_answer_within_rounding_is_the_known_one() -> None:
    near = changed(volume_ml=20.03, slices_ml=(0.02, 8.02, 12.02), probability_ml=20.97, centre_mm=(1.1, 2.1, 3.0))
    assert list(KNOWN.differences(KNOWN)) == list(KNOWN.differences(near)) == []


@pytest.mark.parametrize(
    ("seen", "says"),
    [
        (changed(volume_ml=20.05), "volume 20.05 mL, known is 20.00 mL"),
        (changed(probability_ml=20.95), "sum of probabilities 20.95 mL"),
        (changed(slices_ml=(0.04, 8.0, 12.0)), "slice 1 off by 0.04 mL"),
        (changed(slices_ml=(8.0, 12.0)), "2 slices, known are 3"),
        (changed(centre_mm=(1.0, 2.0, 3.3)), "centre moved by 0.3 mm"),
        (changed(centre_mm=None), "nothing marked"),
    ],
)
def test_an_answer_beyond_rounding_is_said_in_words(seen: MaskAnswer, says: str) -> None:
    assert any(says in fault for fault in KNOWN.differences(seen))


def test_scores_and_predicted_scans_are_held_to_their_answers_too() -> None:
    score, image = ScoreAnswer(value=0.42), ImageAnswer(slices_hu=(20.0, 30.0))
    assert list(score.differences(ScoreAnswer(value=0.4205))) == []
    assert list(score.differences(ScoreAnswer(value=0.43))) == ["score 0.43, known is 0.42"]
    assert list(image.differences(ImageAnswer(slices_hu=(20.0, 30.04)))) == []
    assert list(image.differences(ImageAnswer(slices_hu=(20.0, 30.1)))) == ["slice 2 off by 0.10 HU"]
    assert list(image.differences(ImageAnswer(slices_hu=(20.0,)))) != []
    assert list(score.differences(KNOWN)) == ["no score any more"]
    assert list(KNOWN.differences(score)) == ["no mask any more"]


def test_an_answer_of_every_kind_comes_back_from_its_file(tmp_path: Path) -> None:
    outputs = {"a": KNOWN, "b": ScoreAnswer(value=0.42), "c": ImageAnswer(slices_hu=(20.0, 30.0))}
    answer = Answer(digest="sha256:0", head=FACTS, outputs=outputs)
    save_answer(tmp_path, answer)
    assert load_answer(tmp_path) == answer


def test_another_head_is_not_taken_for_another_model() -> None:
    bundle = Registry().get("hemorrhage")
    known = Answer(digest=bundle.digest, head=FACTS, outputs={"hemorrhage": KNOWN})
    other = FACTS.model_copy(update={"cohort_version": "2", "mean_hu": 150.0})
    head = KnownHead(None, None, FACTS)  # type: ignore[arg-type]
    assert judge(bundle, known, {"hemorrhage": KNOWN}, head).ok
    verdict = judge(bundle, known, {"hemorrhage": KNOWN}, replace(head, facts=other))
    assert (verdict.ok, "cohort version 1, now 2" in verdict.says) == (False, True)
    missing = judge(bundle, known, {}, head)
    assert (missing.ok, "hemorrhage: missing" in missing.says, "this machine" in missing.says) == (False, True, True)


def test_the_head_is_the_same_every_time(tmp_path: Path) -> None:
    first, second = make_known_head(tmp_path / "a"), make_known_head(tmp_path / "b")
    assert first.facts == second.facts
    assert np.array_equal(first.volume.hu, second.volume.hu)
    assert 20.0 < first.facts.truth_ml < 30.0


def test_a_damaged_answer_is_named(tmp_path: Path) -> None:
    assert load_answer(tmp_path) is None
    (tmp_path / ANSWER).write_text("{}")
    with pytest.raises(BundleError, match=r"selftest\.json"):
        load_answer(tmp_path)


def configured(folder: Path) -> Path:
    """A node with the built-in bundle, a copy of it with one changed weight, and a bundle without a known answer."""
    models = folder / "models"
    copy = Path(shutil.copytree(HEMORRHAGE, models / "altered"))
    section = json.loads((copy / "configs/metadata.json").read_text())["dicomnode"]
    change_json(copy / "configs/metadata.json", dicomnode={**section, "name": "altered"})
    state = load_file(copy / "models/model.safetensors")
    # the smallest tensor is the bias of the output; half a logit moves the rim of a mask by a fraction of a pixel
    name = min((name for name in state if state[name].is_floating_point()), key=lambda name: state[name].numel())
    state[name] = state[name] + 0.5
    save_file(state, copy / "models/model.safetensors")
    write_threshold_bundle(models / "threshold")
    config = folder / "config.toml"
    config.write_text(f"[execution]\ndevices = ['cpu']\ncpu_threads = 1\n[zoo]\npaths = ['{models}']\n")
    return config


def test_the_shipped_weights_give_the_shipped_answer_and_changed_ones_do_not(tmp_path: Path) -> None:
    # Where this fails after new weights: dicomnode zoo selftest hemorrhage --record
    ended = CliRunner().invoke(app, ["zoo", "selftest", "--json", "--config", str(configured(tmp_path))])
    verdicts = {item["name"]: item for item in json.loads(ended.stdout)["selftests"]}
    assert verdicts["hemorrhage"]["ok"] is True, verdicts["hemorrhage"]["says"]
    assert verdicts["altered"]["ok"] is False
    assert "the bundle was changed since the answer was recorded" in verdicts["altered"]["says"]
    assert verdicts["threshold"]["ok"] is None
    assert ended.exit_code == 1


def test_an_answer_is_recorded_by_one_command_and_not_where_the_model_misses_the_bleed(tmp_path: Path) -> None:
    config = configured(tmp_path)
    altered, threshold = tmp_path / "models/altered", tmp_path / "models/threshold"

    def record(*names: str) -> tuple[int, str]:
        ended = CliRunner().invoke(app, ["zoo", "selftest", *names, "--record", "--config", str(config)])
        return ended.exit_code, ended.output

    digest = Registry([tmp_path / "models"]).get("altered").digest
    assert record("altered")[0] == 0
    answer = load_answer(altered)
    assert answer is not None
    assert answer.digest == digest == Registry([tmp_path / "models"]).get("altered").digest
    state = load_file(threshold / "models/model.safetensors")
    save_file({**state, "bias": state["bias"] - 1000.0}, threshold / "models/model.safetensors")
    code, said = record("threshold")
    assert (code, "is not worth keeping" in said) == (2, True)
    assert load_answer(threshold) is None
    code, said = record()
    assert (code, "--record needs the name" in said) == (2, True)
