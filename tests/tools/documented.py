"""Command lines of ``dicomnode`` as the documentation shows them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

from tests.conftest import REPOSITORY

_FENCE = re.compile(r"^ *```(\S*)\n(.*?)^ *```", re.M | re.S)
_INLINE = re.compile(r"`(dicomnode [^`]+)`")
_COMMAND = re.compile(r"^\s*(?:\$ )?(?:sudo (?:-u \S+ )?)?(?:\S*/bin/)?dicomnode (.*)$")
_COMMENT = re.compile(r"\s+#.*$|\s{2,}\(.*\)$")
_FOR_THE_SHELL = re.compile(r"\s+(?:\d?[<>]|[|&]).*$")
"""Where a command's own words end: a redirection, a pipe, what runs beside it."""
NOT_OURS = ("CHANGELOG.md",)
"""What changed is told with commands of its time."""


def pages() -> Iterator[Path]:
    """Every Markdown file of the repository that tells how something is done now."""
    for path in sorted(REPOSITORY.rglob("*.md")):
        inside = path.relative_to(REPOSITORY).parts
        if path.name not in NOT_OURS and not inside[0].startswith(".") and inside[0] != "artifacts":
            yield path


def block_lines(text: str, kind: str | None = None) -> list[str]:
    """Whole command lines of the fenced blocks of a page, without the programme's name, continued lines joined."""
    found = []
    for language, block in _FENCE.findall(text):
        if kind is None or language == kind:
            for line in block.replace("\\\n", " ").splitlines():
                match = _COMMAND.match(line)
                if match and not match[1].startswith("-m "):
                    found.append(_FOR_THE_SHELL.sub("", _COMMENT.sub("", match[1])).strip())
    return found


def script(text: str, language: str) -> str:
    """The fenced blocks of one language, one after the other, as they stand."""
    return "".join(block for found, block in _FENCE.findall(text) if found == language)


def inline_lines(text: str) -> list[str]:
    """Commands within sentences; ``a / b`` offers several, ``...`` leaves something out."""
    return [line.removeprefix("dicomnode ") for line in _INLINE.findall(_FENCE.sub("", text))]


def words(line: str) -> list[str]:
    """A command line as a shell splits it."""
    return shlex.split(line)
