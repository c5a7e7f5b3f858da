"""The audit of the cohort by command, with few patients."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dicomnode.cli.main import app
from dicomnode.cohort.second.frozen import CEILINGS


@pytest.mark.full
def test_the_report_tells_programs_and_readers_the_same(tmp_path: Path) -> None:
    out = tmp_path / "report.md"
    result = CliRunner().invoke(app, ["cohort", "report", "-n", "500", "--json", "--out", str(out)])
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert set(told["ceilings"]) == set(CEILINGS)
    text = out.read_text(encoding="utf-8")
    for name, values in told["ceilings"].items():
        assert f"| {name} | {values['image']:.3f} |" in text
        assert values["oracle"] == pytest.approx(CEILINGS[name]["oracle"], abs=0.05)
    assert all(line["what"] in text and line["figure"] in text for line in told["properties"])


def test_a_version_that_does_not_exist_is_named() -> None:
    result = CliRunner().invoke(app, ["cohort", "report", "--cohort-version", "3"])
    assert result.exit_code == 2
    assert "--cohort-version" in result.output
