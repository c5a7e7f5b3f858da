"""The pictures of the status page in the documents, from a node to which the study of the demonstration was sent.

    python -m benchmarks.page_pictures docs/images

Head, bleed and patient are synthetic. Chromium has to be installed: ``tests/tools/debian_tools.sh viewer``.
"""

from __future__ import annotations

import argparse
import io
import secrets
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image
from pydicom import dcmread
from pydicom.uid import generate_uid

from dicomnode.app.demo import PACS_AE, demo_config, send_study, wait_for_job, wait_for_worker
from dicomnode.app.demo_hl7 import free_port, tell
from dicomnode.app.demo_name import StudyName
from dicomnode.app.demo_pacs import ReceivingPacs
from dicomnode.app.demo_studies import STUDIES
from dicomnode.app.node import Node
from dicomnode.app.operations import http_server
from dicomnode.app.role import Role as NodeRole
from dicomnode.config.notify import Notify
from dicomnode.config.whole import Config
from dicomnode.dicom.libraries import set_up_pydicom
from dicomnode.ops.http.accounts import Accounts, Role
from dicomnode.ops.permissions import private_files
from dicomnode.store.ops.alarms import all_alarms
from tests.integration.ops.browser import chromium, log_in, visitor, wait_for_heading

if TYPE_CHECKING:
    from playwright.sync_api import Page

ORDER = STUDIES[StudyName.ICH]
USER = "anna"
URGENT_ML = 20.0
PATIENCE_S = 120.0
MOST_BYTES = 150_000
QUALITIES = (90, 80, 70, 60)
MARGIN_PX = 8
TOP = "heading => heading.getBoundingClientRect().top + scrollY"
HEIGHT = "body => body.getBoundingClientRect().height"


@dataclass(frozen=True, slots=True)
class Sent:
    """A node that has the study of the demonstration: where its page is, the study, and the password of the admin."""

    url: str
    study_uid: str
    password: str


@contextmanager
def node_with_the_demo(folder: Path) -> Iterator[Sent]:
    """A running node whose results are in a PACS, with an urgent finding and a series that it refused."""
    study = ORDER.make(folder / "study", ORDER.seed)
    header = dcmread(study.paths[0], stop_before_pixels=True)
    with ReceivingPacs(folder / "pacs", PACS_AE) as pacs:
        config = config_of(folder / "node", pacs.port, header.get("IssuerOfPatientID", ""))
        password = secrets.token_urlsafe(16)
        Accounts(config.accounts_file).put(USER, Role.ADMIN, password)
        with Node(config, NodeRole.ALL, http_server) as node:
            wait_for_worker(node)
            tell(ORDER.messages(header), node.hl7_port)
            send_study([localizer_of(study.paths[0], folder), *study.paths], node, config)
            wait_for_job(node)
            wait_for_an_alarm(node)
            yield Sent(f"http://127.0.0.1:{config.operations.port}", str(header.StudyInstanceUID), password)


def config_of(data_dir: Path, pacs_port: int, issuer: str) -> Config:
    """That of the demonstration, with the HTTP port open and a limit from which on a bleed is urgent."""
    plain = demo_config(data_dir, pacs_port, issuer, ORDER.models)
    more = {"port": free_port(), "notify": Notify(urgent_ml=URGENT_ML)}
    operations = plain.operations.model_copy(update=more)
    # Else the node is named after this machine and its folder.
    node = plain.node.model_copy(update={"name": "node-1"})
    return plain.model_copy(update={"operations": operations, "node": node})


def localizer_of(path: Path, folder: Path) -> Path:
    """A series of the same study that no model may be given."""
    ds = dcmread(path)
    ds.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    ds.SeriesInstanceUID, ds.SOPInstanceUID = generate_uid(), generate_uid()
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    made = folder / "localizer.dcm"
    ds.save_as(made, enforce_file_format=True)
    return made


def wait_for_an_alarm(node: Node) -> None:
    """Return when the node has looked at itself and seen the urgent finding."""
    assert node.store is not None
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        with node.store.read() as session:
            if all_alarms(session):
                return
        time.sleep(0.5)
    raise SystemExit("no finding became urgent: the bleed was not measured as the demonstration paints it")


@dataclass(frozen=True, slots=True)
class View:
    """What of a page is shown: from the top, or from a heading, to the bottom, or to the next heading."""

    name: str
    address: str
    begin: str = ""
    end: str = ""


def views_of(sent: Sent) -> tuple[View, ...]:
    """All that the documents show."""
    study = f"/studies/{sent.study_uid}"
    return (
        View("overview", "/?refresh=0"),
        View("study", study, end="Timeline"),
        View("timeline", study, begin="Timeline"),
        View("models", "/models"),
    )


def shoot(page: Page, view: View, path: Path) -> None:
    """A picture as good as its size allows."""
    top = top_of(page, view.begin) - MARGIN_PX if view.begin else 0.0
    bottom = top_of(page, view.end) - MARGIN_PX if view.end else page.locator("body").evaluate(HEIGHT)
    clip = {"x": 0.0, "y": top, "width": 1280.0, "height": bottom - top}
    picture = Image.open(io.BytesIO(page.screenshot(full_page=True, clip=clip)))
    for quality in QUALITIES:
        picture.save(path, quality=quality, method=6)
        if path.stat().st_size <= MOST_BYTES:
            break
    path.chmod(0o644)  # a node keeps its files to itself, and this process is one
    print(f"{path}: {picture.width} x {picture.height}, {path.stat().st_size / 1000:.0f} kB")


def top_of(page: Page, heading: str) -> float:
    """Where on the page a heading begins, in pixels."""
    return float(page.get_by_role("heading", name=heading, exact=True).evaluate(TOP))


def look_at(sent: Sent, out: Path) -> None:
    """Each page that is shown, once it is whole."""
    with chromium() as browser, visitor(browser, sent.url) as page:
        log_in(page, sent.url, USER, sent.password)
        wait_for_heading(page, "Overview")
        for view in views_of(sent):
            page.goto(f"{sent.url}{view.address}")
            for picture in page.locator("main img").all():
                picture.scroll_into_view_if_needed()
                picture.evaluate("image => image.decode()")
            page.evaluate("() => scrollTo(0, 0)")
            shoot(page, view, out / f"page-{view.name}.webp")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    out = parser.parse_args().out
    set_up_pydicom()
    with private_files(), tempfile.TemporaryDirectory() as scratch, node_with_the_demo(Path(scratch)) as sent:
        look_at(sent, out)


if __name__ == "__main__":
    main()
