"""Later CTs: where something was foretold and nobody sent what came, an archive is asked for it once, long after.

What it shows is held against the forecast by ``dicomnode outcomes``, as a CT is that was sent. Why not sooner:
``docs/decisions/090-a-later-ct-is-asked-for-once-and-late.md``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from dicomnode.config.whole import Config
from dicomnode.deliver.archive import Archive
from dicomnode.ops.archive_search import ArchiveSearches
from dicomnode.store.engine import Store
from dicomnode.store.ops.outcomes import HOUR_S, Forecast, exams_of, later_exam
from dicomnode.store.ops.priors import Search, foretold_studies
from dicomnode.store.tables import LaterSearch

SETTLED_H = 12.0
"""So long after the last hour that a forecast is for, what was to come by itself has come."""
NEW_WITHIN_H = 48.0
"""What should have been asked for earlier than this stays as it is: the node was away, or nothing was configured."""


class LaterSearches(ArchiveSearches):
    """For studies with a forecast; of the CTs until its last hour that nearest to the hour foretold is fetched.

    Parameters
    ----------
    forecasts : of the models that the protocols run; at least one.
    """

    table = LaterSearch

    def __init__(
        self,
        config: Config,
        store: Store,
        archive: Archive,
        forecasts: Sequence[Forecast],
        is_stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        super().__init__(config, store, archive, is_stopping)
        self.forecasts = forecasts
        self._until_h = max(one.until_h for one in forecasts)

    def new(self) -> list[str]:
        """Studies whose forecast is over, and settled."""
        over_h = self._until_h + SETTLED_H
        with self.store.read() as session:
            return foretold_studies(
                session,
                scores={(one.model, one.score) for one in self.forecasts},
                since=time.time() - (over_h + NEW_WITHIN_H) * HOUR_S,
                until=time.time() - over_h * HOUR_S,
            )

    def is_there(self, search: Search) -> bool:
        """Whether a later CT came by itself."""
        findings = {one.finding for one in self.forecasts}
        with self.store.read() as session:
            exams = exams_of(session, search.patient)
            return later_exam(exams, search.study_uid, findings=findings, within_h=self._until_h) is not None

    def window(self, search: Search) -> tuple[float, float]:
        """The hours that the forecast is for."""
        return search.scanned_at, search.scanned_at + self._until_h * HOUR_S

    def best(self, usable: Sequence[tuple[float, str]], search: Search) -> str:
        """The nearest to the hour that was foretold."""
        wanted_at = search.scanned_at + self.forecasts[0].at_h * HOUR_S
        return min(usable, key=lambda one: abs(one[0] - wanted_at))[1]
