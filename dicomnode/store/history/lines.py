"""What operators are told: jobs, runs, deliveries, series, events."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class RunLine:
    """One model of a job."""

    model: str
    status: str
    attempts: int
    crashes: int
    device: str
    digest: str
    started_at: float | None
    finished_at: float | None
    seconds: float | None
    error: str
    outcomes: list[dict[str, Any]]
    scores: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryLine:
    """One result on its way to one destination."""

    destination: str
    kind: str
    status: str
    attempts: int
    created_at: float
    next_attempt_at: float
    sent_at: float | None
    series_uid: str
    sop_class_uid: str
    sop_instance_uid: str
    size_bytes: int
    error: str
    proof: str
    proven_by: str
    proven_at: float | None
    losses: int
    identity: str


@dataclass(frozen=True, slots=True, kw_only=True)
class JobLine:
    """One job as operators see it.

    Attributes
    ----------
    decision : the gravest of those of its findings that decide; empty before a model has spoken.
    result : what they come to in words, such as ``positive, 26.9 mL, 1 lesion``.
    outcomes : of each mask, the figures of the results.
    scores : the numbers of its models.
    """

    job_id: int
    status: str
    priority: str
    protocol: str
    generation: int
    accession_number: str
    study_uid: str
    series_uid: str
    created_at: float
    ready_at: float
    finished_at: float | None
    attempts: int
    refusal: str
    error: str
    held: int = 0
    task: str = "analysis"
    decision: str = ""
    result: str = ""
    outcomes: list[dict[str, Any]] = field(default_factory=list)
    scores: list[dict[str, Any]] = field(default_factory=list)
    runs: list[RunLine] = field(default_factory=list)
    deliveries: list[DeliveryLine] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesLine:
    """One series that has no job of its own: refused, not chosen, set aside, or still being received."""

    series_uid: str
    study_uid: str
    accession_number: str
    modality: str
    status: str
    refusal: str
    detail: str
    sender_ae: str
    first_instance_at: float
    last_instance_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class EventLine:
    """One row of the history."""

    at: float
    subject: str
    subject_id: int | None
    name: str
    before: str
    after: str
    series_uid: str
    job_id: int | None
    detail: dict[str, Any]
