"""``dicomnode context show``: what is known of a patient, from where, and what of it a scan's results may use."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session

from dicomnode.app import show
from dicomnode.clinical.matching import contradictions
from dicomnode.clinical.merging import HOUR_S, Scan, counts, merged, nearest, observed_at
from dicomnode.clinical.variables import VARIABLES
from dicomnode.config.whole import Config
from dicomnode.errors import FhirOutcome
from dicomnode.execute.context import scan_of
from dicomnode.records import Observation, Patient, PatientContext, ReportSection
from dicomnode.store.clinical.observations import KnownOfPatient, known_of, patients_named
from dicomnode.store.clinical.patients import KnownStudy, all_keys, studies_of
from dicomnode.store.clinical.questions import QuestionLine, questions_of


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownLine:
    """One value or text.

    Attributes
    ----------
    value : with its unit; of a text the number of its words.
    offset_h : from the scan to the observation; None where there is no scan, or no time.
    verdict : ``used``, or why it is not.
    """

    name: str
    value: str
    source: str
    observed_at: float | None
    arrived_at: float
    offset_h: float | None
    provenance: str
    verdict: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PatientPage:
    """What is known of a patient, for one study or for none.

    Attributes
    ----------
    ids : every ID that counts, after merges, with its issuer.
    derived : names of what follows from values that may be used, such as the hours from onset to the scan.
    questions : what a FHIR server was asked about the patient of the study, and what came of it last.
    """

    study_uid: str
    scanned_at: float | None
    ids: list[tuple[str, str]]
    known: list[KnownLine]
    derived: list[str]
    questions: list[QuestionLine]


def pages_of(session: Session, config: Config, identifier: str) -> list[PatientPage]:
    """By accession number, study UID or patient ID: a page for each study, or one for a patient without any."""
    studies = studies_of(session, identifier)
    if not studies:
        patients = patients_named(session, identifier)
        studies = [KnownStudy("", Patient(patient_id=key[0], issuer=key[1]), None) for key in patients]
    return [_page(session, config, study) for study in studies]


def _page(session: Session, config: Config, study: KnownStudy) -> PatientPage:
    scan = scan_of(config, study.patient, study.scanned_at)
    known = known_of(session, study.patient)
    return PatientPage(
        study_uid=study.study_uid,
        scanned_at=study.scanned_at,
        ids=list(all_keys(session, study.patient)),
        known=list(_lines(known, scan, is_for_scan=bool(study.study_uid))),
        derived=_derived(known.observations, scan),
        questions=questions_of(session, [study.study_uid]),
    )


def _derived(observations: Sequence[Observation], scan: Scan) -> list[str]:
    told = {one.name for one in observations}
    return [value.name for value in merged(PatientContext(), observations, (), scan).values if value.name not in told]


def _lines(known: KnownOfPatient, scan: Scan, *, is_for_scan: bool) -> Iterator[KnownLine]:
    used = [*map(id, nearest(known.observations, scan)), *map(id, nearest(known.texts, scan))]
    everything: list[Observation | ReportSection] = [*known.observations, *known.texts]
    for one in everything:
        offset_s = scan.offset_s(observed_at(one))
        yield KnownLine(
            name=one.name if isinstance(one, Observation) else one.section,
            value=_shown(one),
            source=one.source,
            observed_at=observed_at(one),
            arrived_at=one.arrived_at,
            offset_h=None if offset_s is None else round(offset_s / HOUR_S, 2),
            provenance=one.provenance,
            verdict=_verdict(one, scan, id(one) in used) if is_for_scan else "",
        )


def _shown(one: Observation | ReportSection) -> str:
    if isinstance(one, ReportSection):
        return f"{len(one.text.split())} words"
    if isinstance(one.value, bool):
        return "yes" if one.value else "no"
    return f"{one.value:.5g} {_printed(one.unit)}".rstrip() if isinstance(one.value, float | int) else one.value


def _printed(unit: str) -> str:
    """A UCUM unit for readers: ratios (``1``) and counts (``{score}``) have none."""
    return "" if unit == "1" or unit.startswith("{") else unit


def _verdict(one: Observation | ReportSection, scan: Scan, is_used: bool) -> str:
    against = contradictions(scan.patient, one.patient)
    if against:
        return f"another patient: {' and '.join(against)} contradict"
    if isinstance(one, Observation) and one.name not in VARIABLES:
        return "unknown variable"
    if not counts(one, scan):
        return "too far from the scan"
    return "used" if is_used else "another is nearer"


def pages_table(pages: list[PatientPage], timezone: str) -> None:
    """For a person."""
    for page in pages:
        ids = ", ".join(f"{patient_id} ({issuer})" if issuer else patient_id for patient_id, issuer in page.ids)
        of = (
            f"study {page.study_uid}, scanned {show.clock(page.scanned_at, timezone)}" if page.study_uid else "no study"
        )
        rows = [_row(line, timezone) for line in page.known]
        columns = ["what", "value", "source", "observed", "offset (h)", "arrived", "where", "verdict"]
        show.table(f"Patient {ids}; {of}", columns, rows)
        for question in page.questions:
            show.out.print(_question(question, timezone), markup=False)


def _question(line: QuestionLine, timezone: str) -> str:
    """``FHIR server asked 10:00:01: answered; again at 10:15:01``, with counts and reasons."""
    said = FhirOutcome(line.outcome).sentence() if line.outcome in list(FhirOutcome) else "Not asked yet."
    when = "" if line.asked_at is None else f" asked {show.clock(line.asked_at, timezone)}"
    again = "" if line.next_try_at is None else f" Asked (again) at {show.clock(line.next_try_at, timezone)}."
    told = ", ".join(f"{name} {value}" for name, value in line.detail.items())
    return f"FHIR server{when}: {said}{f' ({told})' if told else ''}{again}"


def _row(line: KnownLine, timezone: str) -> list[str]:
    offset = "-" if line.offset_h is None else f"{line.offset_h:+.2f}"
    times = [show.clock(line.observed_at, timezone), offset, show.clock(line.arrived_at, timezone)]
    return [line.name, line.value, line.source, *times, line.provenance, line.verdict]
