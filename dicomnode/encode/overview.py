"""Pictures for people: the overview that goes to the PACS, and the mask over the CT.

Fixed brain window (40/80 HU), the mask as a contour so that the image below stays visible, the orientation letters from
ImageOrientationPatient, and the limits of use on the picture itself. No patient attribute is drawn.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from dicomnode.dicom import codes
from dicomnode.encode import wording
from dicomnode.encode.contours import outlines
from dicomnode.encode.drawing import (
    ACCENT,
    BACKGROUND,
    BANNER,
    DIM,
    FAINT,
    INK,
    PANEL,
    Box,
    Pen,
    banner,
)
from dicomnode.encode.values import text_of
from dicomnode.records import Case, MaskFinding, Region, Stack

WINDOW_CENTRE_HU = 40.0
WINDOW_WIDTH_HU = 80.0
SIZE = (1440, 1024)
TILE_COLUMNS, TILE_ROWS = 4, 3
TILE = 262
GAP = 6
MARGIN = 20
BANNER_HEIGHT = 40
HEADER_HEIGHT = 120
PANEL_WIDTH = SIZE[0] - 3 * MARGIN - TILE_COLUMNS * TILE - (TILE_COLUMNS - 1) * GAP
HEAD_HU = -300.0
"""Above it lies the head and not the air around it (the crop of the pictures only)."""
OVERSAMPLING = 2
MAX_TABLE_ROWS = 8
FLIPPED = {"L": "R", "R": "L", "A": "P", "P": "A", "H": "F", "F": "H"}


@dataclass(frozen=True, slots=True)
class Crop:
    """The square part of the slices that a picture shows, pixels; wider than the image where the head fills it."""

    top: float
    left: float
    height: float
    width: float


def overview_image(case: Case) -> Image.Image:
    """The overview of a case: key slices with the mask's outline, volumes, lesions, model and limits.

    Parameters
    ----------
    case : at least one finding; the first is the one shown largest.

    Returns
    -------
    Image : RGB, ``SIZE``.
    """
    image = Image.new("RGB", SIZE, BACKGROUND)
    pen = Pen(ImageDraw.Draw(image))
    is_research = any(finding.model.research for finding in case.findings)
    banner(pen, (0, 0, SIZE[0], BANNER_HEIGHT), "RESEARCH  -  NOT FOR DIAGNOSIS" if is_research else "NOT VERIFIED")
    _header(pen, case)
    top = BANNER_HEIGHT + HEADER_HEIGHT
    _slice_grid(image, case, top)
    _side_panel(pen, case, (SIZE[0] - MARGIN - PANEL_WIDTH, top, SIZE[0] - MARGIN, _grid_bottom(top)))
    _footer(pen, case, _grid_bottom(top) + 14)
    return image


def mask_over_ct(case: Case, size: int = 640) -> Image.Image:
    """The slice with the largest marked area twice: the CT alone, and with the mask tinted and outlined.

    Parameters
    ----------
    size : width and height of each of the two pictures, pixels.

    Returns
    -------
    Image : RGB, (2 x size, size + banner). A negative shows the middle slice, unmarked.
    """
    index = _widest_slice(case)
    crop = crop_of(case.volume.hu, case.volume.stack)
    image = Image.new("RGB", (2 * size, size + BANNER_HEIGHT), BACKGROUND)
    image.paste(slice_image(case, index, crop, size, marked=False), (0, 0))
    image.paste(slice_image(case, index, crop, size, marked=True, tint=0.35), (size, 0))
    pen = Pen(ImageDraw.Draw(image))
    text = f"{_slice_name(case, index)}    " + "    ".join(_headline(finding) for finding in case.findings)
    pen.text((12, size + 10), text, 18, INK)
    pen.text((2 * size - 12, size + 12), "Research, not for diagnosis", 15, BANNER, anchor="ra")
    return image


def windowed(hu: NDArray[np.float32]) -> NDArray[np.uint8]:
    """HU to grey in the fixed brain window, any shape."""
    low = WINDOW_CENTRE_HU - WINDOW_WIDTH_HU / 2
    return np.asarray(np.clip((hu - low) / WINDOW_WIDTH_HU, 0, 1) * 255, dtype=np.uint8)


def edge_letters(stack: Stack) -> tuple[str, str, str, str]:
    """Patient direction at the left, right, top and bottom edge of a slice as stored (PS3.3 C.7.6.1.1.1).

    >>> edge_letters(standard_axial_stack)  # doctest: +SKIP
    ('R', 'L', 'A', 'P')
    """
    right, bottom = direction_letter(stack.row_cosines), direction_letter(stack.column_cosines)
    return FLIPPED[right], right, FLIPPED[bottom], bottom


def direction_letter(direction: NDArray[np.float64]) -> str:
    """The patient's side that a direction (LPS) mainly points to: L or R, P or A, H or F."""
    axis = int(np.argmax(np.abs(direction)))
    positive, negative = (("L", "R"), ("P", "A"), ("H", "F"))[axis]
    return positive if direction[axis] > 0 else negative


def key_slices(case: Case, count: int) -> list[int]:
    """Slices to show, ascending: those with the mask and the widest of them; without a mask the whole stack, evenly.

    Parameters
    ----------
    count : how many at most.
    """
    areas = np.sum([finding.mask.sum(axis=(1, 2)) for finding in case.findings], axis=0)
    slices = len(areas)
    marked = np.flatnonzero(areas)
    if slices <= count:
        return list(range(slices))
    if not marked.size:
        margin = 0.08 * (slices - 1)  # the outermost slices show neck or hair
        return sorted(set(np.linspace(margin, slices - 1 - margin, count).round().astype(int).tolist()))
    first, last = _widened(int(marked[0]), int(marked[-1]), count, slices)
    chosen = np.linspace(first, last, count).round().astype(int)
    chosen[np.argmin(np.abs(chosen - int(np.argmax(areas))))] = int(np.argmax(areas))
    return sorted(set(chosen.tolist()))


def crop_of(hu: NDArray[np.float32], stack: Stack) -> Crop:
    """A square in millimetres around the head, with a small margin; the whole slice where no head is seen."""
    plane = (hu[:: max(1, len(hu) // 8)] > HEAD_HU).sum(axis=0) > 1
    if not plane.any():
        plane = np.ones_like(plane)
    rows, columns = np.flatnonzero(plane.any(axis=1)), np.flatnonzero(plane.any(axis=0))
    height_mm = (rows[-1] - rows[0] + 1) * stack.row_spacing_mm
    width_mm = (columns[-1] - columns[0] + 1) * stack.column_spacing_mm
    side_mm = 1.06 * max(height_mm, width_mm)
    height, width = side_mm / stack.row_spacing_mm, side_mm / stack.column_spacing_mm
    return Crop((rows[0] + rows[-1] + 1 - height) / 2, (columns[0] + columns[-1] + 1 - width) / 2, height, width)


def slice_image(
    case: Case, index: int, crop: Crop, size: int, *, marked: bool = True, tint: float = 0.0
) -> Image.Image:
    """One slice in the brain window, with letters, name and the outline of each finding.

    Parameters
    ----------
    index : slice, in stack order.
    size : width and height, pixels.
    tint : 0..1, how strongly the inside of the mask is coloured.
    """
    large = size * OVERSAMPLING
    image = _plain_slice(case, index, crop, large, tint)
    draw = ImageDraw.Draw(image)
    if marked:
        for finding in case.findings:
            _outline(draw, finding, index, crop, large)
    image = image.resize((size, size), Image.Resampling.LANCZOS)
    _slice_labels(Pen(ImageDraw.Draw(image)), case, index, size)
    return image


def _plain_slice(case: Case, index: int, crop: Crop, size: int, tint: float) -> Image.Image:
    plane = windowed(case.volume.hu[index])
    pixels = np.repeat(plane[..., None], 3, axis=2).astype(np.float32)
    for finding in case.findings if tint else ():
        colour = np.array(codes.finding_codes(finding.name).rgb, dtype=np.float32)
        inside = finding.mask[index]
        pixels[inside] = (1 - tint) * pixels[inside] + tint * colour
    source = Image.fromarray(pixels.astype(np.uint8))
    # From target to source pixels: beyond the source's edge the picture stays black.
    step_x, step_y = crop.width / size, crop.height / size
    return source.transform(
        (size, size), Image.Transform.AFFINE, (step_x, 0, crop.left, 0, step_y, crop.top), Image.Resampling.BICUBIC
    )


def _outline(draw: ImageDraw.ImageDraw, finding: MaskFinding, index: int, crop: Crop, size: int) -> None:
    scale = np.array([size / crop.width, size / crop.height])
    for outline in outlines(finding.mask[index]):
        points = (outline - (crop.left, crop.top)) * scale
        line = [(float(x), float(y)) for x, y in points]
        draw.line(line, fill=codes.finding_codes(finding.name).rgb, width=2 * OVERSAMPLING - 1, joint="curve")


def _slice_labels(pen: Pen, case: Case, index: int, size: int) -> None:
    left, right, top, _ = edge_letters(case.volume.stack)
    font = 13 if size < 400 else 18
    pen.text((6, size // 2), left, font, INK, anchor="lm", halo=True)
    pen.text((size - 6, size // 2), right, font, INK, anchor="rm", halo=True)
    pen.text((size // 2, 5), top, font, INK, anchor="ma", halo=True)
    pen.text((6, size - 5), _slice_name(case, index), font, DIM, anchor="ld", halo=True)
    area_cm2 = sum(int(f.mask[index].sum()) for f in case.findings) * case.volume.stack.pixel_area_mm2 / 100
    if area_cm2 > 0:
        area = f"{area_cm2:.1f} cm2" if area_cm2 >= 0.05 else "< 0.1 cm2"
        pen.text((size - 6, size - 5), area, font, ACCENT, anchor="rd", halo=True)


def _slice_name(case: Case, index: int) -> str:
    """``Image 14`` by the source's InstanceNumber, which is what a viewer shows."""
    number = text_of(case.sources[index], "InstanceNumber")
    return f"Image {number}" if number else f"Slice {index + 1}"


def _widest_slice(case: Case) -> int:
    areas = np.sum([finding.mask.sum(axis=(1, 2)) for finding in case.findings], axis=0)
    return int(np.argmax(areas)) if areas.any() else len(areas) // 2


def _widened(first: int, last: int, count: int, slices: int) -> tuple[int, int]:
    """The range ``first``..``last`` with at least ``count`` slices, grown on both sides within the stack."""
    missing = max(0, count - (last - first + 1))
    first = max(0, first - missing // 2)
    last = min(slices - 1, max(last, first + count - 1))
    return max(0, min(first, last - count + 1)), last


def _grid_bottom(top: int) -> int:
    return top + TILE_ROWS * TILE + (TILE_ROWS - 1) * GAP


def _slice_grid(image: Image.Image, case: Case, top: int) -> None:
    crop = crop_of(case.volume.hu, case.volume.stack)
    for place, index in enumerate(key_slices(case, TILE_COLUMNS * TILE_ROWS)):
        row, column = divmod(place, TILE_COLUMNS)
        corner = (MARGIN + column * (TILE + GAP), top + row * (TILE + GAP))
        image.paste(slice_image(case, index, crop, TILE), corner)


def _header(pen: Pen, case: Case) -> None:
    y = BANNER_HEIGHT + 16
    for finding in case.findings[:2]:
        pen.text((MARGIN, y), _headline(finding), 34, ACCENT if finding.total else INK)
        y += 46
    first = case.findings[0]
    if len(case.findings) == 1:
        pen.text((MARGIN, y), _subline(first), 18, DIM)
        y += 26
    pen.text((MARGIN, y), _source_line(case), 15, FAINT)


def _headline(finding: MaskFinding) -> str:
    if not finding.lesions or finding.total is None:
        return f"No {codes.finding_codes(finding.name).noun} above the detection limit"
    return f"{finding.label}: {wording.millilitres(finding.total.volume_ml)}"


def _subline(finding: MaskFinding) -> str:
    if finding.total is None:
        return f"Nothing was marked. This does not exclude {codes.finding_codes(finding.name).noun}."
    if not finding.lesions:
        return f"Marked pieces below the limit add up to {wording.millilitres(finding.total.volume_ml)}."
    return wording.lesion_count(finding)


def _source_line(case: Case) -> str:
    series = text_of(case.sources[0], "SeriesNumber")
    name = f"Series {series}, " if series else ""
    return f"{name}{len(case.sources)} slices, window {WINDOW_CENTRE_HU:g}/{WINDOW_WIDTH_HU:g} HU"


def _side_panel(pen: Pen, case: Case, box: Box) -> None:
    left, top, right, _ = box
    pen.draw.rounded_rectangle(box, radius=8, fill=PANEL)
    y = top + 14
    for finding in case.findings:
        y = _measurements(pen, finding, left + 16, right - 16, y)
        y = _lesion_table(pen, case, finding, left + 16, right - 16, y)
        y = _limits(pen, finding, left + 16, right - 16, y)


def _measurements(pen: Pen, finding: MaskFinding, left: int, right: int, y: int) -> int:
    y = pen.heading((left, y), finding.label, right - left)
    total = finding.total
    if total is None:
        return pen.row(left, right, y, "Total volume", "none marked") + 10
    estimate = "-" if total.abc2_ml is None else wording.millilitres(total.abc2_ml)
    rows = [
        ("Total volume", wording.millilitres(total.volume_ml)),
        ("ABC/2", estimate),
        ("Longest diameter", f"{total.longest_diameter_mm:.0f} mm"),
        ("Mean / max", f"{total.mean_hu:.0f} / {total.max_hu:.0f} HU"),
    ]
    for name, value in rows:
        y = pen.row(left, right, y, name, value)
    return y + 10


def _lesion_table(pen: Pen, case: Case, finding: MaskFinding, left: int, right: int, y: int) -> int:
    if not finding.lesions:
        return y
    y = pen.heading((left, y), "Lesions", right - left)
    for index, region in enumerate(finding.lesions[:MAX_TABLE_ROWS]):
        y = pen.row(left, right, y, _lesion_row(case, index, region), wording.millilitres(region.volume_ml))
    if len(finding.lesions) > MAX_TABLE_ROWS:
        pen.text((left, y), f"and {len(finding.lesions) - MAX_TABLE_ROWS} smaller", 14, FAINT)
        y += 20
    return y + 10


def _lesion_row(case: Case, index: int, region: Region) -> str:
    return f"{index + 1}   {region.longest_diameter_mm:.0f} mm, {_slice_range(case, region)}"


def _slice_range(case: Case, region: Region) -> str:
    first, last = (_slice_name(case, number) for number in (region.first_slice, region.last_slice))
    return first.lower() if first == last else f"{first.lower()}-{last.split()[-1]}"


def _limits(pen: Pen, finding: MaskFinding, left: int, right: int, y: int) -> int:
    y = pen.heading((left, y), "Limits", right - left)
    y = pen.row(left, right, y, "Detection limit", f"{finding.detection_limit_ml:g} mL")
    y = pen.row(left, right, y, "Threshold", f"{finding.threshold:g}")
    y = pen.heading((left, y + 10), "Model", right - left)
    model = finding.model
    y = pen.paragraph((left, y), f"{model.title} ({model.name} {model.version})", right - left, 15, INK)
    y = pen.paragraph((left, y + 4), f"Trained on {model.trained_on}", right - left, 14, DIM)
    return pen.paragraph((left, y + 4), model.digest[:26] + "…", right - left, 12, FAINT) + 12


def _footer(pen: Pen, case: Case, top: int) -> None:
    pen.paragraph((MARGIN, top), wording.NOTICE, SIZE[0] - 2 * MARGIN, 14, FAINT)
