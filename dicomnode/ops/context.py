"""The sources of context that are looked at again and again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from zoneinfo import ZoneInfo

from dicomnode.clinical.sources.drop_folder import DropFolder
from dicomnode.clinical.sources.fhir.asker import ASK_EVERY_S, Asker
from dicomnode.clinical.sources.fhir.questions import NewQuestions
from dicomnode.clinical.sources.received_reports import REPORTS_EVERY_S, ReceivedReports
from dicomnode.config.whole import Config
from dicomnode.ops.scheduler import Duty
from dicomnode.store.engine import Store

FHIR_ASKERS = 3
"""Patients that a FHIR server is asked about at one time."""


def context_duties(config: Config, store: Store, is_stopping: Callable[[], bool]) -> list[Duty]:
    """Those of each source that is configured.

    Parameters
    ----------
    is_stopping : whether the node is to stop: nothing new is asked then.

    Raises
    ------
    ConfigError : see :class:`~dicomnode.clinical.sources.fhir.asker.Asker`.
    """
    clinical = config.clinical
    duties = []
    drop = drop_folder_of(config, store)
    if drop is not None:
        duties.append(Duty("drop folder", clinical.drop_every_s, drop.look))
    if clinical.structured_reports:
        zone = config.node.timezone
        reports = ReceivedReports(store=store, spool=config.spool_dir, zone=zone, issuer=clinical.issuer)
        duties.append(Duty("structured reports", REPORTS_EVERY_S, reports.look))
    if clinical.fhir.base_url:
        duties.append(Duty("FHIR questions", ASK_EVERY_S, NewQuestions(config, store).look))
        askers = [Asker(config, store, is_stopping) for _ in range(FHIR_ASKERS)]
        duties += [Duty(f"FHIR server {n}", ASK_EVERY_S, asker.look) for n, asker in enumerate(askers, start=1)]
    return duties


def drop_folder_of(config: Config, store: Store) -> DropFolder | None:
    """The drop folder of a configuration; None where it has none."""
    clinical = config.clinical
    if not clinical.drop_folder:
        return None
    zone = ZoneInfo(config.node.timezone)
    return DropFolder(store=store, folder=Path(clinical.drop_folder), zone=zone, issuer=clinical.issuer)
