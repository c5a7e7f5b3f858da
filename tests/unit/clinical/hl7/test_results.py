"""What OBX segments say of variables, and what is not taken of them."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import pytest

from dicomnode.clinical.sources.hl7.statements import Standing
from dicomnode.records import ContextSource, Observation
from tests.tools.hl7_messages import D_DIMER, GCS, GLUCOSE, INR, message, obr, obx, pid
from tests.unit.clinical.hl7.reading import read, reasons, rules, values


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def test_a_laboratory_value_has_unit_time_patient_and_where_it_stood() -> None:
    (told,) = read(message(pid(), obr(), obx(GLUCOSE, "126", "mg/dL^mg/dL^UCUM", number=7))).told
    assert isinstance(told.known, Observation)
    assert told.known.value == pytest.approx(6.9939, abs=1e-3)
    assert (told.known.name, told.known.unit, told.known.source) == ("glucose", "mmol/L", ContextSource.HL7)
    assert told.known.observed_at == at("2026-01-01T10:00")
    assert told.known.provenance == "LAB M1 OBX 7"
    patient = told.known.patient
    assert (patient.patient_id, patient.issuer, patient.birth_date, patient.sex) == (
        "4711",
        "HOSPITAL",
        "19440502",
        "F",
    )
    assert (told.told_at, told.rank) == (at("2026-01-01T10:15"), Standing.FINAL.value)


@pytest.mark.parametrize(
    ("segment", "expected"),
    [
        (obx(INR, "2.4"), {"inr": 2.4}),
        (obx(INR, "=^2.4", kind="SN"), {"inr": 2.4}),
        (obx(INR, "^2.4", kind="SN"), {"inr": 2.4}),
        (obx(INR, " 2.4 ", kind="ST"), {"inr": 2.4}),
        (obx("L1^x^L^6301-6^INR^LN", "2.4"), {"inr": 2.4}),
        (obx("L1^x^L^^^^^^^6301-6^INR^LN", "2.4"), {"inr": 2.4}),
        (obx("GLU^Glucose^L", "126", "mg/dL"), {"glucose": 6.993938587}),
        (obx("SNAP^x^L", "yes", kind="ST"), {"anticoagulant": True}),
        (obx("SNAP^x^L", "Y^Yes^HL70136", kind="CE"), {"anticoagulant": True}),
        (obx("SNAP^x^L", "373067005^No^SCT", kind="CWE"), {"anticoagulant": False}),
        (obx("LOC^x^L", "LB^basal ganglia^L", kind="CWE"), {"bleed_location": "basal_ganglia"}),
        (obx("ONSET^x^L", "202601010830+0100", kind="TS"), {"onset_at": "2026-01-01T07:30:00+00:00"}),
        (obx(D_DIMER, "850", "ng/mL"), {"d_dimer": 0.85}),  # this LOINC code says that they are FEU
        (obx("DD^x^L", "850", "ng/mL"), {"d_dimer": 0.85}),  # and here the site says it
        (obx("DD^x^L", "850"), {"d_dimer": 0.85}),
        (obx(GLUCOSE, "7", "x^mmol/L^L"), {"glucose": 7.0}),
        (obx("718-7^Hb^LN", "12.5", "g/dL"), {"haemoglobin": 125.0}),
    ],
)
def test_values_are_read_as_their_types_write_them(segment: str, expected: dict[str, object]) -> None:
    codes = {"GLU": "glucose", "SNAP": "anticoagulant", "LOC": "bleed_location", "ONSET": "onset_at", "DD": "d_dimer"}
    reading = read(message(pid(), obr(), segment), rules(codes=codes, units={"DD": "ng/mL{FEU}"}))
    assert reading.faults == ()
    assert values(reading) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("segment", "why"),
    [
        (obx(GLUCOSE, "126"), "no_unit"),
        (obx(GLUCOSE, "126", "furlong"), "unknown_unit"),
        (obx(GLUCOSE, "126", "mmol/L"), "implausible"),
        (obx("DD^x^L", "850", "ng/mL"), "unknown_unit"),
        (obx("DD^x^L", "850"), "no_unit"),
        (obx(INR, "< 1.0", kind="ST"), "only_a_limit"),
        (obx(INR, ">^5", kind="SN"), "only_a_limit"),
        (obx(INR, "1^-^2", kind="SN"), "only_a_limit"),
        (obx(INR, "^1^-^2", kind="SN"), "not_a_number"),
        (obx(INR, "2,4"), "not_a_number"),
        (obx(INR, "1_0"), "not_a_number"),
        (obx(INR, "\uff12"), "not_a_number"),
        (obx(INR, "see comment", kind="ST"), "not_a_number"),
        (obx(INR, "2.4~2.5"), "several_values"),
        (obx(INR, ""), "missing_field"),
        (obx(INR, "2.4", status="Q"), "unknown_word"),
        (obx(INR, "2.4", at="yesterday"), "not_a_time"),
        (obx(INR, "2.4", at="20260101"), "no_time"),
        (obx(INR, "2.4", at="20260132100000"), "not_a_time"),
        (obx(INR, "2.4", at="202601011000+9900"), "not_a_time"),
    ],
)
def test_a_value_that_is_the_nodes_and_cannot_be_used_is_told_with_its_reason(segment: str, why: str) -> None:
    reading = read(message(pid(), obr(), obx(GCS, "14"), segment), rules(codes={"DD": "d_dimer"}))
    assert values(reading) == {"gcs": 14.0}
    assert reasons(reading) == [why]
    assert (reading.faults[0].segment, reading.faults[0].place) == ("OBX", 2)


def test_a_time_is_that_of_the_result_else_of_the_order_in_the_zone_of_the_message_else_of_the_node() -> None:
    def observed(order_at: str, result_at: str, written: str = "202601011200") -> float | None:
        reading = read(
            message(pid(), obr(at=order_at), obx(INR, "2", at=result_at), at=written), rules("Europe/Berlin")
        )
        return reading.told[0].known.observed_at if isinstance(reading.told[0].known, Observation) else None

    assert observed("202601010900", "202601011000") == at("2026-01-01T09:00")
    assert observed("202601010900", "") == at("2026-01-01T08:00")
    assert observed("202601010900", "", "202601011200-0500") == at("2026-01-01T14:00")
    assert observed("202601010900-0800", "", "202601011200-0500") == at("2026-01-01T17:00")
    assert reasons(read(message(pid(), obr(at=""), obx(INR, "2")))) == ["no_time"]
    assert read(message(pid(), obx("AC^x^L", "no", kind="ST")), rules(codes={"AC": "anticoagulant"})).faults == ()


@pytest.mark.parametrize(
    ("status", "value", "told"),
    [
        ("F", "2", [(2, 2.0)]),
        ("C", "2", [(3, 2.0)]),
        ("P", "2", [(1, 2.0)]),
        ("", "2", [(2, 2.0)]),
        ("D", "2", [(4, None)]),
        ("W", "", [(4, None)]),
        ("X", "", [(4, None)]),
        ("F", '""', [(4, None)]),
        ("F", "NT", [(2, None)]),
        ("P", "", []),
        ("U", "", []),
        ("I", "", []),
        ("O", "2", []),
        ("N", "", []),
    ],
)
def test_the_status_says_whether_a_value_counts_replaces_or_takes_back(
    status: str, value: str, told: list[tuple[int, float | None]]
) -> None:
    reading = read(message(pid(), obr(), obx(INR, value, status=status)))
    assert reading.faults == ()
    found = [(one.rank, one.known.value if isinstance(one.known, Observation) else None) for one in reading.told]
    assert found == told


def test_the_same_observation_has_the_same_key_whatever_is_said_of_it() -> None:
    def key(segment: str, order: str = "F1", **header: str) -> str:
        return read(message(pid(), obr(order), segment, **header)).told[0].key  # type: ignore[arg-type]

    first = key(obx(INR, "2"))
    assert first == key(obx(INR, "3", status="C"), control_id="M9", at="20260102") == key(obx(INR, "", status="D"))
    others = [key(obx(INR, "2", sub="2")), key(obx(INR, "2"), order="F2"), key(obx(INR, "2"), application="POCT")]
    others += [key(obx(INR, "2", at="202601011001")), key(obx("34714-6^INR^LN", "2"))]
    assert len({first, *others}) == 6


def test_a_message_is_as_old_as_it_says_but_never_from_the_future() -> None:
    def told_at(text: str) -> float:
        return read(message(pid(), obr(), obx(INR, "2"), at=text)).told[0].told_at

    assert told_at("20260101101500.25+0100") == at("2026-01-01T09:15")
    assert told_at("20260101") == at("2026-01-01T00:00")
    for text in ("21260101101500", "", "today"):
        assert abs(told_at(text) - time.time()) < 60


def test_two_values_of_one_observation_in_one_message_are_not_chosen_from() -> None:
    reading = read(message(pid(), obr(), obx(INR, "2"), obx(INR, "3"), obx(INR, "2")))
    assert reasons(reading) == ["several_values"] * 2
    assert reading.told[-1].known is None
    assert len({one.key for one in reading.told}) == 1


def test_codes_that_are_none_of_the_nodes_are_passed_over_whatever_they_hold() -> None:
    others = [
        obx("1-1^x^LN", "rubbish", status="?"),
        obx("2345-7^x^L", "1"),
        obx("", ""),
        "OBX",
        "OBX|1|ED|x||^a^b^Base64^QQ==",
    ]
    reading = read(message(pid(), obr(), *others, obx(INR, "2.4"), "ZZZ|1|x", "NTE|1||text"))
    assert (values(reading), reading.faults) == ({"inr": 2.4}, ())
    passed = read(message(pid(), obr(), obx(INR, "?")), rules(codes={"6301-6": ""}))
    assert (passed.told, passed.faults) == ((), ())
