"""``dicomnode check`` on a busy machine: a model that is late is told as late, and costs the others nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from dicomnode.app.check.finding import Finding
from dicomnode.app.check.models import check_models
from dicomnode.cli.main import app
from dicomnode.config.load import load_config
from tests.tools.bundle import write_threshold_bundle

pytestmark = pytest.mark.timeout(900)

GATED = "tests.tools.broken_networks.Gated"


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    """Of the one of two models that answers only while its gate is open."""
    gate = tmp_path / "gate"
    gate.mkdir()
    (gate / "open").touch()
    write_threshold_bundle(tmp_path / "zoo/gated", "gated", GATED, gate=str(gate))
    write_threshold_bundle(tmp_path / "zoo/threshold")
    return gate


def written(folder: Path, **execution: float) -> Path:
    """A configuration with both models."""
    lines = ["[node]", f"data_dir = '{folder / 'data'}'", "host = '127.0.0.1'", "port = 0"]
    lines += ["[reception]", "min_free_gb = 0", "[zoo]", f"paths = ['{folder / 'zoo'}']"]
    lines += ["[execution]", "devices = ['cpu']", "cpu_threads = 1", *(f"{key} = {s}" for key, s in execution.items())]
    lines += ["[[protocol]]", "name = 'head'", "models = ['gated', 'threshold']", "match = { Modality = '^CT$' }"]
    (folder / "config.toml").write_text("\n".join(lines))
    return folder / "config.toml"


def found(file: Path) -> dict[str, Finding]:
    """What is said, by what it is said of."""
    return {one.what: one for one in check_models(load_config(file, serving=False))}


def test_a_model_that_answers_too_late_is_slow_and_not_wrong_and_the_next_is_tested_all_the_same(
    gate: Path, tmp_path: Path
) -> None:
    file = written(tmp_path, run_timeout_s=20.0)
    recording = ["zoo", "selftest", "gated", "threshold", "--record", "--config", str(file)]
    assert CliRunner().invoke(app, recording).exit_code == 0
    (gate / "open").unlink()
    said = found(file)
    late = said["selftest gated"]
    assert (late.ok, late.fatal) == (False, False)
    assert late.says.startswith("not tested, it is slow or the machine busy: no answer within 20 s")
    assert said["selftest threshold"].ok, said["selftest threshold"].says


def test_workers_that_load_too_slowly_are_a_note_with_the_key_that_allows_more(gate: Path, tmp_path: Path) -> None:
    (late,) = found(written(tmp_path, start_timeout_s=0.01)).values()
    assert (late.what, late.ok, late.fatal) == ("models", False, False)
    assert "the worker was not ready within 0.01 s; [execution] start_timeout_s may allow more" in late.says


def test_a_model_that_cannot_be_loaded_stays_bad(gate: Path, tmp_path: Path) -> None:
    (tmp_path / "zoo/threshold/models/model.safetensors").write_bytes(b"no weights")
    assert [(one.ok, one.fatal) for one in found(written(tmp_path)).values()] == [(False, True)]
