"""Several reconstructions of one acquisition yield one job; a repeat scan has its own; assemblers may compete."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from dicomnode.assemble.service import Assembler
from dicomnode.execute.digest_worker import digest_of
from dicomnode.store.engine import Store
from dicomnode.store.history.events import events_of
from dicomnode.store.queue.jobs import release_waiting
from tests.integration.assemble.world import ANY_CT, World
from tests.integration.store.fixture import both_databases
from tests.tools.series import ct_series

THICK_MM, THIN_MM, THINNEST_MM = 12.0, 8.0, 7.0
"""Stand for 5, 1 and 0.6 mm, with fewer files; the preferred range is set to match."""
PROTOCOL = {**ANY_CT, "preferred_thickness_mm": {"min": 10.0, "max": 13.0}}


@pytest.fixture
def new_world(store: Store, tmp_path: Path) -> Callable[..., World]:
    """Makes a world whose protocol prefers soft-tissue slices of 12 mm."""
    return lambda **sections: World(store, tmp_path / "data", protocols=(PROTOCOL,), **sections)


@pytest.fixture
def world(new_world: Callable[..., World]) -> World:
    """Waits 20 s for a better reconstruction."""
    return new_world()


def recon(kernel: str, spacing_mm: float, **attributes: Any) -> list[Dataset]:
    """One reconstruction of the same acquisition."""
    offsets = [index * spacing_mm for index in range(int(120 // spacing_mm) + 1)]
    settings = {"AcquisitionDate": "20260101", "AcquisitionTime": "100000", "ConvolutionKernel": kernel}
    return ct_series(
        offsets,
        name=f"{kernel} {spacing_mm}",
        matrix=4,
        pixel_spacing_mm=(56.0, 56.0),
        Manufacturer="GE MEDICAL SYSTEMS",
        **(settings | attributes),
    )


def five() -> dict[str, list[Dataset]]:
    """What a scanner sends of one head scan."""
    return {
        "bone thin": recon("BONEPLUS", THIN_MM),
        "bone thick": recon("BONEPLUS", THICK_MM),
        "soft thin": recon("STANDARD", THIN_MM),
        "soft thick": recon("STANDARD", THICK_MM),
        "soft thinnest": recon("STANDARD", THINNEST_MM),
    }


@pytest.mark.parametrize(
    "order",
    [
        ["bone thin", "bone thick", "soft thin", "soft thick", "soft thinnest"],
        ["soft thick", "soft thinnest", "soft thin", "bone thick", "bone thin"],
        ["soft thinnest", "bone thick", "soft thin", "bone thin", "soft thick"],
    ],
    ids=["best fourth", "best first", "best last"],
)
def test_five_reconstructions_yield_one_job_on_the_best(world: World, order: list[str]) -> None:
    series = five()
    world.assemble(*(series[name] for name in order))
    (job,) = world.active_jobs()
    best = series["soft thick"]
    assert world.series_of(job) == best[0].SeriesInstanceUID
    assert job.status == "queued"
    assert world.series(best).status == "chosen"
    assert {world.series(series[name]).status for name in order if name != "soft thick"} == {"not_chosen"}
    assert {job.acquisition_key for job in world.jobs()} == {job.acquisition_key}
    assert [row.generation for row in world.jobs()] == list(range(1, len(world.jobs()) + 1))


@both_databases
def test_five_reconstructions_that_come_all_at_once_yield_one_job_on_the_best(world: World) -> None:
    series = five()
    for datasets in series.values():
        world.send(datasets)
    world.settle()
    (job,) = world.active_jobs()
    assert world.series_of(job) == series["soft thick"][0].SeriesInstanceUID


def test_a_first_choice_starts_at_once_and_any_other_waits_for_a_better_one(world: World) -> None:
    second, first = recon("BONEPLUS", THICK_MM), recon("STANDARD", THICK_MM)
    world.assemble(second)
    (waiting,) = world.active_jobs()
    assert waiting.status == "waiting"
    assert waiting.ready_at == pytest.approx(time.time() + 20, abs=2)
    world.assemble(first)
    (queued,) = world.active_jobs()
    assert (queued.status, world.series_of(queued)) == ("queued", str(first[0].SeriesInstanceUID))
    assert [job.status for job in world.jobs()] == ["superseded", "queued"]


def test_where_nothing_better_comes_the_wait_ends(world: World) -> None:
    world.assemble(recon("BONEPLUS", THICK_MM))
    world.change(lambda session: release_waiting(session, time.time()))
    assert [job.status for job in world.jobs()] == ["waiting"]
    world.age(21)
    world.change(lambda session: release_waiting(session, time.time()))
    assert [job.status for job in world.jobs()] == ["queued"]


def test_why_tells_which_reconstruction_was_better(world: World) -> None:
    bone, soft = recon("BONEPLUS", THICK_MM), recon("STANDARD", THICK_MM)
    world.assemble(soft, bone)
    with world.store.read() as session:
        events = events_of(session, str(bone[0].SeriesInstanceUID))
    passed = [event for event in events if event.name == "pass_over"]
    assert [event.detail["better"] for event in passed] == [str(soft[0].SeriesInstanceUID)]


def test_a_repeat_scan_in_the_same_study_is_a_job_of_its_own(world: World) -> None:
    repeat = recon("STANDARD", THICK_MM, AcquisitionTime="101500")
    for ds in repeat:
        ds.SeriesInstanceUID = f"{ds.SeriesInstanceUID}.2"
        ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    world.assemble(recon("STANDARD", THICK_MM), repeat)
    jobs = world.active_jobs()
    assert [job.status for job in jobs] == ["queued", "queued"]
    assert len({job.acquisition_key for job in jobs}) == 2
    assert len({job.study_uid for job in jobs}) == 1


def test_a_reconstruction_of_another_study_never_competes(world: World) -> None:
    other = recon("BONEPLUS", THICK_MM, StudyInstanceUID=generate_uid())
    world.assemble(recon("STANDARD", THICK_MM), other)
    assert len(world.active_jobs()) == 2


def test_a_reopened_series_competes_again_with_those_passed_over(world: World) -> None:
    soft, bone = recon("STANDARD", THICK_MM), recon("BONEPLUS", THICK_MM)
    world.assemble(soft[:-1], bone, soft[-1:])
    assert world.active_jobs() == []
    world.age(61)
    world.assembler.tick()
    (job,) = world.active_jobs()
    assert world.series_of(job) == soft[0].SeriesInstanceUID
    assert world.series(bone).status == "not_chosen"
    assert job.generation == 2


def compete(assemblers: Sequence[Assembler]) -> list[BaseException]:
    """All tick at the same moment; what went wrong."""
    faults: list[BaseException] = []
    together = threading.Barrier(len(assemblers))

    def tick(assembler: Assembler) -> None:
        together.wait()
        try:
            assembler.tick()
        except BaseException as fault:  # noqa: BLE001 (handed to the test)
            faults.append(fault)

    threads = [threading.Thread(target=tick, args=(assembler,)) for assembler in assemblers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(90)
    return faults


@both_databases
def test_assemblers_that_tick_together_create_one_job(new_world: Callable[..., World]) -> None:
    world = new_world()
    for datasets in (recon("STANDARD", THICK_MM), recon("BONEPLUS", THICK_MM), recon("SOFT", THICK_MM)):
        world.send(datasets)
    time.sleep(0.1)
    others = [Assembler(world.config, Store(world.store.url), digest_of, lambda: False) for _ in range(3)]
    assert compete([world.assembler, *others]) == []
    for assembler in others:
        assembler.store.close()
    assert len(world.active_jobs()) == 1
    assert len(world.events("choose", "series")) + len(world.events("pass_over", "series")) >= 3
    decided = [event.series_uid for event in world.events("complete", "series")]
    assert len(decided) == len(set(decided)) == 3
