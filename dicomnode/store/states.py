"""The states, and every arrow between them, as one table.

Whatever is not in ``TRANSITIONS`` is illegal; a test tries every (state, event) pair against the drawings below.

Series::

    receiving --choose--> chosen          receiving --pass_over--> not_chosen
    receiving --refuse--> refused         receiving --set_aside--> not_used
    chosen --pass_over--> not_chosen      not_chosen --choose--> chosen
    any but receiving --reopen--> receiving

Job::

    waiting --ready--> queued --claim--> running --encoded--> delivering --delivered--> done
    delivering --unproven--> sent_unproven
    running --refuse--> refused           running --fail--> failed        running --quarantine--> quarantined
    running --retry--> queued             running --lease_expired--> queued   running --postpone--> queued
    running --give_way--> queued
    delivering --undelivered--> undelivered
    delivering --fall_back--> queued
    failed, refused, quarantined, cancelled --requeue--> queued
    undelivered, sent_unproven, done --redeliver--> delivering
    all but done, sent_unproven, superseded, cancelled --cancel--> cancelled
    all but superseded --supersede--> superseded

Run::

    pending --start--> running --succeed--> succeeded
    running --fail--> failed              running --interrupt--> pending   running --quarantine--> quarantined
    succeeded, failed, quarantined --reset--> pending

Outbox::

    pending --claim--> sending --sent--> sent --prove--> proven
    sent --miss--> pending                sent --give_up--> failed   held --prove--> proven
    sending --retry--> pending            sending --lease_expired--> pending   sending --give_up--> failed
    pending --withdraw--> withdrawn       sending --withdraw--> withdrawn      failed --withdraw--> withdrawn
    withheld --withdraw--> withdrawn      failed, withdrawn --requeue--> pending
    pending, withdrawn, held, replaced --withhold--> withheld
    sending, sent --hold--> held --release--> pending   held --withdraw--> withdrawn
    sending --give_back--> pending
    sending --replace--> replaced --requeue--> pending   replaced --give_up--> failed
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class SeriesStatus(StrEnum):
    """States of a series."""

    RECEIVING = "receiving"
    CHOSEN = "chosen"
    NOT_CHOSEN = "not_chosen"
    REFUSED = "refused"
    NOT_USED = "not_used"


class SeriesEvent(StrEnum):
    """What can happen to a series."""

    CHOOSE = "choose"
    PASS_OVER = "pass_over"
    REFUSE = "refuse"
    SET_ASIDE = "set_aside"
    REOPEN = "reopen"


class JobStatus(StrEnum):
    """States of a job."""

    WAITING = "waiting"
    QUEUED = "queued"
    RUNNING = "running"
    DELIVERING = "delivering"
    DONE = "done"
    SENT_UNPROVEN = "sent_unproven"
    UNDELIVERED = "undelivered"
    FAILED = "failed"
    REFUSED = "refused"
    QUARANTINED = "quarantined"
    CANCELLED = "cancelled"
    SUPERSEDED = "superseded"


class JobEvent(StrEnum):
    """What can happen to a job."""

    READY = "ready"
    CLAIM = "claim"
    ENCODED = "encoded"
    DELIVERED = "delivered"
    UNPROVEN = "unproven"
    UNDELIVERED = "undelivered"
    REFUSE = "refuse"
    FAIL = "fail"
    QUARANTINE = "quarantine"
    RETRY = "retry"
    POSTPONE = "postpone"
    GIVE_WAY = "give_way"
    LEASE_EXPIRED = "lease_expired"
    REQUEUE = "requeue"
    REDELIVER = "redeliver"
    FALL_BACK = "fall_back"
    CANCEL = "cancel"
    SUPERSEDE = "supersede"


class RunStatus(StrEnum):
    """States of a run."""

    PENDING = "pending"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    QUARANTINED = "quarantined"


class RunEvent(StrEnum):
    """What can happen to a run."""

    START = "start"
    SUCCEED = "succeed"
    FAIL = "fail"
    INTERRUPT = "interrupt"
    QUARANTINE = "quarantine"
    RESET = "reset"


class OutboxStatus(StrEnum):
    """States of the delivery of one result to one destination."""

    PENDING = "pending"
    SENDING = "sending"
    SENT = "sent"
    PROVEN = "proven"
    FAILED = "failed"
    WITHHELD = "withheld"
    WITHDRAWN = "withdrawn"
    HELD = "held"
    REPLACED = "replaced"


class OutboxEvent(StrEnum):
    """What can happen to a delivery."""

    CLAIM = "claim"
    SENT = "sent"
    PROVE = "prove"
    MISS = "miss"
    RETRY = "retry"
    LEASE_EXPIRED = "lease_expired"
    GIVE_UP = "give_up"
    REQUEUE = "requeue"
    WITHDRAW = "withdraw"
    WITHHOLD = "withhold"
    HOLD = "hold"
    RELEASE = "release"
    REPLACE = "replace"
    GIVE_BACK = "give_back"


class JobTask(StrEnum):
    """What a job is for. All go through the same queue, worker, outbox and proof.

    A note says something about results: that they must no longer be used, or that there are none.
    """

    ANALYSIS = "analysis"
    REJECTION = "rejection"
    NOT_PERFORMED = "not_performed"


class InstanceStatus(StrEnum):
    """What one received file is good for. Set by reception and by the assembler; no machine of its own."""

    USED = "used"
    NOT_USED = "not_used"
    OLDER = "older"
    CONFLICT = "conflict"
    PURGED = "purged"


JOB_INACTIVE = (JobStatus.SUPERSEDED, JobStatus.CANCELLED)
"""A job in one of these does not stand in the way of another for the same acquisition and protocol."""

STAT = "stat"
"""The priority of a job that goes before all that are routine."""

JOB_OPEN = (JobStatus.WAITING, JobStatus.QUEUED, JobStatus.RUNNING, JobStatus.DELIVERING)
"""A job in one of these still has work before it; nothing it needs may be purged."""

LEASED = {"job": JobStatus.RUNNING, "outbox": OutboxStatus.SENDING}
"""The one state, by table, in which a row is held under a lease."""

_S, _SE = SeriesStatus, SeriesEvent
_J, _JE = JobStatus, JobEvent
_R, _RE = RunStatus, RunEvent
_O, _OE = OutboxStatus, OutboxEvent

SERIES: dict[tuple[str, str], str] = {
    (_S.RECEIVING, _SE.CHOOSE): _S.CHOSEN,
    (_S.RECEIVING, _SE.PASS_OVER): _S.NOT_CHOSEN,
    (_S.RECEIVING, _SE.REFUSE): _S.REFUSED,
    (_S.RECEIVING, _SE.SET_ASIDE): _S.NOT_USED,
    (_S.CHOSEN, _SE.PASS_OVER): _S.NOT_CHOSEN,
    (_S.NOT_CHOSEN, _SE.CHOOSE): _S.CHOSEN,
    **{(status, _SE.REOPEN): _S.RECEIVING for status in _S if status is not _S.RECEIVING},
}

JOB: dict[tuple[str, str], str] = {
    (_J.WAITING, _JE.READY): _J.QUEUED,
    (_J.QUEUED, _JE.CLAIM): _J.RUNNING,
    (_J.RUNNING, _JE.ENCODED): _J.DELIVERING,
    (_J.RUNNING, _JE.REFUSE): _J.REFUSED,
    (_J.RUNNING, _JE.FAIL): _J.FAILED,
    (_J.RUNNING, _JE.QUARANTINE): _J.QUARANTINED,
    (_J.RUNNING, _JE.RETRY): _J.QUEUED,
    (_J.RUNNING, _JE.POSTPONE): _J.QUEUED,
    (_J.RUNNING, _JE.GIVE_WAY): _J.QUEUED,
    (_J.RUNNING, _JE.LEASE_EXPIRED): _J.QUEUED,
    (_J.DELIVERING, _JE.DELIVERED): _J.DONE,
    (_J.DELIVERING, _JE.UNPROVEN): _J.SENT_UNPROVEN,
    (_J.DELIVERING, _JE.UNDELIVERED): _J.UNDELIVERED,
    (_J.DELIVERING, _JE.FALL_BACK): _J.QUEUED,
    **{(status, _JE.REQUEUE): _J.QUEUED for status in (_J.FAILED, _J.REFUSED, _J.QUARANTINED, _J.CANCELLED)},
    **{(status, _JE.REDELIVER): _J.DELIVERING for status in (_J.UNDELIVERED, _J.SENT_UNPROVEN, _J.DONE)},
    **{(s, _JE.CANCEL): _J.CANCELLED for s in _J if s not in (_J.DONE, _J.SENT_UNPROVEN, _J.SUPERSEDED, _J.CANCELLED)},
    **{(status, _JE.SUPERSEDE): _J.SUPERSEDED for status in _J if status is not _J.SUPERSEDED},
}

RUN: dict[tuple[str, str], str] = {
    (_R.PENDING, _RE.START): _R.RUNNING,
    (_R.RUNNING, _RE.SUCCEED): _R.SUCCEEDED,
    (_R.RUNNING, _RE.FAIL): _R.FAILED,
    (_R.RUNNING, _RE.INTERRUPT): _R.PENDING,
    (_R.RUNNING, _RE.QUARANTINE): _R.QUARANTINED,
    (_R.SUCCEEDED, _RE.RESET): _R.PENDING,
    (_R.FAILED, _RE.RESET): _R.PENDING,
    (_R.QUARANTINED, _RE.RESET): _R.PENDING,
}

OUTBOX: dict[tuple[str, str], str] = {
    (_O.PENDING, _OE.CLAIM): _O.SENDING,
    (_O.SENDING, _OE.SENT): _O.SENT,
    (_O.SENDING, _OE.RETRY): _O.PENDING,
    (_O.SENDING, _OE.LEASE_EXPIRED): _O.PENDING,
    (_O.SENDING, _OE.GIVE_UP): _O.FAILED,
    (_O.SENDING, _OE.GIVE_BACK): _O.PENDING,
    (_O.SENT, _OE.PROVE): _O.PROVEN,
    (_O.SENT, _OE.MISS): _O.PENDING,
    (_O.SENT, _OE.GIVE_UP): _O.FAILED,
    (_O.FAILED, _OE.REQUEUE): _O.PENDING,
    (_O.WITHDRAWN, _OE.REQUEUE): _O.PENDING,
    (_O.PENDING, _OE.WITHHOLD): _O.WITHHELD,
    (_O.WITHDRAWN, _OE.WITHHOLD): _O.WITHHELD,
    (_O.HELD, _OE.WITHHOLD): _O.WITHHELD,
    (_O.REPLACED, _OE.WITHHOLD): _O.WITHHELD,
    (_O.SENDING, _OE.REPLACE): _O.REPLACED,
    (_O.REPLACED, _OE.REQUEUE): _O.PENDING,
    (_O.REPLACED, _OE.GIVE_UP): _O.FAILED,
    (_O.SENDING, _OE.HOLD): _O.HELD,
    (_O.SENT, _OE.HOLD): _O.HELD,
    (_O.HELD, _OE.PROVE): _O.PROVEN,
    (_O.HELD, _OE.RELEASE): _O.PENDING,
    **{(s, _OE.WITHDRAW): _O.WITHDRAWN for s in (_O.PENDING, _O.SENDING, _O.FAILED, _O.WITHHELD, _O.HELD)},
}

TRANSITIONS: dict[str, Mapping[tuple[str, str], str]] = {
    "series": SERIES,
    "job": JOB,
    "run": RUN,
    "outbox": OUTBOX,
}
"""The arrows by table. Never merge them: the members of two StrEnums with the same text are equal."""
