"""What an admin does on the page: the functions that the command line calls, and a line of the audit for each."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import quote

from sqlalchemy.orm import Session
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response

from dicomnode.errors import JobError
from dicomnode.ops.http.audit import audit
from dicomnode.ops.http.board import Board
from dicomnode.ops.http.guard import Visit
from dicomnode.store.deliver.holding import OWN, PACS, discard_held, release_held
from dicomnode.store.ops.alarms import acknowledge
from dicomnode.store.ops.studies import note_deed
from dicomnode.store.pausing import Part, pause, resume
from dicomnode.store.queue.jobs import cancel_job, requeue_job

Deed = Callable[[Session, int, Visit], str]


def _retry(session: Session, job_id: int, _visit: Visit) -> str:
    return f"is {requeue_job(session, job_id)}"


def _cancel(session: Session, job_id: int, _visit: Visit) -> str:
    return f"is {cancel_job(session, job_id)}"


def _release(session: Session, job_id: int, visit: Visit) -> str:
    identity = visit.form.get("identity", "")
    if identity not in (OWN, PACS):
        raise JobError("say under which identity")
    count = release_held(session, job_id, identity=identity, destination=visit.form.get("destination", ""))
    return f"{count} results are released"


def _discard(session: Session, job_id: int, visit: Visit) -> str:
    return f"{discard_held(session, job_id, destination=visit.form.get('destination', ''))} results are withdrawn"


PAUSING = {"pause": pause, "resume": resume}
DEEDS: dict[str, Deed] = {"retry": _retry, "cancel": _cancel, "release": _release, "discard": _discard}


class Actions:
    """What each form does."""

    def __init__(self, board: Board) -> None:
        self._board, self._store = board, board.store

    def on_job(self, visit: Visit) -> Response:
        """Retry, cancel, release or discard; what came of it is said on the next page."""
        did, job_id = visit.request.path_params["did"], visit.request.path_params["job_id"]
        if did not in DEEDS:
            raise HTTPException(404, "there is no such action")
        try:
            with self._store.write() as session:
                outcome = DEEDS[did](session, job_id, visit)
                note_deed(session, did, visit.user, job_id=job_id)
        except JobError as fault:
            outcome, ok = str(fault), False
        else:
            ok = True
        audit(did, visit.user, visit.address, outcome="ok" if ok else "refused", job_id=job_id)
        visit.session.said = f"Job {job_id}: {outcome}" if ok else f"Job {job_id} was left as it is: {outcome}"
        return back(visit)

    def on_alarm(self, visit: Visit) -> Response:
        """Acknowledge an alarm."""
        with self._store.write() as session:
            name = acknowledge(session, visit.request.path_params["alarm_id"], by=visit.user)
            if name is not None:
                note_deed(session, "acknowledge", visit.user, alarm=name)
        outcome = "ok" if name else "it is over"
        audit("acknowledge", visit.user, visit.address, outcome=outcome, alarm=name or "")
        visit.session.said = f"Acknowledged: {name}" if name else "This alarm is over."
        return back(visit)

    def on_queue(self, visit: Visit) -> Response:
        """Pause or resume the queue."""
        return self._pausing(visit, Part.QUEUE, "")

    def on_destination(self, visit: Visit) -> Response:
        """Pause or resume the deliveries to a destination."""
        name = visit.request.path_params["name"]
        if name not in {one.name for one in self._board.config.destination}:
            raise HTTPException(404, "there is no such destination")
        return self._pausing(visit, Part.DESTINATION, name)

    def _pausing(self, visit: Visit, part: Part, name: str) -> Response:
        did = visit.request.path_params["did"]
        if did not in PAUSING:
            raise HTTPException(404, "there is no such action")
        with self._store.write() as session:
            changed = PAUSING[did](session, part, name, by=visit.user)
        outcome = "ok" if changed else "nothing to do"
        audit(did, visit.user, visit.address, outcome=outcome, part=part, name_of_part=name)
        visit.session.said = f"{name or 'The queue'}: {did}, {outcome}"
        return back(visit)


def back(visit: Visit) -> Response:
    """To the page that the form stood on: a study, or the overview."""
    study_uid = visit.form.get("study_uid", "")
    return RedirectResponse(f"/studies/{quote(study_uid, safe='')}" if study_uid else "/", 303)
