"""What lies in a folder is judged as what comes over the network: same files, same digests, same codes."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset

from dicomnode.app.folder import FoundSeries, choose_series
from dicomnode.config.protocols import Protocol
from dicomnode.errors import SeriesError
from dicomnode.images.volume import read_series
from dicomnode.store.engine import Store
from dicomnode.store.queue.runs import source_paths
from tests.integration.assemble.world import ANY_CT, World
from tests.tools.series import ct_series, write_series

PROTOCOL = Protocol.model_validate(ANY_CT)
EVEN = tuple(range(0, 144, 12))


def head(**attributes: object) -> list[Dataset]:
    return ct_series(EVEN, matrix=8, pixel_spacing_mm=(28.0, 28.0), hu=lambda at: at[:, 2] / 10, **attributes)


@pytest.fixture
def world(store: Store, tmp_path: Path) -> World:
    """A node without a network."""
    return World(store, tmp_path / "data")


def by_network(world: World, datasets: Sequence[Dataset]) -> str | tuple[str, ...]:
    """The code by which a node refuses the images, or the digests of those that it reads."""
    world.assemble(datasets)
    world.age(61)
    world.assembler.tick()
    jobs = world.active_jobs()
    if not jobs:
        return world.series(datasets).refusal
    with world.store.read() as session:
        paths = source_paths(session, jobs[0].series_id)
    return read_series([world.spool.root / path for path in paths]).input_digests


def by_folder(folder: Path) -> str | tuple[str, ...]:
    """The same of a folder."""
    try:
        return read_series(choose_series(folder, PROTOCOL).paths).input_digests
    except SeriesError as fault:
        return fault.refusal.value


def bare(folder: Path, datasets: Sequence[Dataset]) -> None:
    """Files without preamble and file meta information."""
    for path in write_series(folder, datasets):
        content = path.read_bytes()
        path.write_bytes(content[content.index(b"\x08\x00\x08\x00CS", 132) :])


def twice(folder: Path, datasets: Sequence[Dataset]) -> None:
    write_series(folder / "a", datasets)
    write_series(folder / "b", datasets)


def plain(folder: Path, datasets: Sequence[Dataset]) -> None:
    for index, ds in enumerate(datasets):
        write_series(folder / str(index), [ds])


def test_slices_without_preamble_and_file_meta_are_slices(world: World, tmp_path: Path) -> None:
    bare(tmp_path / "in", head())
    digests = by_folder(tmp_path / "in")
    assert len(digests) == len(EVEN)
    assert digests == by_network(world, head())


def test_each_file_twice_is_each_image_once(world: World, tmp_path: Path) -> None:
    twice(tmp_path / "in", head())
    digests = by_folder(tmp_path / "in")
    assert len(digests) == len(EVEN)
    assert digests == by_network(world, [*head(), *head()])
    assert choose_series(tmp_path / "in", PROTOCOL).left_out == ("12 files of the series: the same image again",)


def one_uid() -> list[Dataset]:
    return head(SOPInstanceUID="1.2.3.4")


def two_images_under_one_uid() -> list[Dataset]:
    slices = head()
    other = copy.deepcopy(slices[5])
    other.PixelData = np.full((8, 8), 1100, "<i2").tobytes()
    return [*slices, other]


def with_too_long_a_study_uid() -> list[Dataset]:
    return head(StudyInstanceUID="1.2." + "3" * 63)


def with_a_scout() -> list[Dataset]:
    slices = head()
    slices[0].ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    return slices


def as_angiography() -> list[Dataset]:
    return head(SeriesDescription="CTA")


def of_another_modality() -> list[Dataset]:
    return head(Modality="MR")


@pytest.mark.parametrize(
    "images",
    [
        head,
        one_uid,
        two_images_under_one_uid,
        with_too_long_a_study_uid,
        with_a_scout,
        as_angiography,
        of_another_modality,
    ],
)
def test_a_folder_is_judged_as_the_network_is(
    world: World, tmp_path: Path, images: Callable[[], list[Dataset]]
) -> None:
    plain(tmp_path / "in", images())
    assert by_folder(tmp_path / "in") == by_network(world, images())


def test_what_was_left_out_is_said(tmp_path: Path) -> None:
    plain(tmp_path / "in", with_a_scout())
    write_series(tmp_path / "in/other", ct_series((0, 5), name="other", matrix=8))
    (tmp_path / "in/readme.txt").write_text("no image")
    chosen: FoundSeries = choose_series(tmp_path / "in", PROTOCOL)
    assert len(chosen.paths) == len(EVEN) - 1
    other = str(ct_series((0,), name="other", matrix=8)[0].SeriesInstanceUID)
    assert chosen.left_out == (
        "1 files of the series: localizer",
        f"2 files of series {other}: not chosen",
        "1 files: no DICOM instances",
    )
