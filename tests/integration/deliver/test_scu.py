"""Storage and Verification SCU against real sockets."""

from __future__ import annotations

import socket
import struct
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.uid import (
    UID,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    RLELossless,
    SegmentationStorage,
)
from pynetdicom import build_context, evt
from pynetdicom.sop_class import Verification

from dicomnode.config.destinations import Destination
from dicomnode.deliver.association import end_association, request_association
from dicomnode.deliver.outgoing import Outgoing
from dicomnode.deliver.scu import associate, contexts_for, echo, probe, send
from dicomnode.errors import AssociationRejected, DeliveryError, NotAdmitted, ResultDamaged, StoreRefused
from tests.integration.deliver.pacs import ScriptedPacs, StalledPacs, mute_port, web_server_port
from tests.integration.deliver.world import SOP_CLASSES, data_set_sha256, encoded_overview, encoded_result, until


def destination(port: int, **more: object) -> Destination:
    return Destination(**{"name": "pacs", "ae_title": "PACS", "host": "127.0.0.1", "port": port, **more})


def outgoing(tmp_path: Path, kind: str, **more: int) -> Outgoing:
    result = encoded_result(tmp_path, kind, **more)
    return Outgoing.from_file(tmp_path / result.path, sha256=result.sha256)


def test_a_batch_goes_over_one_association_in_order_and_byte_for_byte(tmp_path: Path) -> None:
    files = [outgoing(tmp_path, kind) for kind in ("seg", "sr", "sc", "seg")]
    with ScriptedPacs(tmp_path / "pacs") as pacs:
        outcomes = list(send(files, destination(pacs.port), "NODE"))
    assert [(outcome.status, outcome.error) for outcome in outcomes] == [(0, None)] * 4
    assert pacs.associations == 1
    assert pacs.uids == [file.sop_instance_uid for file in files]
    assert [stored.sha256 for stored in pacs.instances] == [data_set_sha256(file.path) for file in files]
    assert {stored.calling_ae for stored in pacs.instances} == {"NODE"}


def test_a_peer_without_the_files_syntax_gets_it_transcoded_with_the_same_content_failure_mode_13(
    tmp_path: Path,
) -> None:
    file = outgoing(tmp_path, "seg")
    pacs = ScriptedPacs(tmp_path / "pacs")
    pacs.accepted_syntaxes = [ImplicitVRLittleEndian]
    with pacs:
        (outcome,) = send([file], destination(pacs.port), "NODE")
    assert outcome.status == 0
    (stored,) = pacs.instances
    assert stored.transfer_syntax_uid == ImplicitVRLittleEndian
    received, sent = dcmread(stored.path), dcmread(file.path)
    assert received.PatientName == sent.PatientName
    # A private element loses its VR in implicit encoding (PS3.5 6.2.2), never its bytes.
    assert {element.tag: element.value for element in received} == {element.tag: element.value for element in sent}


@pytest.mark.parametrize("taken", [RLELossless, ExplicitVRLittleEndian, ImplicitVRLittleEndian])
def test_a_compressed_overview_arrives_whole_at_a_peer_that_takes_it_and_at_one_that_does_not(
    tmp_path: Path, taken: UID
) -> None:
    file = Outgoing.from_file(encoded_overview(tmp_path))
    pacs = ScriptedPacs(tmp_path / "pacs")
    pacs.accepted_syntaxes = [taken]
    with pacs:
        (outcome,) = send([file], destination(pacs.port), "NODE")
    assert outcome.status == 0
    (stored,) = pacs.instances
    assert stored.transfer_syntax_uid == taken
    received, sent = dcmread(stored.path), dcmread(file.path)
    assert received.SOPInstanceUID == sent.SOPInstanceUID
    assert np.array_equal(received.pixel_array, sent.pixel_array)
    assert np.ptp(received.pixel_array) > 0


def test_a_compressed_file_is_never_offered_in_another_syntax(tmp_path: Path) -> None:
    file = Outgoing(
        path=tmp_path / "x.dcm",
        sop_class_uid=str(SegmentationStorage),
        sop_instance_uid="1.2.3",
        transfer_syntax_uid=str(JPEG2000Lossless),
        size_bytes=10,
    )
    proposed = [(str(cx.abstract_syntax), [str(uid) for uid in cx.transfer_syntax]) for cx in contexts_for([file])]
    assert proposed == [(str(SegmentationStorage), [str(JPEG2000Lossless)])]


def test_each_context_names_the_files_own_syntax_alone(tmp_path: Path) -> None:
    files = [outgoing(tmp_path, "seg"), outgoing(tmp_path, "seg")]
    proposed = [[str(uid) for uid in context.transfer_syntax] for context in contexts_for(files)]
    assert proposed == [[str(ExplicitVRLittleEndian)], [str(ImplicitVRLittleEndian)]]


@pytest.mark.parametrize("status", [0xB000, 0xB006, 0xB007, 0x0111])
def test_a_warning_or_a_duplicate_counts_as_stored(tmp_path: Path, status: int) -> None:
    with ScriptedPacs(tmp_path / "pacs") as pacs:
        pacs.statuses = [status]
        (outcome,) = send([outgoing(tmp_path, "sr")], destination(pacs.port), "NODE")
    assert (outcome.status, outcome.error) == (status, None)


@pytest.mark.parametrize("status", [0xA700, 0xA900, 0xC000, 0x0122, 0x0110])
def test_a_failure_status_is_an_error_that_carries_it_and_the_next_file_still_goes(tmp_path: Path, status: int) -> None:
    files = [outgoing(tmp_path, "sr"), outgoing(tmp_path, "sc")]
    with ScriptedPacs(tmp_path / "pacs") as pacs:
        pacs.statuses = [status]
        refused, stored = send(files, destination(pacs.port), "NODE")
    assert isinstance(refused.error, StoreRefused)
    assert refused.error.status == refused.status == status
    assert f"0x{status:04X}" in str(refused.error)
    assert stored.status == 0
    assert pacs.associations == 1


def test_a_refused_sop_class_is_named_and_the_others_are_stored_failure_mode_13(tmp_path: Path) -> None:
    files = [outgoing(tmp_path, "seg"), outgoing(tmp_path, "sc")]
    pacs = ScriptedPacs(tmp_path / "pacs")
    pacs.refused_classes = {SOP_CLASSES["seg"]}
    with pacs:
        refused, stored = send(files, destination(pacs.port), "NODE")
    assert isinstance(refused.error, AssociationRejected)
    assert "Segmentation Storage" in str(refused.error)
    assert stored.status == 0


def test_a_peer_that_refuses_every_sop_class_is_reachable_and_says_which(tmp_path: Path) -> None:
    pacs = ScriptedPacs(tmp_path / "pacs")
    pacs.refused_classes = set(SOP_CLASSES.values())
    files = [outgoing(tmp_path, "seg"), outgoing(tmp_path, "sr")]
    with pacs, associate(files, destination(pacs.port), "NODE") as link:
        for file, name in zip(files, ["Segmentation Storage", "Comprehensive 3D SR Storage"], strict=True):
            with pytest.raises(AssociationRejected, match=name):
                link.store(file)
        assert not link.is_lost


def test_an_association_lost_in_the_middle_fails_the_rest_without_sending_it(tmp_path: Path) -> None:
    files = [outgoing(tmp_path, "sr") for _ in range(4)]
    with ScriptedPacs(tmp_path / "pacs") as pacs:
        pacs.falls_over_at = {files[1].sop_instance_uid}
        outcomes = list(send(files, destination(pacs.port), "NODE"))
    assert [outcome.status for outcome in outcomes] == [0, None, None, None]
    assert all(isinstance(outcome.error, AssociationRejected) for outcome in outcomes[1:])
    assert pacs.asked == [file.sop_instance_uid for file in files[:2]]


def test_damaged_bytes_are_never_sent(tmp_path: Path) -> None:
    file = outgoing(tmp_path, "seg")
    content = bytearray(file.path.read_bytes())
    content[-1] ^= 1
    file.path.write_bytes(content)
    with ScriptedPacs(tmp_path / "pacs") as pacs:
        damaged, sound = send([file, outgoing(tmp_path, "sr")], destination(pacs.port), "NODE")
    assert isinstance(damaged.error, ResultDamaged)
    assert not damaged.error.retryable
    assert sound.status == 0
    assert pacs.asked == [sound.file.sop_instance_uid]


@pytest.mark.parametrize("content", [b"", b"not DICOM", b"\0" * 128 + b"DICM", b"\0" * 128 + b"DICM" + b"\xff" * 40])
def test_a_file_without_file_meta_information_is_damaged(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.dcm"
    path.write_bytes(content)
    with pytest.raises(ResultDamaged):
        Outgoing.from_file(path)


def test_a_missing_file_may_come_back(tmp_path: Path) -> None:
    with pytest.raises(DeliveryError, match="cannot be read") as caught:
        Outgoing.from_file(tmp_path / "absent.dcm")
    assert caught.value.retryable


def test_a_file_that_vanishes_after_negotiation_fails_alone(tmp_path: Path) -> None:
    files = [outgoing(tmp_path, "sr"), outgoing(tmp_path, "sr")]
    with ScriptedPacs(tmp_path / "pacs") as pacs, associate(files, destination(pacs.port), "NODE") as link:
        files[0].path.unlink()
        with pytest.raises(DeliveryError, match="cannot be read"):
            link.store(files[0])
        assert link.store(files[1]) == 0


def test_echo_passes_and_a_closed_port_is_said(tmp_path: Path) -> None:
    with ScriptedPacs(tmp_path / "pacs") as pacs:
        echo(destination(pacs.port), "NODE")
    with pytest.raises(AssociationRejected, match="Connection refused"):
        echo(destination(pacs.port), "NODE")


def test_an_unknown_host_is_said() -> None:
    with pytest.raises(AssociationRejected, match=r"(?i)name"):
        echo(destination(104, host="no-such-host.invalid"), "NODE")


def test_an_unknown_called_ae_title_is_said(tmp_path: Path) -> None:
    with (
        ScriptedPacs(tmp_path / "pacs", "OTHER", called_ae_checked=True) as pacs,
        pytest.raises(AssociationRejected, match="check ae_title of the destination"),
    ):
        echo(destination(pacs.port), "NODE")


def test_a_rejection_is_said_that_comes_before_the_node_looks_for_it(tmp_path: Path) -> None:
    looks_late = (evt.EVT_REQUESTED, lambda _: time.sleep(1.0))
    with (
        ScriptedPacs(tmp_path / "pacs", "OTHER", called_ae_checked=True) as pacs,
        pytest.raises(NotAdmitted, match=r"permanent.*check ae_title of the destination"),
    ):
        request_association(destination(pacs.port), "NODE", [build_context(Verification)], [looks_late])


class _PausesLate(threading.Event):
    """Where pynetdicom's reactor waits while a request is under way; told to pause here, it goes on for a moment."""

    def wait(self, timeout: float | None = None) -> bool:
        waited = super().wait(timeout)
        time.sleep(0.1)
        return waited


def _returns_late(send: Any) -> Any:
    def late(*arguments: Any) -> None:
        send(*arguments)
        time.sleep(0.3)

    return late


def test_an_answer_is_not_lost_when_pynetdicoms_reactor_pauses_after_it_has_come(tmp_path: Path) -> None:
    def slow_down(event: evt.Event) -> None:
        event.assoc._reactor_checkpoint = _PausesLate()
        event.assoc._reactor_checkpoint.set()
        event.assoc.dimse.send_msg = _returns_late(event.assoc.dimse.send_msg)

    with ScriptedPacs(tmp_path / "pacs") as pacs:
        there = destination(pacs.port, timeout_s=2.0)
        assoc = request_association(there, "NODE", [build_context(Verification)], [(evt.EVT_CONN_OPEN, slow_down)])
        time.sleep(0.05)
        answer = assoc.send_c_echo()
        end_association(assoc)
    assert answer.get("Status") == 0x0000


def test_an_unregistered_calling_ae_title_is_said(tmp_path: Path) -> None:
    class Strict(ScriptedPacs):
        def _entity(self):  # type: ignore[no-untyped-def]
            entity = super()._entity()
            entity.require_calling_aet = ["SOMEONE"]
            return entity

    with Strict(tmp_path / "pacs") as pacs, pytest.raises(AssociationRejected, match="'NODE'; register this node"):
        echo(destination(pacs.port), "NODE")


def test_a_full_peer_is_said(tmp_path: Path) -> None:
    class Busy(ScriptedPacs):
        def _entity(self):  # type: ignore[no-untyped-def]
            entity = super()._entity()
            entity.maximum_associations = 1
            return entity

    file = outgoing(tmp_path, "sr")
    with (
        Busy(tmp_path / "pacs") as pacs,
        associate([file], destination(pacs.port), "OTHER"),
        pytest.raises(AssociationRejected, match=r"transient.*[Ll]imit exceeded"),
    ):
        echo(destination(pacs.port), "NODE")


def test_a_port_that_says_nothing_costs_no_more_than_the_time_out() -> None:
    started = time.monotonic()
    with mute_port() as port, pytest.raises(AssociationRejected, match="no answer to the association request"):
        echo(destination(port, timeout_s=1.0), "NODE")
    assert 0.9 < time.monotonic() - started < 4.0


def test_a_port_that_is_no_dicom_port_is_said() -> None:
    with web_server_port() as port, pytest.raises(AssociationRejected, match="is this a DICOM port"):
        echo(destination(port, timeout_s=5.0), "NODE")


# pynetdicom leaves the socket of an association that was aborted in mid-write to the garbage collector
@pytest.mark.filterwarnings("ignore:Exception ignored in. <socket:pytest.PytestUnraisableExceptionWarning")
def test_a_peer_that_stops_reading_does_not_hold_the_sender_for_ever(tmp_path: Path) -> None:
    file = outgoing(tmp_path, "seg", payload=30_000_000)
    quick = Outgoing(
        path=file.path,
        sop_class_uid=file.sop_class_uid,
        sop_instance_uid=file.sop_instance_uid,
        transfer_syntax_uid=file.transfer_syntax_uid,
        size_bytes=0,
        sha256=file.sha256,
    )
    started = time.monotonic()
    with StalledPacs(tmp_path / "pacs") as pacs:
        (outcome,) = send([quick], destination(pacs.port, timeout_s=1.0), "NODE")
        waited_s = time.monotonic() - started
    assert isinstance(outcome.error, AssociationRejected)
    assert waited_s < 10.0


def test_probe_tells_which_classes_are_taken_and_stores_nothing(tmp_path: Path) -> None:
    pacs = ScriptedPacs(tmp_path / "pacs")
    pacs.refused_classes = {SOP_CLASSES["seg"]}
    with pacs:
        taken = probe(destination(pacs.port), "NODE", list(SOP_CLASSES.values()))
    both = (str(ExplicitVRLittleEndian), str(ImplicitVRLittleEndian))
    assert taken == {SOP_CLASSES["seg"]: (), SOP_CLASSES["sr"]: both, SOP_CLASSES["sc"]: both}
    assert pacs.asked == []


def test_probe_of_a_peer_that_takes_nothing_is_an_answer_not_an_error(tmp_path: Path) -> None:
    pacs = ScriptedPacs(tmp_path / "pacs")
    pacs.refused_classes = set(SOP_CLASSES.values())
    with pacs:
        assert probe(destination(pacs.port), "NODE", [SOP_CLASSES["seg"]]) == {SOP_CLASSES["seg"]: ()}


def test_the_receiving_pacs_lets_go_of_a_connection_that_was_reset(tmp_path: Path) -> None:
    def open_sockets() -> int:
        descriptors = Path("/proc/self/fd").iterdir()
        return sum(str(link.readlink()).startswith("socket:") for link in descriptors if link.is_symlink())

    closed: list[evt.Event] = []  # holds the associations, so that no garbage collection can close for them
    with ScriptedPacs(tmp_path / "pacs") as pacs:
        pacs._server.bind(evt.EVT_CONN_CLOSE, closed.append)
        before = open_sockets()
        for _ in range(3):
            with socket.create_connection(("127.0.0.1", pacs.port)) as peer:
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        until(lambda: len(closed) == 3)
        assert open_sockets() == before


@pytest.mark.filterwarnings("ignore:Invalid value for VR UI")
def test_the_receiving_pacs_keeps_a_readable_file_and_no_path_escapes_its_folder(tmp_path: Path) -> None:
    result = encoded_result(tmp_path, "sr")
    evil = dcmread(tmp_path / result.path)
    evil.file_meta.MediaStorageSOPInstanceUID = evil.SOPInstanceUID = "../evil"
    evil.save_as(tmp_path / "source.dcm")
    files = [Outgoing.from_file(tmp_path / result.path), Outgoing.from_file(tmp_path / "source.dcm")]
    with ScriptedPacs(tmp_path / "pacs") as pacs:
        good, bad = send(files, destination(pacs.port), "NODE")
    assert good.status == 0
    assert bad.error is not None
    (stored,) = pacs.instances
    assert dcmread(stored.path).SOPInstanceUID == result.sop_instance_uid
    assert not (tmp_path / "evil.dcm").exists()
