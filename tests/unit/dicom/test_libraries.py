"""Switches that hold for a whole process: set by whoever begins one, whatever was imported before and in what order."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from dicomnode.dicom.libraries import set_up_pydicom, set_up_pynetdicom
from tests.unit.test_structure import PACKAGE

SWITCHES = """
import pydicom.config
from pynetdicom import _config
from pydicom.pixels.decoders.base import JPEGExtended12BitDecoder
print(pydicom.config.settings.reading_validation_mode, _config.STORE_SEND_CHUNKED_DATASET,
      _config.LOG_REQUEST_IDENTIFIERS, _config.LOG_RESPONSE_IDENTIFIERS, *JPEGExtended12BitDecoder.available_plugins)
"""
OF_THE_NODE = sorted(
    name
    for name in PACKAGE.modules
    if name.partition(".")[0] in ("dicom", "images", "receive", "deliver", "app", "encode") and name != "app.demo"
)


CALLS = "from dicomnode.dicom import libraries\nlibraries.set_up_pydicom()\nlibraries.set_up_pynetdicom()"


def switches_after(*lines: str) -> str:
    """What a fresh interpreter's switches are after some lines."""
    return "".join(switches_at("\n".join(lines)))


def switches_at(*stages: str) -> list[str]:
    """What they are after each of some stages in one interpreter."""
    code = "\n".join(f"{stage}\n{SWITCHES}" for stage in stages)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=200)
    return done.stdout.splitlines()


def imports(names: list[str]) -> str:
    return "\n".join(f"import dicomnode.{name}" for name in names)


@pytest.mark.parametrize("order", [OF_THE_NODE, OF_THE_NODE[::-1]], ids=["forwards", "backwards"])
def test_no_import_sets_a_switch_and_the_calls_set_the_same_before_and_after_all_imports(order: list[str]) -> None:
    (untouched,) = switches_at("")
    imported, set_after = switches_at(imports(order), CALLS)
    (set_before,) = switches_at(f"{CALLS}\n{imports(order)}")
    assert imported == untouched
    assert set_before == set_after != untouched


def test_setting_up_twice_is_setting_up_once() -> None:
    twice = [set_up_pydicom, set_up_pydicom, set_up_pynetdicom, set_up_pynetdicom]
    lines = ["from dicomnode.dicom.libraries import *", *(f"{one.__name__}()" for one in twice)]
    assert switches_after(*lines) == switches_after(lines[0], lines[1], lines[3])


def test_nothing_else_sets_a_switch_of_these_libraries() -> None:
    setters = re.compile(r"settings\.reading_validation_mode =|(?<![\w.])_config\.")
    found = {name for name, path in PACKAGE.modules.items() if setters.search(path.read_text(encoding="utf-8"))}
    assert found == {"dicom.libraries"}
