"""Memory: what a worker takes at most for each model, and what a node takes that gets many large series at once.

    python -m benchmarks.memory [--models hemorrhage followup] [--slices 40 600]
    python -m benchmarks.memory --node [--series 16] [--slices 600] [--folder /var/tmp]

The first starts the worker of the node with one model and asks it about a head of 512 x 512 in so many slices; *peak*
is what the kernel says it held at most, what it shares with other processes included. The second starts a node with the
model of haemorrhage, sends that many series at the same moment, and prints the most that all processes of the node held
together until the last job was over; pages that several hold are counted once. The goal is 4 GB. It needs 0.5 MB of
disk for each slice, twice.
"""

from __future__ import annotations

import argparse
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pydicom
from pydicom.uid import generate_uid
from rich.console import Console
from rich.table import Table

from benchmarks.segment import painted_head, written_head
from dicomnode.app.known_answer import HeadFacts
from dicomnode.app.known_head import KnownHead, known_context, known_findings
from dicomnode.execute.backends.local import LocalBackend, ModelWorkerSettings
from dicomnode.execute.findings_file import save_findings
from dicomnode.execute.tasks import Failure, InferTask
from dicomnode.execute.volume_file import save_volume
from dicomnode.zoo.registry import Registry
from tests.acceptance.orthanc import free_port
from tests.acceptance.scanner import storescu
from tests.acceptance.served import ServedNode

MODELS = ("hemorrhage", "followup", "prognosis", "edema", "deterioration")
GOAL_GB = 4.0
LIMIT_S = 3600.0
LOOK_S = 0.5
NOWHERE = {"name": "pacs", "ae_title": "PACS", "host": "127.0.0.1", "port": 1}
OVER = {"done", "delivering", "failed", "refused", "quarantined"}
"""States of a job whose models and encoding are over; nobody takes its results."""


def main() -> int:
    """Measure and print; 1 where the node took more than the goal."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", choices=MODELS, default=MODELS)
    parser.add_argument("--slices", nargs="+", type=int, default=[40, 600])
    parser.add_argument("--node", action="store_true", help="a node that gets many series at once, instead of workers")
    parser.add_argument("--series", type=int, default=16)
    parser.add_argument("--folder", type=Path, default=Path(), help="for what is written meanwhile (default: here)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="dicomnode-memory-", dir=options.folder) as folder:
        if options.node:
            return int(node_peak(Path(folder).absolute(), options.series, options.slices[-1]) > GOAL_GB)
        workers(Path(folder), options.models, options.slices)
    return 0


def workers(folder: Path, models: Sequence[str], slices: Sequence[int]) -> None:
    """The table of models."""
    table = Table(title="a worker with one model: GB", width=100)
    for column in ("model", "loaded", *(f"peak, {count} slices" for count in slices)):
        table.add_column(column, justify="left" if column == "model" else "right")
    facts = HeadFacts(seed=7, cohort_version="", truth_ml=0.0, mean_hu=0.0)
    heads = [KnownHead(*painted_head(count), facts) for count in slices]
    for model in models:
        table.add_row(model, *(f"{value:.2f}" for value in worker_peaks(folder, model, heads)))
    Console(width=100).print(table)


def worker_peaks(folder: Path, model: str, heads: Sequence[KnownHead]) -> Iterator[float]:
    """GB of a worker that has loaded its model, then its peak after each head."""
    settings = ModelWorkerSettings(device="cpu", models=(model,), zoo_paths=(), zoo_digests={}, cpu_threads=1)
    backend = LocalBackend(settings, start_timeout_s=600.0)
    backend.start()
    try:
        assert backend.pid is not None
        yield psutil.Process(backend.pid).memory_info().rss / 1e9
        for number, head in enumerate(heads):
            reply = backend.infer(task_of(folder / str(number), model, head), timeout_s=LIMIT_S)
            if isinstance(reply, Failure):
                raise RuntimeError(f"{model}: {reply.message}")
            yield peak_gb(backend.pid)
    finally:
        backend.kill()


def task_of(folder: Path, model: str, head: KnownHead) -> InferTask:
    """A run as the node asks for it."""
    folder.mkdir(exist_ok=True)
    manifest = Registry().manifest(model)
    save_volume(folder / "volume.npz", head.volume)
    save_findings(folder / "earlier.npz", known_findings(manifest, head))
    return InferTask(
        model=model,
        volume=None if manifest.needs.image is None else folder / "volume.npz",
        context=known_context(manifest),
        earlier=(folder / "earlier.npz",),
        findings=folder / "findings.npz",
    )


def peak_gb(pid: int) -> float:
    """The most that a process has held so far."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024 / 1e9


def node_peak(folder: Path, series: int, slices: int) -> float:
    """Print and return the peak of a node, GB."""
    _, paths = written_head(folder / "head", slices)
    copies = copied(paths, [folder / f"series-{number}" for number in range(series)])
    reception, execution = {"settle_s": 2.0, "selection_wait_s": 0.0}, {"run_timeout_s": LIMIT_S}
    with ServedNode(folder / "node", free_port(), [NOWHERE], reception=reception, execution=execution) as node:
        node.start()
        with watched(node) as seen, ThreadPoolExecutor(series) as pool:
            began = time.monotonic()
            took = list(pool.map(lambda files: storescu(files, node.port, within_s=LIMIT_S), copies))
            received_s = time.monotonic() - began
            assert all(took), "not every series was taken"
            states = until_over(node, series, seen)
    peak = max(seen)
    over_s = time.monotonic() - began
    print(
        f"{series} series of {slices} slices received in {received_s:.0f} s, over after {over_s:.0f} s; jobs: {states}"
    )
    print(f"peak {peak:.2f} GB, goal {GOAL_GB:g}: {'met' if peak <= GOAL_GB else 'NOT MET'}")
    return peak


def copied(paths: Sequence[Path], folders: Sequence[Path]) -> list[list[Path]]:
    """The series as a study of its own in each folder."""
    for folder in folders:
        folder.mkdir()
    uids = [(generate_uid(), generate_uid()) for _ in folders]
    for path in paths:
        ds = pydicom.dcmread(path)
        for folder, (study_uid, series_uid) in zip(folders, uids, strict=True):
            ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.SOPInstanceUID = study_uid, series_uid, generate_uid()
            ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
            ds.save_as(folder / path.name)
    return [sorted(folder.iterdir()) for folder in folders]


@contextmanager
def watched(node: ServedNode) -> Iterator[list[float]]:
    """GB of all processes of a node together, looked at again and again; what several share is counted once."""
    seen, over = [0.0], threading.Event()

    def look() -> None:
        assert node.process is not None
        supervisor = psutil.Process(node.process.pid)
        while not over.wait(LOOK_S):
            with suppress(psutil.Error):
                every = (supervisor, *supervisor.children(recursive=True))
                seen.append(sum(one.memory_full_info().pss for one in every) / 1e9)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()


def until_over(node: ServedNode, series: int, seen: Sequence[float]) -> dict[str, int]:
    """Wait until so many jobs are over, and say at each how much was held at most so far; how many ended how."""
    deadline, told = time.monotonic() + LIMIT_S, 0
    while time.monotonic() < deadline:
        states = node.states()
        over = sum(state in OVER for state in states)
        if over > told:
            print(f"{over} of {series} jobs are over, peak so far {max(seen):.2f} GB", flush=True)
            told = over
        if over >= series:
            break
        time.sleep(LOOK_S)
    return dict(Counter(states))


if __name__ == "__main__":
    raise SystemExit(main())
