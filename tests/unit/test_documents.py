"""What the documents name exists: a newcomer who follows a path arrives."""

from __future__ import annotations

import re

import pytest

from tests.conftest import REPOSITORY

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
