"""Commands that read: they find the node's data from everywhere, make nothing, and give programs all there is."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from alembic import command
from typer.testing import CliRunner, Result

from dicomnode.app import show
from dicomnode.cli.main import app
from dicomnode.store.engine import Store, alembic_config
from dicomnode.store.opening import Schema, schema_at
from tests.integration.deliver.world import World, new_job

READING = (
    ["jobs", "list"],
    ["jobs", "show", "1"],
    ["jobs", "held"],
    ["why", "1"],
    ["destinations", "refusals"],
    ["jobs", "retry", "1"],
    ["jobs", "cancel", "1"],
    ["jobs", "discard", "1"],
    ["jobs", "release", "1", "--identity", "own"],
    ["jobs", "withdraw", "gone"],
    ["destinations", "forget", "pacs"],
)

CONFIG = """
[node]
timezone = "Europe/Berlin"
[[destination]]
name = "pacs"
ae_title = "PACS"
host = "127.0.0.1"
port = 1
[[protocol]]
name = "head-ct"
match = { Modality = "^CT$" }
models = ["hemorrhage"]
destinations = ["pacs"]
"""


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A configuration whose data folder is not named, and not made."""
    path = tmp_path / "node/config.toml"
    path.parent.mkdir()
    path.write_text(CONFIG)
    return path


@pytest.fixture
def store(config: Path, sqlite_template: Path) -> Iterator[Store]:
    """The database of the node, as its first start made it."""
    (config.parent / "data").mkdir()
    opened = Store(f"sqlite:///{shutil.copy(sqlite_template, config.parent / 'data/node.db')}")
    yield opened
    opened.close()


def everything_below(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_jobs_are_listed_from_another_folder(
    config: Path, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = new_job(store)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    for given in (config, Path("../node/config.toml")):
        (job,) = json.loads(run("jobs", "list", "--json", "--config", given).stdout)["jobs"]
        assert job["job_id"] == job_id
    assert list(Path.cwd().iterdir()) == []


@pytest.mark.parametrize("words", READING, ids=" ".join)
def test_where_there_is_no_database_a_command_says_where_it_looked_and_makes_none(
    config: Path, words: list[str], tmp_path: Path
) -> None:
    ended = run(*words, "--config", config)
    assert ended.exit_code == 1
    assert f"there is no database at {config.parent}/data/node.db" in ended.stderr
    assert everything_below(tmp_path) == {"node/config.toml": config.read_bytes()}
    assert not (config.parent / "data").exists()


def test_check_makes_nothing_and_says_that_the_node_will(config: Path, tmp_path: Path) -> None:
    ended = run("check", "--no-models", "--config", config)
    assert "database: sqlite, none yet: the node makes it when it starts" in " ".join(ended.stdout.split())
    assert everything_below(tmp_path) == {"node/config.toml": config.read_bytes()}


def test_a_data_folder_that_was_relative_to_the_working_directory_is_pointed_out(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/node.db").write_bytes(b"")
    monkeypatch.chdir(tmp_path)
    assert f"there is one at {tmp_path}/data/node.db" in run("jobs", "list", "--config", config).stderr


@pytest.mark.parametrize("words", [["jobs", "list"], ["jobs", "retry", "1"], ["check", "--no-models"]], ids=" ".join)
def test_a_database_of_another_version_is_left_as_it_is(config: Path, store: Store, words: list[str]) -> None:
    with store.engine.begin() as connection:
        command.downgrade(alembic_config(connection), "0007")
    ended = run(*words, "--config", config)
    assert "of an older version" in " ".join(ended.output.split())
    assert schema_at(store.url) is Schema.OLDER
    with store.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    ended = run(*words, "--config", config)
    assert (ended.exit_code, "newer version" in " ".join(ended.output.split())) == (2 if "check" in words else 1, True)


def test_the_database_of_another_program_is_none_of_ours(config: Path) -> None:
    (config.parent / "data").mkdir()
    (config.parent / "data/node.db").touch()
    ended = run("jobs", "list", "--config", config)
    assert (ended.exit_code, "holds no tables of dicomnode" in ended.stderr) == (1, True)
    assert (config.parent / "data/node.db").read_bytes() == b""


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["jobs", "list", "--status", "doen"], "--status doen: unknown; there are: waiting, "),
        (["jobs", "list", "--status", "doen"], "did you mean 'done'?"),
        (["jobs", "list", "--protocol", "head-tc"], "did you mean 'head-ct'?"),
        (["jobs", "discard", "1", "--destination", "pasc"], "did you mean 'pacs'?"),
        (["jobs", "release", "1", "--identity", "pac"], "did you mean 'pacs'?"),
        (["jobs", "release", "1", "--identity", "own", "--destination", "pasc"], "did you mean 'pacs'?"),
        (["destinations", "forget", "pasc"], "did you mean 'pacs'?"),
        (["serve", "--role", "recieve"], "did you mean 'receive'?"),
        (["process", ".", "--out", "out", "--protocol", "head-cd"], "did you mean 'head-ct'?"),
        (["zoo", "show", "haemorrhage"], "did you mean 'hemorrhage'?"),
        (["zoo", "selftest", "hemorhage"], "did you mean 'hemorrhage'?"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_what_is_unknown_is_a_wrong_call_and_answered_with_what_was_meant(
    config: Path, store: Store, words: list[str], says: str
) -> None:
    ended = run(*words, "--config", config)
    assert ended.exit_code == 2
    assert says in ended.stderr


def test_how_a_job_that_is_not_there_is_found_is_said(config: Path, store: Store) -> None:
    for words in (["jobs", "show", "0"], ["jobs", "show", "7"], ["why", "ACC7"]):
        ended = run(*words, "--config", config)
        assert (ended.exit_code, "'dicomnode jobs list' shows" in ended.stderr) == (1, True)


def test_json_holds_every_job_with_its_runs_and_deliveries_whatever_the_terminal(
    config: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(store, config.parent / "data")
    job_id, _ = world.deliver("sr", "sc", destinations=("pacs",))
    for _ in range(60):
        new_job(store)
    monkeypatch.setattr(show.out, "_width", 40)
    said = json.loads(run("jobs", "list", "--json", "--config", config).stdout)
    assert (said["schema_version"], said["jobs_total"], len(said["jobs"])) == (1, 61, 61)
    (whole,) = [job for job in said["jobs"] if job["job_id"] == job_id]
    assert [delivery["kind"] for delivery in whole["deliveries"]] == ["sr", "sc"]
    assert [run["model"] for run in whole["runs"]] == ["hemorrhage"]
    shown = json.loads(run("jobs", "show", str(job_id), "--json", "--config", config).stdout)
    assert shown == {"schema_version": 1, **whole}
    some = json.loads(run("jobs", "list", "--json", "--limit", "5", "--config", config).stdout)
    assert (some["jobs_total"], len(some["jobs"])) == (61, 5)


def moments_in(value: object) -> Iterator[tuple[str, object]]:
    """Every (key, value) of a document whose key names a moment."""
    if isinstance(value, dict):
        yield from ((key, inner) for key, inner in value.items() if key == "at" or key.endswith("_at"))
        for inner in value.values():
            yield from moments_in(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from moments_in(inner)


@pytest.mark.parametrize("words", [["jobs", "list"], ["jobs", "show", "1"], ["why", "1"]], ids=" ".join)
def test_every_moment_in_json_is_iso_8601_with_the_offset_of_the_nodes_zone(
    config: Path, store: Store, words: list[str]
) -> None:
    World(store, config.parent / "data").deliver("sr", destinations=("pacs",))
    said = json.loads(run(*words, "--json", "--config", config).stdout)
    assert said["schema_version"] == 1
    moments = [value for _, value in moments_in(said) if value is not None]
    assert moments
    for value in moments:
        at = datetime.fromisoformat(str(value))
        assert at.utcoffset() == at.astimezone(ZoneInfo("Europe/Berlin")).utcoffset()


@pytest.mark.parametrize("words", [["jobs", "list"], ["jobs", "show", "1"], ["why", "1"]], ids=" ".join)
def test_times_of_a_table_say_their_zone(config: Path, store: Store, words: list[str]) -> None:
    new_job(store)
    said = run(*words, "--config", config).stdout
    assert "Europe/Berlin" in said
    assert re.search(r"\d\d:\d\d:\d\d(\.\d{3})?\+0[12]:00", said)


def test_a_table_says_how_many_jobs_it_does_not_show(config: Path, store: Store) -> None:
    for _ in range(52):
        new_job(store)
    said = run("jobs", "list", "--config", config).stdout
    assert "50 of 52 jobs shown, the newest; --limit 0 shows all" in said
    assert "jobs shown" not in run("jobs", "list", "--limit", "0", "--config", config).stdout


def test_a_filter_shows_its_jobs_alone(config: Path, store: Store) -> None:
    new_job(store, protocol="head-ct")
    other = new_job(store, protocol="trauma")
    said = json.loads(run("jobs", "list", "--json", "--protocol", "trauma", "--config", config).stdout)
    assert [job["job_id"] for job in said["jobs"]] == [other]
    assert said["series_without_job"] is None
    assert json.loads(run("jobs", "list", "--json", "--accession", "A1", "--config", config).stdout)["jobs"] == []
