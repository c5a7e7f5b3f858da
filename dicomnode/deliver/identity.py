"""Before anything leaves: whose study is it, as the destination says?

Results in the wrong folder are the worst failure there is. The destination is asked for the study of each result. Where
it says another identity, that one is sent; where it may be another person, nothing is sent and somebody is called. The
rule stands in :mod:`dicomnode.dicom.identity`.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from dicomnode.config.destinations import AnyDestination
from dicomnode.config.whole import Config
from dicomnode.deliver.ahead import AskedAhead
from dicomnode.deliver.outgoing import Coercion, Outgoing
from dicomnode.deliver.query import FindNotOffered
from dicomnode.deliver.route import Route
from dicomnode.dicom.identity import Agreement, Identity, Judgement, judge
from dicomnode.errors import DeliveryError, LeaseLost
from dicomnode.store.deliver import holding
from dicomnode.store.deliver.outbox import Parcel
from dicomnode.store.engine import Store

logger = logging.getLogger(__name__)

LOOK_AGAIN_S = 600.0
"""A conflict may be settled in the archive itself: this often it is asked whether it still stands."""

Batch = Sequence[tuple[Parcel, Outgoing]]
Answers = Mapping[str, Sequence[Identity]] | None
"""Study Instance UID -> identities; None: the destination cannot be asked."""


@dataclass(frozen=True, slots=True)
class _Judged:
    """A result with what follows for it; no judgement: ``told`` says why nothing was asked."""

    parcel: Parcel
    file: Outgoing
    told: str
    judgement: Judgement | None = None

    @property
    def keywords(self) -> tuple[str, ...]:
        return self.judgement.keywords if self.judgement else ()


class IdentityCheck:
    """Asks one destination whose study it is, and holds what it contradicts.

    Parameters
    ----------
    data_dir : the folder that the paths of the outbox are relative to.
    ahead : what the destination was asked before there were results.
    look_again_s : pause between two looks at what is held.
    """

    def __init__(
        self,
        config: Config,
        store: Store,
        data_dir: Path,
        destination: AnyDestination,
        route: Route,
        ahead: AskedAhead,
        *,
        look_again_s: float = LOOK_AGAIN_S,
    ) -> None:
        self._store = store
        self._data_dir = data_dir
        self._destination = destination
        self._route = route
        self._ahead = ahead
        self._calling_ae = config.node.ae_title
        self._provisional = re.compile(config.node.provisional_names)
        self._look_again_s = look_again_s

    def cleared(self, batch: Batch) -> tuple[Batch, list[tuple[Parcel, DeliveryError]]]:
        """What may leave of a leased batch, each with the identity that it is to carry there; the rest is held.

        Returns
        -------
        what may leave, and what cannot be read.

        Raises
        ------
        DeliveryError : the destination could not be asked now; nothing may leave.
        """
        asked = [(parcel, file) for parcel, file in batch if parcel.identity_by != holding.OWN]
        agreed = self._agreed_ahead(asked)
        answers = self._ask([parcel for parcel, _ in asked if parcel.outbox_id not in agreed])
        judged, unreadable = [], []
        for parcel, file in batch:
            try:
                judged.append(agreed.get(parcel.outbox_id) or self._judged(parcel, file, answers))
            except DeliveryError as fault:
                unreadable.append((parcel, fault))
        return list(self._settled(judged)), unreadable

    def _agreed_ahead(self, batch: Batch) -> dict[int, _Judged]:
        """Outbox id -> what the destination was asked about while the models ran, and agreed with in everything.

        All else is asked now: an earlier answer must hold nothing back, and put no other identity into a result.
        """
        early = self._ahead.taken(parcel.study_uid for parcel, _ in batch)
        judged = {}
        for parcel, file in batch:
            with suppress(DeliveryError):  # one that cannot be read is told of where the answers of now are judged
                if parcel.study_uid in early:
                    judged[parcel.outbox_id] = self._judged(parcel, file, early)
        return {
            outbox_id: one
            for outbox_id, one in judged.items()
            if one.judgement is not None and one.judgement.agreement is Agreement.SAME
        }

    def look_again(self) -> int:
        """Ask again about what is held; returns how many results that released.

        Raises
        ------
        DeliveryError : the destination could not be asked now.
        """
        with self._store.read() as session:
            held = holding.held_parcels(session, self._destination.name, due=time.time())
        if not held:
            return 0
        answers = self._ask(held)
        released = 0
        for parcel in held:
            still_held = self._is_in_doubt(parcel, answers)
            with self._store.write() as session:
                if still_held:
                    holding.look_again(session, parcel, at=time.time() + self._look_again_s)
                else:
                    released += holding.release_settled(session, parcel)
        return released

    def _is_in_doubt(self, parcel: Parcel, answers: Answers) -> bool:
        try:
            judged = self._judged(parcel, Outgoing.from_file(self._data_dir / parcel.path), answers)
        except DeliveryError:
            return True  # it cannot be read, now or for ever: it stays where it is
        return judged.judgement is not None and judged.judgement.agreement is Agreement.CONFLICT

    def _ask(self, parcels: Sequence[Parcel]) -> Answers:
        if self._destination.identity == "trust" or not parcels:
            return None
        try:
            return self._route.find_identities(dict.fromkeys(parcel.study_uid for parcel in parcels))
        except FindNotOffered:
            return None

    def _judged(self, parcel: Parcel, file: Outgoing, answers: Answers) -> _Judged:
        if parcel.identity_by == holding.OWN:
            return _Judged(parcel, file, "own, as an operator decided")
        if answers is None:
            trusted = self._destination.identity == "trust"
            return _Judged(parcel, file, "own, trusted" if trusted else "own, since C-FIND is not offered")
        trusted = parcel.identity_by == holding.PACS
        judgement = judge(file.identity(), answers[parcel.study_uid], self._provisional, trusted=trusted)
        return _Judged(parcel, file, str(judgement.agreement), judgement)

    def _settled(self, judged: Sequence[_Judged]) -> Iterator[tuple[Parcel, Outgoing]]:
        """Note whose identity each goes under, hold what is in doubt, and give the rest the identity it is to carry."""
        since = self._recorded(judged)
        for one in judged:
            if one.parcel.outbox_id not in since:
                continue
            if one.judgement is None or one.judgement.agreement in (Agreement.ABSENT, Agreement.SAME):
                yield one.parcel, one.file
            elif one.judgement.agreement is Agreement.CONFLICT:
                self._hold(one.parcel, one.judgement)
            else:
                yield one.parcel, self._coerced(one, one.judgement, since[one.parcel.outbox_id])

    def _recorded(self, judged: Sequence[_Judged]) -> dict[int, float]:
        """Outbox id -> since when it stands so; without what was withdrawn or taken over in the meantime."""
        since = {}
        with self._store.write() as session:
            for one in judged:
                try:
                    since[one.parcel.outbox_id] = holding.record_identity(session, one.parcel, one.told, one.keywords)
                except LeaseLost:
                    continue
        return since

    def _coerced(self, one: _Judged, judgement: Judgement, since: float) -> Outgoing:
        facts = self._about(one.parcel, differs=list(judgement.keywords))
        logger.info("result leaves under the identity of the destination", extra=facts)
        at = datetime.fromtimestamp(since, UTC).strftime("%Y%m%d%H%M%S+0000")
        return replace(one.file, coercion=Coercion(judgement.taken, self._calling_ae, at))

    def _hold(self, parcel: Parcel, judgement: Judgement) -> None:
        try:
            with self._store.write() as session:
                look_at = time.time() + self._look_again_s
                holding.record_held(session, parcel, reason=judgement.reason, look_at=look_at)
        except LeaseLost:
            return
        facts = self._about(parcel, reason=judgement.reason, differs=list(judgement.keywords))
        logger.error("result held: it must be settled whose study it is (dicomnode jobs held)", extra=facts)

    def _about(self, parcel: Parcel, **more: object) -> dict[str, object]:
        about = {"action": "identity", "destination": self._destination.name, "job_id": parcel.job_id}
        return {**about, "sop_instance_uid": parcel.sop_instance_uid, **more}
