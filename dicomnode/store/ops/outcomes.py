"""What came later: a patient's CT against a later one, by what models said of each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import pairwise

from sqlalchemy import ColumnElement, select, tuple_
from sqlalchemy.orm import Session

from dicomnode.decision import Decision, Outcome, ScoreOutcome
from dicomnode.records import Patient
from dicomnode.store.clinical.patients import PatientKey, all_keys, survivor_of
from dicomnode.store.states import JobStatus, RunStatus
from dicomnode.store.tables import Job, Run, StudyPatient

HOUR_S = 3600.0
GROWTH_ML, GROWTH_SHARE = 6.0, 0.33
"""A bleed that grew by more has expanded (Brott 1997, Stroke 28:1; Dowlatshahi 2011, Neurology 76:1238)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """A score that says what a CT ``at_h`` later shows, or one until ``until_h``. ``finding``: the mask that tells."""

    model: str
    score: str
    finding: str
    at_h: float
    until_h: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ForecastLine:
    """A probability and what came.

    Attributes
    ----------
    scanned_at, later_at : seconds since the epoch; ``hours`` lie between them.
    came : whether the later exam was positive; None where it was uncertain, which is not counted.
    volume_ml : marked on the later exam.
    model : that foretold. job_id, later_job_id : that gave the forecast, and the finding of the later exam.
    """

    score: str
    study_uid: str
    later_study_uid: str
    scanned_at: float
    later_at: float
    hours: float
    probability: float
    came: bool | None
    volume_ml: float
    model: str = ""
    job_id: int = 0
    later_job_id: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class GrowthLine:
    """A bleed and the next CT of the same patient. ``expanded``: by more than 6 mL or 33 %."""

    study_uid: str
    later_study_uid: str
    scanned_at: float
    later_at: float
    hours: float
    volume_ml: float
    later_volume_ml: float
    expanded: bool

    @property
    def growth_ml(self) -> float:
        """Negative where it shrank."""
        return self.later_volume_ml - self.volume_ml


@dataclass(slots=True, kw_only=True)
class Exam:
    """A study of a patient, with what the models said of it last.

    ``given_by``: which job said it, by the name of a finding, and by model and score.
    """

    study_uid: str
    scanned_at: float
    birth_date: str
    sex: str = ""
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    scores: dict[tuple[str, str], ScoreOutcome] = field(default_factory=dict)
    given_by: dict[str | tuple[str, str], int] = field(default_factory=dict)


Exams = Mapping[PatientKey, Sequence[Exam]]
"""Of each patient, in the order of their scans."""


def exams_by_patient(session: Session, *, seen_since: float = 0.0) -> Exams:
    """All studies whose patient, time and findings are known. IDs that were merged are one patient.

    Parameters
    ----------
    seen_since : what was read before is left out, seconds since the epoch.
    """
    return _exams(session, StudyPatient.seen_at >= seen_since)


def exams_of(session: Session, patient: Patient) -> Sequence[Exam]:
    """Those of one patient, in the order of their scans."""
    keys = all_keys(session, patient)
    found = _exams(session, tuple_(StudyPatient.patient_id, StudyPatient.issuer).in_(keys))
    return next(iter(found.values()), ())


def _exams(session: Session, where: ColumnElement[bool]) -> Exams:
    statement = (
        select(StudyPatient, Run.model, Run.outcomes, Run.scores, Job.id)
        .join(Job, Job.study_uid == StudyPatient.study_uid)
        .join(Run, Run.job_id == Job.id)
        .where(StudyPatient.patient_id != "", StudyPatient.scanned_at.is_not(None))
        .where(where)
        .where(Run.status == RunStatus.SUCCEEDED, Job.status != JobStatus.SUPERSEDED)
        .order_by(StudyPatient.scanned_at, Job.id, Run.position)
    )
    found: dict[PatientKey, dict[str, Exam]] = defaultdict(dict)
    survivor = cache(lambda key: survivor_of(session, key))
    for row, model, outcomes, scores, job_id in session.execute(statement):
        assert row.scanned_at is not None
        of_patient = found[survivor((row.patient_id, row.issuer))]
        exam = of_patient.setdefault(row.study_uid, _exam_of(row, row.scanned_at))
        said = {one.finding: one for one in map(Outcome.from_dict, outcomes)}
        numbers = {(model, one.finding): one for one in map(ScoreOutcome.from_dict, scores)}
        exam.outcomes |= said
        exam.scores |= numbers
        exam.given_by |= dict.fromkeys((*said, *numbers), job_id)
    return {key: list(exams.values()) for key, exams in found.items()}


def _exam_of(row: StudyPatient, scanned_at: float) -> Exam:
    """Without what was found in it."""
    return Exam(study_uid=row.study_uid, scanned_at=scanned_at, birth_date=row.birth_date, sex=row.sex)


def forecast_lines(exams: Exams, wanted: Forecast) -> list[ForecastLine]:
    """Every scan with this score and a later scan within its time, the nearest to that which it is for."""
    return [line for of_patient in exams.values() for line in _forecasts(of_patient, wanted)]


def _forecasts(exams: Sequence[Exam], wanted: Forecast) -> Iterator[ForecastLine]:
    for exam in exams:
        said = exam.scores.get((wanted.model, wanted.score))
        later = [one for one in _later(exam, exams, wanted.until_h) if wanted.finding in one.outcomes]
        if said is None or not later:
            continue
        nearest = min(later, key=lambda one: abs(_hours(exam, one) - wanted.at_h))
        outcome = nearest.outcomes[wanted.finding]
        yield ForecastLine(
            score=wanted.score,
            study_uid=exam.study_uid,
            later_study_uid=nearest.study_uid,
            scanned_at=exam.scanned_at,
            later_at=nearest.scanned_at,
            hours=_hours(exam, nearest),
            probability=said.value,
            came=None if outcome.decision == Decision.UNCERTAIN else outcome.decision == Decision.POSITIVE,
            volume_ml=outcome.volume_ml,
            model=wanted.model,
            job_id=exam.given_by[wanted.model, wanted.score],
            later_job_id=nearest.given_by[wanted.finding],
        )


def earlier_exam(exams: Sequence[Exam], study_uid: str, *, finding: str, within_h: float) -> Exam | None:
    """The newest exam of the same person before a study that was looked at for a finding; None where there is none.

    Parameters
    ----------
    exams : of one patient, in the order of their scans.
    """
    exam = next((one for one in exams if one.study_uid == study_uid), None)
    before = [
        one for one in exams if finding in one.outcomes and exam is not None and exam in _later(one, (exam,), within_h)
    ]
    return before[-1] if before else None


def later_exam(exams: Sequence[Exam], study_uid: str, *, findings: Collection[str], within_h: float) -> Exam | None:
    """The first exam of the same person after a study that was looked at for any of the findings; None: there is none.

    Parameters
    ----------
    exams : of one patient, in the order of their scans.
    """
    exam = next((one for one in exams if one.study_uid == study_uid), None)
    after = [] if exam is None else _later(exam, exams, within_h)
    return next((one for one in after if not one.outcomes.keys().isdisjoint(findings)), None)


def growth_lines(exams: Exams, *, finding: str, until_h: float) -> list[GrowthLine]:
    """Every scan with this finding, and the next one of the patient that was looked at for it."""
    told = ([one for one in of_patient if finding in one.outcomes] for of_patient in exams.values())
    pairs = (pair for of_patient in told for pair in pairwise(of_patient))
    return [
        _growth(one, later, one.outcomes[finding].volume_ml, later.outcomes[finding].volume_ml)
        for one, later in pairs
        if one.outcomes[finding].lesions and later in _later(one, (later,), until_h)
    ]


def _growth(exam: Exam, later: Exam, volume_ml: float, later_volume_ml: float) -> GrowthLine:
    grown = later_volume_ml - volume_ml
    return GrowthLine(
        study_uid=exam.study_uid,
        later_study_uid=later.study_uid,
        scanned_at=exam.scanned_at,
        later_at=later.scanned_at,
        hours=_hours(exam, later),
        volume_ml=volume_ml,
        later_volume_ml=later_volume_ml,
        expanded=grown > GROWTH_ML or grown > GROWTH_SHARE * volume_ml,
    )


def _later(exam: Exam, exams: Iterable[Exam], until_h: float) -> list[Exam]:
    """Of the same person: an ID with another birth date or sex is somebody else's."""
    return [one for one in exams if 0.0 < _hours(exam, one) <= until_h and _are_one_person(exam, one)]


def _are_one_person(exam: Exam, other: Exam) -> bool:
    dates = {exam.birth_date, other.birth_date} - {""}
    sexes = {exam.sex, other.sex} & {"M", "F"}
    return len(dates) < 2 and len(sexes) < 2


def _hours(exam: Exam, later: Exam) -> float:
    return round((later.scanned_at - exam.scanned_at) / HOUR_S, 2)
