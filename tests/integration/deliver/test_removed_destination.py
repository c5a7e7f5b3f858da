"""What the command line says and does about a destination that was removed from the configuration."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dicomnode.app.checkup import checkup
from dicomnode.cli.main import app
from dicomnode.config.load import load_config
from dicomnode.store.engine import Store
from tests.integration.deliver.pacs import ScriptedPacs
from tests.integration.deliver.world import World


@pytest.fixture
def world(sqlite_template: Path, tmp_path: Path) -> Iterator[World]:
    (tmp_path / "data").mkdir()
    store = Store(f"sqlite:///{shutil.copy(sqlite_template, tmp_path / 'data' / 'node.db')}")
    yield World(store, tmp_path / "data")
    store.close()


@pytest.fixture
def config(world: World, tmp_path: Path) -> Iterator[Path]:
    """A node that knows one PACS, which is up."""
    with ScriptedPacs(tmp_path / "pacs") as pacs:
        path = tmp_path / "config.toml"
        path.write_text(
            f'[node]\ndata_dir = "{world.data_dir}"\nhost = "127.0.0.1"\nport = 0\n[reception]\nmin_free_gb = 0.0\n'
            f'[[destination]]\nname = "pacs"\nae_title = "PACS"\nhost = "127.0.0.1"\nport = {pacs.port}\n'
            'proof = "commitment"\n'
        )
        yield path


def withdraw(name: str, config: Path) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["jobs", "withdraw", name, "--config", str(config), "--json"])
    return result.exit_code, result.output


def test_check_names_it_and_withdraw_ends_its_jobs(world: World, config: Path) -> None:
    job_id, _ = world.deliver("sr", "sc", destinations=("gone",))
    said = list(checkup(load_config(config, serving=False), load_models=False))
    (orphan,) = [finding for finding in said if finding.what == "destination gone"]
    assert (orphan.ok, orphan.fatal) == (False, True)
    assert "2 results wait for it" in orphan.says
    code, output = withdraw("gone", config)
    assert (code, json.loads(output)) == (0, {"schema_version": 1, "destination": "gone", "withdrawn": 2})
    assert world.job(job_id).status == "undelivered"


def test_a_configured_destination_is_not_withdrawn(world: World, config: Path) -> None:
    job_id, _ = world.deliver("sr")
    assert withdraw("pacs", config)[0] == 1
    assert world.statuses(job_id) == ["pending"]


def test_a_destination_that_was_never_known_is_a_wrong_call(world: World, config: Path) -> None:
    world.deliver("sr", destinations=("gone",))
    code, output = withdraw("gnoe", config)
    assert (code, "did you mean 'gone'?" in output) == (2, True)


def test_check_says_how_a_destination_proves_what_it_has(config: Path) -> None:
    said = " ".join(f.says for f in checkup(load_config(config, serving=False), load_models=False) if f.ok)
    assert "offers storage commitment" in said
    assert "answers C-FIND: its results can be proven" in said
    assert "plain DICOM" in said
