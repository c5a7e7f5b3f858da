"""What a worker does not load, and that nothing is missing afterwards."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys

import pytest

from dicomnode.execute.lean import OPTIONAL_OF_MONAI, lean_imports
from tests.conftest import OWN_PATH

WORKER = """
import json, sys
with lean_imports():
    from dicomnode.execute import model_worker
loaded = [name for name in names if name in sys.modules]
import ignite.engine, transformers
print(json.dumps([loaded, ignite.__name__, transformers.__name__]))
"""


def test_a_worker_starts_without_the_packages_that_no_model_asks_for_and_has_them_when_one_does() -> None:
    head = "from dicomnode.execute.lean import OPTIONAL_OF_MONAI as names, lean_imports"
    environment = os.environ | {"PYTHONPATH": OWN_PATH}
    ended = subprocess.run([sys.executable, "-c", head + WORKER], env=environment, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout) == [[], "ignite", "transformers"]


def test_what_is_loaded_already_stays() -> None:
    ignite = importlib.import_module("ignite")
    with lean_imports():
        assert importlib.import_module("ignite") is ignite
    assert importlib.import_module("ignite") is ignite


def test_after_a_fault_nothing_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in OPTIONAL_OF_MONAI:
        monkeypatch.delitem(sys.modules, name, raising=False)
    with pytest.raises(ImportError, match="jsonschema"), lean_imports():
        importlib.import_module("jsonschema")
    assert all(importlib.util.find_spec(name) is not None for name in OPTIONAL_OF_MONAI)
