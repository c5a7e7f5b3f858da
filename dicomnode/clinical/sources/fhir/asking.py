"""All that a FHIR server tells of one patient: the patient first, then what is about exactly this one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from dicomnode.clinical.sources.fhir.condition import ConditionReader
from dicomnode.clinical.sources.fhir.observation import LOINC, PANELS, ObservationReader
from dicomnode.clinical.sources.fhir.patient import Found, the_one
from dicomnode.clinical.sources.fhir.report import TextReader
from dicomnode.clinical.sources.fhir.server import FhirServer, Parameters
from dicomnode.clinical.sources.fhir.shapes import Json, is_about, resource_id
from dicomnode.clinical.variables import BY_LOINC, VARIABLES
from dicomnode.errors import ContextRefusal, FhirError, FhirOutcome
from dicomnode.records import Observation, Patient, ReportSection

HOUR_S = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is asked for.

    Attributes
    ----------
    images : the patient as the images state it.
    identifiers : system and value of each ID that the patient has, the first one first.
    since, until : seconds since the epoch, of what does not last; None where the time of the scan is not known.
    codes : ``system|code`` of the site's own -> variable.
    """

    images: Patient
    identifiers: Sequence[tuple[str, str]]
    scanned_at: float | None
    since: float | None
    until: float | None
    zone: ZoneInfo
    codes: Mapping[str, str]


@dataclass(slots=True, kw_only=True)
class Gathered:
    """What was told.

    Attributes
    ----------
    read : ``Observation/17`` of every resource that was read, also of those that told nothing.
    refused : kind of resource and coded reason -> how often.
    unread : kind of resource -> why the server gave none.
    fault : that ended it; what was told before it stands.
    """

    observations: list[Observation] = field(default_factory=list)
    texts: list[ReportSection] = field(default_factory=list)
    read: set[str] = field(default_factory=set)
    refused: Counter[str] = field(default_factory=Counter)
    unread: dict[str, str] = field(default_factory=dict)
    fault: FhirError | None = None
    is_cut: bool = False

    @property
    def outcome(self) -> FhirOutcome:
        """What came of it."""
        if self.fault is not None:
            return self.fault.outcome
        return FhirOutcome.IN_PART if self.is_cut or self.unread else FhirOutcome.ANSWERED


def ask(server: FhirServer, wanted: Wanted) -> Gathered:
    """Ask for everything. A fault ends up in what is returned, beside what was told before it."""
    gathered = Gathered()
    try:
        found = _patient(server, wanted)
        for kind, parameters in _searches(wanted, found.reference):
            _gather(server, kind, parameters, found, wanted, gathered)
    except FhirError as fault:
        gathered.fault = fault
    gathered.is_cut = server.bounds.is_cut
    return gathered


def _patient(server: FhirServer, wanted: Wanted) -> Found:
    """The patient under the first ID that the server knows."""
    unknown = FhirError(FhirOutcome.NO_PATIENT)
    for identifier in wanted.identifiers:
        try:
            resources = server.search("Patient", [("identifier", "|".join(map(_escaped, identifier)))])
            return the_one(resources, identifier, wanted.images)
        except FhirError as fault:
            if fault.outcome is not FhirOutcome.NO_PATIENT:
                raise
            unknown = fault
    raise unknown


def _escaped(text: str) -> str:
    r"""Signs that separate the parts of a search value (FHIR R4 3.1.1.4.9).

    >>> _escaped("a,b|c")
    'a\\,b\\|c'
    """
    return "".join(f"\\{sign}" if sign in "\\,|$" else sign for sign in text)


def _searches(wanted: Wanted, patient: str) -> Iterator[tuple[str, Parameters]]:
    about = [("patient", patient.partition("/")[2])]
    span = [] if wanted.since is None or wanted.until is None else _span(wanted.since, wanted.until)
    coded = [*((f"{LOINC}|{code}", name) for code, name in BY_LOINC.items()), *wanted.codes.items()]
    recent = [code for code, name in coded if not VARIABLES[name].lasts]
    lasting = [code for code, name in coded if VARIABLES[name].lasts]
    panels = [f"{LOINC}|{code}" for code in PANELS]
    newest_first = ("_sort", "-date")
    yield "Observation", [*about, ("code", ",".join([*recent, *panels])), newest_first, *span]
    yield "Observation", [*about, ("code", ",".join(lasting)), newest_first]
    yield "Condition", about
    yield "DiagnosticReport", [*about, newest_first, *span]


def _span(since: float, until: float) -> Parameters:
    """Both ends of a time."""
    first, last = (datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds") for at in (since, until))
    return [("date", f"ge{first}"), ("date", f"le{last}")]


Read = Callable[[Json], Sequence[Observation | ReportSection]]


def _gather(
    server: FhirServer, kind: str, parameters: Parameters, found: Found, wanted: Wanted, gathered: Gathered
) -> None:
    """One search; where the server does not give this kind, the others are asked for all the same."""
    skipped: list[ContextRefusal] = []
    read = _reader(kind, found.patient, wanted, skipped)
    try:
        for resource in server.search(kind, parameters):
            name = resource_id(resource)
            if not name:
                skipped.append(ContextRefusal.NOT_READABLE)
                continue
            gathered.read.add(name)
            if not any(is_about(resource, found.reference, identifier) for identifier in wanted.identifiers):
                skipped.append(ContextRefusal.WRONG_PATIENT)
                continue
            for one in read(resource):
                (gathered.observations if isinstance(one, Observation) else gathered.texts).append(one)  # type: ignore[arg-type]
    except FhirError as fault:
        if fault.outcome.passes:
            raise
        gathered.unread[kind] = fault.outcome
    finally:
        gathered.refused.update(f"{kind} {why}" for why in skipped)


def _reader(kind: str, patient: Patient, wanted: Wanted, skipped: list[ContextRefusal]) -> Read:
    if kind == "Observation":
        return ObservationReader(patient, wanted.zone, wanted.codes, skipped).read
    if kind == "Condition":
        return ConditionReader(patient, wanted.zone, wanted.scanned_at, skipped).read
    return TextReader(patient, wanted.zone, skipped).read
