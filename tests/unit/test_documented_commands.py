"""Every command line that the documentation shows exists: its words, its options, and in blocks its arguments, too."""

from __future__ import annotations

from typing import Any

import pytest
import typer

from dicomnode.cli.main import app
from tests.conftest import REPOSITORY
from tests.tools.documented import block_lines, inline_lines, pages, words
from tests.tools.reference import PAGES

ROOT = typer.main.get_command(app)
BLOCKS = [(path.relative_to(REPOSITORY), line) for path in pages() for line in block_lines(path.read_text("utf-8"))]
SENTENCES = [(path.relative_to(REPOSITORY), line) for path in pages() for line in inline_lines(path.read_text("utf-8"))]
ALL_TAKE = {"--help", "-h", "--json"}


def found(arguments: list[str]) -> tuple[Any, list[str]]:
    """The command that some words name, and the words behind its name."""
    command: Any = ROOT
    while hasattr(command, "commands") and arguments and not arguments[0].startswith("-"):
        command, arguments = command.commands[arguments[0]], arguments[1:]
    return command, arguments


def options_of(command: Any) -> set[str]:
    """Every option of a command, by all its names."""
    return ALL_TAKE | {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}


def test_there_are_many_commands_to_look_at() -> None:
    assert len(BLOCKS) > 25
    assert len(SENTENCES) > 60


@pytest.mark.parametrize(("page", "line"), BLOCKS, ids=[f"{page}: {line}"[:90] for page, line in BLOCKS])
def test_a_command_of_a_block_parses(page: str, line: str) -> None:
    command, arguments = found(words(line))
    # Another name for what the reader is to put in, such as JOB, is no number: only what it is made of is looked at.
    if command is ROOT or any(word.isupper() for word in arguments):
        assert {word.split("=")[0] for word in arguments if word.startswith("-")} <= options_of(command) | {"--version"}
        return
    assert not hasattr(command, "commands"), f"{line}: names no command"
    with command.make_context("dicomnode", list(arguments)) as context:
        assert context.params is not None


@pytest.mark.parametrize(("page", "line"), SENTENCES, ids=[f"{page}: {line}"[:90] for page, line in SENTENCES])
def test_a_command_of_a_sentence_exists_with_its_options(page: str, line: str) -> None:
    first, *others = line.split(" / ")
    command, arguments = found(words(first.replace("'", " ")))
    above, _ = found(words(first)[:1])
    for other in others:
        name = other.split()[0]
        assert name in getattr(above, "commands", ROOT.commands), f"{line}: {name}"  # type: ignore[attr-defined]
    asked = {word.split("=")[0] for word in arguments if word.startswith("--")}
    assert asked <= options_of(command), f"{line}: {asked - options_of(command)}"


@pytest.mark.parametrize("name", sorted(PAGES))
def test_a_page_that_is_read_off_the_code_is_that_of_the_code(name: str) -> None:
    written = (REPOSITORY / "docs" / name).read_text("utf-8")
    assert written == PAGES[name](), "python -m tests.tools.reference writes it anew"


@pytest.mark.parametrize("line", ["backup --uot node.tar", "jobs list --staus failed", "restore"])
def test_a_command_that_is_wrong_would_be_seen(line: str) -> None:
    command, arguments = found(words(line))
    with pytest.raises(Exception, match=r"No such option|Missing"):
        command.make_context("dicomnode", list(arguments))
