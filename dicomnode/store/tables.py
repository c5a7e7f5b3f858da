"""The database, table by table, from what it belongs to and what was received to what was sent, and the history.

All ``*_at`` columns are seconds since the epoch, UTC (float): comparable across machines, never local time.
A ``status`` column changes only through :mod:`dicomnode.store.transitions`.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, BigInteger, ForeignKey, Index, Integer, MetaData, String, Text, UniqueConstraint, text
from sqlalchemy.dialects import sqlite
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from dicomnode.store.states import JOB_INACTIVE, JobTask

# SQLite gives row ids only to a column of type INTEGER.
RowId = BigInteger().with_variant(sqlite.INTEGER(), "sqlite")
Uid = String(128)
BEGINS = "varchar_pattern_ops"
"""Of an index of PostgreSQL that finds texts by their beginning, too, whatever the database sorts by."""
SET_ASIDE = text("status = 'not_used'")
NOT_PURGED = text("status <> 'purged'")
"""Of images. A statement that is to find them by their index says it in these words: SQLite compares the text."""


class Base(DeclarativeBase):
    """Base of all tables; constraints are named so that migrations can address them on every database."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {dict[str, Any]: JSON, list[str]: JSON, list[int]: JSON, list[dict[str, Any]]: JSON}  # noqa: RUF012 (SQLAlchemy's own idiom)

    id: Mapped[int] = mapped_column(RowId, primary_key=True, autoincrement=True)


class Storage(Base):
    """The spool that this database belongs to: one row, written at the first start.

    ``identity``: also in the marker file of the spool; apart, the node does not start. ``seen_at``: when a node last
    ran on it. ``stepped_at``, ``stepped_by_s``, ``stepped_on``: the last step of the clock after which times were
    moved, and the process that did it.
    """

    __tablename__ = "storage"

    identity: Mapped[str] = mapped_column(String(32))
    bound_at: Mapped[float]
    seen_at: Mapped[float]
    stepped_at: Mapped[float | None]
    stepped_by_s: Mapped[float] = mapped_column(default=0.0)
    stepped_on: Mapped[str] = mapped_column(String(255), default="")


class Association(Base):
    """One association with a peer that sends. ``receiver`` names the acceptor, so that a restart can close its own."""

    __tablename__ = "association"

    receiver: Mapped[str] = mapped_column(String(255), index=True)
    calling_ae: Mapped[str] = mapped_column(String(16))
    called_ae: Mapped[str] = mapped_column(String(16))
    peer_address: Mapped[str] = mapped_column(String(64))
    opened_at: Mapped[float]
    last_seen_at: Mapped[float]
    ended_at: Mapped[float | None]
    outcome: Mapped[str] = mapped_column(String(16), default="open")
    instances: Mapped[int] = mapped_column(Integer, default=0)


class Series(Base):
    """One series as received. ``due_at`` is when the assembler looks at it next; NULL: nothing to do.

    ``instances``: how many files of it ever came, those of no use included.

    ``not_performed_due_at``: set where the series gave no result; when to decide whether its study ends without one and
    is reported as not performed. NULL: nothing to decide.
    """

    __tablename__ = "series"
    __table_args__ = (
        UniqueConstraint("study_uid", "series_uid"),
        Index("ix_series_study_uid", "study_uid", postgresql_ops={"study_uid": BEGINS}),
        Index("ix_series_accession_number", "accession_number", postgresql_ops={"accession_number": BEGINS}),
        Index("ix_series_status_last_instance_at", "status", "last_instance_at"),
        Index("ix_series_due_at", "due_at", postgresql_where=text("due_at IS NOT NULL")),
        Index(
            "ix_series_not_performed_due_at",
            "not_performed_due_at",
            postgresql_where=text("not_performed_due_at IS NOT NULL"),
        ),
    )

    study_uid: Mapped[str] = mapped_column(Uid)
    series_uid: Mapped[str] = mapped_column(Uid, index=True)
    accession_number: Mapped[str] = mapped_column(String(64), default="")
    modality: Mapped[str] = mapped_column(String(16), default="")
    sender_ae: Mapped[str] = mapped_column(String(16), default="")
    status: Mapped[str] = mapped_column(String(16))
    reopened: Mapped[int] = mapped_column(Integer, default=0)
    instances: Mapped[int] = mapped_column(Integer, default=0, server_default="0")
    first_instance_at: Mapped[float]
    last_instance_at: Mapped[float]
    due_at: Mapped[float | None]
    acquisition_key: Mapped[str] = mapped_column(String(160), default="")
    refusal: Mapped[str] = mapped_column(String(40), default="")
    refusal_detail: Mapped[str] = mapped_column(Text, default="")
    not_performed_due_at: Mapped[float | None]


class Instance(Base):
    """One received file. The same SOP instance with other bytes is a second row; ``status`` says which one counts."""

    __tablename__ = "instance"
    __table_args__ = (
        UniqueConstraint("sop_instance_uid", "digest", "study_uid", "series_uid"),
        Index("ix_instance_not_used", "received_at", sqlite_where=SET_ASIDE, postgresql_where=SET_ASIDE),
        Index("ix_instance_kept", "received_at", "id", sqlite_where=NOT_PURGED, postgresql_where=NOT_PURGED),
    )

    series_id: Mapped[int] = mapped_column(ForeignKey("series.id"), index=True)
    association_id: Mapped[int | None] = mapped_column(ForeignKey("association.id"), index=True)
    sop_instance_uid: Mapped[str] = mapped_column(Uid, index=True)
    sop_class_uid: Mapped[str] = mapped_column(Uid)
    study_uid: Mapped[str] = mapped_column(Uid)
    series_uid: Mapped[str] = mapped_column(Uid)
    transfer_syntax_uid: Mapped[str] = mapped_column(Uid)
    path: Mapped[str] = mapped_column(String(512), unique=True)
    digest: Mapped[str] = mapped_column(String(64))
    pixel_digest: Mapped[str] = mapped_column(String(64), default="")
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    header: Mapped[dict[str, Any]]
    status: Mapped[str] = mapped_column(String(16))
    reason: Mapped[str] = mapped_column(String(40), default="")
    received_at: Mapped[float] = mapped_column(index=True)


class RejectedInstance(Base):
    """One instance that a rejection note told not to use, whether it has come already or not (IHE RAD IOCM).

    ``code``: document title of the note (DCM). Never deleted: a rejected instance may be sent again at any time.
    """

    __tablename__ = "rejected_instance"
    __table_args__ = (UniqueConstraint("sop_instance_uid", "code"),)

    sop_instance_uid: Mapped[str] = mapped_column(Uid, index=True)
    code: Mapped[str] = mapped_column(String(16))
    note_uid: Mapped[str] = mapped_column(Uid)
    received_at: Mapped[float]


class Job(Base):
    """One (study, acquisition, protocol). At most one of them is active; superseded ones stay as history.

    ``task``: an analysis, or a note about results; ``about`` says what a note is to say. The acquisition key of a note
    names its occasion, so that no occasion gets two. ``brain_hu``: at what attenuation the brain lies in its images;
    NULL where no model had to read them.
    """

    __tablename__ = "job"
    __table_args__ = (
        Index(
            "uq_job_active",
            "study_uid",
            "acquisition_key",
            "protocol",
            unique=True,
            sqlite_where=text(f"status NOT IN ({', '.join(repr(s.value) for s in JOB_INACTIVE)})"),
            postgresql_where=text(f"status NOT IN ({', '.join(repr(s.value) for s in JOB_INACTIVE)})"),
        ),
        Index("ix_job_status_ready_at", "status", "ready_at"),
    )

    study_uid: Mapped[str] = mapped_column(Uid, index=True)
    accession_number: Mapped[str] = mapped_column(String(64), default="", index=True)
    acquisition_key: Mapped[str] = mapped_column(String(160))
    protocol: Mapped[str] = mapped_column(String(64))
    series_id: Mapped[int] = mapped_column(ForeignKey("series.id"), index=True)
    generation: Mapped[int] = mapped_column(Integer)
    status: Mapped[str] = mapped_column(String(16))
    priority: Mapped[str] = mapped_column(String(8))
    created_at: Mapped[float]
    ready_at: Mapped[float]
    finished_at: Mapped[float | None]
    attempts: Mapped[int] = mapped_column(Integer, default=0)
    lease_owner: Mapped[str] = mapped_column(String(255), default="")
    lease_token: Mapped[int] = mapped_column(Integer, default=0)
    lease_until: Mapped[float | None]
    refusal: Mapped[str] = mapped_column(String(40), default="")
    error: Mapped[str] = mapped_column(Text, default="")
    task: Mapped[str] = mapped_column(String(16), default=JobTask.ANALYSIS, server_default=JobTask.ANALYSIS)
    about: Mapped[dict[str, Any] | None]
    brain_hu: Mapped[float | None]


class Run(Base):
    """One model of a job. ``findings_path`` is below the work folder, written before the row says succeeded.

    ``model_digest`` and ``inputs_digest`` tell with what it succeeded: with others it is outdated.
    ``outcomes``: what its masks come to; ``scores``: its numbers.
    """

    __tablename__ = "run"
    __table_args__ = (UniqueConstraint("job_id", "model"),)

    job_id: Mapped[int] = mapped_column(ForeignKey("job.id"), index=True)
    model: Mapped[str] = mapped_column(String(64))
    position: Mapped[int] = mapped_column(Integer)
    status: Mapped[str] = mapped_column(String(16))
    attempts: Mapped[int] = mapped_column(Integer, default=0)
    crashes: Mapped[int] = mapped_column(Integer, default=0)
    device: Mapped[str] = mapped_column(String(32), default="")
    model_digest: Mapped[str] = mapped_column(String(80), default="")
    inputs_digest: Mapped[str] = mapped_column(String(64), default="")
    findings_path: Mapped[str] = mapped_column(String(512), default="")
    outcomes: Mapped[list[dict[str, Any]]] = mapped_column(default=list)
    scores: Mapped[list[dict[str, Any]]] = mapped_column(default=list)
    started_at: Mapped[float | None]
    finished_at: Mapped[float | None]
    error: Mapped[str] = mapped_column(Text, default="")


class Comparison(Base):
    """A predicted scan held against the CT that came, for audit: one row for each pair of jobs and model.

    ``reason``: why the voxels could not be compared; empty where ``figures`` tell.
    """

    __tablename__ = "comparison"
    __table_args__ = (UniqueConstraint("job_id", "later_job_id", "model"),)

    job_id: Mapped[int] = mapped_column(ForeignKey("job.id"), index=True)
    later_job_id: Mapped[int] = mapped_column(ForeignKey("job.id"), index=True)
    model: Mapped[str] = mapped_column(String(64))
    made_at: Mapped[float]
    reason: Mapped[str] = mapped_column(String(40), default="")
    figures: Mapped[dict[str, Any]]


class Result(Base):
    """One encoded result instance. Its bytes are kept and re-sent, never encoded again."""

    __tablename__ = "result"

    job_id: Mapped[int] = mapped_column(ForeignKey("job.id"), index=True)
    kind: Mapped[str] = mapped_column(String(16))
    study_uid: Mapped[str] = mapped_column(Uid, index=True)
    series_uid: Mapped[str] = mapped_column(Uid, index=True)
    sop_instance_uid: Mapped[str] = mapped_column(Uid, unique=True)
    sop_class_uid: Mapped[str] = mapped_column(Uid)
    path: Mapped[str] = mapped_column(String(512))
    digest: Mapped[str] = mapped_column(String(64))
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    research: Mapped[bool]
    superseded: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[float]


class Outbox(Base):
    """One (result, destination): the same machine as a job, with a lease of its own.

    ``next_attempt_at``: when a pending row is sent, a sent one is looked for, a held one is looked at again. ``proof``:
    what is asked for (commitment, query, status); ``proven_by``: what it was proven by. ``losses``: how often it was
    lost after Success. ``unanswered``: how often the outcome of sending it stayed unknown since it was last known.
    ``identity``: whose identity it goes under, since ``identity_at``, with the keywords that
    differ; ``identity_by``: what a person decided about it (``own``, ``pacs``), empty where nobody had to.
    """

    __tablename__ = "outbox"
    __table_args__ = (
        UniqueConstraint("result_id", "destination"),
        Index("ix_outbox_due", "destination", "status", "next_attempt_at"),
        Index("ix_outbox_status_lease_until", "status", "lease_until"),
    )

    result_id: Mapped[int] = mapped_column(ForeignKey("result.id"), index=True)
    job_id: Mapped[int] = mapped_column(ForeignKey("job.id"), index=True)
    destination: Mapped[str] = mapped_column(String(64))
    status: Mapped[str] = mapped_column(String(16))
    attempts: Mapped[int] = mapped_column(Integer, default=0)
    created_at: Mapped[float]
    next_attempt_at: Mapped[float]
    sent_at: Mapped[float | None]
    proof: Mapped[str] = mapped_column(String(16), default="query")
    proven_by: Mapped[str] = mapped_column(String(16), default="")
    proven_at: Mapped[float | None]
    proof_attempts: Mapped[int] = mapped_column(Integer, default=0)
    commitment_requests: Mapped[int] = mapped_column(Integer, default=0)
    losses: Mapped[int] = mapped_column(Integer, default=0)
    unanswered: Mapped[int] = mapped_column(Integer, default=0)
    identity: Mapped[str] = mapped_column(String(160), default="")
    identity_at: Mapped[float | None]
    identity_by: Mapped[str] = mapped_column(String(8), default="")
    lease_owner: Mapped[str] = mapped_column(String(255), default="")
    lease_token: Mapped[int] = mapped_column(Integer, default=0)
    lease_until: Mapped[float | None]
    last_status: Mapped[int | None]
    error: Mapped[str] = mapped_column(Text, default="")


class Commitment(Base):
    """One storage commitment transaction. ``deliveries``: ids of the outbox rows it is about."""

    __tablename__ = "commitment"
    __table_args__ = (Index("ix_commitment_open", "destination", "concluded_at"),)

    transaction_uid: Mapped[str] = mapped_column(Uid, unique=True)
    destination: Mapped[str] = mapped_column(String(64))
    requested_at: Mapped[float]
    answered_at: Mapped[float | None]
    concluded_at: Mapped[float | None]
    deliveries: Mapped[list[int]]
    report: Mapped[dict[str, Any]]


class RefusedClass(Base):
    """A SOP class of which a destination takes no instance, as it said itself: something else is sent in its place.

    ``learned_at``: since when it is known; ``how``: what it said.
    """

    __tablename__ = "refused_class"
    __table_args__ = (UniqueConstraint("destination", "sop_class_uid"),)

    destination: Mapped[str] = mapped_column(String(64))
    sop_class_uid: Mapped[str] = mapped_column(Uid)
    learned_at: Mapped[float]
    how: Mapped[str] = mapped_column(Text, default="")


class OfPatient:
    """Columns that say whose a row is, as its source stated it."""

    patient_id: Mapped[str] = mapped_column(String(64))
    issuer: Mapped[str] = mapped_column(String(64), default="")
    birth_date: Mapped[str] = mapped_column(String(8), default="")
    sex: Mapped[str] = mapped_column(String(1), default="")


class Told(OfPatient):
    """Columns of what a source told of a patient. ``digest``: of all that it says, so that a repeat is one row.

    ``statement``: key of the observation, where the source may say something else about it later.
    Health data: goes by its own retention.
    """

    source: Mapped[str] = mapped_column(String(16))
    arrived_at: Mapped[float] = mapped_column(index=True)
    provenance: Mapped[str] = mapped_column(String(255), default="")
    digest: Mapped[str] = mapped_column(String(64), unique=True)
    statement: Mapped[str] = mapped_column(String(64), default="", index=True)


class Statement(OfPatient, Base):
    """The newest that a source said about one observation: what was said before is gone, and does not come back.

    Attributes
    ----------
    key : names the observation; sha256, hex.
    told_at, rank : of several statements the latest counts, and of those in the same second the highest.
    arrived_at : when it last changed anything.
    """

    __tablename__ = "statement"

    key: Mapped[str] = mapped_column(String(64), unique=True)
    told_at: Mapped[float]
    rank: Mapped[int]
    arrived_at: Mapped[float] = mapped_column(index=True)


class ClinicalValue(Told, Base):
    """A value of a coded variable of a patient."""

    __tablename__ = "clinical_value"
    __table_args__ = (Index("ix_clinical_value_patient", "patient_id", "issuer"),)

    name: Mapped[str] = mapped_column(String(32))
    value: Mapped[Any] = mapped_column(JSON)
    unit: Mapped[str] = mapped_column(String(16), default="")
    observed_at: Mapped[float | None]


class ClinicalText(Told, Base):
    """A section of a report about a patient."""

    __tablename__ = "clinical_text"
    __table_args__ = (Index("ix_clinical_text_patient", "patient_id", "issuer"),)

    section: Mapped[str] = mapped_column(String(32))
    text: Mapped[str] = mapped_column(Text)
    author: Mapped[str] = mapped_column(String(255), default="")
    written_at: Mapped[float | None]


class MergedPatient(Base):
    """An ID that was merged into another (HL7 ADT^A40): what is known under it is about the survivor."""

    __tablename__ = "merged_patient"
    __table_args__ = (UniqueConstraint("patient_id", "issuer"),)

    patient_id: Mapped[str] = mapped_column(String(64))
    issuer: Mapped[str] = mapped_column(String(64), default="")
    survivor_id: Mapped[str] = mapped_column(String(64), index=True)
    survivor_issuer: Mapped[str] = mapped_column(String(64), default="")
    merged_at: Mapped[float] = mapped_column(index=True)


class StudyPatient(OfPatient, Base):
    """Whose study it is and when it was scanned, as the images say: what context it has is found by it.

    ``checked_at``: what arrived before is in its results, or would change nothing in them.
    """

    __tablename__ = "study_patient"
    __table_args__ = (Index("ix_study_patient_patient", "patient_id", "issuer"),)

    study_uid: Mapped[str] = mapped_column(Uid, unique=True)
    scanned_at: Mapped[float | None]
    seen_at: Mapped[float] = mapped_column(index=True)
    checked_at: Mapped[float]


class ReadReport(Base):
    """A structured report of another system that was looked through for values and texts, and what came of it."""

    __tablename__ = "read_report"

    instance_id: Mapped[int] = mapped_column(ForeignKey("instance.id"), unique=True)
    outcome: Mapped[str] = mapped_column(String(32))
    read_at: Mapped[float]


class FhirQuestion(OfPatient, Base):
    """What a FHIR server is asked about the patient of a study, and what came of it last.

    ``settled_at``: since when no job waits for it any more: it was answered, or an answer will not come soon.
    ``next_try_at``: when it is asked (again); NULL: never. ``failures``: in a row, that may pass. ``changed_at``: when
    an answer last took back what an earlier one had told. Health data: goes by its own retention.
    """

    __tablename__ = "fhir_question"

    study_uid: Mapped[str] = mapped_column(Uid, unique=True)
    scanned_at: Mapped[float | None]
    made_at: Mapped[float] = mapped_column(index=True)
    asked_at: Mapped[float | None]
    answered_at: Mapped[float | None]
    settled_at: Mapped[float | None]
    next_try_at: Mapped[float | None] = mapped_column(index=True)
    changed_at: Mapped[float | None] = mapped_column(index=True)
    failures: Mapped[int] = mapped_column(Integer, default=0)
    outcome: Mapped[str] = mapped_column(String(32), default="")
    detail: Mapped[dict[str, Any]]


class ArchiveSearch(Base):
    """An archive is asked for another CT of the patient of a study: one row for each such study, and each way to look.

    Attributes
    ----------
    next_try_at : when the archive is asked (again); NULL: never. ``failures``: in a row.
    detail : counts and coded reasons; nothing of a patient.
    """

    __abstract__ = True

    study_uid: Mapped[str] = mapped_column(Uid, unique=True)
    made_at: Mapped[float]
    next_try_at: Mapped[float | None] = mapped_column(index=True)
    failures: Mapped[int] = mapped_column(Integer, default=0)
    outcome: Mapped[str] = mapped_column(String(32), default="")
    detail: Mapped[dict[str, Any]]


class PriorSearch(ArchiveSearch):
    """For the CT before, of a study with a bleed.

    Attributes
    ----------
    prior_study_uid : the study that is being fetched, or was; written before the archive is asked to send it, so that
        its images are known as fetched when they come. Empty: none.
    """

    __tablename__ = "prior_search"

    prior_study_uid: Mapped[str] = mapped_column(Uid, default="", index=True)


class LaterSearch(ArchiveSearch):
    """For the CT after, of a study that something was foretold of. ``later_study_uid``: as ``prior_study_uid``."""

    __tablename__ = "later_search"

    later_study_uid: Mapped[str] = mapped_column(Uid, default="", index=True)


class Paused(Base):
    """What an operator has paused: the queue, or a destination by its name. ``by``: who did it."""

    __tablename__ = "paused"
    __table_args__ = (UniqueConstraint("part", "name"),)

    part: Mapped[str] = mapped_column(String(16))
    name: Mapped[str] = mapped_column(String(64), default="")
    since_at: Mapped[float]
    by: Mapped[str] = mapped_column(String(64), default="")


class Alarm(Base):
    """A fault that lasts, or an urgent finding, that people are told of.

    ``owner``: the process that saw it. ``told``, ``told_end``: the channels that have had the message of its beginning,
    and of its end. ``acknowledged_by``: who has seen it, and wants to hear no more of it until it ends.
    ``detail``: of a finding what it is, and what became of its report; nothing of a patient.
    """

    __tablename__ = "alarm"
    __table_args__ = (UniqueConstraint("owner", "name"),)

    owner: Mapped[str] = mapped_column(String(255))
    kind: Mapped[str] = mapped_column(String(16))
    name: Mapped[str] = mapped_column(String(160))
    says: Mapped[str] = mapped_column(Text)
    since_at: Mapped[float]
    ended_at: Mapped[float | None]
    told: Mapped[list[str]]
    told_end: Mapped[list[str]]
    acknowledged_at: Mapped[float | None]
    acknowledged_by: Mapped[str] = mapped_column(String(64), default="")
    job_id: Mapped[int | None] = mapped_column(BigInteger)
    detail: Mapped[dict[str, Any]]


class AuditMessage(Base):
    """An audit message that waits for the syslog server; gone once it is sent. ``xml``: as it goes out."""

    __tablename__ = "audit_message"

    at: Mapped[float]
    xml: Mapped[str] = mapped_column(Text)


class AuditReader(Base):
    """How far the history was read for the audit: one row. ``open_ids``: associations whose end was not seen yet.

    ``sender``: which process sends what waits, until ``sends_until``; empty where none does.
    """

    __tablename__ = "audit_reader"

    association_id: Mapped[int] = mapped_column(BigInteger)
    event_id: Mapped[int] = mapped_column(BigInteger)
    open_ids: Mapped[list[int]]
    sender: Mapped[str] = mapped_column(String(64), default="")
    sends_until: Mapped[float] = mapped_column(default=0.0)


class Turn(Base):
    """What one process at a time does for all that share the database: ``holder`` does it until ``until``."""

    __tablename__ = "turn"
    __table_args__ = (UniqueConstraint("what"),)

    what: Mapped[str] = mapped_column(String(32))
    holder: Mapped[str] = mapped_column(String(255))
    until: Mapped[float]


class Event(Base):
    """One change of state, or one thing worth telling; ``dicomnode why`` prints them in order."""

    __tablename__ = "event"

    at: Mapped[float] = mapped_column(index=True)
    subject: Mapped[str] = mapped_column(String(16))
    subject_id: Mapped[int | None] = mapped_column(BigInteger)
    name: Mapped[str] = mapped_column(String(32))
    before: Mapped[str] = mapped_column(String(16), default="")
    after: Mapped[str] = mapped_column(String(16), default="")
    study_uid: Mapped[str] = mapped_column(Uid, default="", index=True)
    series_uid: Mapped[str] = mapped_column(Uid, default="", index=True)
    job_id: Mapped[int | None] = mapped_column(BigInteger, index=True)
    detail: Mapped[dict[str, Any]]
