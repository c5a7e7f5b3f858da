"""Switches of pydicom and pynetdicom are set in one module."""

from __future__ import annotations

import re

from tests.unit.test_structure import PACKAGE


def test_nothing_else_sets_a_switch_of_these_libraries() -> None:
    setters = re.compile(r"settings\.reading_validation_mode =|(?<![\w.])_config\.")
    found = {name for name, path in PACKAGE.modules.items() if setters.search(path.read_text(encoding="utf-8"))}
    assert found == {"dicom.libraries"}
