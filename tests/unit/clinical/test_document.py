"""Documents with values and texts: taken whole, or refused with every fault and its place."""

from __future__ import annotations

import json
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dicomnode.clinical.sources.document import Document, Reader
from dicomnode.errors import ContextError
from dicomnode.records import ContextSource, Patient
from tests.conftest import REPOSITORY

UTC = ZoneInfo("UTC")
EXAMPLES = REPOSITORY / "docs/examples"
PATIENT = {"id": "4711", "birth_date": "1944-05-02", "sex": "F"}
GCS = {"name": "gcs", "value": 10, "observed_at": "2026-01-01T09:00:00Z"}


def read(content: bytes | dict[str, Any] | list[Any], **how: Any) -> Document:
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    return Reader(zone=UTC, **how).read(data)


def faults(content: bytes | dict[str, Any] | list[Any], **how: Any) -> list[tuple[str, str]]:
    with pytest.raises(ContextError) as caught:
        read(content, **how)
    return [(where, why.value) for where, why in caught.value.faults]


def test_the_examples_of_the_documentation_are_taken_and_agree() -> None:
    by_json = read((EXAMPLES / "context.json").read_bytes())
    by_csv = read((EXAMPLES / "context.csv").read_bytes())
    values = {one.name: (one.value, one.unit, one.observed_at) for one in by_json.observations}
    assert values["glucose"][0] == pytest.approx(6.994, abs=1e-3)
    assert values["d_dimer"][:2] == (0.85, "mg/L{FEU}")
    assert {one.name: (one.value, one.unit, one.observed_at) for one in by_csv.observations}.items() <= values.items()
    assert [text.text for text in by_csv.texts] == [text.text for text in by_json.texts]
    for one in by_json.observations:
        assert one.patient == Patient(patient_id="0012345", issuer="HOSPITAL", birth_date="19440502", sex="F")
        assert one.source is ContextSource.FILE


def test_one_document_may_tell_of_several_patients() -> None:
    document = read([{"patient": {"id": name}, "values": [GCS]} for name in ("a", "b")])
    assert [one.patient.patient_id for one in document.observations] == ["a", "b"]
    assert [one.provenance for one in document.observations] == ["[0].values[0]", "[1].values[0]"]


def test_an_id_without_issuer_gets_that_of_the_node() -> None:
    document = read({"patient": PATIENT, "values": [GCS]}, issuer="HOSPITAL")
    assert document.observations[0].patient.issuer == "HOSPITAL"


def test_every_fault_is_said_with_its_place_and_without_values() -> None:
    values = [
        GCS,
        {"name": "weight", "value": 70},
        {"name": "glucose", "value": 126, "observed_at": "2026-01-01T09:00:00Z"},
        {"name": "glucose", "value": 126, "unit": "mg/dL"},
    ]
    text = {"section": "gossip", "text": "x", "written_at": "2026-01-01T09:00:00Z"}
    wrong = {"patient": {**PATIENT, "birth_date": "2.5.44"}, "values": values, "texts": [text]}
    assert faults(wrong) == [
        ("patient.birth_date", "not_a_time"),
        ("values[1]", "unknown_variable"),
        ("values[2]", "no_unit"),
        ("values[3]", "no_time"),
        ("texts[0]", "unknown_word"),
    ]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", [("", "not_readable")]),
        (b"\xff\xfe", [("", "not_readable")]),
        (b"{", [("", "not_readable")]),
        (b'{"values": [NaN]}', [("", "not_readable")]),
        (b"[" * 100_000, [("", "not_readable")]),
        (b"[]", [("", "nothing_in_it")]),
        (b"name;value\n", [("", "nothing_in_it")]),
        (b"some words", [("", "not_readable")]),
        (b"patient_id;value;colour\n1;2;3\n", [("line 1", "unknown_field")]),
        (b"patient_id;name;value\n1;inr;2;3\n", [("line 2", "unknown_field")]),
        (b"patient_id;name;value\n;inr;2\n", [("line 2", "no_patient"), ("line 2", "no_time")]),
        (b"x" * (16 * 1024 * 1024 + 1), [("", "too_large")]),
    ],
)
def test_what_is_no_document_is_refused(content: bytes, expected: list[tuple[str, str]]) -> None:
    assert faults(content) == expected


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"patient": {"id": 4711}}, ("patient.id", "unknown_field")),
        ({"patient": {}}, ("patient.id", "no_patient")),
        ({"patient": {"id": "x" * 65}}, ("patient.id", "no_patient")),
        ({"colour": "red"}, ("colour", "unknown_field")),
        ({"values": [{"name": "gcs"}]}, ("values[0].value", "missing_field")),
        ({"values": [{**GCS, "name": "g\0cs"}]}, ("values[0]", "not_readable")),
        ({"values": [{**GCS, "unit": "\ud800"}]}, ("values[0]", "not_readable")),
    ],
)
def test_what_the_format_does_not_have_is_named(change: dict[str, Any], expected: tuple[str, str]) -> None:
    assert faults({"patient": PATIENT, "values": [GCS], **change}) == [expected]


def test_what_comes_with_the_images_need_neither_name_the_patient_nor_the_times() -> None:
    document = read({"values": [{"name": "gcs", "value": 10}]}, for_one_scan=True)
    (value,) = document.observations
    assert (value.patient.patient_id, value.observed_at) == ("", None)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_a_damaged_document_is_taken_or_refused_and_nothing_else(data: st.DataObject) -> None:
    whole = bytearray((EXAMPLES / data.draw(st.sampled_from(["context.json", "context.csv"]))).read_bytes())
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(whole) - 1))
        whole[at : at + data.draw(st.integers(0, 20))] = data.draw(st.binary(max_size=8))
        if not whole:
            break
    try:
        found = read(bytes(whole))
    except ContextError:
        return
    assert found.observations or found.texts
