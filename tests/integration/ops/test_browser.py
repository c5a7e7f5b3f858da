"""The status page in headless Chromium, with the keyboard alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dicomnode.store.engine import Store
from tests.integration.ops.browser import CHROMIUM, MISSING, chromium, keep, log_in, visitor, wait_for_heading
from tests.integration.ops.site import PASSWORD, RunningSite, running_site
from tests.integration.ops.test_site import STUDY, fill, hold_a_picture, job_status
from tests.integration.receive.world import wait_until
from tests.integration.store.fixture import sqlite_only

playwright = pytest.importorskip("playwright.sync_api", reason="pip install playwright")
pytestmark = [pytest.mark.full, pytest.mark.skipif(CHROMIUM is None, reason=MISSING)]


@pytest.fixture
def site(store: Store, tmp_path: Path) -> Iterator[RunningSite]:
    """A status page for one job, which holds a picture."""
    fill(store)
    with running_site(store, tmp_path / "data") as running:
        hold_a_picture(running)
        yield running


@pytest.fixture
def page(site: RunningSite) -> Iterator[playwright.Page]:
    """An empty page; whatever the browser complains of fails the test."""
    with chromium() as browser, visitor(browser, site.url) as made:
        yield made


@sqlite_only
def test_an_admin_works_with_the_keyboard_alone(page: playwright.Page, site: RunningSite) -> None:
    log_in(page, site.url, "anna", "a wrong password")
    assert page.get_by_role("alert").inner_text() == "Name and password do not belong together."
    keep(page, "login")
    log_in(page, site.url, "anna", PASSWORD)
    wait_for_heading(page, "Overview")
    keep(page, "overview")
    page.keyboard.press("Tab")  # past the link to the content
    page.get_by_role("link", name="Studies", exact=True).press("Enter")
    page.wait_for_url("**/studies")
    playwright.expect(page.get_by_role("textbox")).to_be_focused(timeout=60_000)
    page.keyboard.type("ACC-7")  # the search has the focus
    page.keyboard.press("Enter")
    page.wait_for_url("**/studies?q=ACC-7")
    page.get_by_role("link", name=STUDY).press("Enter")
    page.wait_for_url(f"**/studies/{STUDY}")
    picture = page.locator("img")
    picture.scroll_into_view_if_needed()
    wait_until(lambda: picture.evaluate("image => image.naturalWidth") == 48, 60)
    keep(page, "study")
    page.get_by_role("button", name="Discard what is held").press("Enter")
    playwright.expect(page.get_by_role("status")).to_contain_text("1 results are withdrawn", timeout=60_000)
    assert job_status(site.store) != "delivering"


@sqlite_only
def test_a_viewer_sees_no_button_but_the_one_to_leave(page: playwright.Page, site: RunningSite) -> None:
    log_in(page, site.url, "victor", PASSWORD)
    wait_for_heading(page, "Overview")
    page.goto(f"{site.url}/studies/{STUDY}")
    assert page.get_by_role("button").all_inner_texts() == ["Log out"]
    page.get_by_role("button", name="Log out").press("Enter")
    page.wait_for_url("**/login")
    page.goto(f"{site.url}/studies/{STUDY}")
    assert page.url.endswith("/login")
