"""What a node does again and again, by its role."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from dicomnode.app.selftests import LOOK_EVERY_S as SELFTEST_LOOK_S
from dicomnode.app.selftests import SelfTests
from dicomnode.assemble.not_performed import NOT_PERFORMED_TICK_S, NotPerformedReports
from dicomnode.assemble.service import Assembler
from dicomnode.config.whole import Config
from dicomnode.execute.comparing import COMPARE_EVERY_S, ForecastComparisons
from dicomnode.execute.digests import IDLE_S, PixelDigests
from dicomnode.execute.late_context import LATE_EVERY_S, LateContext
from dicomnode.ops.archive_search import ArchiveSearches
from dicomnode.ops.audit.trail import SEND_EVERY_S, WRITE_EVERY_S, AuditTrail
from dicomnode.ops.context import context_duties
from dicomnode.ops.fetched import archive_of
from dicomnode.ops.followups import LaterSearches
from dicomnode.ops.notify.notifier import LOOK_EVERY_S, Notifier
from dicomnode.ops.priors import PRIORS_EVERY_S, PriorSearches
from dicomnode.ops.retention import HOUR_S, purge
from dicomnode.ops.scheduler import TICK_S, Duty, queue_duties
from dicomnode.ops.service import ALIVE, tell, watchdog_every_s
from dicomnode.ops.state import StateOf
from dicomnode.store.engine import Store
from dicomnode.store.ops.outcomes import Forecast
from dicomnode.store.storage import Storage

STORAGE_TICK_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Doer:
    """The node whose duties are asked for; parts that its role does not have are None.

    Attributes
    ----------
    works : whether its role is to work.
    state : what those who watch it are told.
    """

    owner: str
    works: bool
    state: StateOf
    is_stopping: Callable[[], bool]
    digests: PixelDigests | None
    selftests: SelfTests | None
    trail: AuditTrail | None


def duties_of(config: Config, store: Store, doer: Doer) -> list[Duty]:
    """All that is done again and again.

    Raises
    ------
    ConfigError : the configuration cannot be taken over.
    """
    # Of several processes on one database those that work tell of it. Where nobody is told, the page shows alarms.
    notifier = Notifier(config, store, doer.owner, doer.state, works=doer.works)
    return [
        Duty("storage", STORAGE_TICK_S, Storage(store, config.spool_dir).watch),
        *(_of_work(config, store, doer) if doer.works else ()),
        *_of_reception(config, store, doer),
        *_of_operation(doer),
        Duty("notifications", LOOK_EVERY_S, notifier.look),
    ]


def _of_work(config: Config, store: Store, doer: Doer) -> list[Duty]:
    duties = [*queue_duties(store), Duty("retention", HOUR_S, lambda: purge(config, store))]
    duties += context_duties(config, store, doer.is_stopping)
    comparisons = ForecastComparisons(config, store, doer.is_stopping)
    if comparisons.forecasts:
        duties.append(Duty("compare forecasts", COMPARE_EVERY_S, comparisons.look))
    if config.priors.is_on:
        duties.append(_archive_duty(config, store, doer, comparisons.foretold))
    if config.clinical.amend_h > 0:
        duties.append(Duty("late context", LATE_EVERY_S, LateContext(config, store).look))
    return duties


def _archive_duty(config: Config, store: Store, doer: Doer, foretold: Sequence[Forecast]) -> Duty:
    """Other CTs are asked for, one after the other: what an archive answers is taken in by one thread."""
    archive = archive_of(config, store, doer.owner)
    searches: list[ArchiveSearches] = [PriorSearches(config, store, archive, doer.is_stopping)]
    if config.priors.followups and foretold:
        searches.append(LaterSearches(config, store, archive, foretold, doer.is_stopping))

    def look() -> None:
        for one in searches:
            one.look()

    return Duty("other CTs", PRIORS_EVERY_S, look)


def _of_reception(config: Config, store: Store, doer: Doer) -> list[Duty]:
    if doer.digests is None:
        return []
    assembler = Assembler(config, store, doer.digests, doer.is_stopping)
    reports = NotPerformedReports(config, store)
    return [
        Duty("assemble", TICK_S, assembler.tick),
        Duty("rest", IDLE_S, doer.digests.rest),
        Duty("studies without result", NOT_PERFORMED_TICK_S, reports.tick),
    ]


def _of_operation(doer: Doer) -> list[Duty]:
    duties: list[Duty] = []
    if doer.selftests is not None:
        duties.append(Duty("selftests", SELFTEST_LOOK_S, doer.selftests.look))
    if doer.trail is not None:
        duties.append(Duty("audit", WRITE_EVERY_S, doer.trail.write))
        duties.append(Duty("audit server", SEND_EVERY_S, doer.trail.send))
    if (every_s := watchdog_every_s()) > 0:
        # from a thread of the scheduler: one that hangs does none of its duties
        duties.append(Duty("watchdog", every_s, lambda: tell(ALIVE)))
    return duties
