"""When the real follow-up has come, the predicted scan is held against it: for audit, after the jobs of both are over.

Nothing of a job is touched: what cannot be compared is a row with its reason. The work is done by a process of its own,
outside of any transaction, one pair after the other.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from dicomnode.config.whole import Config
from dicomnode.environment import Fault
from dicomnode.errors import InferenceError, RunTimedOut, WorkerCrashed
from dicomnode.execute.child import ChildProcess
from dicomnode.execute.forecasts import can_register, drawn_forecasts, forecasts_of
from dicomnode.execute.limits import refusal_of_death
from dicomnode.execute.plan import registry_of
from dicomnode.execute.tasks import CompareReply, CompareTask, Failure, Reply, Source, Uncompared
from dicomnode.store.engine import Store
from dicomnode.store.ops.comparisons import (
    Compared,
    Material,
    Pair,
    keep_comparison,
    material_of,
    pairs_to_compare,
)
from dicomnode.store.ops.outcomes import HOUR_S, exams_by_patient, forecast_lines

log = logging.getLogger(__name__)

COMPARE_EVERY_S = 300.0
PROGRAM = "dicomnode.execute.compare_worker"
DAY_H = 24.0


class ForecastComparisons:
    """Looks whether the CT that a scan was predicted for has come.

    Parameters
    ----------
    is_stopping : whether the node is to stop; then nothing is waited for.

    Raises
    ------
    ConfigError : a bundle's manifest is at fault.
    """

    def __init__(self, config: Config, store: Store, is_stopping: Callable[[], bool]) -> None:
        self.config, self.store, self._is_stopping = config, store, is_stopping
        planned = {model for protocol in config.protocol for model in protocol.models}
        registry = registry_of(config)
        self.foretold = [one for one in forecasts_of(registry) if one.model in planned]
        self.forecasts = [one for one in drawn_forecasts(registry) if one.model in planned]
        self._again = (Uncompared.NO_REGISTRATION,) if can_register() else ()

    def look(self) -> int:
        """Compare every pair that is due; returns how many.

        Raises
        ------
        SQLAlchemyError : the database is away; the next look makes up for it.
        """
        due = self._due()
        if not due:
            return 0
        child = ChildProcess(PROGRAM, None, start_timeout_s=self.config.execution.start_timeout_s)
        try:
            return sum(self._compare(child, pair, finding) for pair, finding in due.items())
        finally:
            child.kill()

    def _due(self) -> dict[Pair, str]:
        """Pairs, each with the finding that the forecast is about."""
        if not self.forecasts:
            return {}
        longest_h = max(one.until_h for one in self.forecasts) + DAY_H * self.config.operations.retention_days
        due: dict[Pair, str] = {}
        with self.store.read() as session:
            # what was read earlier has lost its images
            exams = exams_by_patient(session, seen_since=time.time() - longest_h * HOUR_S)
            for one in self.forecasts:
                pairs = pairs_to_compare(session, forecast_lines(exams, one), again=self._again)
                due |= dict.fromkeys(pairs, one.finding)
        return due

    def _compare(self, child: ChildProcess, pair: Pair, finding: str) -> bool:
        if self._is_stopping():
            return False
        with self.store.read() as session:
            material = material_of(session, pair)
        one = self._compared(child, material, finding)
        if one is None:
            return False
        with self.store.write() as session:
            is_new = keep_comparison(session, pair, one)
        facts = {"job_id": pair[0], "later_job_id": pair[1], "model": pair[2], "reason": one.reason}
        log.info("predicted scan held against what came", extra=facts)
        return is_new

    def _compared(self, child: ChildProcess, material: Material, finding: str) -> Compared | None:
        """What comes of a pair; None where the node stops, or the environment failed in a way that passes."""
        if not (material.first and material.later):
            return Compared(Uncompared.IMAGES_GONE, {})
        task = self._task(material, finding)
        if not all(path.is_file() for path in (task.forecast, *task.findings)):
            return Compared(Uncompared.FINDINGS_GONE, {})
        try:
            reply = self._ask(child, task)
        except RunTimedOut:
            return Compared(Uncompared.TOOK_TOO_LONG, {})
        except WorkerCrashed as fault:
            refused = refusal_of_death(fault.by_signal)
            return Compared(Uncompared.FAILED if refused is None else refused.refusal, {})
        except InferenceError:
            return None  # the node stops, or the process cannot start now
        return _judged(reply)

    def _ask(self, child: ChildProcess, task: CompareTask) -> Reply:
        if not child.is_running:
            child.start(self._tick)
        return child.ask(task, timeout_s=self.config.execution.run_timeout_s, tick=self._tick)

    def _tick(self) -> None:
        if self._is_stopping():
            raise InferenceError("the node is stopping")

    def _task(self, material: Material, finding: str) -> CompareTask:
        spool, work = self.config.spool_dir.absolute(), self.config.work_dir.absolute()
        first, later = ([spool / path for path in paths] for paths in (material.first, material.later))
        return CompareTask(
            first=Source(tuple(first), first[-1]),
            later=Source(tuple(later), later[-1]),
            forecast=work / material.forecast,
            findings=tuple(work / path for path in material.findings),
            finding=finding,
        )


def _judged(reply: Reply) -> Compared | None:
    if isinstance(reply, CompareReply):
        return Compared("", reply.figures)
    assert isinstance(reply, Failure)
    log.warning("predicted scan not compared", extra={"reason": reply.message})
    if reply.fault is Fault.MEMORY:
        return Compared(Uncompared.OUT_OF_MEMORY, {})
    if reply.fault is not Fault.STAYS:
        return None
    return Compared(reply.refusal or Uncompared.FAILED, {})
