"""Writes the pages of the documentation that are read off the code: coded refusals, and the messages of the log.

    python -m tests.tools.reference

A test compares them with the code, so that neither can go stale.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from enum import StrEnum
from typing import Protocol

from dicomnode import errors
from tests.conftest import REPOSITORY
from tests.unit.test_structure import PACKAGE

LEVELS = ("critical", "error", "warning", "info")


class Coded(Protocol):
    """A coded reason."""

    value: str

    def sentence(self) -> str:
        """What a person reads."""


SECTIONS: tuple[tuple[type[StrEnum], str, str], ...] = (
    (
        errors.Refusal,
        "A series, a job or an image is refused",
        "In `dicomnode jobs list`, `why`, on the status page, in `dicomnode_refused_total` and in the report *not "
        "performed*. The images are kept for their retention; `dicomnode jobs retry` runs a job again.",
    ),
    (
        errors.ContextRefusal,
        "Values or texts of a patient are not taken",
        "In the log, and beside the file in the drop folder ([context.md](context.md)).",
    ),
    (errors.MessageRefusal, "An HL7 message is not taken", "In the acknowledgement (ERR-3, ERR-7) and in the log."),
    (errors.FhirOutcome, "What came of asking a FHIR server", "In `dicomnode context show` and in the log."),
    (
        errors.ImportRefusal,
        "A foreign bundle is not imported",
        "Said by `dicomnode zoo import` ([own-model.md](models/own-model.md)).",
    ),
    (
        errors.ExportRefusal,
        "A case is not exported",
        "Said by `dicomnode export-case` ([life-cycle.md](life-cycle.md)). Nothing was written.",
    ),
    (
        errors.BackupRefusal,
        "A backup is not made, or not brought back",
        "Said by `dicomnode backup` and `dicomnode restore` ([life-cycle.md](life-cycle.md)). Nothing was changed.",
    ),
)
HEAD = (REPOSITORY / "tests/tools/troubleshooting.md").read_text(encoding="utf-8")
"""What a person finds before the tables."""

LOG_HEAD = """# Log reference

One line for each thing that matters, as JSON (`[operations] log_format`): `at` (UTC), `level`, `logger`, `message`,
then the facts of the line: `job_id`, `study_uid`, `series_uid`, `destination`, `reason`, seconds, counts. A message is
a constant, so that a program can look for it. No line holds an attribute of a patient. Lines with `"action": "audit"`
say who did what.

ERROR and above want a person; WARNING is worth a look; the rest is history. What follows is read off the code.

| part | level | message |
|---|---|---|
"""


def troubleshooting() -> str:
    """The page of coded reasons."""
    parts = [HEAD]
    for kind, title, where in SECTIONS:
        rows = [f"| `{code.value}` | {_sentence(code)} |" for code in kind]
        parts.append("\n".join([f"\n## {title}", where, "", "| code | means |", "|---|---|", *rows, ""]))
    return "".join(parts)


def _sentence(code: Coded | StrEnum) -> str:
    return str(code.sentence()).replace("|", "\\|") if hasattr(code, "sentence") else ""


def log_reference() -> str:
    """The page of log messages."""
    rows = sorted({(part, message, level) for part, level, message in messages()})
    lines = [f"| `{part}` | {level.upper()} | {message} |" for part, message, level in rows]
    return LOG_HEAD + "\n".join(lines) + "\n"


def messages() -> Iterator[tuple[str, str, str]]:
    """Part, level and text of every message that the package logs."""
    for name, path in PACKAGE.modules.items():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        named = _named_texts(tree)
        for node in ast.walk(tree):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args):
                continue
            owner, text = node.func.value, node.args[0]
            is_log = isinstance(owner, ast.Name) and owner.id in ("log", "logger") and node.func.attr in LEVELS
            said = named.get(text.id) if isinstance(text, ast.Name) else getattr(text, "value", None)
            if is_log and isinstance(said, str):
                yield name.partition(".")[0], node.func.attr, said.replace("|", "\\|")


def _named_texts(tree: ast.Module) -> dict[str, object]:
    """Constants of a module: a message may stand in one."""
    return {
        target.id: node.value.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
        for target in node.targets
        if isinstance(target, ast.Name)
    }


PAGES = {"troubleshooting.md": troubleshooting, "log.md": log_reference}


def main() -> None:
    """Write the pages."""
    for name, page in PAGES.items():
        (REPOSITORY / "docs" / name).write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
