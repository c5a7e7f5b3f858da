"""What the documents name exists: a newcomer who follows a path arrives."""

from __future__ import annotations

import re
from dataclasses import fields

import pytest
import typer

from dicomnode.app.check.finding import Finding
from dicomnode.app.context_shown import KnownLine, PatientPage
from dicomnode.app.selftest import Verdict
from dicomnode.cli.main import app
from dicomnode.store.clinical.questions import QuestionLine
from dicomnode.store.deliver.fallback import RefusalLine
from dicomnode.store.history.held import HeldLine
from dicomnode.store.history.lines import DeliveryLine, EventLine, JobLine, RunLine, SeriesLine
from dicomnode.store.history.listing import Listing
from tests.conftest import REPOSITORY
from tests.tools.command_line import commands

PATH = re.compile(r"`([a-z_]+(?:/[a-z_]+)*/?[a-z_]*\.(?:py|md|json|toml))(?::[^`]*)?`")
FOLDER = re.compile(r"`([a-z_]+(?:/[a-z_]+)*/)`")
MODEL = REPOSITORY / "dicomnode/zoo/hemorrhage"
ROOTS = (REPOSITORY / "dicomnode", REPOSITORY, MODEL, MODEL / "bundle")


@pytest.mark.parametrize("document", ["docs/architecture.md", "docs/glossary.md"])
def test_every_path_that_a_document_names_is_there(document: str) -> None:
    text = (REPOSITORY / document).read_text(encoding="utf-8")
    named = {*PATH.findall(text), *FOLDER.findall(text)} - {"zoo/networks/"}
    missing = sorted(name for name in named if not any((root / name).exists() for root in ROOTS))
    assert len(named) > 20
    assert missing == []


CONTEXT = (PatientPage, KnownLine, QuestionLine)
FIELDS_OF = (JobLine, RunLine, DeliveryLine, SeriesLine, HeldLine, RefusalLine, EventLine, Listing, Finding, Verdict)


@pytest.mark.parametrize("record", [*FIELDS_OF, *CONTEXT], ids=lambda record: record.__name__)
def test_every_field_that_a_program_reads_is_documented(record: type) -> None:
    text = (REPOSITORY / "docs/json.md").read_text(encoding="utf-8")
    assert [field.name for field in fields(record) if f"`{field.name}`" not in text] == []


def test_every_command_that_prints_json_is_documented() -> None:
    text = (REPOSITORY / "docs/json.md").read_text(encoding="utf-8")
    printing = [
        " ".join(words)
        for words, command in commands(typer.main.get_command(app))
        if "--json" in [option for parameter in command.params for option in parameter.opts]
    ]
    assert len(printing) > 15
    assert [name for name in printing if not re.search(rf"`{name}[` ]", text)] == []


RELIABILITY = (REPOSITORY / "docs/reliability.md").read_text(encoding="utf-8")
FAILURE_MODES = 20


def test_each_of_the_twenty_failure_modes_has_tests_whose_names_say_its_number() -> None:
    rows = {int(row[1]): row[0] for row in re.finditer(r"^\| (\d+) \|.*$", RELIABILITY, re.MULTILINE)}
    assert sorted(rows) == [*range(1, FAILURE_MODES + 1)]
    for number, row in rows.items():
        named = re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", row)
        assert named, f"failure mode {number} names no test"
        for path, name in named:
            assert name.endswith(f"_failure_mode_{number:02d}")
            assert f"def {name}(" in (REPOSITORY / path).read_text(encoding="utf-8"), f"{path} has no {name}"


def test_every_test_that_says_the_number_of_a_failure_mode_stands_in_the_table() -> None:
    told = {name for _, name in re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", RELIABILITY)}
    sources = (path.read_text(encoding="utf-8") for path in (REPOSITORY / "tests").rglob("test_*.py"))
    there = {name for text in sources for name in re.findall(r"^def (test_\w+_failure_mode_\d+)\(", text, re.MULTILINE)}
    assert there == told


def test_every_file_of_tests_that_reliability_names_is_there() -> None:
    named = set(re.findall(r"`(tests/[\w/]+\.py)(?:::\w+)?`", RELIABILITY))
    assert sorted(path for path in named if not (REPOSITORY / path).is_file()) == []
