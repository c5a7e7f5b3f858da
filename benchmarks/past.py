"""A database that has seen much: rows of studies that are over."""

from __future__ import annotations

import time
from typing import Any

from psycopg import sql
from psycopg.types.json import Json
from sqlalchemy import Column, Connection, insert

from dicomnode.store.engine import Store
from dicomnode.store.tables import Association, Event, Instance, Job, Outbox, Result, Run, Series

RESULTS = 4
JOB_EVENTS = ("created", "ready", "claim", "encoded", "delivered")


def fill(store: Store, numbers: range, *, images: int, events: int, age_s: float = 86400.0) -> None:
    """Studies that are over; row ids are their numbers. ``images``, ``events``: of each study."""
    at = time.time() - age_s
    rows: dict[type[Any], list[dict[str, Any]]] = {
        table: [] for table in (Association, Series, Instance, Job, Run, Result, Outbox, Event)
    }
    for n in numbers:
        for table, row in rows_of(n, at, images, events):
            rows[table].append(row)
    put = _copied if store.engine.dialect.name == "postgresql" else _inserted
    with store.engine.begin() as connection:
        for table, some in rows.items():
            put(connection, table, some)


def _inserted(connection: Connection, table: type[Any], rows: list[dict[str, Any]]) -> None:
    connection.execute(insert(table), rows)


def _copied(connection: Connection, table: type[Any], rows: list[dict[str, Any]]) -> None:
    """By COPY, which takes half the time of INSERT on a server; what a row leaves out is its column's default."""
    columns = {column.name: column for column in table.__table__.columns if column.name != "id" or "id" in rows[0]}
    left_out = {name: _default_of(column) for name, column in columns.items() if name not in rows[0]}
    named = sql.SQL(", ").join(map(sql.Identifier, columns))
    into = sql.SQL("COPY {} ({}) FROM STDIN").format(sql.Identifier(table.__tablename__), named)
    driver: Any = connection.connection.driver_connection
    with driver.cursor() as cursor, cursor.copy(into) as copy:
        for row in rows:
            values = map((left_out | row).__getitem__, columns)
            copy.write_row([Json(value) if isinstance(value, (dict, list)) else value for value in values])


def _default_of(column: Column[Any]) -> Any:
    default: Any = column.default
    if default is None:
        return None
    return default.arg(None) if default.is_callable else default.arg


def rows_of(n: int, at: float, images: int, events: int) -> list[tuple[type[Any], dict[str, Any]]]:
    """All rows of one study."""
    uid = f"1.2.3.{n}"
    common = {"study_uid": uid, "series_uid": f"{uid}.1"}
    series = dict(id=n, **common, accession_number=f"ACC{n}", modality="CT", sender_ae=f"CT{n % 5}", status="chosen")
    series |= dict(first_instance_at=at - 20, last_instance_at=at - 10, acquisition_key="1", reopened=0)
    job = dict(id=n, study_uid=uid, accession_number=f"ACC{n}", acquisition_key="1", protocol="head-ct", series_id=n)
    job |= dict(generation=1, status="done", priority="stat", created_at=at, ready_at=at, finished_at=at + 30)
    run = dict(id=n, job_id=n, model="hemorrhage", position=0, status="succeeded", device="cpu", outcomes=[])
    run |= dict(started_at=at + 1, finished_at=at + 9)
    ended = dict(receiver="r", called_ae="NODE", peer_address="10.0.0.1", outcome="released", instances=images)
    times = dict(opened_at=at - 21, last_seen_at=at - 10, ended_at=at - 10)
    rows: list[tuple[type[Any], dict[str, Any]]] = [
        (Association, dict(id=n, calling_ae=f"CT{n % 5}", **ended, **times)),
        (Series, series),
        (Job, job),
        (Run, run),
    ]
    for i in range(images):
        image = dict(series_id=n, association_id=n, sop_instance_uid=f"{uid}.1.{i}", sop_class_uid="1.2.840", **common)
        image |= dict(transfer_syntax_uid="1.2.840", path=f"{n}/{i}", digest=f"{n}.{i}", size_bytes=500_000, header={})
        rows.append((Instance, image | dict(status="used", received_at=at - 10)))
    for i in range(RESULTS):
        key = n * RESULTS + i
        result = dict(id=key, job_id=n, kind="seg", **common, sop_instance_uid=f"{uid}.9.{i}", sop_class_uid="1.2.840")
        rows.append((Result, result | dict(path="p", digest="d", size_bytes=1, research=True, created_at=at)))
        sent = dict(result_id=key, job_id=n, destination="pacs", status="proven", created_at=at, next_attempt_at=at)
        rows.append((Outbox, sent | dict(sent_at=at + 20)))
    for i, name in enumerate(JOB_EVENTS):
        event = dict(at=at + i, subject="job", subject_id=n, name=name, study_uid=uid, job_id=n)
        rows.append((Event, event | dict(detail={})))
    run = dict(at=at + 9, subject="run", subject_id=n, name="succeed", study_uid="", job_id=n)
    rows.append((Event, run | dict(detail={})))
    for i in range(events - len(JOB_EVENTS) - 1):
        event = dict(at=at + i, subject="outbox", subject_id=n * RESULTS + i % RESULTS, name="sent", job_id=n)
        rows.append((Event, event | dict(study_uid="", detail={})))
    return rows
