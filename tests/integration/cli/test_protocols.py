"""``dicomnode protocols test``: what a node would do with a series, before there is one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from dicomnode.cli.main import app
from tests.integration.assemble.test_assembly import dose_report, head
from tests.tools.series import write_series

CONFIG = """
[[protocol]]
name = "evt"
match = { Modality = "^CT$", StudyDescription = "(?i)thrombectomy", SliceThickness = { max = 8 } }
models = ["hemorrhage"]
[[protocol]]
name = "mr"
match = { Modality = "^MR$" }
models = ["hemorrhage"]
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Two protocols, and no node."""
    path = tmp_path / "config.toml"
    path.write_text(CONFIG)
    return path


def tried(config: Path, *files: Path) -> tuple[int, list[dict[str, Any]]]:
    """Exit code, and what is said of each series."""
    ended = CliRunner().invoke(app, ["protocols", "test", *map(str, files), "--config", str(config), "--json"])
    return ended.exit_code, json.loads(ended.output)["series"]


def test_every_clause_is_told_with_what_was_seen(config: Path, tmp_path: Path) -> None:
    slices = head(StudyDescription="CT nach Thrombectomy", SliceThickness="5")
    files = write_series(tmp_path / "head", [*slices, dose_report(slices)])
    code, (series,) = tried(config, *files)
    assert (code, series["runs"], series["refusal"], series["slices"]) == (0, ["evt"], "", len(slices))
    assert sum(series["left_out"].values()) == 1
    evt, mr = series["protocols"]
    assert [clause["ok"] for clause in evt["clauses"]] == [True, True, True]
    assert evt["clauses"][1]["seen"] == "CT nach Thrombectomy"
    assert (mr["matches"], mr["clauses"][0]["keyword"], mr["clauses"][0]["ok"]) == (False, "Modality", False)


def test_a_series_that_no_protocol_takes_is_exit_code_1(config: Path, tmp_path: Path) -> None:
    write_series(tmp_path / "head", head())
    code, (series,) = tried(config, tmp_path / "head")
    assert (code, series["runs"], series["refusal"]) == (1, [], "")
    assert not series["protocols"][0]["matches"]


def test_what_is_refused_before_any_protocol_is_told_beside_the_clauses(config: Path, tmp_path: Path) -> None:
    write_series(tmp_path / "head", head(StudyDescription="Thrombectomy", SliceThickness="5")[:3])
    code, (series,) = tried(config, tmp_path / "head")
    assert (code, series["runs"], series["refusal"]) == (1, [], "too_few_slices")
    assert series["protocols"][0]["matches"]


@pytest.mark.usefixtures("_wide")
def test_a_person_reads_a_table(config: Path, tmp_path: Path) -> None:
    write_series(tmp_path / "head", head(StudyDescription="Thrombectomy", SliceThickness="5"))
    said = CliRunner().invoke(app, ["protocols", "test", str(tmp_path / "head"), "--config", str(config)]).output
    assert "would be run through: evt" in said
    assert "StudyDescription" in said


def test_what_is_no_dicom_is_exit_code_2(config: Path, tmp_path: Path) -> None:
    ended = CliRunner().invoke(app, ["protocols", "test", str(config), "--config", str(config)])
    assert ended.exit_code == 2
    assert "no DICOM instance" in ended.output
