"""Storage commitment: reports on the same association, on another one, after a restart, late, never, or refused."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid
from pynetdicom import AE, build_role, evt
from pynetdicom.pdu import A_ASSOCIATE_RJ
from pynetdicom.sop_class import CTImageStorage
from sqlalchemy import select, update

from dicomnode.deliver.commitment import CommitmentNotOffered, request_commitment
from dicomnode.dicom.commitment import (
    ALL_COMMITTED,
    STORAGE_COMMITMENT,
    STORAGE_COMMITMENT_INSTANCE,
    UNKNOWN_INSTANCE,
    Reference,
    read_report,
    references_in,
    report_of,
    request_of,
)
from dicomnode.store.engine import Store
from dicomnode.store.tables import Commitment, Outbox
from tests.integration.deliver.pacs import ScriptedPacs
from tests.integration.deliver.world import World, until
from tests.integration.receive.world import Reception
from tests.integration.store.fixture import both_databases

PACS = {"name": "pacs", "ae_title": "PACS", "host": "127.0.0.1", "port": 104}
REFERENCES = [Reference("1.2.840.1", "1.2.3"), Reference("1.2.840.1", "1.2.4")]


@pytest.fixture
def pacs(tmp_path: Path) -> Iterator[ScriptedPacs]:
    with ScriptedPacs(tmp_path / "pacs") as running:
        yield running


@pytest.fixture
def reception(store: Store, new_reception: Callable[..., Reception]) -> Reception:
    """The node's own SCP; only a scanner is listed, the PACS is known as a destination."""
    return new_reception(store, senders=({"ae_title": "CT1"},), destinations=(PACS,))


def transactions(world: World) -> list[Commitment]:
    with world.store.read() as session:
        return list(session.scalars(select(Commitment).order_by(Commitment.id)))


def test_a_report_says_what_was_written_into_it() -> None:
    report = read_report(report_of("1.9", REFERENCES[:1], REFERENCES[1:]))
    assert (report.transaction_uid, report.committed, report.failed) == ("1.9", ("1.2.3",), {"1.2.4": UNKNOWN_INSTANCE})
    assert references_in(request_of("1.9", REFERENCES)) == ("1.9", REFERENCES)
    nothing_held = report_of("1.9", [], REFERENCES)
    assert "ReferencedSOPSequence" not in nothing_held  # type 1C: absent, never empty
    with pytest.raises(ValueError, match="names no transaction"):
        read_report(Dataset())
    with pytest.raises(ValueError, match="names no transaction or no instance"):
        references_in(Dataset())


def test_a_report_on_the_same_association_proves_the_job(world: World, pacs: ScriptedPacs) -> None:
    job_id, _ = world.deliver("seg", "sr", "sc", proof="commitment")
    world.sender(world.destination(pacs.port, proof="commitment")).step()
    assert world.job(job_id).status == "done"
    assert {row.proven_by for row in world.rows(job_id)} == {"commitment"}
    assert world.events("delivered", "job")[0].detail["proof"] == {"pacs": "commitment"}
    assert (pacs.requests, pacs.looks) == (1, 0)
    (transaction,) = transactions(world)
    assert transaction.concluded_at is not None


@both_databases
def test_a_report_on_an_association_of_its_own_reaches_the_node_s_scp(
    world: World, pacs: ScriptedPacs, reception: Reception
) -> None:
    pacs.report_to = ("127.0.0.1", reception.port, "NODE")
    job_id, _ = world.deliver("seg", "sr", proof="commitment")
    sender = world.sender(world.destination(pacs.port, proof="commitment"))
    world.step_until(sender, lambda: world.job(job_id).status == "done")
    assert {row.proven_by for row in world.rows(job_id)} == {"commitment"}
    assert pacs.requests == 1


def test_a_report_after_a_restart_of_the_node_counts(
    world: World, pacs: ScriptedPacs, store: Store, new_reception: Callable[..., Reception]
) -> None:
    job_id, results = world.deliver("sr", proof="commitment")
    pacs.mute_reports = 1
    destination = world.destination(pacs.port, proof="commitment")
    world.sender(destination).step()
    assert world.statuses(job_id) == ["sent"]
    # the node is started anew, and only then the PACS reports
    reception = new_reception(store, destinations=(PACS,))
    pacs.report_to = ("127.0.0.1", reception.port, "NODE")
    reference = Reference(results[0].sop_class_uid, results[0].sop_instance_uid)
    pacs.report(report_of(transactions(world)[0].transaction_uid, [reference], []), None)  # type: ignore[arg-type]
    world.step_until(world.sender(destination), lambda: world.job(job_id).status == "done")
    assert (world.rows(job_id)[0].proven_by, pacs.requests) == ("commitment", 1)


def test_what_the_pacs_does_not_commit_to_is_sent_again(world: World, pacs: ScriptedPacs) -> None:
    job_id, results = world.deliver("seg", "sr", "sc", proof="commitment")
    pacs.loses = {results[1].sop_instance_uid: 1}
    sender = world.sender(world.destination(pacs.port, proof="commitment"))
    world.step_until(sender, lambda: world.job(job_id).status == "done")
    assert [pacs.asked.count(result.sop_instance_uid) for result in results] == [1, 2, 1]
    assert [row.losses for row in world.rows(job_id)] == [0, 1, 0]
    (event,) = world.events("miss")
    assert "no such SOP instance" in event.detail["error"]


def test_a_request_without_a_report_is_repeated_and_in_the_end_replaced_by_a_query(
    world: World, pacs: ScriptedPacs
) -> None:
    job_id, results = world.deliver("sr", proof="commitment")
    pacs.mute_reports = 100
    sender = world.sender(world.destination(pacs.port, proof="commitment", proof_wait_s=0.05))
    world.step_until(sender, lambda: world.job(job_id).status == "done", within_s=30.0)
    assert (pacs.requests, world.rows(job_id)[0].proven_by) == (3, "query")
    assert pacs.asked == [results[0].sop_instance_uid]


def test_a_report_on_the_first_of_two_requests_counts(
    world: World, pacs: ScriptedPacs, store: Store, new_reception: Callable[..., Reception]
) -> None:
    job_id, results = world.deliver("sr", proof="commitment")
    pacs.mute_reports = 2
    sender = world.sender(world.destination(pacs.port, proof="commitment", proof_wait_s=0.05))
    world.step_until(sender, lambda: pacs.requests == 2)
    pacs.report_to = ("127.0.0.1", new_reception(store, destinations=(PACS,)).port, "NODE")
    reference = Reference(results[0].sop_class_uid, results[0].sop_instance_uid)
    with store.write() as session:
        session.execute(update(Outbox).values(next_attempt_at=time.time() + 1000))
    pacs.report(report_of(transactions(world)[0].transaction_uid, [reference], []), None)  # type: ignore[arg-type]
    world.step_until(sender, lambda: world.job(job_id).status == "done")
    assert world.rows(job_id)[0].proven_by == "commitment"


def test_a_pacs_without_storage_commitment_is_queried(world: World, tmp_path: Path) -> None:
    pacs = ScriptedPacs(tmp_path / "pacs")
    pacs.offers_commitment = False
    job_id, _ = world.deliver("sr", proof="commitment")
    with pacs:
        destination = world.destination(pacs.port, proof="commitment")
        world.sender(destination).step()
        with pytest.raises(CommitmentNotOffered, match="does not accept storage commitment"):
            request_commitment(destination, "NODE", world.store, "1.2", REFERENCES)
    assert world.job(job_id).status == "done"
    assert world.events("delivered", "job")[0].detail["proof"] == {"pacs": "query"}


def test_commitment_is_asked_for_again_when_the_pacs_was_down(world: World, tmp_path: Path) -> None:
    job_id, _ = world.deliver("sr", proof="commitment")
    pacs = ScriptedPacs(tmp_path / "pacs")
    pacs.mute_reports = 1
    with pacs:
        sender = world.sender(world.destination(pacs.port, proof="commitment", proof_wait_s=0.2))
        sender.step()
    until(lambda: world.rows(job_id)[0].next_attempt_at < time.time())
    sender.step()
    assert "no connection" in world.rows(job_id)[0].error
    with pacs:
        world.step_until(sender, lambda: world.job(job_id).status == "done")
    assert world.rows(job_id)[0].proven_by == "commitment"


def reporting(reception: Reception, calling_ae: str, *more: str) -> AE:
    entity = AE(calling_ae)
    for uid in (STORAGE_COMMITMENT, *more):
        entity.add_requested_context(uid)
    return entity


def is_rejected(peer: AE, where: dict[str, Any]) -> bool:
    """Whether an association is rejected, by the PDU: pynetdicom's requestor loses one that comes very early."""
    seen: list[object] = []
    peer.associate(**where, evt_handlers=[(evt.EVT_PDU_RECV, lambda event: seen.append(event.pdu))])
    return any(isinstance(pdu, A_ASSOCIATE_RJ) for pdu in seen)


def test_a_destination_may_report_though_it_is_no_sender_but_may_not_send(reception: Reception) -> None:
    role = build_role(STORAGE_COMMITMENT, scu_role=True, scp_role=True)
    where = {"addr": "127.0.0.1", "port": reception.port, "ae_title": "NODE"}
    assoc = reporting(reception, "PACS").associate(**where, ext_neg=[role])
    assert assoc.is_established
    report = report_of(generate_uid(), REFERENCES, [])
    answer, _ = assoc.send_n_event_report(report, ALL_COMMITTED, STORAGE_COMMITMENT, STORAGE_COMMITMENT_INSTANCE)
    assert answer.Status == 0x0115  # nobody asked for this transaction
    nameless = Dataset()
    nameless.RetrieveAETitle = "PACS"
    answer, _ = assoc.send_n_event_report(nameless, ALL_COMMITTED, STORAGE_COMMITMENT, STORAGE_COMMITMENT_INSTANCE)
    assert answer.Status == 0x0115
    # the node is no archive: it commits to nothing
    answer, _ = assoc.send_n_action(request_of("1.2", REFERENCES), 1, STORAGE_COMMITMENT, STORAGE_COMMITMENT_INSTANCE)
    assert answer.Status == 0x0123
    assoc.release()
    assert is_rejected(reporting(reception, "PACS", CTImageStorage), where)
    assert is_rejected(reporting(reception, "STRANGER"), where)


def test_no_uid_of_a_patient_s_study_is_needed_to_refuse_a_foreign_report(
    reception: Reception, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    test_a_destination_may_report_though_it_is_no_sender_but_may_not_send(reception)
    assert "commitment reported" in {record.getMessage() for record in caplog.records}
    assert "report not understood" in {record.getMessage() for record in caplog.records}
