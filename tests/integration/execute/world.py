"""Bundles that work, raise or wait, one warm worker for them all, and a dispatcher that is driven step by step."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import select

from dicomnode.execute.backends.local import LocalBackend, ModelWorkerSettings
from dicomnode.execute.child import ChildProcess
from dicomnode.execute.dispatcher import CASE_WORKER, Dispatcher
from dicomnode.store.engine import Store
from dicomnode.store.history.jobs import show_job
from dicomnode.store.history.lines import JobLine
from dicomnode.store.tables import Job, Run
from tests.acceptance.scanner import small_study
from tests.integration.assemble.world import World
from tests.integration.receive.world import wait_until
from tests.tools.bundle import write_threshold_bundle
from tests.tools.series import ct_series

MODELS = ("threshold", "second", "raising", "memory", "capped", "gated")
NETWORKS = "tests.tools.broken_networks"


class Bundles:
    """A folder of bundles, and the gate that the gated one waits at."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.gate = folder / "gate"
        self.gate.mkdir(parents=True)
        write_threshold_bundle(folder / "zoo/threshold")
        write_threshold_bundle(folder / "zoo/second", "second")
        write_threshold_bundle(folder / "zoo/raising", "raising", f"{NETWORKS}.Raising")
        write_threshold_bundle(folder / "zoo/memory", "memory", f"{NETWORKS}.OutOfMemory")
        write_threshold_bundle(folder / "zoo/capped", "capped", f"{NETWORKS}.Capped")
        write_threshold_bundle(folder / "zoo/gated", "gated", f"{NETWORKS}.Gated", gate=str(self.gate))

    def open(self) -> None:
        """Let the gated network through, now and from now on."""
        (self.gate / "open").touch()

    def close(self) -> None:
        """Let nothing through; forget that anything ran."""
        for path in self.gate.iterdir():
            path.unlink()

    def wait_until_running(self) -> None:
        """Until the gated network runs."""
        wait_until(lambda: (self.gate / "running").exists(), 90)


class Workers:
    """A backend with some models of the bundles and a case worker, for many tests; what a test killed starts again."""

    def __init__(self, bundles: Bundles, models: tuple[str, ...]) -> None:
        settings = ModelWorkerSettings(
            device="cpu", models=models, zoo_paths=(bundles.folder / "zoo",), zoo_digests={}, cpu_threads=1
        )
        self.backend = LocalBackend(settings, start_timeout_s=120)
        self.case_worker = ChildProcess(CASE_WORKER, None, start_timeout_s=120)

    def start(self) -> None:
        """Start those that do not run."""
        missing = [worker for worker in (self.backend, self.case_worker) if not worker.is_running]
        for worker in missing:
            worker.launch()
        for worker in missing:
            worker.wait_until_ready()

    def kill(self) -> None:
        """End both."""
        self.backend.kill()
        self.case_worker.kill()


class ExecutionWorld(World):
    """A world whose jobs run for real. ``models`` are those of its one protocol, in order; ``destination`` its one."""

    def __init__(
        self,
        store: Store,
        data_dir: Path,
        bundles: Bundles,
        models: tuple[str, ...],
        destination: dict[str, Any] | None = None,
        reception: dict[str, Any] | None = None,
        **execution: Any,
    ) -> None:
        protocol = {"name": "head-ct", "match": {"Modality": "^CT$"}, "destinations": ["pacs"]}
        pacs = {"name": "pacs", "ae_title": "PACS", "host": "127.0.0.1", "port": 104, "accept_research": True}
        super().__init__(
            store,
            data_dir,
            protocols=({**protocol, "models": models},),
            reception={"selection_wait_s": 0.0, "quiet_period_s": 0.1, **(reception or {})},
            execution={"devices": ["cpu"], "retry_min_s": 0.01, "lease_s": 2.0, "cpu_threads": 1, **execution},
            zoo={"paths": [bundles.folder / "zoo"]},
            destination=[{**pacs, **(destination or {})}],
        )
        self.bundles = bundles
        self.dispatcher = Dispatcher(self.config, store, owner="node", device="cpu")

    def use(self, workers: Workers) -> None:
        """Work with workers that are warm already."""
        self.workers = workers
        self.dispatcher.backend, self.dispatcher.case_worker = workers.backend, workers.case_worker

    @property
    def worker_pid(self) -> int | None:
        """Of the process that runs the models, while it lives."""
        return self.workers.backend.pid

    def queue_head(self, name: str = "head") -> int:
        """A head with a bleed arrives and becomes a job; returns the job's id."""
        self.assemble(small_study(name))
        return self.active_jobs()[-1].id

    def queue_phantom(self) -> int:
        """A water phantom arrives and becomes a job."""
        offsets = [index * 6.0 for index in range(20)]
        self.assemble(ct_series(offsets, name="phantom", matrix=96, pixel_spacing_mm=(2.2, 2.2), hu=0.0))
        return self.active_jobs()[-1].id

    def step(self) -> bool:
        """Take one job through its runs; a retry that is due a little later is waited for."""
        return self.dispatcher.step()

    def step_again(self) -> None:
        """The retry, once its pause is over."""
        wait_until(self.step, 90)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Inside the block a job waits at the gate; afterwards the step is over."""
        stepping = threading.Thread(target=self.step)
        stepping.start()
        try:
            self.bundles.wait_until_running()
            yield
        finally:
            stepping.join(60)
        assert not stepping.is_alive()

    def kill_worker(self) -> None:
        """As the kernel does where memory ends."""
        assert self.worker_pid is not None
        os.kill(self.worker_pid, signal.SIGKILL)

    def job(self, job_id: int) -> JobLine:
        """A job with its runs and deliveries, as operators see it."""
        with self.store.read() as session:
            line = show_job(session, job_id)
        assert line is not None
        return line

    def brain_hu(self, job_id: int) -> float | None:
        """At what attenuation the brain of a job's images was found."""
        with self.store.read() as session:
            return session.get_one(Job, job_id).brain_hu

    def run(self, job_id: int, model: str) -> Run:
        """The row of one run."""
        with self.store.read() as session:
            return session.scalars(select(Run).where(Run.job_id == job_id, Run.model == model)).one()
