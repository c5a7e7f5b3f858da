"""A picture of the anatomical frame in any head: regions, ventricles and midline drawn into slices along its own axes.

``python -m benchmarks.anatomy_picture FOLDER --out frame.png`` reads a folder with the files (``*.dcm``) of one series.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dicomnode.images.volume import read_volume
from dicomnode.measure.anatomy.atlas import labels_at
from dicomnode.measure.anatomy.frame import Frame
from dicomnode.measure.anatomy.location import in_ventricles
from dicomnode.measure.anatomy.sampling import Coarse, coarse
from dicomnode.measure.place import Places

HEIGHTS_MM = (-50.0, -36.0, -20.0, -8.0, 6.0, 14.0, 24.0, 36.0)
PER_ROW = 4
ACROSS_MM, BACK_MM = np.arange(-80.0, 81.0), np.arange(-95.0, 100.0)
BRAIN_HALF_MM = (66.0, 84.0)
WINDOW_HU = (0.0, 80.0)
ORANGE, BLUE, GREEN = (255, 160, 0), (0, 200, 255), (0, 220, 0)


def drawn(seen: Coarse, frame: Frame, height_mm: float, shift_mm: float | None) -> NDArray[np.uint8]:
    """(y, x, 3) one slice along the axes of the frame."""
    y, x = np.meshgrid(BACK_MM, ACROSS_MM, indexing="ij")
    points = np.stack([x, y, np.full_like(x, height_mm)], axis=-1).reshape(-1, 3)
    hu = np.nan_to_num(seen.at(frame.to_patient(points)).reshape(x.shape), nan=-1000.0)
    grey = np.clip((hu - WINDOW_HU[0]) / (WINDOW_HU[1] - WINDOW_HU[0]) * 255, 0, 255).astype(np.uint8)
    picture = np.stack([grey] * 3, axis=-1)
    inside = (x / BRAIN_HALF_MM[0]) ** 2 + (y / BRAIN_HALF_MM[1]) ** 2 < 1.0
    picture[_edges(labels_at(*points.T.astype(np.float32)).reshape(x.shape)) & inside] = ORANGE
    picture[_edges(in_ventricles(points).reshape(x.shape))] = BLUE
    if shift_mm is not None and abs(height_mm - 14.0) < 1.0:
        picture[::2, int(np.argmin(np.abs(ACROSS_MM - shift_mm)))] = GREEN
    return picture


def _edges(labels: NDArray[np.generic]) -> NDArray[np.bool_]:
    return np.asarray((labels != np.roll(labels, 1, axis=0)) | (labels != np.roll(labels, 1, axis=1)))


def main() -> None:
    """Write the picture and say what was measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="files of one CT series")
    parser.add_argument("--out", type=Path, default=Path("frame.png"))
    options = parser.parse_args()
    volume = read_volume(sorted(options.folder.rglob("*.dcm")))
    places = Places(volume)
    if places.frame is None or places.head is None:
        raise SystemExit("no anatomical frame was found")
    seen = coarse(volume, 1.0)
    tiles = [drawn(seen, places.frame, height_mm, places.head.midline_shift_mm) for height_mm in HEIGHTS_MM]
    rows = [np.hstack(tiles[start : start + PER_ROW]) for start in range(0, len(tiles), PER_ROW)]
    Image.fromarray(np.vstack(rows)).save(options.out, optimize=True)
    print(places.head)


if __name__ == "__main__":
    main()
