"""The pages: each is a few statements and a template."""

from __future__ import annotations

import shutil
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from starlette.exceptions import HTTPException
from starlette.responses import Response

from dicomnode.ops.http.board import Board
from dicomnode.ops.http.guard import Visit
from dicomnode.ops.http.pictures import png_of
from dicomnode.ops.http.shown import Templates
from dicomnode.store.deliver.fallback import list_refusals
from dicomnode.store.history.events import events_of, studies_named
from dicomnode.store.history.held import list_held
from dicomnode.store.history.jobs import JobFilter, list_jobs
from dicomnode.store.history.series import list_series_without_job
from dicomnode.store.ops import standing, studies
from dicomnode.store.ops.alarms import all_alarms
from dicomnode.store.ops.drift import FEWEST, UNLIKELY, drift
from dicomnode.store.ops.levels import SHIFT_HU, brain_levels
from dicomnode.store.pausing import list_paused
from dicomnode.store.states import JOB_OPEN, TRANSITIONS, JobEvent, JobStatus

REFRESH_S = 15
LISTED = 50
DRIFT_DAYS, DRIFT_REFERENCE_DAYS = 7.0, 28.0
LONGEST_TEXT = 64
"""Of a search; nothing that is looked for is longer."""
RETRIED = frozenset(
    status for (status, event) in TRANSITIONS["job"] if event in (JobEvent.REQUEUE, JobEvent.REDELIVER)
) - {JobStatus.DONE}
CANCELLED = frozenset(status for (status, event) in TRANSITIONS["job"] if event == JobEvent.CANCEL)


@dataclass(frozen=True, slots=True)
class Disk:
    """The disk of the spool, in bytes."""

    free: int
    total: int


class Pages:
    """What each address shows."""

    def __init__(self, board: Board, templates: Templates) -> None:
        self._board, self._templates = board, templates

    def overview(self, visit: Visit) -> Response:
        """How the node is: what it can do, what waits, what was refused, who sent last."""
        config, state = self._board.config, self._board.state_of()
        names = [destination.name for destination in config.destination]
        with self._board.store.read() as session:
            values: dict[str, Any] = {
                "alarms": all_alarms(session),
                "waiting": standing.waiting_jobs(session),
                "unsent": standing.unsent(session, names),
                "senders": sorted(standing.last_associations(session).items(), key=lambda one: -one[1]),
                "to_pacs": standing.to_pacs(session),
                "paused": {(one.part, one.name): one for one in list_paused(session)},
                "held": list_held(session),
                "refused": list_series_without_job(session, limit=10),
                "learned": list_refusals(session),
                "studies": studies.newest_studies(session, limit=10),
            }
        disk = None
        with suppress(OSError):
            usage = shutil.disk_usage(config.spool_dir)
            disk = Disk(usage.free, usage.total)
        refresh_s = 0 if visit.request.query_params.get("refresh") == "0" else REFRESH_S
        return self._templates.page(
            "overview.html",
            visit=visit,
            refresh_s=refresh_s,
            checks=self._board.readiness.checks(state),
            state=state,
            destinations=names,
            breakers={one.destination: one for one in state.breakers},
            disk=disk,
            reserve=config.reception.min_free_gb * 1e9,
            **values,
        )

    def studies(self, visit: Visit) -> Response:
        """The newest studies, or those that a text finds."""
        text = visit.request.query_params.get("q", "")[:LONGEST_TEXT]
        with self._board.store.read() as session:
            found = studies.find_studies(session, text, limit=LISTED)
        return self._templates.page("studies.html", visit=visit, q=text, studies=found, most=LISTED)

    def study(self, visit: Visit) -> Response:
        """One study: its jobs, pictures, context, and all that happened."""
        uid = visit.request.path_params["study_uid"]
        with self._board.store.read() as session:
            events = events_of(session, uid)
            if not events or uid not in studies_named(session, uid):
                raise HTTPException(404, "nothing is known of this study")
            values: dict[str, Any] = {
                "jobs": list_jobs(session, JobFilter(study_uid=uid), limit=LISTED),
                "pictures": studies.pictures_of(session, uid),
                "context": self._board.context_of(session, uid),
            }
        acts: dict[str, Any] = {"retried": RETRIED, "cancelled": CANCELLED, "open_states": JOB_OPEN}
        return self._templates.page("study.html", visit=visit, study_uid=uid, events=events, **values, **acts)

    def refusals(self, visit: Visit) -> Response:
        """Series that have no job, with the reason."""
        with self._board.store.read() as session:
            series = list_series_without_job(session, limit=LISTED)
        return self._templates.page("refusals.html", visit=visit, series=series, most=LISTED)

    def models(self, visit: Visit) -> Response:
        """The models and their cards."""
        return self._templates.page("models.html", visit=visit, cards=self._board.model_cards())

    def drift(self, visit: Visit) -> Response:
        """Whether what comes from the scanners has changed."""
        with self._board.store.read() as session:
            windows = {"now": time.time(), "days": DRIFT_DAYS, "reference_days": DRIFT_REFERENCE_DAYS}
            lines, levels = drift(session, **windows), brain_levels(session, **windows)
        return self._templates.page(
            "drift.html",
            visit=visit,
            lines=lines,
            levels=levels,
            shift_hu=SHIFT_HU,
            days=DRIFT_DAYS,
            reference_days=DRIFT_REFERENCE_DAYS,
            fewest=FEWEST,
            unlikely=UNLIKELY,
        )

    def picture(self, visit: Visit) -> Response:
        """An overview picture."""
        with self._board.store.read() as session:
            found = studies.picture(session, visit.request.path_params["result_id"])
        data_dir = self._board.config.node.data_dir
        path = None if found is None else (data_dir / found.path).resolve()
        if path is None or not path.is_relative_to(self._board.config.work_dir.resolve()):
            raise HTTPException(404, "there is no such picture")
        try:
            return Response(png_of(path), media_type="image/png")
        except OSError as fault:
            raise HTTPException(404, "its retention is over") from fault
