"""The model asked with a network of random weights: what is told, what is refused, what the bleed is taken for."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from dicomnode.app.known_head import KnownHead, _painted, make_known_head
from dicomnode.records import BrainPart, ContextSource, ContextText, ContextValue, Inputs, PatientContext
from dicomnode.zoo.prognosis.bleed import bleed_of
from dicomnode.zoo.prognosis.looking import near_share
from dicomnode.zoo.prognosis.model import Prognosis
from dicomnode.zoo.prognosis.network import PrognosisNetwork
from dicomnode.zoo.prognosis.words import SPECIAL
from dicomnode.zoo.reading.contract import Explained, NotFor
from tests.conftest import REPOSITORY

BUNDLE = REPOSITORY / "dicomnode/zoo/prognosis/bundle"
PIECES = (*SPECIAL, *"abcdefghijklmnopqrstuvwxyz0123456789:.", *(f"##{one}" for one in "abcdefghijklmnopqrstuvwxyz"))


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> KnownHead:
    return make_known_head(tmp_path_factory.mktemp("head"))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Prognosis:
    bundle = tmp_path_factory.mktemp("bundle")
    shutil.copytree(BUNDLE / "configs", bundle / "configs")
    (bundle / "models").mkdir()
    (bundle / "models" / "words.txt").write_text("\n".join(PIECES) + "\n")
    torch.manual_seed(0)
    network = PrognosisNetwork(len(PIECES), members=1).eval()
    network.others.copy_(torch.randn_like(network.others) * 10.0 + 50.0)
    return Prognosis(network, str(bundle))


def asked(model: Prognosis, head: KnownHead, context: PatientContext) -> Explained:
    with torch.inference_mode():
        found = model(Inputs(volume=head.volume, context=context, earlier=(_painted("hemorrhage", head),)))
    told = found[model.name]
    assert isinstance(told, Explained)
    return told


def value(name: str, number: float | str) -> ContextValue:
    return ContextValue(name=name, value=number, source=ContextSource.FILE)


def test_all_that_is_known_is_told_with_an_interval_and_where_it_comes_from(model: Prognosis, head: KnownHead) -> None:
    words = ContextText(section="indication", text="Vomiting.", source=ContextSource.FILE)
    told = asked(model, head, PatientContext((value("age", 71.0), value("gcs", 9.0)), (words,)))
    assert {one.label for one in told.contributions} == {
        "Age",
        "Glasgow Coma Scale",
        "Measured volume and place of the bleed",
        "Indication",
        "CT, beside the measured bleed",
    }
    assert told.interval is not None
    assert 0.0 <= told.interval[0] <= told.value <= told.interval[1] <= 1.0
    assert told.attention is not None
    assert told.attention.shape == head.volume.hu.shape
    assert told.attention.max() > 200
    (beside,) = told.reference
    assert beside.name == "cam_at_bleed"
    assert beside.value is not None
    assert 0.0 <= beside.value <= 100.0


def test_from_the_ct_alone_it_answers_says_so_and_is_less_sure(model: Prognosis, head: KnownHead) -> None:
    alone = asked(model, head, PatientContext())
    assert any("CT alone" in warning for warning in alone.warnings)
    numbers = tuple(value(name, 50.0) for name in model.labels if name != "sex")
    known = asked(model, head, PatientContext((*numbers, value("sex", "male"))))
    assert alone.interval is not None
    assert known.interval is not None
    # one member that knows everything agrees with itself
    assert known.interval[1] - known.interval[0] == pytest.approx(0.0, abs=1e-6)
    assert alone.interval[1] - alone.interval[0] > 1e-3


def test_of_a_bleed_within_the_ventricles_alone_no_outcome_is_told(model: Prognosis, head: KnownHead) -> None:
    mask = _painted("hemorrhage", head)
    inner = tuple(replace(one, ventricular_share=0.99) for one in mask.lesions)
    with torch.inference_mode():
        told = model(Inputs(volume=head.volume, earlier=(replace(mask, lesions=inner),)))[model.name]
    assert isinstance(told, NotFor)
    assert told.detail == "bleed within the brain of at least 1 mL; here 0.3 mL"


def test_a_bleed_is_known_by_its_largest_lesion_and_what_lies_in_the_ventricles(head: KnownHead) -> None:
    mask = _painted("hemorrhage", head)
    assert mask.total is not None
    (main,) = mask.lesions
    placed = replace(main, parts=(BrainPart.THALAMUS,), ventricular_share=0.2)
    bleed = bleed_of(replace(mask, lesions=(placed,)))
    assert bleed.ventricular_ml == pytest.approx(0.2 * main.volume_ml)
    assert bleed.volume_ml == pytest.approx(0.8 * main.volume_ml)
    assert (bleed.ventricles, bleed.part) == (1.0, BrainPart.THALAMUS)


def test_the_share_near_the_bleed_is_that_of_ten_millimetres_around_it() -> None:
    bleed = torch.zeros(32, 96, 96, dtype=torch.bool)
    bleed[16, 48, 48] = True
    seen = torch.zeros(32, 96, 96)
    seen[16, 48, 53] = seen[16, 48, 54] = seen[18, 48, 48] = seen[19, 48, 48] = 1.0  # 10, 12, 10 and 15 mm away
    assert near_share(seen, bleed) == pytest.approx(0.5)
    assert near_share(seen, torch.zeros_like(bleed)) is None


def test_the_configuration_ships_one_of_the_two_models() -> None:
    settings = json.loads(Path(BUNDLE / "configs" / "inference.json").read_text())
    assert settings["network_def"]["ships"] in ("council", "logistic")
    assert np.isfinite(settings["slope"])
