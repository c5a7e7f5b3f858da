"""The second half of the demonstration after thrombectomy: the real follow-up comes, and is held against the forecast.

As in any hospital nobody tells the node that it is one: it is the next CT of the same patient.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from pydicom.dataset import Dataset

from dicomnode.app import show
from dicomnode.app.outcomes_shown import Came, tables, what_came
from dicomnode.app.pictures import hu_of_predicted
from dicomnode.config.whole import Config
from dicomnode.encode.pictures.drawing import BACKGROUND, INK, Pen
from dicomnode.encode.pictures.slices import crop_of, cropped, windowed
from dicomnode.images.volume import LoadedSeries
from dicomnode.kinds import MULTI_FRAME_WORD_SC
from dicomnode.store.engine import Store
from dicomnode.zoo.registry import Registry

TILE, CAPTION = 420, 34
"""Pixels: side of a scan, and room for what it is called."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """What was foretold of a patient, and what came.

    Attributes
    ----------
    first, later : the two scans. later_ml : of blood painted on the later one.
    received : what the PACS received of the first one.
    """

    first: LoadedSeries
    later: LoadedSeries
    later_ml: float
    received: Sequence[Dataset]
    came: Came


def came_of(store: Store, config: Config) -> Came:
    """What the database of a node says of forecasts and of what came."""
    with store.read() as session:
        return what_came(session, Registry(config.bundle_paths))


def show_course(course: Course, out: Path, timezone: str) -> None:
    """Print the tables of ``dicomnode outcomes``, and draw first scan, forecast and later scan side by side."""
    show.out.print(f"A day later the same head was sent again, with {course.later_ml:.1f} mL of blood painted:")
    tables(course.came, timezone)
    scans = [ds for ds in course.received if ds.SOPClassUID == MULTI_FRAME_WORD_SC]
    if scans:
        picture = picture_of_course(course.first, scans[0], course.later)
        picture.save(out / "course.png")
        show.out.print(f"picture: {out / 'course.png'}")


def picture_of_course(first: LoadedSeries, predicted: Dataset, later: LoadedSeries) -> Image.Image:
    """The slice that is predicted to change most, as scanned, as predicted, and as it came; nothing is registered."""
    hu = hu_of_predicted(predicted, first.volume)
    change = np.abs(hu - first.volume.hu).clip(0.0, 100.0)
    middle = slice(len(hu) // 4, -len(hu) // 8 or None)  # banners, and the base with its bone, are no change
    rows = slice(change.shape[1] // 8, -change.shape[1] // 8)
    index = int(change[middle, rows].sum(axis=(1, 2)).argmax()) + len(hu) // 4
    height_mm = first.volume.stack.positions_mm[index][2]
    there = int(np.abs(later.volume.stack.positions_mm[:, 2] - height_mm).argmin())
    shown = [
        ("first scan", first, first.volume.hu[index]),
        ("predicted, not acquired", first, hu[index]),
        ("what came", later, later.volume.hu[there]),
    ]
    image = Image.new("RGB", (len(shown) * TILE, TILE + CAPTION), BACKGROUND)
    pen = Pen(ImageDraw.Draw(image))
    for place, (name, series, plane) in enumerate(shown):
        tile = cropped(windowed(plane), crop_of(series.volume.hu, series.volume.stack), TILE)
        image.paste(tile.convert("RGB"), (place * TILE, 0))
        pen.text((place * TILE + 10, TILE + 8), name, 16, INK)
    return image
