"""Every page of the status page in headless Chromium: who sees it, what it asks for, how the keyboard gets around."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest
from sqlalchemy import select

from dicomnode.records import ContextSource, Observation, Patient
from dicomnode.store.clinical.observations import store_context
from dicomnode.store.clinical.patients import record_study
from dicomnode.store.engine import Store
from dicomnode.store.ops.alarms import see_faults
from dicomnode.store.states import SeriesStatus
from dicomnode.store.tables import Association, Job, Series
from tests.integration.ops.browser import (
    CHROMIUM,
    MISSING,
    Complaints,
    chromium,
    keep,
    log_in,
    visitor,
    wait_for_heading,
    watched,
)
from tests.integration.ops.site import PASSWORD, RunningSite, running_site
from tests.integration.ops.test_drift import exams
from tests.integration.ops.test_site import STUDY, fill, hold_a_picture

playwright = pytest.importorskip("playwright.sync_api", reason="pip install playwright")
pytestmark = [pytest.mark.full, pytest.mark.skipif(CHROMIUM is None, reason=MISSING)]

HEADINGS = {
    "/": "Overview",
    "/studies": "Studies",
    f"/studies/{STUDY}": "Study ACC-7",
    "/refusals": "Series without a job",
    "/models": "Models",
    "/drift": "Drift",
}
HOSTILE = "<img src=http://elsewhere.invalid/ onerror=alert(1)><script>alert(2)</script>"
ONSET = "2026-01-02T08:00:00+00:00"
ANNA = Patient(patient_id="4711", issuer="H")
NAMED = re.compile(r"\S")
FOCUSABLE = "a[href], button, input:not([type=hidden]), summary"
WHERE = f"""() => {{
    const at = document.activeElement, box = at.getBoundingClientRect(), style = getComputedStyle(at)
    return {{
        index: [...document.querySelectorAll("{FOCUSABLE}")].indexOf(at),
        outlined: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2,
        inSight: box.left >= 0 && box.top >= 0 && box.right <= innerWidth && box.bottom <= innerHeight,
    }}
}}"""


@pytest.fixture(scope="module")
def site(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSite]:
    """A status page on which every table has a row."""
    folder = tmp_path_factory.mktemp("site")
    store = Store(f"sqlite:///{shutil.copy(sqlite_template, folder / 'node.db')}")
    fill(store)
    with running_site(store, folder / "data", models=("hemorrhage", "prognosis")) as running:
        hold_a_picture(running)
        fill_the_rest(store)
        yield running
    store.close()


def fill_the_rest(store: Store) -> None:
    """A series with a hostile header; a sender, an alarm, what is known of a patient, a scanner that drifts."""
    now = time.time()
    scan_at = datetime.fromisoformat(ONSET).timestamp() + 5400
    onset = Observation(patient=ANNA, name="onset_at", value=ONSET, source=ContextSource.HL7, observed_at=scan_at)
    with store.write() as session:
        refused = {"status": SeriesStatus.REFUSED, "refusal": "not_axial", "refusal_detail": HOSTILE}
        at = {"first_instance_at": now, "last_instance_at": now}
        session.add(Series(study_uid="1.2.9", series_uid="1.2.9.1", accession_number="ACC-9", **refused, **at))
        line = {"receiver": "node", "called_ae": "AINODE", "peer_address": "127.0.0.1", "instances": 30}
        session.add(Association(calling_ae="CT1", opened_at=now, last_seen_at=now, ended_at=now, **line))
        see_faults(session, "node-1", {"destination pacs": "cannot be reached"}, now)
        record_study(session, STUDY, ANNA, scan_at)
        store_context(session, [onset], [])
    exams(store, "CT2", days_ago=20, positive=5, negative=45, brain_hu=30.0)
    exams(store, "CT2", days_ago=2, positive=20, negative=20, brain_hu=36.0)
    exams(store, "CT3", days_ago=20, positive=5, negative=45)
    exams(store, "CT3", days_ago=2, positive=4, negative=36)


@pytest.fixture(scope="module")
def browser() -> Iterator[playwright.Browser]:
    """One for all tests."""
    with chromium() as running:
        yield running


Watched = tuple["playwright.Page", Complaints]


@pytest.fixture(scope="module")
def admin_at_work(browser: playwright.Browser, site: RunningSite) -> Iterator[Watched]:
    """The admin, who stays logged in."""
    with watched(browser, site.url) as (page, complaints):
        log_in(page, site.url, "anna", PASSWORD)
        wait_for_heading(page, "Overview")
        yield page, complaints


@pytest.fixture
def admin(admin_at_work: Watched) -> Iterator[playwright.Page]:
    """The admin; what the browser complains of fails the test."""
    page, complaints = admin_at_work
    yield page
    complaints.expect_none()


@pytest.mark.parametrize("path", HEADINGS)
def test_each_page_opens_with_its_heading_and_asks_nobody_but_the_node(
    admin: playwright.Page, site: RunningSite, path: str
) -> None:
    answer = admin.goto(f"{site.url}{path}")
    assert answer is not None
    assert answer.status == 200
    wait_for_heading(admin, HEADINGS[path])
    assert admin.title().endswith(" - AINODE")
    keep(admin, f"page-{HEADINGS[path].split()[0].lower()}")


@pytest.mark.parametrize("path", HEADINGS)
def test_tab_goes_through_each_page_in_its_order_and_shows_where_it_is(
    admin: playwright.Page, site: RunningSite, path: str
) -> None:
    admin.goto(f"{site.url}{path}?refresh=0")
    stops = admin.locator(FOCUSABLE)
    stops.first.focus()
    seen = []
    for _ in range(stops.count() - 1):
        admin.keyboard.press("Tab")
        seen.append(admin.evaluate(WHERE))
    assert [stop["index"] for stop in seen] == list(range(1, stops.count()))
    assert [stop for stop in seen if not (stop["outlined"] and stop["inSight"])] == []


@pytest.mark.parametrize("path", HEADINGS)
def test_every_button_field_picture_and_column_has_a_name(admin: playwright.Page, site: RunningSite, path: str) -> None:
    admin.goto(f"{site.url}{path}")
    for role in ("button", "textbox", "img", "link", "columnheader"):
        everything = admin.get_by_role(role)
        assert everything.count() == admin.get_by_role(role, name=NAMED).count()
    assert admin.locator("img:not([alt]), th:not([scope]), input:not([type=hidden]):not([id])").count() == 0


def test_the_link_to_the_content_is_the_first_stop_and_skips_the_navigation(
    admin: playwright.Page, site: RunningSite
) -> None:
    admin.goto(f"{site.url}/refusals")
    admin.keyboard.press("Tab")
    assert admin.evaluate(WHERE) == {"index": 0, "outlined": True, "inSight": True}
    admin.keyboard.press("Enter")
    admin.keyboard.press("Tab")
    focused = admin.evaluate("() => document.activeElement.closest('main') !== null")
    assert focused


def test_without_a_login_every_page_is_the_login_and_names_nobody(
    browser: playwright.Browser, site: RunningSite
) -> None:
    with visitor(browser, site.url) as stranger:
        for path in (*HEADINGS, "/pictures/1.png"):
            stranger.goto(f"{site.url}{path}")
            assert stranger.url == f"{site.url}/login"
            assert "ACC-" not in stranger.content()
        assert stranger.get_by_role("navigation").count() == 0


def test_a_viewer_finds_no_button_on_any_page_but_search_and_log_out(
    browser: playwright.Browser, site: RunningSite
) -> None:
    with visitor(browser, site.url) as viewer:
        log_in(viewer, site.url, "victor", PASSWORD)
        wait_for_heading(viewer, "Overview")
        for path, heading in HEADINGS.items():
            viewer.goto(f"{site.url}{path}")
            wait_for_heading(viewer, heading)
            buttons = viewer.get_by_role("button").all_inner_texts()
            assert set(buttons) <= {"Log out", "Search"}
            assert viewer.locator("form[method=post]").count() == 1  # to log out


def test_after_leaving_the_way_back_shows_no_patient(browser: playwright.Browser, site: RunningSite) -> None:
    with visitor(browser, site.url) as viewer:
        log_in(viewer, site.url, "victor", PASSWORD)
        wait_for_heading(viewer, "Overview")
        viewer.goto(f"{site.url}/studies/{STUDY}")
        viewer.get_by_role("button", name="Log out").press("Enter")
        viewer.wait_for_url("**/login")
        viewer.go_back()
        viewer.wait_for_url("**/login")
        assert "ACC-7" not in viewer.content()


def test_what_a_scanner_wrote_into_a_header_is_text_beside_the_reason(
    admin: playwright.Page, site: RunningSite
) -> None:
    admin.goto(f"{site.url}/refusals")
    row = admin.get_by_role("row", name="not axial: The slices are not axial.")
    assert HOSTILE in row.inner_text()
    assert admin.locator("main img").count() == 0


def test_the_overview_tells_sender_alarm_and_what_is_held(admin: playwright.Page, site: RunningSite) -> None:
    admin.goto(f"{site.url}/?refresh=0")
    for words in ("CT1", "destination pacs", "Held results: somebody must decide", "ACC-7"):
        assert admin.get_by_text(words).first.is_visible()


def test_a_study_shows_what_is_known_of_its_patient_and_what_is_missing(
    admin: playwright.Page, site: RunningSite
) -> None:
    admin.goto(f"{site.url}/studies/{STUDY}")
    row = admin.get_by_role("row", name="Onset or last seen well")
    assert row.inner_text().split("\t")[1:3] == [ONSET, "HL7"]
    missing = admin.get_by_text("Missing, where the images themselves do not tell it").inner_text()
    assert "NIHSS" in missing
    assert "Onset to CT" not in missing


def test_the_navigation_says_which_page_it_is(admin: playwright.Page, site: RunningSite) -> None:
    admin.goto(f"{site.url}/models")
    assert admin.locator("nav [aria-current=page]").all_inner_texts() == ["Models"]


def test_a_model_card_opens_by_keyboard(admin: playwright.Page, site: RunningSite) -> None:
    admin.goto(f"{site.url}/models")
    card = admin.locator("details pre").first
    assert not card.is_visible()
    admin.locator("summary").first.press("Enter")
    assert card.is_visible()
    assert len(card.inner_text()) > 200


def test_a_scanner_that_drifts_is_marked_and_its_neighbour_is_not(admin: playwright.Page, site: RunningSite) -> None:
    admin.goto(f"{site.url}/drift")
    shares, brain = admin.locator("tbody").all()
    marked = [row.inner_text() for row in shares.get_by_role("row").all() if row.get_by_text("drifts").count()]
    assert [row.split("\t")[:2] for row in marked] == [["CT2", "m, hemorrhage positive"]]
    assert brain.get_by_text("drifts").count() == 1


def test_the_overview_stands_still_where_somebody_asks_for_it(admin: playwright.Page, site: RunningSite) -> None:
    admin.goto(f"{site.url}/")
    reloads = admin.locator("meta[http-equiv=refresh]")
    assert reloads.count() == 1
    admin.get_by_role("link", name="Let it stand").press("Enter")
    admin.wait_for_url("**/?refresh=0")
    assert reloads.count() == 0


def test_an_admin_acknowledges_an_alarm_by_keyboard_and_the_page_names_him(
    admin: playwright.Page, site: RunningSite
) -> None:
    with site.store.write() as session:
        see_faults(session, "node-2", {"silence": "no image for 3 h"}, time.time())
    admin.goto(f"{site.url}/")
    row = admin.get_by_role("row", name="silence")
    row.get_by_role("button", name="Acknowledge").press("Enter")
    playwright.expect(admin.get_by_role("status")).to_have_text("Acknowledged: silence")
    assert "anna" in row.inner_text()
    assert row.get_by_role("button").count() == 0


@pytest.mark.parametrize(("what", "said"), [("the queue", "The queue is paused since"), ("pacs", "paused since")])
def test_an_admin_pauses_and_resumes_by_keyboard(
    admin: playwright.Page, site: RunningSite, what: str, said: str
) -> None:
    admin.goto(f"{site.url}/")
    assert admin.get_by_text(said).count() == 0
    admin.get_by_role("button", name=f"Pause {what}").press("Enter")
    playwright.expect(admin.get_by_text(said)).to_be_visible()
    admin.get_by_role("button", name=f"Resume {what}").press("Enter")
    playwright.expect(admin.get_by_role("status")).to_contain_text("resume, ok")
    assert admin.get_by_text(said).count() == 0


def test_an_admin_cancels_a_job_and_has_it_done_again(admin: playwright.Page, site: RunningSite) -> None:
    with site.store.read() as session:
        number = session.scalars(select(Job.id).where(Job.study_uid == STUDY)).one()
    admin.goto(f"{site.url}/studies/{STUDY}")
    admin.get_by_role("button", name=f"Cancel job {number}").press("Enter")
    playwright.expect(admin.get_by_role("status")).to_contain_text("is cancelled")
    admin.get_by_role("button", name=f"Retry job {number}").press("Enter")
    playwright.expect(admin.get_by_role("status")).to_contain_text("is queued")
    assert admin.get_by_text("by: anna").count() == 2
