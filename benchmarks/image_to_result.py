"""Seconds from the last image's C-STORE to the last result proven in the PACS, by stage; the goal is 10 s on two cores.

    python -m benchmarks.image_to_result [FOLDER_WITH_A_SERIES] --repeats 5 [--known]

A node and a receiving PACS run in this process, haemorrhage and prognosis in their worker; the
series (default: a head with a bleed in 40 slices of 512 x 512) is sent again and again under new UIDs. The first run is
warm-up and not counted. ``--known``: the PACS has each study before the node gets it, and says whose it is.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import pydicom
from pydicom.misc import is_dicom

from benchmarks.segment import written_head
from dicomnode.app.demo import PACS_AE, SCANNER_AE, demo_config, send_study, timeline, wait_for_job, wait_for_worker
from dicomnode.app.demo_pacs import ReceivingPacs
from dicomnode.app.node import Node
from dicomnode.config.destinations import Destination
from dicomnode.deliver.outgoing import Outgoing
from dicomnode.deliver.scu import send
from dicomnode.logs import configure_logging
from dicomnode.store.history.events import events_of

SENDING, GOAL_S = "send the images", 10.0
MODELS = ("hemorrhage", "prognosis")


def renamed(folder: Path, out: Path, run: int) -> tuple[Path, ...]:
    """The series under UIDs of its own for this run."""
    out.mkdir(parents=True)
    paths = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and is_dicom(path)):
        ds = pydicom.dcmread(path)
        for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
            setattr(ds, keyword, pydicom.uid.generate_uid(entropy_srcs=[str(run), str(ds[keyword].value)]))
        ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
        ds.save_as(out / path.name)
        paths.append(out / path.name)
    return tuple(paths)


def keep(paths: tuple[Path, ...], pacs: ReceivingPacs) -> None:
    """Send images to the PACS, which has the study then."""
    target = Destination(name="pacs", ae_title=PACS_AE, host="127.0.0.1", port=pacs.port)
    for outcome in send([Outgoing.from_file(path) for path in paths], target, SCANNER_AE):
        assert outcome.error is None, outcome.error


def measure(folder: Path, scratch: Path, repeats: int, *, known: bool = False) -> list[dict[str, float]]:
    """Seconds by stage of each counted run. ``known``: the PACS has the study before."""
    rows = []
    with ReceivingPacs(scratch / "pacs", PACS_AE) as pacs:
        config = demo_config(scratch / "node", pacs.port, models=MODELS)
        configure_logging(config.operations)
        with Node(config) as node:
            wait_for_worker(node)
            for run in range(repeats + 1):
                paths = renamed(folder, scratch / f"run-{run}", run)
                if known:
                    keep(paths, pacs)
                sent_at = time.time()
                send_study(paths, node, config)
                sending_s = time.time() - sent_at
                job = wait_for_job(node, str(pydicom.dcmread(paths[0], stop_before_pixels=True).StudyInstanceUID))
                assert node.store is not None
                with node.store.read() as session:
                    steps = timeline(events_of(session, job.study_uid), sent_at)
                stages = {step.stage: step.seconds for step in steps}
                settling_s = stages.pop("receive and settle") - sending_s
                rows.append({SENDING: sending_s, "settle": settling_s, **stages, "status": job.status == "done"})
    return rows[1:]


def main() -> int:
    """Measure and print medians; 1 where the goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, help="one CT series; default: 40 slices with a bleed")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--known", action="store_true", help="the PACS has each study before")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        folder = arguments.folder
        if folder is None:
            folder = scratch / "study"
            written_head(folder)
        rows = measure(folder, scratch, arguments.repeats, known=arguments.known)
    assert all(row.pop("status") for row in rows), "a run did not end as done"
    for stage in rows[0]:
        print_row(stage, [row[stage] for row in rows])
    whole = [sum(row.values()) - row[SENDING] for row in rows]
    print_row("last image to result", whole)
    is_met = statistics.median(whole) <= GOAL_S
    print(f"goal: at most {GOAL_S:g} s: {'met' if is_met else 'NOT MET'}")
    return int(not is_met)


def print_row(name: str, seconds: list[float]) -> None:
    """Median, minimum and maximum of one stage."""
    middle = statistics.median(seconds)
    print(f"{name:<24} median {middle:6.2f} s   min {min(seconds):6.2f}   max {max(seconds):6.2f}")


if __name__ == "__main__":
    raise SystemExit(main())
