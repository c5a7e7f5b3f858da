"""Models on a real Ray cluster: what they find is what they find here, and a Ray node that dies costs a run, no job."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dicomnode.app.known_head import make_known_head
from dicomnode.errors import InferenceError, LeaseLost, RunTimedOut, WorkerCrashed
from dicomnode.execute.backends.local import ModelWorkerSettings
from dicomnode.execute.backends.ray_cluster import RayBackend, RaySettings
from dicomnode.execute.tasks import Failure, InferReply, InferTask
from dicomnode.execute.volume_file import save_volume
from dicomnode.records import PatientContext
from dicomnode.store.engine import Store
from tests.conftest import OWN_PATH, REPOSITORY
from tests.integration.execute.world import Bundles, ExecutionWorld, Workers
from tests.integration.receive.world import wait_until
from tests.integration.store.fixture import sqlite_only
from tests.tools.ray_cluster import RayCluster

START_S = 120.0


@pytest.fixture(scope="module", autouse=True)
def _with_extras() -> Iterator[None]:
    """What other workers do not find here, Ray needs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", OWN_PATH or str(REPOSITORY))
        yield


@pytest.fixture(scope="module")
def cluster() -> Iterator[RayCluster]:
    with RayCluster() as running:
        yield running


def settings_of(address: str, bundles: Bundles, *models: str, **more: Any) -> RaySettings:
    worker = ModelWorkerSettings(
        device="cpu", models=models, zoo_paths=(bundles.folder / "zoo",), zoo_digests={}, cpu_threads=1
    )
    return RaySettings(
        **{"address": address, "gpus": 0.0, "cpus": 1.0, "models": worker, "start_timeout_s": START_S} | more
    )


def backend_at(address: str, bundles: Bundles, *models: str, **more: Any) -> RayBackend:
    return RayBackend(settings_of(address, bundles, *models, **more), start_timeout_s=START_S)


@pytest.fixture(scope="module")
def backend(cluster: RayCluster, bundles: Bundles) -> Iterator[RayBackend]:
    """One actor for several tests; whoever ended it starts it again."""
    made = backend_at(cluster.address, bundles, "threshold", "gated", "raising")
    yield made
    made.kill()


@pytest.fixture
def warm(backend: RayBackend, bundles: Bundles) -> RayBackend:
    bundles.close()
    if not backend.is_running:
        backend.start()
    return backend


def world_on(cluster: RayCluster, store: Store, folder: Path, bundles: Bundles, *models: str) -> ExecutionWorld:
    """A node whose one dispatcher has its models on the cluster."""
    ray = {"address": cluster.address, "gpus": 0.0}
    return ExecutionWorld(store, folder, bundles, models, backend="ray", devices=["auto"], ray=ray, lease_s=30.0)


@pytest.fixture(scope="module")
def volume(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a head's volume, as the case worker writes it."""
    folder = tmp_path_factory.mktemp("head")
    save_volume(folder / "volume.npz", make_known_head(folder).volume)
    return folder / "volume.npz"


def task_for(model: str, volume: Path, findings: Path, *earlier: Path) -> InferTask:
    return InferTask(
        model=model, volume=volume, context=PatientContext(), earlier=earlier, findings=findings, keep_probability=True
    )


@pytest.mark.full
@pytest.mark.timeout(900)
def test_findings_of_the_cluster_are_those_of_this_machine_to_the_byte(
    warm: RayBackend, workers: Workers, volume: Path, tmp_path: Path
) -> None:
    workers.start()
    there, here = (
        task_for("threshold", volume, tmp_path / "there.npz"),
        task_for("threshold", volume, tmp_path / "here.npz"),
    )
    reply, local = warm.infer(there, timeout_s=60), workers.backend.infer(here, timeout_s=60)
    assert isinstance(reply, InferReply)
    assert isinstance(local, InferReply)
    assert there.findings.read_bytes() == here.findings.read_bytes()
    assert (reply.model_digest, reply.outcomes, reply.scores) == (local.model_digest, local.outcomes, local.scores)
    assert reply.device.startswith("cpu on ")


@pytest.mark.full
@sqlite_only
def test_a_job_goes_on_elsewhere_when_its_ray_node_dies_during_a_run(
    cluster: RayCluster, backend: RayBackend, store: Store, tmp_path: Path, bundles: Bundles
) -> None:
    backend.kill()  # its place is free
    bundles.close()
    world = world_on(cluster, store, tmp_path, bundles, "gated")
    job_id = world.queue_head()
    try:
        with world.running():
            wait_until(lambda: len(cluster.actors()) == 1, 30)
            (first,) = cluster.actors()
            raylet = first.ppid()
            cluster.kill_node_of(first)
        bundles.open()
        assert world.run(job_id, "gated").crashes == 1
        world.step_again()
        assert [actor.ppid() == raylet for actor in cluster.actors()] == [False]
        assert world.job(job_id).status == "delivering"
    finally:
        world.dispatcher.backend.kill()
        world.dispatcher.case_worker.kill()


@pytest.mark.full
def test_a_lease_that_is_lost_leaves_the_actor_warm(
    warm: RayBackend, bundles: Bundles, volume: Path, tmp_path: Path
) -> None:
    def lost() -> None:
        if (bundles.gate / "running").exists():
            bundles.open()
            raise LeaseLost("taken over")

    pid = warm.pid
    with pytest.raises(LeaseLost):
        warm.infer(task_for("gated", volume, tmp_path / "lost.npz"), timeout_s=60, tick=lost)
    assert warm.pid == pid
    assert isinstance(warm.infer(task_for("threshold", volume, tmp_path / "next.npz"), timeout_s=60), InferReply)


@pytest.mark.full
def test_a_run_that_takes_too_long_costs_the_actor_and_the_next_start_makes_another(
    cluster: RayCluster, warm: RayBackend, volume: Path, tmp_path: Path
) -> None:
    with pytest.raises(RunTimedOut):
        warm.infer(task_for("gated", volume, tmp_path / "late.npz"), timeout_s=1)
    assert not warm.is_running
    # it would hold the place and the card
    wait_until(lambda: cluster.actors() == [], 60)
    warm.start()
    assert isinstance(warm.infer(task_for("threshold", volume, tmp_path / "next.npz"), timeout_s=60), InferReply)


@pytest.mark.full
def test_an_actor_that_is_killed_is_a_worker_that_crashed(
    cluster: RayCluster, warm: RayBackend, volume: Path, tmp_path: Path
) -> None:
    (actor,) = cluster.actors()
    actor.kill()
    with pytest.raises(WorkerCrashed, match="the actor on the Ray cluster is gone"):
        warm.infer(task_for("threshold", volume, tmp_path / "findings.npz"), timeout_s=60)
    assert not warm.is_running


@pytest.mark.full
def test_what_a_model_raises_in_the_cluster_is_a_failure_without_its_message(
    warm: RayBackend, volume: Path, tmp_path: Path
) -> None:
    reply = warm.infer(task_for("raising", volume, tmp_path / "findings.npz"), timeout_s=60)
    assert isinstance(reply, Failure)
    assert reply.message.startswith("LookupError at ladder.py:")


@pytest.mark.full
def test_a_machine_outside_of_the_cluster_reaches_it_by_one_port(
    cluster: RayCluster, backend: RayBackend, bundles: Bundles, volume: Path, tmp_path: Path
) -> None:
    backend.kill()
    outside = backend_at(cluster.client_address, bundles, "threshold")
    try:
        outside.start()
        assert isinstance(
            outside.infer(task_for("threshold", volume, tmp_path / "there.npz"), timeout_s=60), InferReply
        )
    finally:
        outside.kill()


@pytest.mark.full
def test_an_actor_that_fits_nowhere_is_said_with_what_the_cluster_has(cluster: RayCluster, bundles: Bundles) -> None:
    greedy = backend_at(cluster.address, bundles, "threshold", gpus=1.0, start_timeout_s=20.0)
    with pytest.raises(
        InferenceError, match=r"no actor with 1 GPU and 1 CPU was ready within 18 s; alive: .*1 CPU, 0 GPU"
    ):
        greedy.start()


def test_an_address_where_nobody_answers_is_said_with_what_an_address_is(bundles: Bundles) -> None:
    lost = backend_at("ray://127.0.0.1:9", bundles, "threshold")
    with pytest.raises(InferenceError, match=r"no Ray cluster answers at ray://127.0.0.1:9 .*is it running"):
        lost.start()
