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


def switches_after(*lines: str) -> str:
    """What a fresh interpreter's switches are after some lines."""
    code = "\n".join([*lines, SWITCHES])
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=200).stdout


def imports(names: list[str]) -> str:
    return "\n".join(f"import dicomnode.{name}" for name in names)


def test_the_order_of_imports_changes_nothing_since_none_sets_a_switch() -> None:
    untouched = switches_after()
    assert switches_after(imports(OF_THE_NODE)) == untouched
    assert switches_after(imports(OF_THE_NODE[::-1])) == untouched


@pytest.mark.parametrize("order", [OF_THE_NODE, OF_THE_NODE[::-1]], ids=["forwards", "backwards"])
def test_switches_are_the_same_whatever_was_imported_before_they_were_set(order: list[str]) -> None:
    calls = ["from dicomnode.dicom import libraries", "libraries.set_up_pydicom()", "libraries.set_up_pynetdicom()"]
    assert switches_after(*calls, imports(order)) == switches_after(imports(order), *calls) != switches_after()


def test_setting_up_twice_is_setting_up_once() -> None:
    twice = [set_up_pydicom, set_up_pydicom, set_up_pynetdicom, set_up_pynetdicom]
    lines = ["from dicomnode.dicom.libraries import *", *(f"{one.__name__}()" for one in twice)]
    assert switches_after(*lines) == switches_after(lines[0], lines[1], lines[3])


def test_nothing_else_sets_a_switch_of_these_libraries() -> None:
    setters = re.compile(r"settings\.reading_validation_mode =|(?<![\w.])_config\.")
    found = {name for name, path in PACKAGE.modules.items() if setters.search(path.read_text(encoding="utf-8"))}
    assert found == {"dicom.libraries"}
