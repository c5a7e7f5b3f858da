"""A foreign bundle that classifies, from import to the report of scores."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pydicom
import pytest
from typer.testing import CliRunner

from dicomnode.cli.main import app
from dicomnode.errors import BundleRefused, ImportRefusal
from dicomnode.records import Inputs, ScoreFinding
from dicomnode.zoo.importing.foreign import ImportOptions
from dicomnode.zoo.importing.importer import import_bundle
from dicomnode.zoo.registry import open_bundle
from dicomnode.zoo.runner import Runner
from tests.acceptance.scanner import small_study
from tests.tools.foreign_bundle import (
    CLASS_BIAS,
    CLASS_WEIGHT,
    change_json,
    write_foreign_bundle,
    write_foreign_classifier,
)
from tests.tools.series import volume_of, write_series

TRUSTED = ImportOptions(trusted=True)


def by_hand(name: str) -> float:
    """The probability of blood in a small study."""
    mean = float(np.mean(volume_of(small_study(name)).hu / 100.0))
    return 1.0 / (1.0 + math.exp(-(CLASS_WEIGHT * mean + CLASS_BIAS)))


@pytest.mark.parametrize(("channels", "name", "threshold"), [(1, "blood_0", 0.4), (2, "blood_1", 0.5)])
def test_a_classifier_gives_the_probability_of_its_class(
    tmp_path: Path, channels: int, name: str, threshold: float
) -> None:
    imported = import_bundle(write_foreign_classifier(tmp_path / "source", channels), tmp_path / "models", TRUSTED)
    (output,) = imported.manifest.scores
    assert (output.name, output.label, output.unit, output.threshold) == (name, "Blood", "1", threshold)
    runner = Runner(open_bundle(imported.manifest.path), threads=1)
    (finding,) = runner.run(Inputs(volume=volume_of(small_study("class"))))
    assert isinstance(finding, ScoreFinding)
    assert finding.value == pytest.approx(by_hand("class"), abs=1e-4)


def test_classes_are_chosen_by_label_and_have_no_code_of_a_segment(tmp_path: Path) -> None:
    source = write_foreign_classifier(tmp_path / "source", 2)
    with pytest.raises(BundleRefused) as caught:
        import_bundle(source, tmp_path / "models", ImportOptions(trusted=True, findings={1: "hemorrhage"}))
    assert caught.value.refusal is ImportRefusal.UNKNOWN_CODE
    options = ImportOptions(trusted=True, labels={0: "Nothing seen"})
    imported = import_bundle(source, tmp_path / "models", options)
    assert [(score.label, score.channel) for score in imported.manifest.scores] == [("Nothing seen", 0)]


def test_a_bundle_that_says_it_classifies_but_segments_is_refused(tmp_path: Path) -> None:
    described = json.loads((write_foreign_classifier(tmp_path / "a", 2) / "configs/metadata.json").read_text())
    source = write_foreign_bundle(tmp_path / "b")
    change_json(source / "configs/metadata.json", network_data_format=described["network_data_format"])
    with pytest.raises(BundleRefused) as caught:
        import_bundle(source, tmp_path / "models", TRUSTED)
    assert caught.value.refusal is ImportRefusal.CHANNELS_DIFFER
    assert "no result of a classification" in caught.value.detail


def test_the_probability_stands_in_the_report_of_scores(tmp_path: Path) -> None:
    imported = import_bundle(write_foreign_classifier(tmp_path / "source"), tmp_path / "models", TRUSTED)
    config = tmp_path / "config.toml"
    protocol = f'[[protocol]]\nname = "p"\nmatch = {{ Modality = "^CT$" }}\nmodels = ["{imported.manifest.name}"]\n'
    config.write_text(f"[execution]\ndevices = ['cpu']\n[zoo]\npaths = ['{tmp_path}/models']\n{protocol}")
    write_series(tmp_path / "in", small_study("class"))
    arguments = ["process", tmp_path / "in", "--config", config, "--protocol", "p", "--out", tmp_path / "out", "--json"]
    ended = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert ended.exit_code == 0, ended.output
    files = {result["kind"]: result["path"] for result in json.loads(ended.stdout)["results"]}
    assert sorted(files) == ["sc", "scores", "text"]
    items = pydicom.dcmread(files["scores"]).iterall()
    values = [float(item.value) for item in items if item.keyword == "NumericValue"]
    assert values == pytest.approx([by_hand("class"), 0.4], abs=1e-4)
