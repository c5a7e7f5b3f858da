"""One slice as a picture: fixed brain window (40/80 HU), outlines of the findings, orientation letters.

The mask is drawn as a contour so that the image below stays visible; the letters come from ImageOrientationPatient.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage

from dicomnode.dicom import codes
from dicomnode.dicom.values import text_of
from dicomnode.encode.pictures.contours import outlines
from dicomnode.encode.pictures.drawing import DIM, INK, Colour, Pen
from dicomnode.encode.wording import Wording
from dicomnode.records import Case, MaskFinding, Region, Stack

WINDOW_CENTRE_HU = 40.0
WINDOW_WIDTH_HU = 80.0
HEAD_HU = -300.0
"""Above it lies the head and not the air around it (the crop of the pictures only)."""
OVERSAMPLING = 2
ATTENTION: Colour = (255, 150, 0)
ATTENTION_TINT = 0.4
"""Colour and strength where all of a score comes from."""
MAX_NUMBERS = 5
"""Lesions of one finding that are numbered on one slice, the largest."""
FLIPPED = {"L": "R", "R": "L", "A": "P", "P": "A", "H": "F", "F": "H"}


@dataclass(frozen=True, slots=True)
class Crop:
    """The square part of the slices that a picture shows, pixels; wider than the image where the head fills it.

    Attributes
    ----------
    side_mm : of the square.
    """

    top: float
    left: float
    height: float
    width: float
    side_mm: float


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


def slice_name(case: Case, index: int, words: Wording) -> str:
    """``image 14`` by the source's InstanceNumber, which is what a viewer shows."""
    number = text_of(case.sources[index], "InstanceNumber")
    return words.say("image", number=number) if number else words.say("slice", number=index + 1)


def slice_range(case: Case, region: Region, words: Wording) -> str:
    """``image 11-17``, the smaller number first whichever way the scanner counted."""
    ends = (region.first_slice, region.last_slice)
    if ends[0] == ends[1]:
        return slice_name(case, ends[0], words)
    numbers = [text_of(case.sources[index], "InstanceNumber") for index in ends]
    named = all(numbers)
    first, last = sorted(numbers if named else [str(index + 1) for index in ends], key=lambda one: (len(one), one))
    return words.say("images" if named else "slices", first=first, last=last)


def _areas(case: Case) -> NDArray[np.intp]:
    """(slices,) marked voxels; zeros where the case has no masks."""
    slices = len(case.volume.hu)
    areas = np.zeros(slices, dtype=np.intp)
    for finding in case.masks:
        areas += finding.mask.sum(axis=(1, 2))
    return areas


def widest_slice(case: Case) -> int:
    """The slice with the largest marked area; the middle one where nothing is marked."""
    areas = _areas(case)
    return int(np.argmax(areas)) if areas.any() else len(areas) // 2


def crop_of(hu: NDArray[np.float32], stack: Stack) -> Crop:
    """A square in millimetres around the head, with a small margin; the whole slice where no head is seen."""
    plane = (hu[:: max(1, len(hu) // 8)] > HEAD_HU).sum(axis=0) > 1
    pieces, count = ndimage.label(plane)
    # the largest piece: the rest that the head lies in would make it small
    plane = pieces == 1 + int(np.argmax(np.bincount(pieces.ravel())[1:])) if count else np.ones_like(plane)
    rows, columns = np.flatnonzero(plane.any(axis=1)), np.flatnonzero(plane.any(axis=0))
    height_mm = (rows[-1] - rows[0] + 1) * stack.row_spacing_mm
    width_mm = (columns[-1] - columns[0] + 1) * stack.column_spacing_mm
    side_mm = 1.06 * max(height_mm, width_mm)
    height, width = side_mm / stack.row_spacing_mm, side_mm / stack.column_spacing_mm
    top, left = (rows[0] + rows[-1] + 1 - height) / 2, (columns[0] + columns[-1] + 1 - width) / 2
    return Crop(top, left, height, width, side_mm)


def slice_image(
    case: Case, index: int, crop: Crop, size: int, *, marked: bool = True, tint: float = 0.0
) -> Image.Image:
    """One slice in the brain window, with letters, name, the outline of each finding and the numbers of its lesions.

    Parameters
    ----------
    index : slice, in stack order.
    size : width and height, pixels.
    tint : 0..1, how strongly the inside of the mask is coloured.
    """
    large = size * OVERSAMPLING
    image = _plain_slice(case, index, crop, large, tint, marked)
    draw = ImageDraw.Draw(image)
    if marked:
        for finding in case.masks:
            _outline(draw, finding, index, crop, large)
    image = image.resize((size, size), Image.Resampling.LANCZOS)
    pen, words = Pen(ImageDraw.Draw(image)), Wording(case.language)
    _slice_labels(pen, case, index, size, words)
    if marked:
        _numbers(pen, case, index, crop, size, words)
    return image


def _plain_slice(case: Case, index: int, crop: Crop, size: int, tint: float, marked: bool) -> Image.Image:
    plane = windowed(case.volume.hu[index])
    pixels = np.repeat(plane[..., None], 3, axis=2).astype(np.float32)
    for finding in case.masks if tint else ():
        colour = np.array(codes.colour_of(finding), dtype=np.float32)
        inside = finding.mask[index]
        pixels[inside] = (1 - tint) * pixels[inside] + tint * colour
    if marked:
        _warmed(pixels, case, index)
    return cropped(pixels.astype(np.uint8), crop, size)


def cropped(pixels: NDArray[np.uint8], crop: Crop, size: int) -> Image.Image:
    """A part of a slice, ``size`` pixels wide and high; beyond the slice's edge it is black.

    Parameters
    ----------
    pixels : (rows, columns) grey, or (rows, columns, 3) colours.
    """
    # from target to source pixels
    step_x, step_y = crop.width / size, crop.height / size
    return Image.fromarray(pixels).transform(
        (size, size), Image.Transform.AFFINE, (step_x, 0, crop.left, 0, step_y, crop.top), Image.Resampling.BICUBIC
    )


def _warmed(pixels: NDArray[np.float32], case: Case, index: int) -> None:
    """Tint where a score comes from, the stronger the more of it does; half of the brightness stays."""
    for score in case.scores:
        if score.attention is not None:
            share = ATTENTION_TINT * score.attention[index].astype(np.float32)[..., None] / 255.0
            pixels[:] = (1.0 - share) * pixels + share * np.array(ATTENTION, dtype=np.float32)


def _outline(draw: ImageDraw.ImageDraw, finding: MaskFinding, index: int, crop: Crop, size: int) -> None:
    scale = np.array([size / crop.width, size / crop.height])
    for outline in outlines(finding.mask[index]):
        points = (outline - (crop.left, crop.top)) * scale
        line = [(float(x), float(y)) for x, y in points]
        draw.line(line, fill=codes.colour_of(finding), width=2 * OVERSAMPLING - 1, joint="curve")


def _slice_labels(pen: Pen, case: Case, index: int, size: int, words: Wording) -> None:
    left, right, top, _ = edge_letters(case.volume.stack)
    font = 13 if size < 300 else 16 if size < 400 else 18
    pen.text((6, size // 2), left, font, INK, anchor="lm", halo=True)
    pen.text((size - 6, size // 2), right, font, INK, anchor="rm", halo=True)
    pen.text((size // 2, 5), top, font, INK, anchor="ma", halo=True)
    pen.text((6, size - 5), capitalised(slice_name(case, index, words)), font, DIM, anchor="ld", halo=True)


def capitalised(text: str) -> str:
    """``image 14`` -> ``Image 14``."""
    return text[:1].upper() + text[1:]


def _numbers(pen: Pen, case: Case, index: int, crop: Crop, size: int, words: Wording) -> None:
    """At each lesion its number; at the right edge, from the bottom up, number, side and level of each."""
    font, bottom = (14 if size < 300 else 17), size - 5
    for finding in case.masks:
        shown = np.unique(finding.lesion_labels[index])
        for number in [int(value) for value in shown if value][:MAX_NUMBERS]:
            x, y = _beside(finding.lesion_labels[index] == number, crop, size)
            if not (0 <= x <= size and 0 <= y <= size):
                continue
            pen.text((min(x, size - 12), max(y, 16)), str(number), font, light(finding), anchor="ld", halo=True)
            place = words.place(finding.lesions[number - 1])
            if place:
                text = pen.shortened(f"{number} {place}", size * 2 // 3, font - 2)
                pen.text((size - 6, bottom), text, font - 2, light(finding), anchor="rd", halo=True)
                bottom -= font + 3


def _beside(plane: NDArray[np.bool_], crop: Crop, size: int) -> tuple[float, float]:
    """In a picture, just outside the upper right corner of what is marked."""
    rows, columns = np.flatnonzero(plane.any(axis=1)), np.flatnonzero(plane.any(axis=0))
    x = (columns[-1] + 1 - crop.left) * size / crop.width + 3
    y = (rows[0] - crop.top) * size / crop.height - 1
    return float(x), float(y)


def light(finding: MaskFinding) -> Colour:
    """A finding's colour, lightened for text on a dark ground."""
    red, green, blue = ((2 * part + 255) // 3 for part in codes.colour_of(finding))
    return red, green, blue
