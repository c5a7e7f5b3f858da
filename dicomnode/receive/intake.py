"""The way of a received file: bytes durable, header read, row written. Knows nothing of the network."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from sqlalchemy.exc import DataError, IntegrityError, SQLAlchemyError
from sqlalchemy.orm import Session

from dicomnode.dicom.ct_slices import reason_not_used
from dicomnode.dicom.headers import text_of
from dicomnode.dicom.statuses import OUT_OF_RESOURCES
from dicomnode.dicom.uids import is_valid_uid, usable_uid
from dicomnode.environment import said_by
from dicomnode.errors import ReceiveError, Refusal
from dicomnode.receive.part10 import Origin
from dicomnode.receive.reading import Reading, read
from dicomnode.receive.spool import IncomingFile, Spool
from dicomnode.records import Header, ReceivedInstance
from dicomnode.store.engine import Store
from dicomnode.store.receive.indexing import index_instances
from dicomnode.store.receive.receptions import Indexed, open_association
from dicomnode.store.receive.series_now import Arrived

log = logging.getLogger(__name__)

UNNAMED = usable_uid("")
"""What an instance is called that a command does not name."""
MAX_TOLD = 128
"""Characters of a UID that is none in the log; it may be as long as a peer likes."""


@dataclass(slots=True, kw_only=True, eq=False)
class Peer:
    """Who is at the other end of one association.

    Attributes
    ----------
    receiver : names this acceptor.
    association_id : of its row, which the first instance writes: a Verification alone leaves none.
    images : instances acknowledged so far.
    told_of : what the log has named already: UIDs that are none, a mismatch of UIDs.
    """

    receiver: str
    calling_ae: str
    called_ae: str
    address: str
    association_id: int | None = None
    images: int = 0
    told_of: set[str] = field(default_factory=set)


@dataclass(slots=True, kw_only=True, eq=False)
class Arrival:
    """One whole data set in its temporary file, on the way to its name and its row.

    Attributes
    ----------
    reading : what was read of its header, or why nothing could be; None while nobody has read it.
    ended : processes that ended while they read it.
    described : its record without a path, once the file was read.
    """

    incoming: IncomingFile
    origin: Origin
    peer: Peer
    reading: Reading | Exception | None = None
    ended: int = 0
    described: ReceivedInstance | None = None


ForEach = Callable[[Callable[[Path], "Failed"], Iterable[Path]], Iterable["Failed"]]
Failed = dict[Arrival, Exception]
Outcome = Indexed | Exception
"""What became of one arrival; an error is the one that its C-STORE response tells of."""


class Intake:
    """Takes instances in: spool first, database second.

    Parameters
    ----------
    settle_s : how long after the last instance the assembler looks at its series.
    max_instances : of one series; further ones are kept as bytes only.
    """

    def __init__(self, store: Store, spool: Spool, *, settle_s: float, max_instances: int) -> None:
        self.store = store
        self.spool = spool
        self.settle_s = settle_s
        self.max_instances = max_instances

    def take(self, incoming: IncomingFile, origin: Origin, peer: Peer) -> Indexed:
        """Make one instance durable and index it; only then may C-STORE say Success.

        Raises
        ------
        ReceiveError : 0xA700, disk or database cannot take it now; the sender is to try again.
        """
        (outcome,) = self.take_all([Arrival(incoming=incoming, origin=origin, peer=peer)])
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def take_all(self, arrivals: Sequence[Arrival], for_each: ForEach = map) -> list[Outcome]:
        """Make instances durable and index them together; what became of each. Never raises.

        Where the database is away the files stay, whole and under their names: they may be the same that were
        acknowledged before, and whoever sends them again finds it done. What nobody sends again the next sweep indexes.
        A fault of one instance costs the others nothing.

        Parameters
        ----------
        for_each : does something with each folder, such as several at once: the disk orders what it is given together.
        """
        outcomes: dict[Arrival, Outcome] = {}
        placed = self._place(arrivals, outcomes, for_each)
        outcomes |= self._index_together(placed)
        return [outcomes[arrival] for arrival in arrivals]

    def describe(self, arrival: Arrival) -> ReceivedInstance:
        """The record of an arrival; read here where nobody has read it yet.

        Raises
        ------
        ReceiveError : 0xA700, the disk or the memory failed.
        """
        if arrival.described is None:
            incoming, reading = arrival.incoming, arrival.reading
            if reading is None:
                incoming.flush()
                reading = _read(incoming.path)
            if isinstance(reading, Exception):
                raise reading
            arrival.described = describe(
                reading, arrival.origin, digest=incoming.digest, size_bytes=incoming.size_bytes
            )
        return arrival.described

    def _place(
        self, arrivals: Sequence[Arrival], outcomes: dict[Arrival, Outcome], for_each: ForEach
    ) -> dict[Arrival, ReceivedInstance]:
        """Give the files their names, durably; those that failed are among the outcomes."""
        placed: dict[Arrival, ReceivedInstance] = {}
        unsynced: set[Path] = set()
        for arrival in arrivals:
            try:
                placed[arrival] = self._commit(arrival, unsynced)
            except Exception as fault:  # noqa: BLE001 (it is the outcome; whoever asked for it tells the sender)
                outcomes[arrival] = fault
        for failed in for_each(lambda folder: self._sync(folder, self._inside(folder, placed)), list(unsynced)):
            outcomes.update(failed)
        placed = {arrival: received for arrival, received in placed.items() if arrival not in outcomes}
        for arrival in arrivals:
            arrival.incoming.discard()
        return placed

    def _commit(self, arrival: Arrival, unsynced: set[Path] | None) -> ReceivedInstance:
        received = self.describe(arrival)
        _tell_of_odd_uids(received, arrival.peer)
        path = self.spool.commit(
            arrival.incoming,
            study_uid=received.study_uid,
            series_uid=received.series_uid,
            sop_instance_uid=received.sop_instance_uid,
            unsynced=unsynced,
        )
        return replace(received, path=path)

    def _inside(self, folder: Path, placed: Mapping[Arrival, ReceivedInstance]) -> list[Arrival]:
        return [one for one, received in placed.items() if (self.spool.root / received.path).parent == folder]

    def _sync(self, folder: Path, inside: Sequence[Arrival]) -> Failed:
        """Make a folder durable; where retention was faster, each file in it by itself."""
        try:
            self.spool.sync(folder)
        except FileNotFoundError:
            return {arrival: fault for arrival in inside if (fault := self._fault_again(arrival)) is not None}
        except OSError as fault:
            return {one: ReceiveError(f"spool: {said_by(fault)}", OUT_OF_RESOURCES) for one in inside}
        return {}

    def _fault_again(self, arrival: Arrival) -> Exception | None:
        try:
            self._commit(arrival, None)
        except Exception as fault:  # noqa: BLE001 (as above)
            return fault
        return None

    def _index_together(self, placed: dict[Arrival, ReceivedInstance]) -> dict[Arrival, Outcome]:
        """Write the rows in one transaction; where that fails for what one of them is, each in its own."""
        if not placed:
            return {}
        try:
            return dict(self._index(placed))
        except (ReceiveError, DataError, IntegrityError) as fault:
            if len(placed) == 1:
                return dict.fromkeys(placed, fault)  # this instance's own fault: trying again would not help
        except (SQLAlchemyError, MemoryError) as fault:
            return dict.fromkeys(placed, ReceiveError(f"database: {type(fault).__name__}", OUT_OF_RESOURCES))
        except Exception as fault:  # noqa: BLE001 (as above)
            if len(placed) == 1:
                return dict.fromkeys(placed, fault)
        return {one: outcome for one in placed for outcome in self._index_together({one: placed[one]}).values()}

    def _index(self, placed: dict[Arrival, ReceivedInstance]) -> dict[Arrival, Outcome]:
        with self.store.write() as session:
            rows = _opened_associations(session, [arrival.peer for arrival in placed])
            indexed = index_instances(
                session,
                [Arrived(received, rows[one.peer], one.peer.calling_ae) for one, received in placed.items()],
                settle_s=self.settle_s,
                max_instances=self.max_instances,
            )
            if not all((self.spool.root / received.path).exists() for received in placed.values()):
                # The same bytes lay there already, and retention took them before the row was locked.
                raise ReceiveError("the file was purged meanwhile", OUT_OF_RESOURCES)
        # Not before the commit: a row that was rolled back has no id.
        for peer, row_id in rows.items():
            peer.association_id = row_id
        return dict(zip(placed, indexed, strict=True))


def _opened_associations(session: Session, peers: Iterable[Peer]) -> dict[Peer, int]:
    """The row of each peer's association, opened with its first image."""
    return {
        peer: open_association(
            session,
            receiver=peer.receiver,
            calling_ae=peer.calling_ae,
            called_ae=peer.called_ae,
            peer_address=peer.address,
        )
        if peer.association_id is None
        else peer.association_id
        for peer in dict.fromkeys(peers)
    }


def _read(path: Path) -> Reading:
    try:
        return read(path)
    except (OSError, MemoryError) as fault:
        raise ReceiveError(f"spool: {said_by(fault)}", OUT_OF_RESOURCES) from fault


def _tell_of_odd_uids(received: ReceivedInstance, peer: Peer) -> None:
    """One line for each UID that is none, with what it is kept under, and one for names that differ."""
    if received.named_otherwise and Refusal.UID_MISMATCH not in peer.told_of:
        peer.told_of.add(Refusal.UID_MISMATCH)
        named = {"sop_instance_uid": received.sop_instance_uid, "sop_class_uid": received.sop_class_uid}
        others = {keyword: uid[:MAX_TOLD] for keyword, uid in received.named_otherwise.items()}
        log.warning(
            "data set is another than the command names", extra={**named, **others, "calling_ae": peer.calling_ae}
        )
    kept = {
        "StudyInstanceUID": received.study_uid,
        "SeriesInstanceUID": received.series_uid,
        "SOPInstanceUID": received.sop_instance_uid,
    }
    for keyword, uid in kept.items():
        sent = text_of(received.header, keyword)
        if sent and not is_valid_uid(sent) and sent not in peer.told_of:
            peer.told_of.add(sent)
            facts = {"keyword": keyword, "sent": sent[:MAX_TOLD], "kept_under": uid, "calling_ae": peer.calling_ae}
            log.warning("UID is no UID", extra=facts)


def describe(reading: Reading, origin: Origin, *, digest: str, size_bytes: int) -> ReceivedInstance:
    """The record of one file, still without its path.

    A UID that could not serve as a name is replaced, the same one by the same: what came together stays together. Where
    the command named no instance, the data set does.
    """
    names_one = origin.sop_instance_uid != UNNAMED
    sop_instance_uid = usable_uid(origin.sop_instance_uid if names_one else text_of(reading.header, "SOPInstanceUID"))
    reason = _reason(reading, origin)
    return ReceivedInstance(
        sop_instance_uid=sop_instance_uid,
        sop_class_uid=origin.sop_class_uid,
        study_uid=_kept_under(reading.header, "StudyInstanceUID", "study", sop_instance_uid),
        series_uid=_kept_under(reading.header, "SeriesInstanceUID", "series", sop_instance_uid),
        transfer_syntax_uid=origin.transfer_syntax_uid,
        path=Path(),
        digest=digest,
        size_bytes=size_bytes,
        header=reading.header,
        not_used=None if reason is None else reason.value,
        named_otherwise=named_otherwise(reading.header, origin),
        rejection=reading.rejection,
    )


def _reason(reading: Reading, origin: Origin) -> Refusal | None:
    """Why an instance is not used; what it is, where that suffices, before what is wrong with it."""
    # A file that was not read to its end may have pixels.
    reason = reason_not_used(reading.header, has_pixels=reading.has_pixels or reading.refusal is not None)
    if reading.refusal is not None and reason in (None, Refusal.UNREADABLE, Refusal.INVALID_UID):
        return reading.refusal
    return Refusal.UID_MISMATCH if reason is None and named_otherwise(reading.header, origin) else reason


def named_otherwise(header: Header, origin: Origin) -> dict[str, str]:
    """UIDs of the data set that are others than those of the command that brought it, by keyword; as they were sent."""
    said = {"SOPInstanceUID": origin.sop_instance_uid, "SOPClassUID": origin.sop_class_uid}
    stated = {keyword: text_of(header, keyword) for keyword in said}
    same = {keyword: (uid, usable_uid(uid), UNNAMED) for keyword, uid in stated.items()}
    return {keyword: uid for keyword, uid in stated.items() if uid and said[keyword] not in same[keyword]}


def _kept_under(header: Header, keyword: str, what: str, sop_instance_uid: str) -> str:
    """The UID that came, or the one that stands for it; images of which nothing came belong to no other."""
    sent = text_of(header, keyword)
    return usable_uid(sent, what) if sent else usable_uid(sent, what, sop_instance_uid)
