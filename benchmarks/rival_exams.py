"""The exams of ``benchmarks/rivals.py``: real heads, bleeds painted into them, synthetic heads, real slices of blood.

Each has a digest of all that it is made of, known before it is read: what was found in it once need not be found again.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import lru_cache, partial
from pathlib import Path
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

import tests.tools.paint
from benchmarks import real_slices
from benchmarks.painted_head import CASES, FILM
from dicomnode.cohort.findings import Finding
from dicomnode.images.files import read_image
from dicomnode.records import Volume
from dicomnode.train.importers import cohort
from dicomnode.train.manifest import Case, MaskFile
from dicomnode.train.masks import read_mask
from dicomnode.zoo.orientation import orientation_of
from tests.tools.paint import Kind, paint_volume, room_for

Mask = NDArray[np.bool_]


class Sort(StrEnum):
    """What exams are there for."""

    CLEAN = "real head without blood"
    PAINTED = "bleed painted into a real head"
    FILM = "film of blood painted into a real head"
    SYNTHETIC = "synthetic head"
    SLICE = "real slice of blood"


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """One exam and what is known of it; masks are (slices, rows, columns) in stack order.

    Attributes
    ----------
    stained : by contrast medium.
    counted : the slices that count, each by its name as an exam of its own; empty: the whole exam does.
    """

    volume: Volume
    blood: Mask
    stained: Mask
    counted: tuple[tuple[int, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Exam:
    """One exam, to be read when it is wanted.

    Attributes
    ----------
    digest : of the files, of what is painted, and of the code that paints it.
    """

    sort: Sort
    group: str
    name: str
    digest: str
    read: Callable[[], Known]


def clean_exam(folder: Path) -> Exam:
    """A real head without blood."""
    return Exam(
        sort=Sort.CLEAN,
        group=f"{folder.name} without blood",
        name=folder.name,
        digest=_digest(_files(folder)),
        read=partial(_clean, folder),
    )


def painted_exams(folder: Path) -> Iterator[Exam]:
    """The bleeds of ``benchmarks/painted_head.py``, painted into a real head."""
    for kind, volume_ml in CASES:
        yield Exam(
            sort=Sort.FILM if kind == FILM else Sort.PAINTED,
            group=f"{kind} painted into {folder.name}",
            name=f"{volume_ml:g} mL",
            digest=_digest(_files(folder), kind, f"{volume_ml:g}", code=tests.tools.paint),
            read=partial(_painted, folder, kind, volume_ml),
        )


def cohort_exams(folder: Path, beside: Path) -> Iterator[Exam]:
    """The baseline of every patient of ``dicomnode cohort make``, grouped by whether there is blood."""
    for case in cohort.read(folder, beside):
        assert case.image is not None
        yield Exam(
            sort=Sort.SYNTHETIC,
            group=f"{folder.name}, {'blood' if case.labels['hemorrhage'] else 'no blood'}",
            name=case.id,
            digest=_digest([*_files(case.image), case.masks["hemorrhage"].path]),
            read=partial(_of_cohort, case),
        )


def slice_exams(folder: Path) -> Iterator[Exam]:
    """The stacks of ``benchmarks/real_slices.py``."""
    files = [path for part in ("images", "masks") for path in _files(folder / part)]
    for stack in real_slices.read_slices(folder):
        name = f"{stack.numbers[0]} to {stack.numbers[-1]}"
        yield Exam(
            sort=Sort.SLICE,
            group="real slices",
            name=name,
            digest=_digest(files, name, code=real_slices),
            read=partial(_of_slices, stack),
        )


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_file()) if folder.is_dir() else [folder]


def _digest(files: Sequence[Path], *words: str, code: ModuleType | None = None) -> str:
    digest = hashlib.sha256("\n".join(words).encode())
    for file in files:
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    if code is not None:
        digest.update(inspect.getsource(code).encode())
    return digest.hexdigest()


@lru_cache(maxsize=1)
def _head(folder: Path) -> Volume:
    return read_image(folder)


@lru_cache(maxsize=1)
def _room(folder: Path, kind: Kind) -> Mask:
    return room_for(_head(folder), kind)


def _clean(folder: Path) -> Known:
    nothing = np.zeros(_head(folder).hu.shape, np.bool_)
    return Known(volume=_head(folder), blood=nothing, stained=nothing)


def _painted(folder: Path, kind: Kind, volume_ml: float) -> Known:
    hu, blood = paint_volume(_head(folder), _room(folder, kind), volume_ml=volume_ml, kind=kind)
    return Known(volume=replace(_head(folder), hu=hu), blood=blood, stained=np.zeros_like(blood))


def _of_cohort(case: Case) -> Known:
    assert case.image is not None
    volume = read_image(case.image)
    stained = MaskFile(case.masks["hemorrhage"].path, (int(Finding.STAINING),))
    turn = orientation_of(volume.stack).from_canonical
    return Known(
        volume=volume,
        blood=turn(read_mask(case.masks["hemorrhage"], volume)),
        stained=turn(read_mask(stained, volume)),
    )


def _of_slices(stack: real_slices.Slices) -> Known:
    around = ((real_slices.PADDING,) * 2, (0, 0), (0, 0))
    blood = np.pad(stack.truth, around)
    counted = tuple((real_slices.PADDING + k, str(number)) for k, number in enumerate(stack.numbers))
    return Known(volume=stack.volume, blood=blood, stained=np.zeros_like(blood), counted=counted)
