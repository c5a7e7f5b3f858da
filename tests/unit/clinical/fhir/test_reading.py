"""Resources of FHIR R4 become values and texts; each that is wrong is refused alone."""

from __future__ import annotations

import base64
import contextlib
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from dicomnode.clinical.diagnoses import Scheme, diagnosis_of
from dicomnode.clinical.sources.fhir.condition import CERTAINTY, ConditionReader
from dicomnode.clinical.sources.fhir.observation import ObservationReader
from dicomnode.clinical.sources.fhir.patient import the_one
from dicomnode.clinical.sources.fhir.report import TextReader
from dicomnode.clinical.sources.fhir.shapes import is_about
from dicomnode.errors import ContextRefusal, FhirError, FhirOutcome
from dicomnode.records import Patient
from tests.tools.fhir_server import SYSTEM, coded, condition, observation, patient, report

AT = "2026-01-01T09:00:00Z"
AT_S = datetime(2026, 1, 1, 9, tzinfo=UTC).timestamp()
SCANNED_AT = datetime(2026, 1, 1, 10, tzinfo=UTC).timestamp()
ANNA = Patient(patient_id="ANNA", issuer="HOSPITAL", birth_date="19430601", sex="F")
ZONE = ZoneInfo("Europe/Berlin")
BP = "85354-9"


def read(resource: dict[str, Any]) -> tuple[dict[str, Any], list[ContextRefusal]]:
    """Name -> value, and why others were not taken."""
    skipped: list[ContextRefusal] = []
    reader = ObservationReader(ANNA, ZONE, {"https://here.example|IVH": "ivh", "x|PLACE": "bleed_location"}, skipped)
    return {one.name: one.value for one in reader.read(resource)}, skipped


@pytest.mark.parametrize(
    ("resource", "values"),
    [
        (observation("1", "a", "2345-7", 126.0, "mg/dL", AT), {"glucose": pytest.approx(6.994, abs=0.001)}),
        (observation("1", "a", "9269-2", at=AT, valueInteger=10), {"gcs": 10.0}),
        (observation("1", "a", "9269-2", at=AT, valueString="13"), {"gcs": 13.0}),
        (observation("1", "a", "9270-0", at=AT, valueString="T"), {}),
        (observation("1", "a", "48065-7", 850.0, "ng/mL", AT), {"d_dimer": 0.85}),
        (observation("1", "a", "4548-4", 6.1, "%", "2025-11"), {"hba1c": 6.1}),
        (observation("1", "a", "48066-5", 1.0, "mg/L", AT), {"d_dimer": 2.0}),
    ],
)
def test_a_value_comes_in_the_unit_of_its_variable(resource: dict[str, Any], values: dict[str, Any]) -> None:
    assert read(resource) == (values, [])


def test_the_value_says_when_from_which_resource_and_of_whom() -> None:
    skipped: list[ContextRefusal] = []
    (one,) = ObservationReader(ANNA, ZONE, {}, skipped).read(observation("17", "a", "9269-2", 10, "{score}", AT))
    assert (one.patient, one.source, one.observed_at, one.provenance) == (ANNA, "FHIR", AT_S, "Observation/17")


def test_a_component_is_a_value_of_its_own_at_the_time_of_its_panel() -> None:
    parts = [
        {"code": coded("http://loinc.org", "8480-6"), "valueQuantity": {"value": 185, "code": "mm[Hg]"}},
        {"code": coded("http://loinc.org", "8462-4"), "dataAbsentReason": coded("x", "error")},
        {"code": coded("http://loinc.org", "8867-4"), "valueQuantity": {"value": "80", "code": "/min"}},
    ]
    values, skipped = read(observation("1", "a", BP, at=AT, component=parts))
    assert values == {"sbp": 185.0}
    assert skipped == [ContextRefusal.NOT_A_NUMBER]


@pytest.mark.parametrize(
    ("resource", "why"),
    [
        (observation("1", "a", "2345-7", 126.0, "", AT), ContextRefusal.NO_UNIT),
        (observation("1", "a", "2345-7", 126.0, "mmol/L", AT), ContextRefusal.IMPLAUSIBLE),
        (observation("1", "a", "3255-7", 2.0, "furlong", AT), ContextRefusal.UNKNOWN_UNIT),
        (observation("1", "a", "2345-7", 7.0, "mmol/L"), ContextRefusal.NO_TIME),
        (observation("1", "a", "2345-7", 7.0, "mmol/L", "2026-01-01"), ContextRefusal.NO_TIME),
        (observation("1", "a", "2345-7", 7.0, "mmol/L", "2026-01-01T99:00Z"), ContextRefusal.NOT_A_TIME),
        (observation("1", "a", "9269-2", at=AT, valueQuantity=[1]), ContextRefusal.NOT_A_NUMBER),
        (observation("1", "a", "9269-2", at=AT, valueInteger={"no": 1}), ContextRefusal.NOT_A_NUMBER),
        (observation("1", "a", "9269-2", at=AT, valueCodeableConcept=coded("x", "y")), ContextRefusal.UNKNOWN_WORD),
        (
            observation("1", "a", "2345-7", at=AT, valueQuantity={"value": 0.5, "comparator": "<", "code": "mmol/L"}),
            ContextRefusal.ONLY_A_LIMIT,
        ),
    ],
)
def test_a_value_that_cannot_be_taken_is_refused_with_its_reason(resource: dict[str, Any], why: ContextRefusal) -> None:
    assert read(resource) == ({}, [why])


@pytest.mark.parametrize("status", ["entered-in-error", "cancelled", "registered", "unknown", "", None])
def test_what_is_not_measured_or_was_taken_back_does_not_count(status: str | None) -> None:
    assert read(observation("1", "a", "9269-2", 10, "{score}", AT) | {"status": status}) == ({}, [])


def test_a_preliminary_value_counts_until_it_is_replaced() -> None:
    assert read(observation("1", "a", "9269-2", 10, "{score}", AT) | {"status": "preliminary"}) == ({"gcs": 10.0}, [])


def test_the_end_of_a_period_or_an_instant_is_its_time() -> None:
    period = {"start": "2026-01-01T08:00:00Z", "end": AT}
    for effective in ({"effectivePeriod": period}, {"effectiveInstant": AT}):
        (one,) = ObservationReader(ANNA, ZONE, {}, []).read(observation("1", "a", "9269-2", 10, "1", **effective))
        assert one.observed_at == AT_S


def test_a_coded_answer_counts_by_its_points_its_yes_or_its_word() -> None:
    points = {"url": "http://hl7.org/fhir/StructureDefinition/ordinalValue", "valueDecimal": 4}
    eyes = {"coding": [{"system": "http://loinc.org", "code": "LA6556-0", "extension": [points]}]}
    assert read(observation("1", "a", "9267-6", at=AT, valueCodeableConcept=eyes)) == ({"gcs_eye": 4.0}, [])
    ivh = observation("1", "a", "", at=AT) | {"code": coded("https://here.example", "IVH")}
    yes, no = coded("http://snomed.info/sct", "373066001"), coded("x", "N")
    assert read(ivh | {"valueCodeableConcept": yes}) == ({"ivh": True}, [])
    assert read(ivh | {"valueCodeableConcept": no}) == ({"ivh": False}, [])
    assert read(ivh | {"valueBoolean": False}) == ({"ivh": False}, [])
    place = observation("1", "a", "", at=AT) | {"code": coded("x", "PLACE")}
    assert read(place | {"valueCodeableConcept": {"text": "basal ganglia"}}) == (
        {"bleed_location": "basal_ganglia"},
        [],
    )


@pytest.mark.parametrize("wrong", [None, 1, "text", [], [[]], {}, {"coding": "x"}, {"coding": [1, None, {"code": 7}]}])
def test_a_resource_of_any_shape_never_raises(wrong: Any) -> None:
    for key in ("code", "component", "valueQuantity", "effectivePeriod", "subject", "status", "valueCodeableConcept"):
        broken = observation("1", "a", "9269-2", 10, "1", AT) | {key: wrong}
        read(broken)
        is_about(broken, "Patient/a", (SYSTEM, "ANNA"))
    for key in ("code", "clinicalStatus", "verificationStatus", "onsetDateTime", "onsetPeriod"):
        ConditionReader(ANNA, ZONE, SCANNED_AT, []).read(condition("1", "a", "I48") | {key: wrong})
    for key in ("code", "category", "presentedForm", "conclusion", "text", "issued", "performer"):
        TextReader(ANNA, ZONE, []).read(report("1", "a", AT, conclusion="x") | {key: wrong})
    for key in ("identifier", "birthDate", "gender", "active"):
        with contextlib.suppress(FhirError):
            the_one([patient("a", "ANNA") | {key: wrong}], (SYSTEM, "ANNA"), ANNA)


def diagnoses(resource: dict[str, Any], scanned_at: float | None = SCANNED_AT) -> tuple[list[str], list[str]]:
    skipped: list[ContextRefusal] = []
    found = ConditionReader(ANNA, ZONE, scanned_at, skipped).read(resource)
    assert all(one.value is True for one in found)
    return [one.name for one in found], list(skipped)


GM, SCT = "http://fhir.de/CodeSystem/bfarm/icd-10-gm", "http://snomed.info/sct"


@pytest.mark.parametrize(
    ("resource", "names"),
    [
        (condition("1", "a", "I48.9"), ["atrial_fibrillation"]),
        (condition("1", "a", "E11.90", GM), ["diabetes"]),
        (condition("1", "a", "38341003", SCT), ["hypertension"]),
        (condition("1", "a", "Z86.73"), ["prior_stroke"]),
        (condition("1", "a", "I63.9", onsetDateTime="2019"), ["prior_stroke"]),
        (condition("1", "a", "38341003", "http://hl7.org/fhir/sid/icd-10"), []),
        (condition("1", "a", "I26.0"), []),
        (condition("1", "a", "I10", verificationStatus=coded("x", "refuted")), []),
        (condition("1", "a", "I10", verificationStatus=coded("x", "entered-in-error")), []),
        (condition("1", "a", "I10", verificationStatus=coded("x", "provisional")), []),
        (condition("1", "a", "I10", verificationStatus=None), ["hypertension"]),
        (condition("1", "a", "I10", clinicalStatus=coded("x", "resolved")), []),
        (condition("1", "a", "I25.1", clinicalStatus=coded("x", "resolved")), ["coronary_disease"]),
    ],
)
def test_a_diagnosis_says_yes_where_it_is_confirmed(resource: dict[str, Any], names: list[str]) -> None:
    assert diagnoses(resource) == (names, [])


@pytest.mark.parametrize(
    "onset", [{}, {"onsetDateTime": "2026-01-01"}, {"onsetDateTime": "2026"}, {"recordedDate": AT}]
)
def test_a_stroke_that_may_be_the_present_one_is_no_prior_stroke(onset: dict[str, str]) -> None:
    assert diagnoses(condition("1", "a", "I63.9", **onset)) == ([], [ContextRefusal.NO_TIME])
    assert diagnoses(condition("1", "a", "I63.9", onsetDateTime="2019"), None) == ([], [ContextRefusal.NO_TIME])


@pytest.mark.parametrize(("certainty", "names"), [("A", []), ("V", []), ("Z", []), ("G", ["hypertension"])])
def test_a_german_diagnosis_counts_by_its_certainty(certainty: str, names: list[str]) -> None:
    resource = condition("1", "a", "I10.90", GM)
    resource["code"]["coding"][0]["extension"] = [{"url": CERTAINTY, "valueCoding": {"code": certainty}}]
    assert diagnoses(resource) == (names, [])


def test_a_code_counts_with_all_below_it_and_none_beside_it() -> None:
    assert diagnosis_of(Scheme.ICD10, "Z95.5").variable == "coronary_disease"  # type: ignore[union-attr]
    assert diagnosis_of(Scheme.ICD10, "Z95.0") is None
    assert diagnosis_of(Scheme.SNOMED, "I48") is None


def texts(resource: dict[str, Any]) -> tuple[dict[str, str], list[ContextRefusal]]:
    skipped: list[ContextRefusal] = []
    found = TextReader(ANNA, ZONE, skipped).read(resource)
    return {one.section: one.text for one in found}, skipped


def attached(text: str, kind: str = "text/plain", charset: str = "utf-8") -> list[dict[str, str]]:
    return [{"contentType": f"{kind}; charset={charset}", "data": base64.b64encode(text.encode(charset)).decode()}]


def form(*attachments: dict[str, str], at: str = AT) -> dict[str, Any]:
    return report("1", "a", at, presentedForm=list(attachments))


def test_a_report_gives_its_text_and_its_conclusion() -> None:
    whole = report("1", "a", AT, presentedForm=attached("Größe 3 cm.", charset="latin-1"), conclusion="Bleed.")
    assert texts(whole) == ({"report": "Größe 3 cm.", "impression": "Bleed."}, [])
    html = report("1", "a", AT, presentedForm=attached("<p>Left &amp; deep</p><script>x</script>", "text/html"))
    assert texts(html) == ({"report": "Left & deep"}, [])
    div = {"status": "generated", "div": '<div xmlns="http://www.w3.org/1999/xhtml"><p>No <b>bleed</b></p></div>'}
    assert texts(report("1", "a", AT, text=div)) == ({"report": "No bleed"}, [])
    section = report("1", "a", AT, conclusion="x", presentedForm=attached("Weakness.")) | {
        "code": coded("l", "18785-6")
    }
    assert texts(section) == ({"indication": "Weakness.", "impression": "x"}, [])
    (one, _) = TextReader(ANNA, ZONE, []).read(whole | {"performer": [{"display": "Dr Who"}]})
    assert (one.author, one.written_at, one.provenance) == ("Dr Who", AT_S, "DiagnosticReport/1")


@pytest.mark.parametrize(
    ("resource", "why"),
    [
        (
            report("1", "a", AT, presentedForm=[{"contentType": "application/pdf", "data": "AAAA"}]),
            ContextRefusal.NO_TEXT,
        ),
        (
            report("1", "a", AT, presentedForm=[{"contentType": "text/plain", "url": "http://x/"}]),
            ContextRefusal.NO_TEXT,
        ),
        (
            report("1", "a", AT, presentedForm=[{"contentType": "text/plain", "data": "%%%"}]),
            ContextRefusal.NOT_READABLE,
        ),
        (report("1", "a", AT, presentedForm=attached("x")) | {"issued": "2026-01-01"}, ContextRefusal.NO_TIME),
    ],
)
def test_a_report_without_readable_text_or_time_is_refused(resource: dict[str, Any], why: ContextRefusal) -> None:
    assert texts(resource) == ({}, [why])


def test_neither_laboratory_nor_withdrawn_reports_are_texts() -> None:
    assert texts(report("1", "a", AT, conclusion="x", category=[coded("c", "LAB")])) == ({}, [])
    assert texts(report("1", "a", AT, conclusion="x") | {"status": "entered-in-error"}) == ({}, [])


ASKED = (SYSTEM, "ANNA")


@pytest.mark.parametrize(
    ("resources", "outcome"),
    [
        ([], FhirOutcome.NO_PATIENT),
        ([patient("b", "BERT")], FhirOutcome.WRONG_PATIENT),
        ([patient("a", "ANNA", active=False)], FhirOutcome.NO_PATIENT),
        ([patient("a", "ANNA"), patient("b", "ANNA")], FhirOutcome.TWO_PATIENTS),
        ([patient("a", "ANNA", birthDate="1950-01-01")], FhirOutcome.CONTRADICTS),
        ([patient("a", "ANNA", birthDate="1950")], FhirOutcome.CONTRADICTS),
        ([patient("a", "ANNA", gender="male")], FhirOutcome.CONTRADICTS),
        ([patient("a", "ANNA") | {"identifier": [{"use": "old", "system": SYSTEM, "value": "ANNA"}]}], "wrong_patient"),
        ([patient("a", "ANNA") | {"identifier": [{"system": "urn:other", "value": "ANNA"}]}], "wrong_patient"),
    ],
)
def test_only_one_patient_who_carries_the_id_and_agrees_with_the_images_is_taken(
    resources: list[dict[str, Any]], outcome: FhirOutcome
) -> None:
    with pytest.raises(FhirError) as refused:
        the_one(resources, ASKED, ANNA)
    assert refused.value.outcome == outcome


def test_what_is_not_stated_contradicts_nothing() -> None:
    bare = patient("a", "ANNA", birthDate=None, gender="unknown")
    assert the_one([bare], ASKED, ANNA).patient == Patient(patient_id="ANNA", issuer="HOSPITAL")
    merged = [patient("a", "ANNA"), patient("b", "ANNA", active=False), patient("a", "ANNA")]
    assert the_one(merged, ASKED, ANNA).reference == "Patient/a"


@pytest.mark.parametrize(
    ("subject", "is_hers"),
    [
        ({"reference": "Patient/a"}, True),
        ({"reference": "Patient/a/_history/3"}, True),
        ({"reference": "https://x.example/fhir/Patient/a"}, True),
        ({"reference": "Patient/b"}, False),
        ({"reference": "Group/a"}, False),
        ({"reference": "https://x.example/fhir/Patient/ba"}, False),
        ({"identifier": {"system": SYSTEM, "value": "ANNA"}}, True),
        ({"identifier": {"system": "urn:other", "value": "ANNA"}}, False),
        ({}, False),
    ],
)
def test_a_resource_counts_for_the_patient_that_it_names(subject: dict[str, Any], is_hers: bool) -> None:
    assert is_about({"subject": subject}, "Patient/a", ASKED) is is_hers
