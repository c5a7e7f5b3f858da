"""Seconds from the first C-STORE to the last result in the PACS, stage by stage, on this machine.

    python benchmarks/image_to_result.py [FOLDER_WITH_A_SERIES] --repeats 5

A node and a receiving PACS run in this process, the model in its worker; the series (default: the demonstration study)
is sent again and again under new UIDs. The first run is warm-up and not counted.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import pydicom
from pydicom.misc import is_dicom

from dicomnode.app.demo import PACS_AE, demo_config, send_study, timeline, wait_for_job, wait_for_worker
from dicomnode.app.demo_pacs import ReceivingPacs
from dicomnode.app.node import Node
from dicomnode.cohort.make import make_demo_study
from dicomnode.logs import configure_logging
from dicomnode.store.history.events import events_of


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


def measure(folder: Path, scratch: Path, repeats: int) -> list[dict[str, float]]:
    """Seconds by stage of each counted run."""
    rows = []
    with ReceivingPacs(scratch / "pacs", PACS_AE) as pacs:
        config = demo_config(scratch / "node", pacs.port)
        configure_logging(config.operations)
        with Node(config) as node:
            wait_for_worker(node)
            for run in range(repeats + 1):
                paths = renamed(folder, scratch / f"run-{run}", run)
                sent_at = time.time()
                send_study(paths, node, config)
                job = wait_for_job(node, str(pydicom.dcmread(paths[0], stop_before_pixels=True).StudyInstanceUID))
                assert node.store is not None
                with node.store.read() as session:
                    steps = timeline(events_of(session, job.study_uid), sent_at)
                rows.append({step.stage: step.seconds for step in steps} | {"status": job.status == "done"})
    return rows[1:]


def main() -> None:
    """Measure and print medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, help="one CT series; default: the demonstration study")
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        folder = arguments.folder
        if folder is None:
            folder = scratch / "study"
            make_demo_study(folder)
        rows = measure(folder, scratch, arguments.repeats)
    assert all(row.pop("status") for row in rows), "a run did not end as done"
    for stage in rows[0]:
        print_row(stage, [row[stage] for row in rows])
    print_row("image to result", [sum(row.values()) for row in rows])


def print_row(name: str, seconds: list[float]) -> None:
    """Median, minimum and maximum of one stage."""
    middle = statistics.median(seconds)
    print(f"{name:<24} median {middle:6.2f} s   min {min(seconds):6.2f}   max {max(seconds):6.2f}")


if __name__ == "__main__":
    main()
