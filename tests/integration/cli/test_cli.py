"""What commands print and how they end: 0 done, 1 the work failed, 2 the call or the configuration is wrong."""

from __future__ import annotations

import json
import re
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pydicom
import pytest
import typer
from sqlalchemy import select
from typer.testing import CliRunner, Result

import dicomnode
from dicomnode.app import show
from dicomnode.app.demo_pacs import ReceivingPacs
from dicomnode.app.known_answer import ANSWER
from dicomnode.cli.main import app
from dicomnode.config.load import load_config
from dicomnode.store.opening import existing_store
from dicomnode.store.tables import Event
from dicomnode.zoo.registry import BUILT_IN
from tests.acceptance.scanner import small_study
from tests.tools.bundle import write_threshold_bundle
from tests.tools.command_line import commands
from tests.tools.series import ct_series, write_series

READING = (["jobs", "list"], ["jobs", "show", "7"], ["jobs", "retry", "7"], ["jobs", "cancel", "7"], ["why", "ACC7"])

pytestmark = pytest.mark.usefixtures("_wide")


def run(*arguments: str | Path) -> Result:
    """One command line."""
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def pacs(tmp_path: Path) -> Iterator[ReceivingPacs]:
    """A destination that answers."""
    with ReceivingPacs(tmp_path / "pacs", "PACS") as running:
        yield running


def write_config(folder: Path, *, pacs_port: int = 104, **changes: Any) -> Path:
    """A configuration with a small model; ``changes`` replace keys of the destination."""
    write_threshold_bundle(folder / "bundle")
    destination = {"name": "pacs", "ae_title": "PACS", "host": "127.0.0.1", "port": pacs_port}
    destination |= {"accept_research": True, "timeout_s": 20} | changes
    lines = [
        "[node]\nport = 0\nhost = '127.0.0.1'",
        f"data_dir = '{folder / 'data'}'",
        "[reception]\nmin_free_gb = 0",
        "[execution]\ndevices = ['cpu']\ncpu_threads = 1",
        f"[zoo]\npaths = ['{folder / 'bundle'}']",
        "[[destination]]",
        *[f"{key} = {json.dumps(value)}" for key, value in destination.items()],
        "[[protocol]]\nname = 'head-ct'\nmatch = { Modality = '^CT$' }",
        "models = ['threshold']\ndestinations = ['pacs']",
    ]
    path = folder / "config.toml"
    path.write_text("\n".join(lines))
    return path


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A configuration without fault, whose destination does not answer."""
    return write_config(tmp_path)


@pytest.fixture
def started(config: Path, tmp_path: Path, sqlite_template: Path) -> Path:
    """A configuration whose node was started once."""
    (tmp_path / "data").mkdir()
    shutil.copy(sqlite_template, tmp_path / "data/node.db")
    return config


WRONG = """
[node]
port = 700000
colour = "blue"

[[protocol]]
name = "head"
match = { Modality = "^CT$" }
models = ["hemorrhage"]
destinations = ["nowhere"]
"""


@pytest.mark.parametrize("command", [["serve"], ["check"], *READING], ids=" ".join)
def test_a_wrong_configuration_ends_with_2_and_names_every_fault_failure_mode_19(
    tmp_path: Path, command: list[str]
) -> None:
    path = tmp_path / "config.toml"
    path.write_text(WRONG)
    ended = run(*command, "--config", path)
    assert ended.exit_code == 2
    for fault in ("node.port", "node.colour: unknown key", "no [[destination]] is named 'nowhere'"):
        assert fault in ended.stderr
    assert "Traceback" not in ended.output


def test_a_configuration_that_does_not_exist_ends_with_2(tmp_path: Path) -> None:
    ended = run("serve", "--config", tmp_path / "absent.toml")
    assert (ended.exit_code, "cannot be read" in ended.stderr) == (2, True)


@pytest.mark.parametrize("command", READING[1:], ids=" ".join)
def test_a_job_or_case_that_is_unknown_ends_with_1_and_a_sentence(started: Path, command: list[str]) -> None:
    ended = run(*command, "--config", started)
    assert ended.exit_code == 1
    assert "no job 7" in ended.stderr or "nothing is known of 'ACC7'" in ended.stderr


def test_a_job_id_that_is_no_number_ends_with_2(config: Path) -> None:
    assert run("jobs", "show", "seven", "--config", config).exit_code == 2


def test_a_database_that_is_none_ends_with_1_and_a_sentence(config: Path, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/node.db").write_text("this is a letter, not a database, and it is long enough to be read as one")
    ended = run("jobs", "list", "--config", config)
    assert ended.exit_code == 1
    assert f"the database cannot be used: {tmp_path}/data/node.db (file is not a database)" in ended.stderr


def test_jobs_of_a_new_node_are_none_also_as_json(started: Path) -> None:
    assert "Jobs: none" in run("jobs", "list", "--config", started).stdout
    assert json.loads(run("jobs", "list", "--json", "--config", started).stdout) == {
        "schema_version": 1,
        "jobs_total": 0,
        "jobs": [],
        "series_without_job_total": 0,
        "series_without_job": [],
    }


def test_a_new_node_has_no_outcomes(started: Path) -> None:
    assert "Bleeds seen again: none" in run("outcomes", "--config", started).stdout
    told = json.loads(run("outcomes", "--json", "--config", started).stdout)
    assert (told["forecasts"], told["growth"]) == ([], [])


def test_a_backup_is_told_in_the_history_after_it_is_made(started: Path, tmp_path: Path) -> None:
    assert run("backup", "--out", tmp_path / "node.tar", "--no-images", "--config", started).exit_code == 0
    with existing_store(load_config(started).database_url) as store, store.read() as session:
        (event,) = session.scalars(select(Event).where(Event.subject == "operator"))
    assert event.name == "backup"
    assert (event.detail["images"], bool(event.detail["by"])) == (False, True)


def test_what_was_brought_back_is_told_in_the_history_that_came_back(started: Path, tmp_path: Path) -> None:
    assert run("backup", "--out", tmp_path / "node.tar", "--no-images", "--config", started).exit_code == 0
    (tmp_path / "elsewhere").mkdir()
    other = write_config(tmp_path / "elsewhere")
    ended = run("restore", tmp_path / "node.tar", "--config", other)
    assert ended.exit_code == 0, ended.output
    with existing_store(load_config(other).database_url) as store, store.read() as session:
        (event,) = session.scalars(select(Event).where(Event.subject == "operator"))
    assert (event.name, bool(event.detail["by"]), bool(event.detail["made_at"])) == ("restore", True, True)


def test_brackets_in_a_reason_are_printed_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    show.table("Runs", ["error", "status"], [["findings [red]a[/] and ['b']", "failed"]])
    printed = capsys.readouterr().out
    assert "findings [red]a[/] and ['b']" in printed


def test_check_is_content_where_everything_works(tmp_path: Path, pacs: ReceivingPacs) -> None:
    path = write_config(tmp_path, pacs_port=pacs.port)
    ended = run("check", "--json", "--config", path)
    findings = {(item["what"], item["ok"]) for item in json.loads(ended.stdout)["findings"]}
    assert ended.exit_code == 0, ended.stdout
    for what in ("disk", "clock", "database", "port", "protocol head-ct", "model threshold", "destination pacs"):
        assert (what, True) in findings


def test_check_ends_with_2_where_a_destination_does_not_answer(tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        path = write_config(tmp_path, pacs_port=closed.getsockname()[1])
        ended = run("check", "--no-models", "--config", path)
    assert ended.exit_code == 2
    assert "bad   destination pacs: PACS at 127.0.0.1:" in ended.stdout
    assert "does not answer C-ECHO" in ended.stdout


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"accept_research": False}, "none of its destinations has accept_research = true"),
        ({"results": []}, "none of its destinations takes any kind of result"),
    ],
)
def test_check_ends_with_2_where_results_would_go_nowhere(
    tmp_path: Path, pacs: ReceivingPacs, changes: dict[str, Any], says: str
) -> None:
    ended = run("check", "--no-models", "--config", write_config(tmp_path, pacs_port=pacs.port, **changes))
    assert ended.exit_code == 2
    assert f"bad   protocol head-ct: {says}" in ended.stdout.replace("its models are marked research, but ", "")


def test_check_ends_with_2_where_a_model_is_damaged(tmp_path: Path, pacs: ReceivingPacs) -> None:
    path = write_config(tmp_path, pacs_port=pacs.port)
    weights = tmp_path / "bundle/models/model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-8])
    ended = run("check", "--no-models", "--config", path)
    assert ended.exit_code == 2
    assert "cut short" in ended.stdout


def test_check_ends_with_2_where_a_model_does_not_give_its_known_answer(tmp_path: Path, pacs: ReceivingPacs) -> None:
    path = write_config(tmp_path, pacs_port=pacs.port)
    shutil.copy(BUILT_IN / "hemorrhage/bundle" / ANSWER, tmp_path / "bundle" / ANSWER)
    ended = run("check", "--config", path)
    assert ended.exit_code == 2
    assert "bad   selftest threshold: the answer differs (hemorrhage: " in ended.stdout


def test_check_ends_with_2_where_the_disk_is_full(tmp_path: Path, pacs: ReceivingPacs) -> None:
    path = write_config(tmp_path, pacs_port=pacs.port)
    path.write_text(path.read_text().replace("min_free_gb = 0", "min_free_gb = 1e9"))
    ended = run("check", "--no-models", "--config", path)
    assert ended.exit_code == 2
    assert "every C-STORE would be refused with 0xA700" in ended.stdout


def test_check_only_notes_a_port_in_use(tmp_path: Path, pacs: ReceivingPacs) -> None:
    path = write_config(tmp_path, pacs_port=pacs.port)
    path.write_text(path.read_text().replace("port = 0", f"port = {pacs.port}"))
    ended = run("check", "--no-models", "--config", path)
    assert ended.exit_code == 0
    assert "note  port:" in ended.stdout


def test_zoo_lists_shows_and_verifies(config: Path) -> None:
    listed = json.loads(run("zoo", "list", "--json", "--config", config).stdout)["models"]
    assert {"threshold", "hemorrhage"} <= {bundle["name"] for bundle in listed}
    shown = run("zoo", "show", "threshold", "--config", config)
    assert "Marks bright spots away from bone." in shown.stdout
    models = json.loads(run("zoo", "verify", "--json", "--config", config).stdout)["models"]
    verified = {item["name"]: item for item in models}
    assert verified["threshold"]["digest"] in shown.stdout.replace("\n", "")
    assert verified["threshold"]["pinned"] is False
    assert run("zoo", "list").exit_code == run("zoo", "verify").exit_code == 0


def test_zoo_ends_with_2_for_an_unknown_model_or_another_digest_than_the_pinned_one(config: Path) -> None:
    unknown = run("zoo", "show", "absent", "--config", config)
    assert (unknown.exit_code, "no bundle named absent" in unknown.stderr) == (2, True)
    config.write_text(config.read_text() + f"\n[zoo.digests]\nthreshold = 'sha256:{'0' * 64}'\n")
    changed = run("zoo", "verify", "--config", config)
    assert (changed.exit_code, "is pinned" in changed.stderr) == (2, True)


def test_process_writes_the_results_of_a_folder(config: Path, tmp_path: Path) -> None:
    write_series(tmp_path / "in/head", small_study("process"))
    write_series(tmp_path / "in/phantom", ct_series(name="phantom", hu=0.0, SeriesDescription="CTA"))
    (tmp_path / "in/AUTORUN.INF").write_text("[autorun]")
    ended = run("process", tmp_path / "in", "--out", tmp_path / "out", "--json", "--config", config)
    assert ended.exit_code == 0, ended.output
    done = json.loads(ended.stdout)
    assert {"seg", "sr", "sc"} <= {result["kind"] for result in done["results"]}
    modalities = {pydicom.dcmread(path).Modality for path in (tmp_path / "out").glob("*.dcm")}
    assert {"SEG", "SR"} < modalities
    # A ball of 15 mm radius holds 14.1 mL.
    assert done["findings"][0]["total"]["volume_ml"] == pytest.approx(14.1, rel=0.2)
    assert "not for diagnosis" in done["notice"]
    assert done["left_out"][-1] == "1 files: no DICOM instances"


def test_process_ends_with_1_and_the_reason_where_no_series_can_be_run(config: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    write_series(tmp_path / "in", ct_series(SeriesDescription="CTA carotids"))
    for folder, reason in (("empty", "no DICOM files"), ("in", "contrast_angiography")):
        ended = run("process", tmp_path / folder, "--out", tmp_path / "out", "--config", config)
        assert (ended.exit_code, reason in ended.stderr) == (1, True)
    assert not (tmp_path / "out").exists()


def test_process_ends_with_2_for_an_unknown_protocol_or_no_folder(config: Path, tmp_path: Path) -> None:
    unknown = run("process", tmp_path, "--out", tmp_path / "out", "--protocol", "knee", "--config", config)
    assert (unknown.exit_code, "there are: head-ct" in unknown.stderr) == (2, True)
    absent = run("process", tmp_path / "absent", "--out", tmp_path / "out", "--config", config)
    assert (absent.exit_code, "is no folder" in absent.stderr) == (2, True)


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (["trauma"], "no DICOM files"),
        (["spine", "head-ct"], "no DICOM files"),
        (["spine", "trauma"], "--protocol: say which; there are: spine, trauma"),
    ],
    ids=["the only one", "the usual one", "one of two"],
)
def test_process_without_a_protocol_takes_the_only_one_or_asks_which(
    tmp_path: Path, names: list[str], says: str
) -> None:
    protocols = "".join(
        f"[[protocol]]\nname = '{name}'\nmatch = {{ Modality = '^CT$' }}\nmodels = ['hemorrhage']\n" for name in names
    )
    (tmp_path / "node.toml").write_text(f"[node]\ndata_dir = '{tmp_path / 'data'}'\n{protocols}")
    (tmp_path / "empty").mkdir()
    ended = run("process", tmp_path / "empty", "--out", tmp_path / "out", "--config", tmp_path / "node.toml")
    assert says in ended.stderr
    assert ended.exit_code == (2 if "say which" in says else 1)


def test_the_help_of_every_command_is_a_sentence_and_of_every_argument_too() -> None:
    every = dict(commands(typer.main.get_command(app)))
    assert len(every) >= 13
    for words, command in every.items():
        ended = run(*words, "--help")
        assert ended.exit_code == 0
        first = (command.help or "").strip().splitlines()[0]
        assert first[:1].isupper(), words
        assert first.endswith("."), words
        for parameter in command.params:
            described = getattr(parameter, "help", None)
            assert described, f"{words} {parameter.name}"


@pytest.mark.parametrize("words", [" ".join(words) for words, _ in commands(typer.main.get_command(app))])
def test_the_help_of_every_command_shows_an_example_of_it(words: str) -> None:
    help_text = " ".join(run(*words.split(), "--help").stdout.split())
    assert re.search(rf"Examples?: dicomnode {words}\b", help_text)


def test_the_version_is_that_of_the_package() -> None:
    assert run("--version").stdout.strip() == f"dicomnode {dicomnode.__version__}"


def test_without_a_command_the_help_is_shown_and_the_call_is_wrong() -> None:
    ended = run()
    assert ended.exit_code == 2
    assert "Usage" in ended.output
