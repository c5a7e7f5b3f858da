"""Structured reports that other systems send to the node, as a source of context: read once, after reception."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from dicomnode.clinical.sources.document import Document
from dicomnode.clinical.sources.structured_report import ReportReader
from dicomnode.dicom.received import BAD_FILE, read_received
from dicomnode.environment import raise_unless_it_stays
from dicomnode.errors import ContextError, SeriesError
from dicomnode.store.clinical.observations import store_context
from dicomnode.store.clinical.reports import Unread, mark_read, newest_instance, unread_reports
from dicomnode.store.engine import Store
from dicomnode.store.storage import Storage

log = logging.getLogger(__name__)

STORED, NOTHING, DAMAGED, GONE = "stored", "nothing_in_it", "not_readable", "gone"
REPORTS_EVERY_S = 1.0
AT_ONCE = 50
LOOK_BACK = 2000
"""Ids that are looked at again: on PostgreSQL a row with a lower id may be committed later."""


@dataclass(slots=True, kw_only=True)
class ReceivedReports:
    """What was received and not read yet.

    Attributes
    ----------
    zone : IANA name, of reports that state no offset.
    issuer : of patient IDs that state none.
    """

    store: Store
    spool: Path
    zone: str
    issuer: str = ""
    _after: int = 0

    def look(self) -> int:
        """Read every report that is new; returns how many.

        Raises
        ------
        SQLAlchemyError, OSError, EnvironmentFault : database or spool are away; what was not stored is read again.
        """
        with self.store.read() as session:
            newest = newest_instance(session)
            reports = unread_reports(session, after=self._after, limit=AT_ONCE)
        for report in reports:
            self._take(report)
        if len(reports) < AT_ONCE:
            self._after = max(0, newest - LOOK_BACK)
        return len(reports)

    def _take(self, report: Unread) -> None:
        reader = ReportReader(self.zone, self.issuer)
        document, outcome = self._read(report, reader)
        with self.store.write() as session:
            stored = store_context(session, document.observations, document.texts)
            mark_read(session, report, outcome)
        skipped = sorted({why.value for why in reader.skipped})
        if outcome != NOTHING:
            facts = {"outcome": outcome, "new": stored.new, "known": stored.known, "skipped": skipped}
            log.info("structured report read", extra=facts)

    def _read(self, report: Unread, reader: ReportReader) -> tuple[Document, str]:
        nothing = Document((), ())
        path = self.spool / report.path
        if not path.exists():
            Storage(self.store, self.spool).require()
            return nothing, GONE  # its retention is over
        try:
            document = reader.read(read_received(path))
        except ContextError as fault:
            return nothing, fault.faults[0][1].value
        except (SeriesError, *BAD_FILE) as fault:
            raise_unless_it_stays(fault)
            return nothing, DAMAGED
        return document, STORED if document.observations or document.texts else NOTHING
