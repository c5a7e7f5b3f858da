"""A protocol whose models cannot be served: the node does not start, and ``check`` and ``process`` say why, too."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dicomnode.cli.main import app
from tests.tools.tiny_bundles import write_bleed_risk

SAYS = "bleed_risk needs the finding 'hemorrhage', which no model of the protocol gives"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A node with a model that needs a bleed, and none that finds one."""
    write_bleed_risk(tmp_path / "zoo/bleed_risk")
    destination = 'name = "pacs"\nae_title = "PACS"\nhost = "127.0.0.1"\nport = 9\naccept_research = true'
    protocol = 'name = "risk"\nmatch = { Modality = "^CT$" }\nmodels = ["bleed_risk"]\ndestinations = ["pacs"]'
    sections = (
        f'[node]\nport = 0\nhost = "127.0.0.1"\ndata_dir = "{tmp_path}/data"',
        f'[zoo]\npaths = ["{tmp_path}/zoo"]',
        f"[[destination]]\n{destination}",
        f"[[protocol]]\n{protocol}",
    )
    file = tmp_path / "config.toml"
    file.write_text("\n".join(sections) + "\n")
    return file


def test_the_node_does_not_start_and_says_what_is_missing(config: Path) -> None:
    ended = CliRunner().invoke(app, ["serve", "--config", str(config)])
    assert ended.exit_code == 2
    assert f"protocol risk: {SAYS}" in " ".join(ended.output.split())


def test_check_says_it_before(config: Path) -> None:
    ended = CliRunner().invoke(app, ["check", "--config", str(config), "--no-models", "--json"])
    assert ended.exit_code == 2
    said = {(finding["what"], finding["says"]) for finding in json.loads(ended.stdout)["findings"]}
    assert ("protocol risk", SAYS) in said


def test_process_says_it_before_it_reads_anything(config: Path, tmp_path: Path) -> None:
    arguments = [
        "process",
        str(tmp_path),
        "--config",
        str(config),
        "--protocol",
        "risk",
        "--out",
        str(tmp_path / "out"),
    ]
    ended = CliRunner().invoke(app, arguments)
    assert ended.exit_code == 2
    assert SAYS in " ".join(ended.output.split())
