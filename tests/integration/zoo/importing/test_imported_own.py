"""A bundle that was made for this node, with code of its own, comes in by the same command as any other."""

from __future__ import annotations

from pathlib import Path

import pytest

from dicomnode.errors import BundleRefused, ImportRefusal
from dicomnode.records import ContextSource, ContextValue, Inputs, PatientContext, ScoreFinding
from dicomnode.zoo.importing.foreign import ImportOptions
from dicomnode.zoo.importing.importer import import_bundle
from dicomnode.zoo.registry import open_bundle
from dicomnode.zoo.runner import Runner
from tests.tools.foreign_bundle import change_json
from tests.tools.tiny_bundles import age_risk, write_age_risk


def test_its_code_is_named_before_it_is_trusted(tmp_path: Path) -> None:
    with pytest.raises(BundleRefused) as caught:
        import_bundle(write_age_risk(tmp_path / "source"), tmp_path / "models", ImportOptions())
    assert caught.value.refusal is ImportRefusal.NOT_TRUSTED
    assert "tests.tools.tiny_models.AgeRisk" in caught.value.detail


def test_once_trusted_it_gives_its_score(tmp_path: Path) -> None:
    imported = import_bundle(write_age_risk(tmp_path / "source"), tmp_path / "models", ImportOptions(trusted=True))
    age = ContextValue(name="age", value=70.0, unit="a", source=ContextSource.HEADER)
    runner = Runner(open_bundle(imported.manifest.path), threads=1)
    (finding,) = runner.run(Inputs(context=PatientContext(values=(age,))))
    assert isinstance(finding, ScoreFinding)
    assert finding.value == pytest.approx(age_risk(70.0, is_male=False), abs=1e-5)


def test_code_that_is_not_there_is_refused_and_nothing_stays(tmp_path: Path) -> None:
    source = write_age_risk(tmp_path / "source")
    change_json(source / "configs/inference.json", model_def={"_target_": "no_such_package.Model"})
    with pytest.raises(BundleRefused) as caught:
        import_bundle(source, tmp_path / "models", ImportOptions(trusted=True))
    assert caught.value.refusal is ImportRefusal.CANNOT_BUILD
    assert list((tmp_path / "models").iterdir()) == []
