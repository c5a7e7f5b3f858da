"""``process --context``: the document that comes with the images, and whose it must be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dicomnode.app.context_file import context_with, read_document
from dicomnode.config.whole import built_in_config
from dicomnode.errors import ConfigError, ContextError
from dicomnode.execute.tasks import ReadReply
from dicomnode.records import Patient, PatientContext

READ = ReadReply(PatientContext(), Patient(patient_id="T1", birth_date="19440502", sex="F"), 1767261600.0, {})
"""10:00 UTC on 1 January 2026."""


def written(folder: Path, **document: Any) -> Path:
    path = folder / "context.json"
    path.write_text(json.dumps({"values": [{"name": "gcs", "value": 10}], **document}))
    return path


@pytest.mark.parametrize(
    "patient", [{}, {"id": "T1"}, {"id": "T1", "birth_date": "1944-05-02", "sex": "female"}, {"sex": "F"}]
)
def test_a_document_that_contradicts_nothing_counts(tmp_path: Path, patient: dict[str, str]) -> None:
    config = built_in_config()
    context = context_with(read_document(written(tmp_path, patient=patient), config), READ, config)
    assert [(value.name, value.value, value.offset_s) for value in context.values] == [("gcs", 10.0, None)]


@pytest.mark.parametrize(
    "patient", [{"id": "T2"}, {"id": "T1", "issuer": "X"}, {"birth_date": "1944-05-03"}, {"id": "T1", "sex": "M"}]
)
def test_a_document_about_another_patient_is_refused(tmp_path: Path, patient: dict[str, str]) -> None:
    config = built_in_config()
    with pytest.raises(ContextError, match="wrong_patient"):
        context_with(read_document(written(tmp_path, patient=patient), config), READ, config)


def test_a_document_that_is_not_there_is_a_wrong_call(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        read_document(tmp_path / "none.json", built_in_config())
