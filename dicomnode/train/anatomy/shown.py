"""What the networks of the midline are shown of scans, painted once and kept as files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dicomnode.measure.anatomy.head import FINE_MM
from dicomnode.measure.anatomy.sampling import coarse
from dicomnode.measure.anatomy.septum import SEPTUM
from dicomnode.measure.parenchyma import commonest_soft_tissue_hu
from dicomnode.train.anatomy.falx import Side, side_of
from dicomnode.train.anatomy.looking import Shown, shown_of
from dicomnode.train.anatomy.shifted import Scanned, scan_head


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A scan as the two networks see it. ``shift_mm``: of its septum, to the left positive."""

    septum: Shown
    side: Side
    shift_mm: float


def kept_of(scan: Scanned) -> Kept | None:
    """What is kept of a scan; None where no frame was found."""
    if scan.frame is None:
        return None
    seen, brain_hu = coarse(scan.volume, FINE_MM), commonest_soft_tissue_hu(scan.volume.hu) or 0.0
    place_mm = scan.frame.to_head(scan.septum_mm)
    side = side_of(scan.base, seen, scan.frame, brain_hu, float(place_mm[0]) - scan.shift_mm)
    return Kept(septum=shown_of(SEPTUM, seen, scan.frame, brain_hu, place_mm), side=side, shift_mm=scan.shift_mm)


def kept_heads(out: Path, numbers: range, templates: Path | None) -> Iterator[list[Kept]]:
    """Of every head its scans, painted where they are not there yet."""
    out.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        path = out / f"{number:05d}.npz"
        if not path.exists():
            scans = [kept for scan in scan_head(number, templates) if (kept := kept_of(scan)) is not None]
            temporary = path.with_suffix(".tmp.npz")
            _save(temporary, scans)
            temporary.replace(path)
        yield _loaded(path)


def _save(path: Path, scans: list[Kept]) -> None:
    np.savez_compressed(
        path,
        block=np.array([one.septum.block for one in scans]),
        place_mm=np.array([one.septum.place_mm for one in scans]),
        hu=np.array([one.side.hu for one in scans]),
        middles=np.array([one.side.middles for one in scans]),
        unmoved_mm=np.array([one.side.unmoved_mm for one in scans]),
        plane_mm=np.array([one.side.plane_mm for one in scans]),
        shift_mm=np.array([one.shift_mm for one in scans]),
    )


def _loaded(path: Path) -> list[Kept]:
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    return [
        Kept(
            septum=Shown(block=arrays["block"][k], place_mm=arrays["place_mm"][k]),
            side=Side(
                hu=arrays["hu"][k],
                middles=arrays["middles"][k],
                unmoved_mm=arrays["unmoved_mm"][k],
                plane_mm=float(arrays["plane_mm"][k]),
            ),
            shift_mm=float(arrays["shift_mm"][k]),
        )
        for k in range(len(arrays["shift_mm"]))
    ]
