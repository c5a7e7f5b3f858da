"""Probes, pages and actions over a real socket: who sees what, who may do what, and what an attacker gets."""

from __future__ import annotations

import logging
import re
import shutil
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from sqlalchemy import select, update

from dicomnode.errors import ConfigError, EnvironmentFault
from dicomnode.ops.http import server
from dicomnode.ops.http.accounts import Accounts, Role
from dicomnode.ops.http.logins import BY_NAME_AND_ADDRESS
from dicomnode.ops.state import BreakerState
from dicomnode.store.engine import Store
from dicomnode.store.ops.alarms import see_faults
from dicomnode.store.queue.jobs import claim_job
from dicomnode.store.storage import MARKER
from dicomnode.store.tables import Event, Job, Outbox, Result, Series
from tests.integration.deliver.world import encoded_overview, new_job, new_series
from tests.integration.ops.site import PASSWORD, RunningSite, form_token, running_site
from tests.tools.certificates import Authority

STUDY = "1.2.3.4.5"


@pytest.fixture(scope="module")
def calm_site(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSite]:
    """A status page for one queued job; for tests that only look."""
    folder = tmp_path_factory.mktemp("site")
    store = Store(f"sqlite:///{shutil.copy(sqlite_template, folder / 'node.db')}")
    fill(store)
    with running_site(store, folder / "data") as running:
        yield running
    store.close()


@pytest.fixture
def site(store: Store, tmp_path: Path) -> Iterator[RunningSite]:
    """A status page for one queued job."""
    fill(store)
    with running_site(store, tmp_path / "data") as running:
        yield running


def fill(store: Store) -> None:
    """One study with a queued job."""
    series_id = new_series(store, study_uid=STUDY)
    with store.write() as session:
        session.execute(update(Series).values(accession_number="ACC-7", sender_ae="CT1"))
    new_job(store, series_id=series_id, protocol="head-ct")


def job_status(store: Store) -> str:
    """State of the only job."""
    with store.read() as session:
        return session.scalars(select(Job.status)).one()


def act(client: httpx.Client, did: str, **fields: str) -> httpx.Response:
    """Press a button of the study's page."""
    form = {"form_token": form_token(client), "study_uid": STUDY, **fields}
    return client.post(f"/jobs/1/{did}", data=form)


def test_probes_answer_without_login_and_say_what_is_wrong(site: RunningSite) -> None:
    with site.visitor() as probe:
        assert (probe.get("/live").status_code, probe.get("/ready").status_code) == (200, 200)
        site.change(works=False, worker_fault="no such device")
        ready = probe.get("/ready")
        assert (ready.status_code, ready.json()["ready"]) == (503, False)
        assert {"check": "works", "ok": False, "says": "no such device"} in ready.json()["checks"]
        assert probe.get("/live").status_code == 200
        site.change(has_failed=True)
        assert probe.get("/live").status_code == 503


def test_ready_is_no_while_the_spool_is_away_or_the_disk_full(site: RunningSite) -> None:
    with site.visitor() as probe:
        marker = site.config.spool_dir / MARKER
        marker.rename(marker.with_name("elsewhere"))
        wrong = {one["check"] for one in probe.get("/ready").json()["checks"] if not one["ok"]}
        assert wrong == {"spool"}


@pytest.mark.parametrize("path", ["/", "/studies", f"/studies/{STUDY}", "/refusals", "/models", "/pictures/1.png"])
def test_nothing_of_a_patient_without_login(calm_site: RunningSite, path: str) -> None:
    with calm_site.visitor() as nobody:
        answer = nobody.get(path)
        assert (answer.status_code, answer.headers["location"]) == (303, "/login")
        assert answer.text == ""


def test_whoever_is_logged_in_sees_queue_study_timeline_and_models(calm_site: RunningSite) -> None:
    with calm_site.logged_in("victor") as victor:
        overview = victor.get("/").text
        assert all(word in overview for word in ("ACC-7", "queued", "pacs", "receives: yes"))
        study = victor.get(f"/studies/{STUDY}").text
        assert "ACC-7" in study
        assert re.search(r"<td>job 1</td><td>created</td>", study)
        assert "nothing was told beside the images" in study
        models = victor.get("/models").text
        assert "sha256:" in models
        assert "<details>" in models


@pytest.mark.parametrize("text", ["ACC-7", "ACC", STUDY, "1.2.3", "1"])
def test_a_study_is_found_by_the_beginning_of_its_numbers_or_a_job(calm_site: RunningSite, text: str) -> None:
    with calm_site.logged_in("victor") as victor:
        assert f"/studies/{STUDY}" in victor.get("/studies", params={"q": text}).text


@pytest.mark.parametrize("text", ["CC-7", "' OR 1=1 --", "%", "<script>alert(1)</script>", "\x00"])
def test_a_search_finds_nothing_else_and_is_shown_escaped(calm_site: RunningSite, text: str) -> None:
    with calm_site.logged_in("victor") as victor:
        page = victor.get("/studies", params={"q": text})
        assert page.status_code == 200
        assert f"/studies/{STUDY}" not in page.text
        assert "<script" not in page.text


@pytest.mark.parametrize("path", ["/studies/1.9.9", "/pictures/99.png", "/studies/..%2f..%2fetc", "/nowhere"])
def test_what_is_not_there_is_404(calm_site: RunningSite, path: str) -> None:
    with calm_site.logged_in("victor") as victor:
        assert victor.get(path).status_code == 404


def test_an_admin_cancels_and_retries_and_the_history_names_him(
    site: RunningSite, caplog: pytest.LogCaptureFixture
) -> None:
    with site.logged_in("anna") as anna, caplog.at_level(logging.INFO, "dicomnode"):
        answer = act(anna, "cancel")
        assert (answer.status_code, answer.headers["location"]) == (303, f"/studies/{STUDY}")
        assert job_status(site.store) == "cancelled"
        page = anna.get(f"/studies/{STUDY}").text
        assert "Job 1: is cancelled" in page
        assert "by: anna" in page
        act(anna, "retry")
        assert job_status(site.store) == "queued"
    told = [record for record in caplog.records if getattr(record, "action", "") == "audit"]
    assert [(record.did, record.user, record.outcome, record.job_id) for record in told] == [
        ("cancel", "anna", "ok", 1),
        ("retry", "anna", "ok", 1),
    ]


def test_what_cannot_be_done_is_said_and_changes_nothing(site: RunningSite) -> None:
    with site.logged_in("anna") as anna:
        act(anna, "retry")
        assert "Job 1 was left as it is" in anna.get("/").text
        assert job_status(site.store) == "queued"
        assert act(anna, "explode").status_code == 404
    with site.store.read() as session:
        assert session.scalars(select(Event).where(Event.subject == "operator")).all() == []


def test_a_viewer_has_no_buttons_and_may_not_press_them(calm_site: RunningSite) -> None:
    with calm_site.logged_in("victor") as victor:
        assert "/jobs/1/cancel" not in victor.get(f"/studies/{STUDY}").text
        assert act(victor, "cancel").status_code == 403
    assert job_status(calm_site.store) == "queued"


@pytest.mark.parametrize(
    ("form", "headers"),
    [
        ({}, {}),
        ({"form_token": "x" * 43}, {}),
        ({"form_token": "TOKEN"}, {"origin": "https://evil.example"}),
        ({"form_token": "TOKEN"}, {"content-type": "text/plain"}),
        ({"form_token": "TOKEN", "more": "x" * 9000}, {}),
    ],
)
def test_a_form_that_is_none_of_ours_is_refused(
    calm_site: RunningSite, form: dict[str, str], headers: dict[str, str]
) -> None:
    with calm_site.logged_in("anna") as anna:
        form = {key: form_token(anna) if value == "TOKEN" else value for key, value in form.items()}
        assert anna.post("/jobs/1/cancel", data=form, headers=headers).status_code == 403
    assert job_status(calm_site.store) == "queued"


def test_a_form_of_one_session_is_none_of_another(calm_site: RunningSite) -> None:
    with calm_site.logged_in("anna") as one, calm_site.logged_in("anna") as other:
        answer = other.post("/jobs/1/cancel", data={"form_token": form_token(one)})
        assert answer.status_code == 403


def test_every_answer_has_the_security_headers_and_the_cookie_is_closed(calm_site: RunningSite) -> None:
    with calm_site.visitor() as nobody:
        login = nobody.post("/login", data={"name": "anna", "password": PASSWORD})
        cookie = login.headers["set-cookie"].lower()
        assert "httponly" in cookie
        assert "samesite=strict" in cookie
        for path in ("/", "/live", "/login", "/nowhere", "/metrics", "/style.css"):
            headers = nobody.get(path).headers
            assert "default-src 'none'" in headers["content-security-policy"]
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["x-frame-options"] == "DENY"
            assert headers["cache-control"] == "no-store"
            assert "server" not in headers


def test_a_secret_from_before_the_login_is_no_session_after_it(calm_site: RunningSite) -> None:
    with calm_site.visitor() as victim:
        victim.cookies.set("dicomnode", "chosen-by-an-attacker")
        victim.post("/login", data={"name": "anna", "password": PASSWORD})
        with calm_site.visitor() as attacker:
            attacker.cookies.set("dicomnode", "chosen-by-an-attacker")
            assert attacker.get("/").status_code == 303


def test_logging_out_and_a_new_password_end_a_session(site: RunningSite) -> None:
    with site.logged_in("anna") as anna, site.logged_in("anna") as elsewhere:
        anna.post("/logout", data={"form_token": form_token(anna)})
        assert anna.get("/").status_code == 303
        assert elsewhere.get("/").status_code == 200
        Accounts(site.config.accounts_file).put("anna", Role.ADMIN, "another long password")
        assert elsewhere.get("/").status_code == 303


def test_wrong_passwords_are_refused_and_soon_not_even_tried(
    site: RunningSite, caplog: pytest.LogCaptureFixture
) -> None:
    with site.visitor() as guesser, caplog.at_level(logging.INFO, "dicomnode"):
        tries = [guesser.post("/login", data={"name": "anna", "password": "wrong"}) for _ in range(BY_NAME_AND_ADDRESS)]
        assert {answer.status_code for answer in tries} == {401}
        last = guesser.post("/login", data={"name": "anna", "password": PASSWORD})
        assert last.status_code == 429
        assert 0 < int(last.headers["retry-after"]) <= 900
        assert guesser.post("/login", data={"name": "hunter2hunter2", "password": "x"}).status_code == 401
    assert "hunter2hunter2" not in caplog.text
    told = [(record.user, record.outcome) for record in caplog.records if getattr(record, "action", "") == "audit"]
    assert told == [*[("anna", "refused")] * BY_NAME_AND_ADDRESS, ("anna", "too many failures"), ("unknown", "refused")]


def test_held_results_are_released_under_the_chosen_identity(site: RunningSite) -> None:
    hold_a_picture(site)
    with site.logged_in("anna") as anna:
        assert "Held results" in anna.get("/").text
        assert "Release as the PACS has it" in anna.get(f"/studies/{STUDY}").text
        act(anna, "release", identity="whatever")
        assert "say under which identity" in anna.get("/").text
        act(anna, "release", identity="pacs")
        assert "1 results are released" in anna.get("/").text
    with site.store.read() as session:
        assert session.scalars(select(Outbox.identity_by)).all() == ["pacs"]


def hold_a_picture(site: RunningSite) -> None:
    """The job has a picture, which is held."""
    path = shutil.copy(encoded_overview(site.config.node.data_dir), site.config.work_dir / "overview.dcm")
    relative = Path(path).relative_to(site.config.node.data_dir)
    with site.store.write() as session:
        session.execute(update(Job).values(status="delivering"))
        row = Result(
            job_id=1, kind="sc", study_uid=STUDY, series_uid="1.2", sop_instance_uid="1.2.1", sop_class_uid="1.2.840",
            path=str(relative), digest="", size_bytes=1, research=True, superseded=False, created_at=time.time(),
        )  # fmt: skip
        session.add(row)
        session.flush()
        session.add(
            Outbox(result_id=row.id, job_id=1, destination="pacs", status="held", created_at=1.0, next_attempt_at=1.0)
        )


def test_the_overview_picture_is_shown_as_it_was_encoded(site: RunningSite) -> None:
    hold_a_picture(site)
    with site.logged_in("victor") as victor:
        assert '<img src="/pictures/1.png"' in victor.get(f"/studies/{STUDY}").text
        answer = victor.get("/pictures/1.png")
        assert (answer.headers["content-type"], answer.content[:4]) == ("image/png", b"\x89PNG")


def test_a_picture_outside_the_work_folder_is_not_shown(site: RunningSite) -> None:
    hold_a_picture(site)
    with site.store.write() as session:
        session.execute(update(Result).values(path="work/../../outside.dcm"))
    with site.logged_in("victor") as victor:
        assert victor.get("/pictures/1.png").status_code == 404


def test_an_admin_pauses_and_resumes_queue_and_destination(site: RunningSite) -> None:
    with site.logged_in("anna") as anna:
        token = {"form_token": form_token(anna)}
        anna.post("/queue/pause", data=token)
        assert "The queue is paused since" in anna.get("/").text
        with site.store.write() as session:
            assert claim_job(session, owner="worker", lease_s=60) is None
        anna.post("/destinations/pacs/pause", data=token)
        assert 'dicomnode_paused{name="pacs",part="destination"} 1.0' in anna.get("/metrics").text
        assert anna.post("/destinations/nowhere/pause", data=token).status_code == 404
        anna.post("/queue/resume", data=token)
        assert "The queue is paused since" not in anna.get("/").text
        with site.store.write() as session:
            assert claim_job(session, owner="worker", lease_s=60) is not None


def test_a_destination_that_is_away_is_seen(site: RunningSite) -> None:
    site.change(breakers=(BreakerState("pacs", True, 3),))
    with site.logged_in("victor") as victor:
        assert "no, 3 failures in a row, left alone for now" in victor.get("/").text


def test_without_accounts_the_page_says_how_to_make_one(store: Store, tmp_path: Path) -> None:
    with running_site(store, tmp_path / "data", accounts=False) as site, site.visitor() as nobody:
        assert "dicomnode operations password" in nobody.get("/login").text
        assert nobody.post("/login", data={"name": "a", "password": "b"}).status_code == 401


def test_another_machine_is_served_over_tls_with_accounts_alone(store: Store, tmp_path: Path) -> None:
    made = Authority(tmp_path / "tls").sign("node")
    made.key.chmod(0o600)
    tls = {"cert": str(made.cert), "key": str(made.key)}
    with pytest.raises(ConfigError, match="nobody could log in"):
        RunningSite(store, tmp_path / "data", accounts=False, host="0.0.0.0", tls=tls)
    with running_site(store, tmp_path / "data", host="0.0.0.0", tls=tls) as site:
        with site.logged_in("anna") as anna:
            assert anna.get("/").status_code == 200
            assert anna.get("/metrics").status_code == 200
            assert "__Host-dicomnode" in anna.cookies
        with site.visitor() as nobody:
            assert nobody.get("/metrics").status_code == 401
            assert "strict-transport-security" in nobody.get("/live").headers
        with pytest.raises(httpx.HTTPError), httpx.Client() as plain:
            plain.get(f"http://127.0.0.1:{site.config.operations.port}/live", timeout=20)


def test_the_metrics_ask_for_their_token(store: Store, tmp_path: Path) -> None:
    secret = tmp_path / "token"
    secret.write_text("a-token-of-some-length\n")
    secret.chmod(0o600)
    with running_site(store, tmp_path / "data", metrics_token_file=str(secret)) as site, site.visitor() as scraper:
        assert scraper.get("/metrics").status_code == 401
        given = {"authorization": "Bearer a-token-of-some-length"}
        assert "dicomnode_ready" in scraper.get("/metrics", headers=given).text


def test_a_port_in_use_is_said(site: RunningSite, store: Store, tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFault, match=r"operations\.port: cannot listen"):
        RunningSite(store, tmp_path / "data", port=site.config.operations.port)


def test_too_many_connections_are_closed_and_silent_ones_after_a_while(
    site: RunningSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "MAX_CONNECTIONS", 3)
    where = ("127.0.0.1", site.config.operations.port)
    time.sleep(0.3)
    held = [socket.create_connection(where, 20) for _ in range(3)]
    with socket.create_connection(where, 20) as one_too_many:
        assert one_too_many.recv(1) == b""
    for connection in held:
        connection.close()


def test_a_silent_connection_is_closed(site: RunningSite, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "REQUEST_WITHIN_S", 0.2)
    with socket.create_connection(("127.0.0.1", site.config.operations.port), 20) as silent:
        silent.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n")
        assert silent.recv(1) == b""


def test_pages_are_read_while_another_holds_the_write_lock(site: RunningSite) -> None:
    with site.logged_in("victor") as victor, site.store.write() as session:
        session.execute(update(Series).values(modality="CT"))
        began = time.monotonic()
        assert victor.get("/").status_code == 200
        assert victor.get("/metrics").status_code == 200
        assert time.monotonic() - began < 15  # far below the 20 s that a writer would wait


def test_an_admin_acknowledges_an_alarm_and_a_viewer_only_sees_who_did(site: RunningSite) -> None:
    with site.store.write() as session:
        see_faults(session, "node-1", {"destination pacs": "cannot be reached"}, time.time())
    with site.logged_in("victor") as viewer:
        assert "nobody yet" in viewer.get("/").text
        assert viewer.post("/alarms/1/acknowledge", data={"form_token": form_token(viewer)}).status_code == 403
    with site.logged_in("anna") as admin:
        assert admin.post("/alarms/1/acknowledge", data={"form_token": form_token(admin)}).status_code == 303
        page = admin.get("/").text
        assert "Acknowledged: destination pacs" in page
        assert "/alarms/1/acknowledge" not in page
        assert admin.post("/alarms/2/acknowledge", data={"form_token": form_token(admin)}).status_code == 303
        assert "This alarm is over." in admin.get("/").text
        assert 'dicomnode_alarms{acknowledged="yes",kind="fault"} 1.0' in admin.get("/metrics").text
    with site.store.read() as session:
        assert [row.name for row in session.scalars(select(Event).where(Event.subject == "operator"))] == [
            "acknowledge"
        ]
