"""Headless Chromium that complains: an error on its console, a script, or a request to another host fails the test."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ConsoleMessage, Dialog, Page, Request

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
MISSING = "no Chromium: tests/tools/debian_tools.sh viewer installs it"
PICTURES = os.environ.get("DICOMNODE_TEST_PICTURES", "")
"""Where what the browser showed is kept."""
WAIT_MS = 60_000
REFUSALS = ("401", "403")
"""Statuses that the browser tells of as errors, and that tests ask for."""


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser; several visitors may use it, each with cookies of its own."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@dataclass
class Complaints:
    """What a page did that none of ours may do.

    Attributes
    ----------
    host : whom it may ask.
    """

    host: str
    heard: list[str] = field(default_factory=list)

    def listen(self, page: Page) -> None:
        """From now on."""
        page.on("console", self._console)
        page.on("pageerror", lambda fault: self.heard.append(f"script failed: {fault}"))
        page.on("dialog", self._dialog)
        page.on("request", self._request)

    def expect_none(self) -> None:
        """Fail with what was heard since the last time."""
        heard, self.heard = self.heard, []
        assert heard == []

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not any(status in message.text for status in REFUSALS):
            self.heard.append(message.text)

    def _dialog(self, dialog: Dialog) -> None:
        self.heard.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def _request(self, request: Request) -> None:
        if urlsplit(request.url).netloc != self.host:
            self.heard.append(f"asked {request.url}")


@contextmanager
def visitor(browser: Browser, url: str) -> Iterator[Page]:
    """An empty page of somebody new, who is going to look at ``url``; complaints fail at the end."""
    with watched(browser, url) as (page, complaints):
        yield page
        complaints.expect_none()


@contextmanager
def watched(browser: Browser, url: str) -> Iterator[tuple[Page, Complaints]]:
    """As :func:`visitor`, for several tests: each asks for the complaints itself."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.set_default_timeout(WAIT_MS)
    complaints = Complaints(urlsplit(url).netloc)
    complaints.listen(page)
    yield page, complaints
    context.close()


def keep(page: Page, name: str) -> None:
    """A picture of the page, where pictures are wanted."""
    if PICTURES:
        page.screenshot(path=f"{PICTURES}/{name}.png", full_page=True)


def log_in(page: Page, url: str, name: str, password: str) -> None:
    """By keyboard: the name has the focus already."""
    from playwright.sync_api import expect

    page.goto(f"{url}/")
    expect(page.get_by_label("Name")).to_be_focused(timeout=WAIT_MS)
    page.keyboard.type(name)
    page.keyboard.press("Tab")
    page.keyboard.type(password)
    page.keyboard.press("Enter")


def wait_for_heading(page: Page, text: str) -> None:
    """The page with this heading is there."""
    from playwright.sync_api import expect

    expect(page.get_by_role("heading", level=1)).to_have_text(text, timeout=WAIT_MS)
