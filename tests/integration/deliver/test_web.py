"""Delivery by STOW-RS to a scripted DICOMweb server, proven by QIDO-RS: the same flow as over an association."""

from __future__ import annotations

import io
import logging
import shutil
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian

from dicomnode.app.checkup import Finding, checkup
from dicomnode.config.destinations import WebDestination
from dicomnode.config.load import parse_config
from dicomnode.deliver.outgoing import Outgoing
from dicomnode.deliver.route import WebRoute
from dicomnode.errors import AssociationRejected, DeliveryError, DestinationUnavailable
from dicomnode.store.deliver import fallback
from dicomnode.store.engine import Store
from dicomnode.web.credentials import basic
from tests.integration.deliver.pacs import free_port, mute_port
from tests.integration.deliver.web_pacs import Reply, WebPacs, failed, stored
from tests.integration.deliver.world import PATIENT, World, encoded_overview
from tests.tools.certificates import Authority

EMERGENCY = {"PatientName": "Unknown^Male", "PatientID": "TMP-12", "PatientBirthDate": "", "PatientSex": "M"}
ANOTHER = {"PatientName": "Suzuki^Ichirou", "PatientID": "0815", "PatientBirthDate": "19800505", "PatientSex": "M"}


@pytest.fixture
def world(sqlite_template: Path, tmp_path: Path) -> Iterator[World]:
    """HTTP is the same on every database; what is done to the outbox is that of an association."""
    store = Store(f"sqlite:///{shutil.copy(sqlite_template, tmp_path / 'node.db')}")
    yield World(store, tmp_path / "data")
    store.close()


@pytest.fixture
def pacs() -> Iterator[WebPacs]:
    with WebPacs() as running:
        yield running


def patient(**keywords: str) -> Dataset:
    """Somebody, as an archive has them."""
    ds = Dataset()
    for keyword, value in keywords.items():
        setattr(ds, keyword, value)
    return ds


def web(pacs: WebPacs, **more: Any) -> WebDestination:
    """The destination, retried quickly."""
    settings: dict[str, Any] = {"name": "pacs", "url": pacs.url, "retry_min_s": 0.1, "retry_max_s": 0.4}
    return WebDestination(**(settings | {"timeout_s": 5.0} | more))


def test_a_job_is_stored_byte_for_byte_and_proven_over_one_connection(world: World, pacs: WebPacs) -> None:
    job_id, results = world.deliver("seg", "sr", "sc", payload=700_000)
    world.sender(web(pacs)).step()
    assert world.job(job_id).status == "done"
    assert pacs.asked == [result.sop_instance_uid for result in results]
    assert {row.proven_by for row in world.rows(job_id)} == {"query"}
    for result in results:
        assert pacs.files[result.sop_instance_uid] == (world.data_dir / result.path).read_bytes()
    assert pacs.connections == 3  # whose study it is, storing, looking


def test_a_compressed_overview_leaves_native_since_no_server_need_take_it(pacs: WebPacs, tmp_path: Path) -> None:
    file = Outgoing.from_file(encoded_overview(tmp_path))
    with WebRoute(web(pacs)).link([file]) as link:
        assert link.store(file) == 0
    received = pydicom.dcmread(io.BytesIO(pacs.files[file.sop_instance_uid]))
    assert received.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    assert np.array_equal(received.pixel_array, pydicom.dcmread(file.path).pixel_array)


def test_without_a_proof_the_job_ends_sent_unproven_and_nothing_is_queried(world: World, pacs: WebPacs) -> None:
    job_id, _ = world.deliver("sr", proof="status")
    world.sender(web(pacs, proof="status")).step()
    assert world.job(job_id).status == "sent_unproven"
    assert pacs.looks == 0


def test_a_warning_reason_counts_as_sent_and_is_kept(world: World, pacs: WebPacs) -> None:
    job_id, results = world.deliver("sr")
    pacs.replies = [Reply(202, stored(results[0].sop_instance_uid, warning=0xB000), keeps=True)]
    world.sender(web(pacs)).step()
    assert world.job(job_id).status == "done"
    assert [row.last_status for row in world.rows(job_id)] == [0xB000]


def test_a_refused_instance_keeps_its_coded_reason_and_holds_up_nobody(world: World, pacs: WebPacs) -> None:
    job_id, results = world.deliver("seg", "sr", "sc")
    pacs.replies = [Reply(409, failed(results[0].sop_instance_uid, 0x0124))]
    sender = world.sender(web(pacs, retry_min_s=30, retry_max_s=60))
    sender.step()
    assert world.statuses(job_id) == ["pending", "proven", "proven"]
    refused = world.rows(job_id)[0]
    assert refused.last_status == 0x0124
    assert refused.error == "STOW-RS was answered with 0x0124 failure (not authorised), HTTP 409"


def test_a_class_that_the_server_does_not_support_is_learned_and_replaced(world: World, pacs: WebPacs) -> None:
    job_id, results = world.deliver("seg", "sc")
    pacs.replies = [Reply(409, failed(results[0].sop_instance_uid, 0x0122))]
    world.sender(web(pacs)).step()
    assert world.statuses(job_id) == ["replaced", "sent"]
    assert world.job(job_id).status == "queued"  # to make the pictures that stand in for it
    with world.store.read() as session:
        (learned,) = fallback.list_refusals(session)
    assert learned.sop_class_uid == results[0].sop_class_uid
    assert learned.how == "STOW-RS was answered with 0x0122 failure (SOP class not supported), HTTP 409"


def test_a_failure_within_202_is_a_failure(world: World, pacs: WebPacs) -> None:
    job_id, results = world.deliver("sr")
    pacs.replies = [Reply(202, failed(results[0].sop_instance_uid, 0xA700))]
    sender = world.sender(web(pacs))
    world.step_until(sender, lambda: world.job(job_id).status == "done")
    assert pacs.asked == [results[0].sop_instance_uid] * 2
    assert [event.detail["status"] for event in world.events("retry")] == ["0xA700"]


@pytest.mark.parametrize("reason", [0x0111, 45070])
def test_an_instance_that_the_server_has_already_is_not_refused(world: World, pacs: WebPacs, reason: int) -> None:
    job_id, results = world.deliver("sr")
    pacs.replies = [Reply(409, failed(results[0].sop_instance_uid, reason), keeps=True)]
    world.sender(web(pacs)).step()
    assert world.job(job_id).status == "done"


@pytest.mark.parametrize(("status", "kept_as"), [(400, 0x0110), (413, 0xA700), (500, 0x0110)])
def test_a_refusal_without_a_payload_is_tried_again_alone(
    world: World, pacs: WebPacs, status: int, kept_as: int
) -> None:
    job_id, _ = world.deliver("seg", "sr")
    pacs.replies = [Reply(status)]
    world.sender(web(pacs, retry_min_s=30, retry_max_s=60)).step()
    assert world.statuses(job_id) == ["pending", "proven"]
    refused = world.rows(job_id)[0]
    assert (refused.last_status, refused.error) == (kept_as, f"STOW-RS was answered with HTTP {status}")


def test_an_answer_about_other_instances_is_none(world: World, pacs: WebPacs) -> None:
    job_id, results = world.deliver("sr")
    pacs.replies = [Reply(200, stored("1.2.3"))]
    sender = world.sender(web(pacs))
    world.step_until(sender, lambda: world.job(job_id).status == "done")
    assert pacs.asked == [results[0].sop_instance_uid] * 2
    assert "but for other instances" in world.events("retry")[0].detail["error"]


@pytest.mark.parametrize("named", [[""], [None], []])
def test_an_item_that_names_no_instance_is_about_the_only_one_that_was_sent(
    world: World, pacs: WebPacs, named: list[str | None]
) -> None:
    item = {"00081155": {"vr": "UI", "Value": named}, "00081197": {"vr": "US", "Value": [0x0124]}}
    job_id, _ = world.deliver("sr")
    pacs.replies = [Reply(409, {"00081198": {"vr": "SQ", "Value": [item]}})]
    world.sender(web(pacs, retry_min_s=30, retry_max_s=60)).step()
    assert [row.last_status for row in world.rows(job_id)] == [0x0124]


def test_a_success_without_a_payload_is_believed_only_when_the_query_shows_it(world: World, pacs: WebPacs) -> None:
    job_id, results = world.deliver("seg", "sr")
    pacs.replies = [Reply(200), Reply(200, "gibberish", keeps=True)]
    sender = world.sender(web(pacs, proof_wait_s=0.05))
    world.step_until(sender, lambda: world.job(job_id).status == "done")
    assert [row.losses for row in world.rows(job_id)] == [1, 0]
    assert pacs.asked.count(results[0].sop_instance_uid) == 2


def test_an_instance_lost_after_success_is_sent_again(world: World, pacs: WebPacs) -> None:
    job_id, results = world.deliver("seg", "sr", "sc")
    lost = results[1].sop_instance_uid
    pacs.loses = {lost: 2}
    pacs.not_found = True
    sender = world.sender(web(pacs, proof_wait_s=0.05))
    world.step_until(sender, lambda: world.job(job_id).status == "done", within_s=30.0)
    assert [pacs.asked.count(result.sop_instance_uid) for result in results] == [1, 3, 1]
    assert [row.losses for row in world.rows(job_id)] == [0, 2, 0]


def test_a_busy_server_is_left_alone_as_long_as_it_asks(world: World, pacs: WebPacs) -> None:
    job_id, results = world.deliver("seg", "sr", "sc")
    pacs.replies = [
        Reply(200, stored(results[0].sop_instance_uid), keeps=True),
        Reply(503, headers={"Retry-After": "2"}),
    ]
    sender = world.sender(web(pacs, retry_max_s=60.0), echo_interval_s=0.05)
    began = time.time()
    sender.step()
    assert world.statuses(job_id) == ["sent", "pending", "pending"]
    assert len(pacs.asked) == 2  # nothing was tried behind it
    behind = world.rows(job_id)[1:]
    assert [row.last_status for row in behind] == [None, None]
    assert "is not available now (HTTP 503)" in behind[0].error
    assert behind[0].next_attempt_at == behind[1].next_attempt_at > began + 1.9
    world.step_until(sender, lambda: world.job(job_id).status == "done")
    assert time.time() > began + 1.9
    assert pacs.asked == [results[index].sop_instance_uid for index in (0, 1, 1, 2)]


def test_an_absurd_retry_after_is_no_reason_to_wait_for_ever(world: World, pacs: WebPacs) -> None:
    job_id, _ = world.deliver("sr")
    pacs.replies = [Reply(429, headers={"Retry-After": "99999999"})]
    sender = world.sender(web(pacs, retry_max_s=0.3))
    world.step_until(sender, lambda: world.job(job_id).status == "done", within_s=10.0)


def test_a_server_that_is_down_gets_everything_once_when_it_answers(world: World) -> None:
    pacs = WebPacs(port=free_port())
    job_id, results = world.deliver("seg", "sr", "sc")
    sender = world.sender(web(pacs, retry_min_s=1000, retry_max_s=1000), echo_interval_s=0.1)
    assert sender.step() == 3
    assert {row.error for row in world.rows(job_id)} == {
        f"{pacs.url}/studies: no connection: [Errno 111] Connection refused"
    }
    with pacs:
        world.step_until(sender, lambda: world.job(job_id).status == "done", within_s=10.0)
    assert pacs.asked == [result.sop_instance_uid for result in results]


@pytest.mark.parametrize("reply", [Reply(200, {"a": "b" * 5000}, cut=True), Reply(200, {"a": "b" * 300}, drip_s=0.05)])
def test_half_an_answer_is_none(world: World, pacs: WebPacs, reply: Reply) -> None:
    job_id, results = world.deliver("sr", "sc")
    pacs.replies = [reply]
    sender = world.sender(web(pacs, timeout_s=1.0))
    sender.step()
    assert world.statuses(job_id) == ["pending", "pending"]
    world.step_until(sender, lambda: world.job(job_id).status == "done")
    assert sorted(set(pacs.asked)) == sorted(result.sop_instance_uid for result in results)


def test_a_server_that_answers_too_late_does_not_hold_the_sender(world: World, pacs: WebPacs) -> None:
    job_id, results = world.deliver("sr")
    pacs.replies = [Reply(200, stored(results[0].sop_instance_uid), wait_s=20.0)]
    sender = world.sender(web(pacs, timeout_s=1.0))
    began = time.monotonic()
    sender.step()
    assert time.monotonic() - began < 4.0
    assert "no whole answer within 1." in world.rows(job_id)[0].error
    world.step_until(sender, lambda: world.job(job_id).status == "done")


def test_a_port_that_says_nothing_is_given_up_in_time(tmp_path: Path) -> None:
    with mute_port() as port:
        route = WebRoute(WebDestination(name="pacs", url=f"http://127.0.0.1:{port}/dicom-web", timeout_s=1.0))
        with pytest.raises(AssociationRejected, match="no whole answer within 1 s"):
            route.ask()


def test_wrong_credentials_stop_everything_until_they_are_right(
    world: World, pacs: WebPacs, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    secret = tmp_path / "secret"
    secret.write_text("open says me\n")
    secret.chmod(0o600)
    pacs.authorizations = {basic("ai", "open sesame")}
    job_id, results = world.deliver("sr", "sc")
    auth = {"scheme": "basic", "user": "ai", "secret_file": str(secret)}
    sender = world.sender(web(pacs, auth=auth, retry_min_s=1000, retry_max_s=1000), echo_interval_s=0.05)
    sender.step()
    assert pacs.asked == []
    assert {row.error for row in world.rows(job_id)} == {
        f"{pacs.url}/studies: the server does not accept the credentials (HTTP 401)"
    }
    secret.write_text("open sesame\n")
    world.step_until(sender, lambda: world.job(job_id).status == "done", within_s=10.0)
    assert pacs.asked == [result.sop_instance_uid for result in results]
    everything = " ".join(str(record.__dict__) for record in caplog.records if record.name.startswith("dicomnode"))
    assert not any(word in everything for word in ("open", "Basic", "Yamada"))


def test_a_bearer_token_comes_from_the_environment(pacs: WebPacs, monkeypatch: pytest.MonkeyPatch) -> None:
    pacs.authorizations = {"Bearer abc.def-123"}
    route = WebRoute(web(pacs, auth={"scheme": "bearer", "secret_env": "PACS_TOKEN"}))
    with pytest.raises(DestinationUnavailable, match="environment variable PACS_TOKEN holds no secret"):
        route.ask()
    monkeypatch.setenv("PACS_TOKEN", "abc.def-123")
    route.ask()
    monkeypatch.setenv("PACS_TOKEN", "abc def\x01")
    with pytest.raises(DestinationUnavailable, match="characters that no token has") as caught:
        route.ask()
    assert "abc" not in str(caught.value)


def test_a_secret_file_that_is_not_there_is_named(pacs: WebPacs, tmp_path: Path) -> None:
    auth = {"scheme": "bearer", "secret_file": str(tmp_path / "lost")}
    with pytest.raises(DestinationUnavailable, match="lost cannot be read: No such file"):
        WebRoute(web(pacs, auth=auth)).ask()


def oauth(pacs: WebPacs, tmp_path: Path) -> dict[str, Any]:
    """Client credentials at the token endpoint of the scripted server."""
    (tmp_path / "secret").write_text("pass:word")
    (tmp_path / "secret").chmod(0o600)
    token_url = f"http://127.0.0.1:{pacs.port}/token"
    keys = {"token_url": token_url, "client_id": "node 1", "scope": "dicom.write"}
    return {"scheme": "oauth", "secret_file": str(tmp_path / "secret"), **keys}


def test_a_token_is_fetched_once_kept_and_renewed_when_the_server_refuses_it(
    world: World, pacs: WebPacs, tmp_path: Path
) -> None:
    pacs.tokens, pacs.authorizations = ["first", "second"], {"Bearer first"}
    sender = world.sender(web(pacs, auth=oauth(pacs, tmp_path)))
    jobs = [world.deliver("sr", "sc")[0]]
    sender.step()
    assert len(pacs.token_requests) == 1
    pacs.authorizations = {"Bearer second"}
    jobs.append(world.deliver("sr")[0])
    sender.step()
    assert [world.job(job_id).status for job_id in jobs] == ["done", "done"]
    form = {"grant_type": ["client_credentials"], "scope": ["dicom.write"]}
    assert pacs.token_requests == [(basic("node%201", "pass%3Aword"), form)] * 2


def test_a_token_server_that_gives_no_token_is_named(pacs: WebPacs, tmp_path: Path) -> None:
    route = WebRoute(web(pacs, auth=oauth(pacs, tmp_path)))
    pacs.tokens = [401, "not a token"]
    with pytest.raises(DestinationUnavailable, match=r"/token gives no token \(HTTP 401\)"):
        route.ask()
    with pytest.raises(DestinationUnavailable, match="the token from the token server holds characters"):
        route.ask()


def test_a_wrong_path_is_said_and_not_held_against_the_instance(world: World, pacs: WebPacs) -> None:
    job_id, _ = world.deliver("sr")
    world.sender(web(pacs, url=pacs.url.replace("dicom-web", "elsewhere"))).step()
    (row,) = world.rows(job_id)
    assert "does not offer STOW-RS here (HTTP 404); check url" in row.error
    assert row.last_status is None


def test_results_follow_no_redirection(pacs: WebPacs) -> None:
    pacs.answers_all = Reply(307, headers={"Location": "http://elsewhere.invalid/"})
    with pytest.raises(DestinationUnavailable, match=r"points to http://elsewhere\.invalid/; results follow no redir"):
        WebRoute(web(pacs)).ask()


def test_a_server_without_a_query_proves_nothing_and_nothing_is_sent_twice(world: World, pacs: WebPacs) -> None:
    job_id, results = world.deliver("sr")
    pacs.offers_query = False
    sender = world.sender(web(pacs, proof_wait_s=0.01, identity="trust"))
    sender.step()
    time.sleep(0.05)
    assert world.statuses(job_id) == ["sent"]
    assert "does not offer QIDO-RS here" in world.rows(job_id)[0].error
    pacs.offers_query = True
    world.step_until(sender, lambda: world.job(job_id).status == "done")
    assert pacs.asked == [results[0].sop_instance_uid]


@pytest.mark.parametrize("status", [400, 500, 503])
def test_a_query_that_fails_is_repeated_and_nothing_is_sent_twice(world: World, pacs: WebPacs, status: int) -> None:
    job_id, results = world.deliver("sr")
    pacs.find_status = status
    sender = world.sender(web(pacs, proof_wait_s=0.01))
    sender.step()
    assert world.statuses(job_id) == ["sent"]
    assert f"HTTP {status}" in world.rows(job_id)[0].error
    pacs.find_status = 200
    world.step_until(sender, lambda: world.job(job_id).status == "done")
    assert pacs.asked == [results[0].sop_instance_uid]


@pytest.mark.parametrize("nothing", [Reply(200), Reply(200, b" \r\n"), Reply(200, b"null"), Reply(200, []), Reply(204)])
def test_a_server_that_has_nothing_may_say_so_in_any_way(world: World, pacs: WebPacs, nothing: Reply) -> None:
    pacs.nothing = nothing
    job_id, results = world.deliver("sr")
    pacs.loses = {results[0].sop_instance_uid: 1}
    sender = world.sender(web(pacs, proof_wait_s=0.05))
    sender.step()
    assert (pacs.asked, [row.identity for row in world.rows(job_id)]) == ([results[0].sop_instance_uid], ["absent"])
    world.step_until(sender, lambda: world.job(job_id).status == "done")
    assert [row.losses for row in world.rows(job_id)] == [1]


@pytest.mark.parametrize("nothing", [b"{}", b"<html>", b'"none"', b"0"])
def test_what_is_no_list_of_matches_is_no_answer(world: World, pacs: WebPacs, nothing: bytes) -> None:
    pacs.nothing = Reply(200, nothing)
    job_id, _ = world.deliver("sr")
    world.sender(web(pacs)).step()
    assert (pacs.asked, world.statuses(job_id)) == ([], ["pending"])
    assert "whose study it is could not be asked" in world.rows(job_id)[0].error


EMPTY = [None, {"vr": "UI"}, {"vr": "UI", "Value": []}, {"vr": "UI", "Value": [""]}, {"vr": "UI", "Value": [None]}]


@pytest.mark.parametrize("said", EMPTY)
def test_a_match_with_an_empty_key_belongs_to_what_was_asked(world: World, pacs: WebPacs, said: Any) -> None:
    pacs.says = {"0020000D": said, "0020000E": said}
    job_id, results = world.deliver("seg", "sr")
    sender = world.sender(web(pacs, proof_wait_s=0.01))
    sender.step()
    assert world.job(job_id).status == "done"
    pacs.patients = [patient(**ANOTHER)]
    other, _ = world.deliver("sr")
    sender.step()
    assert world.statuses(other) == ["held"]
    assert pacs.asked == [result.sop_instance_uid for result in results]


@pytest.mark.parametrize("said", [*EMPTY, {"vr": "UI", "Value": [{"a": 1}]}, {"vr": "UI", "Value": ["1.2", "1.3"]}])
def test_a_match_that_names_no_instance_is_neither_yes_nor_no(world: World, pacs: WebPacs, said: Any) -> None:
    pacs.offers_lone_query = False
    pacs.says = {"00080018": said}
    job_id, results = world.deliver("sr")
    sender = world.sender(web(pacs, proof_wait_s=0.01))
    sender.step()
    (row,) = world.rows(job_id)
    assert (row.status, row.losses) == ("sent", 0)
    assert "it cannot be told whether the destination has it" in row.error
    pacs.says = {}
    world.step_until(sender, lambda: world.job(job_id).status == "done")
    assert pacs.asked == [results[0].sop_instance_uid]


@pytest.mark.parametrize("matches", [[None], ["1.2.3"], [[]]])
def test_matches_that_are_no_objects_do_not_mean_that_the_study_is_absent(
    world: World, pacs: WebPacs, matches: list[Any]
) -> None:
    pacs.nothing = Reply(200, matches)
    job_id, _ = world.deliver("sr")
    world.sender(web(pacs)).step()
    assert (pacs.asked, world.statuses(job_id)) == ([], ["pending"])
    assert "it cannot be told what it is about" in world.rows(job_id)[0].error


@pytest.mark.parametrize(("count", "headers"), [(1, {"Warning": "299 server: there are more"}), (100, {})])
def test_a_part_of_the_other_studies_does_not_mean_that_this_one_is_absent(
    world: World, pacs: WebPacs, count: int, headers: dict[str, str]
) -> None:
    other = {"0020000D": {"vr": "UI", "Value": ["1.2.3"]}}
    pacs.nothing = Reply(200, [other] * count, headers)
    job_id, _ = world.deliver("sr")
    world.sender(web(pacs)).step()
    assert (pacs.asked, world.statuses(job_id)) == ([], ["pending"])
    assert "not with all that the server has" in world.rows(job_id)[0].error


def test_what_a_server_keeps_back_is_not_lost(world: World, pacs: WebPacs) -> None:
    pacs.offers_lone_query = False
    job_id, (result,) = world.deliver("sr")
    place = (world.result(result.sop_instance_uid).study_uid, result.series_instance_uid)
    pacs.instances = {f"1.2.{number}": place for number in range(3)}
    pacs.page, pacs.knows_offset = 2, False
    sender = world.sender(web(pacs, proof_wait_s=0.01))
    sender.step()
    time.sleep(0.02)
    sender.step()
    assert (world.statuses(job_id), world.rows(job_id)[0].losses) == (["sent"], 0)
    pacs.knows_offset = True
    world.step_until(sender, lambda: world.job(job_id).status == "done")
    assert pacs.asked == [result.sop_instance_uid]


def test_an_emergency_patient_who_was_identified_gets_the_results(world: World, pacs: WebPacs) -> None:
    pacs.patients = [patient(AccessionNumber="A-77", **PATIENT)]
    job_id, results = world.deliver("seg", "sr", patient=EMERGENCY)
    world.sender(web(pacs)).step()
    assert world.job(job_id).status == "done"
    for result in results:
        received = pydicom.dcmread(io.BytesIO(pacs.files[result.sop_instance_uid]))
        assert {keyword: str(received[keyword].value) for keyword in PATIENT} == PATIENT
        assert received.AccessionNumber == "A-77"
        assert "OriginalAttributesSequence" in received
    differs = "PatientID, PatientName, PatientBirthDate, AccessionNumber"
    assert {row.identity for row in world.rows(job_id)} == {f"adopted: {differs}"}


def test_the_same_patient_changes_no_byte(world: World, pacs: WebPacs) -> None:
    pacs.patients = [patient(**PATIENT)]
    job_id, (result,) = world.deliver("sr")
    world.sender(web(pacs)).step()
    assert pacs.files[result.sop_instance_uid] == (world.data_dir / result.path).read_bytes()
    assert [row.identity for row in world.rows(job_id)] == ["same"]


def test_what_may_be_another_person_is_held(world: World, pacs: WebPacs) -> None:
    pacs.patients = [patient(**ANOTHER)]
    job_id, _ = world.deliver("sr")
    world.sender(web(pacs)).step()
    assert world.statuses(job_id) == ["held"]
    assert pacs.asked == []


def test_a_server_that_cannot_say_whose_study_it_is_gets_nothing_unless_it_is_trusted(
    world: World, pacs: WebPacs
) -> None:
    pacs.offers_query = False
    job_id, results = world.deliver("sr", proof="status")
    sender = world.sender(web(pacs, proof="status"))
    sender.step()
    assert pacs.asked == []
    assert "check url and query_url, or set identity = 'trust'" in world.rows(job_id)[0].error
    time.sleep(0.5)
    trusting = world.sender(web(pacs, proof="status", identity="trust"))
    world.step_until(trusting, lambda: world.job(job_id).status == "sent_unproven")
    assert pacs.asked == [results[0].sop_instance_uid]


@pytest.mark.parametrize("page", [0, 40, 100])
def test_a_long_series_is_found_also_in_pages(pacs: WebPacs, page: int) -> None:
    uids = {f"1.2.3.{number}" for number in range(250)}
    pacs.instances = dict.fromkeys(uids, ("1.2", "1.3")) | {"1.2.4": ("1.2", "1.4")}
    pacs.page = page
    found = WebRoute(web(pacs)).find_instances([("1.2", "1.3"), ("9.9", "1.3")])
    assert found == {("1.2", "1.3"): uids, ("9.9", "1.3"): set()}


def check(pacs: WebPacs, tmp_path: Path, **more: Any) -> list[Finding]:
    """What ``dicomnode check`` says of the destination."""
    one = {"name": "pacs", "url": pacs.url, "timeout_s": 20.0, **more}
    raw = {"node": {"port": 0, "data_dir": str(tmp_path / "data")}, "destination": [one]}
    config = parse_config(raw, serving=False, environment={})
    return [found for found in checkup(config, load_models=False) if found.what == "destination pacs"]


def test_check_says_what_works_and_stores_nothing(pacs: WebPacs, tmp_path: Path) -> None:
    reached, clear, identity, proof = check(pacs, tmp_path)
    assert reached.says == f"{pacs.url} answers STOW-RS; it tells which results it takes only when they come"
    assert (clear.ok, clear.fatal) == (False, False)
    assert "in the clear; use https" in clear.says
    assert identity.says == "is asked whose study it is before anything is sent"
    assert proof.says == "answers QIDO-RS: its results can be proven"
    assert (reached.ok, proof.ok, pacs.asked) == (True, True, [])


def test_check_says_that_the_credentials_are_refused(pacs: WebPacs, tmp_path: Path) -> None:
    pacs.authorizations = {"Bearer right"}
    (tmp_path / "secret").write_text("wrong")
    (tmp_path / "secret").chmod(0o600)
    (only,) = check(pacs, tmp_path, auth={"scheme": "bearer", "secret_file": str(tmp_path / "secret")})
    assert (only.ok, only.fatal) == (False, True)
    assert only.says == (
        "no results could be sent by STOW-RS: "
        f"{pacs.url}/studies: the server does not accept the credentials (HTTP 401)"
    )


def test_check_says_that_nobody_is_there(tmp_path: Path) -> None:
    (only,) = check(WebPacs(port=free_port()), tmp_path)
    assert only.says.endswith("/studies: no connection: [Errno 111] Connection refused")


def test_check_says_that_nothing_could_be_proven(pacs: WebPacs, tmp_path: Path) -> None:
    pacs.offers_query = False
    *_, proof = check(pacs, tmp_path)
    assert not proof.ok
    assert "does not offer QIDO-RS here" in proof.says
    assert proof.says.endswith("its results could not be proven by QIDO-RS")
    *_, proof = check(pacs, tmp_path, proof="status")
    assert (proof.fatal, "jobs end sent_unproven" in proof.says) == (False, True)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


def test_https_with_client_certificates_both_ways(world: World, authority: Authority) -> None:
    server, client = authority.sign("server"), authority.sign("client")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(server.cert, server.key)
    context.load_verify_locations(authority.ca)
    context.verify_mode = ssl.CERT_REQUIRED
    job_id, _ = world.deliver("seg", "sr")
    with WebPacs(ssl_context=context) as pacs:
        without = WebRoute(web(pacs, tls={"ca": str(authority.ca)}))
        with pytest.raises(DeliveryError, match=r"the connection was lost|no connection"):
            without.ask()
        tls = {"ca": str(authority.ca), "cert": str(client.cert), "key": str(client.key)}
        world.sender(web(pacs, tls=tls)).step()
    assert world.job(job_id).status == "done"


def test_a_server_signed_by_a_stranger_gets_nothing(world: World, authority: Authority, tmp_path: Path) -> None:
    server = Authority(tmp_path / "stranger", "stranger").sign("server")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(server.cert, server.key)
    job_id, _ = world.deliver("sr")
    with WebPacs(ssl_context=context) as pacs:
        world.sender(web(pacs, tls={"ca": str(authority.ca)})).step()
        assert pacs.asked == []
    assert "certificate verify failed" in world.rows(job_id)[0].error
