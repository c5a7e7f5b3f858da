"""Runs a minute on a Ray cluster of this machine with 1, 2 and 4 workers, beside one worker without Ray.

    python -m benchmarks.ray_scaling --model hemorrhage --runs 8

Efficiency is what a worker does of that which one does alone. On one machine workers share its cores and its memory:
more of them than cores cannot help, and say so.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from dicomnode.app.known_head import KnownHead, known_context, make_known_head
from dicomnode.execute.backends.in_child import ChildBackend
from dicomnode.execute.backends.local import LocalBackend, ModelWorkerSettings
from dicomnode.execute.backends.ray_cluster import RayBackend, RaySettings
from dicomnode.execute.tasks import InferReply, InferTask
from dicomnode.execute.volume_file import save_volume
from dicomnode.zoo.registry import Registry
from tests.tools.ray_cluster import RayCluster

START_S = 600.0
RUN_S = 600.0


def runs_a_minute(backends: Sequence[ChildBackend], tasks: Sequence[InferTask], runs: int) -> float:
    """Of all backends at once, each ``runs`` times; they are warm."""

    def work(pair: tuple[ChildBackend, InferTask]) -> None:
        for _ in range(runs):
            assert isinstance(pair[0].infer(pair[1], timeout_s=RUN_S), InferReply)

    with ThreadPoolExecutor(len(backends)) as pool:
        list(pool.map(lambda backend: backend.start(), backends))
        pairs = list(zip(backends, tasks, strict=False))
        list(pool.map(lambda pair: pair[0].infer(pair[1], timeout_s=RUN_S), pairs))
        began = time.perf_counter()
        list(pool.map(work, pairs))
    return 60 * runs * len(backends) / (time.perf_counter() - began)


def tasks_for(model: str, head: KnownHead, folder: Path, workers: int) -> list[InferTask]:
    """One for each worker, as jobs of their own."""
    volume, manifest = folder / "volume.npz", Registry([], {}, {}).manifest(model)
    save_volume(volume, head.volume)
    context = known_context(manifest)
    return [
        InferTask(model=model, volume=volume, context=context, earlier=(), findings=folder / f"findings-{index}.npz")
        for index in range(workers)
    ]


def measured(backends: Sequence[ChildBackend], tasks: Sequence[InferTask], runs: int) -> float:
    """As :func:`runs_a_minute`; the backends end."""
    try:
        return runs_a_minute(backends, tasks, runs)
    finally:
        for backend in backends:
            backend.kill()


def main() -> None:
    """Print a line for each number of workers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="hemorrhage")
    parser.add_argument("--runs", type=int, default=8)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4])
    given = parser.parse_args()
    settings = ModelWorkerSettings(device="cpu", models=(given.model,), zoo_paths=(), zoo_digests={}, cpu_threads=1)
    with tempfile.TemporaryDirectory() as scratch, RayCluster(nodes=1, places=max(given.workers)) as cluster:
        folder = Path(scratch)
        tasks = tasks_for(given.model, make_known_head(folder), folder, max(given.workers))
        print(f"{given.model}, {len(os.sched_getaffinity(0))} cores, one thread each")
        local = measured([LocalBackend(settings, start_timeout_s=START_S)], tasks, given.runs)
        print(f"without Ray, 1 worker: {local:.1f} runs a minute")
        there = RaySettings(address=cluster.address, gpus=0.0, cpus=1.0, models=settings, start_timeout_s=START_S)
        alone = None
        for workers in given.workers:
            rate = measured([RayBackend(there, start_timeout_s=START_S) for _ in range(workers)], tasks, given.runs)
            alone = alone or rate / workers
            print(
                f"Ray, {workers} workers: {rate:.1f} runs a minute, efficiency {rate / workers / alone:.2f}", flush=True
            )


if __name__ == "__main__":
    main()
