"""Pictures for people: the overview that goes to the PACS, and the mask over the CT.

The limits of use stand on the picture itself. No patient attribute is drawn.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from PIL import Image, ImageDraw

from dicomnode.decision import Decision
from dicomnode.dicom.values import text_of
from dicomnode.encode.pictures.drawing import BACKGROUND, BANNER, DIM, FAINT, INK, Colour, Pen, banner
from dicomnode.encode.pictures.panel import side_panel
from dicomnode.encode.pictures.slices import (
    WINDOW_CENTRE_HU,
    WINDOW_WIDTH_HU,
    capitalised,
    crop_of,
    light,
    slice_image,
    slice_name,
    widest_slice,
)
from dicomnode.encode.pictures.tiles import Grid, Shown, Tile, layout_of
from dicomnode.encode.wording import Wording
from dicomnode.records import Case, MaskFinding

SIZE = (1440, 1024)
GRID = (1066, 760)
"""Room for the tiles, width and height."""
GAP = 6
MARGIN = 20
BANNER_HEIGHT = 40
HEADER_HEIGHT = 118
PANEL_WIDTH = SIZE[0] - 3 * MARGIN - GRID[0]
MAX_HEADLINES = 4


def overview_image(case: Case) -> Image.Image:
    """The overview of a case: key slices with the mask's outline, volumes, lesions, model and limits.

    Parameters
    ----------
    case : at least one finding; the areas on the slices are those of the first.

    Returns
    -------
    Image : RGB, ``SIZE``.
    """
    image = Image.new("RGB", SIZE, BACKGROUND)
    pen, words = Pen(ImageDraw.Draw(image)), Wording(case.language)
    is_research = any(finding.model.research for finding in case.findings)
    notice = words.say("banner research" if is_research else "banner unverified")
    # at the bottom too: OHIF opens its bar for playing over the top of such a picture
    for top in (0, SIZE[1] - BANNER_HEIGHT):
        banner(pen, (0, top, SIZE[0], top + BANNER_HEIGHT), notice)
    _header(pen, case, words)
    top = BANNER_HEIGHT + HEADER_HEIGHT
    _tiles(image, case, *layout_of(case), top)
    side_panel(pen, case, (SIZE[0] - MARGIN - PANEL_WIDTH, top, SIZE[0] - MARGIN, top + GRID[1]), words)
    pen.paragraph((MARGIN, top + GRID[1] + 10), words.notice(), SIZE[0] - 2 * MARGIN, 14, FAINT)
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
    index = widest_slice(case)
    crop = crop_of(case.volume.hu, case.volume.stack)
    image = Image.new("RGB", (2 * size, size + BANNER_HEIGHT), BACKGROUND)
    image.paste(slice_image(case, index, crop, size, marked=False), (0, 0))
    image.paste(slice_image(case, index, crop, size, marked=True, tint=0.35), (size, 0))
    pen, words = Pen(ImageDraw.Draw(image)), Wording(case.language)
    name = capitalised(slice_name(case, index, words))
    text = f"{name}    " + "    ".join(text for text, _ in _headlines(case, words))
    pen.text((12, size + 10), pen.shortened(text, 2 * size - 230, 18), 18, INK)
    pen.text((2 * size - 12, size + 12), words.research, 15, BANNER, anchor="ra")
    return image


def _tiles(image: Image.Image, case: Case, grid: Grid, tiles: list[Tile], top: int) -> None:
    """The tiles as large as the grid allows, in the middle of its room."""
    room = [(whole - (count - 1) * GAP) // count for whole, count in zip(GRID, (grid.columns, grid.rows), strict=True)]
    side = min(room)
    left = MARGIN + (GRID[0] - grid.columns * side - (grid.columns - 1) * GAP) // 2
    for place, tile in enumerate(tiles):
        row, column = divmod(place, grid.columns)
        corner = (left + column * (side + GAP), top + row * (side + GAP))
        image.paste(tile_image(case, tile, side), corner)
        if tile.enlarged:
            box = (*corner, corner[0] + side - 1, corner[1] + side - 1)
            ImageDraw.Draw(image).rectangle(box, outline=DIM, width=2)


def tile_image(case: Case, tile: Tile, side: int) -> Image.Image:
    """What a tile of the overview shows, ``side`` pixels wide and high."""
    if tile.shown is None:
        return slice_image(case, tile.index, tile.crop, side)
    image = slice_image(_shown(case, tile.shown), tile.index, tile.crop, side, marked=False)
    caption = Wording(case.language).say(tile.shown)
    pen = Pen(ImageDraw.Draw(image))
    pen.text((6, 5), pen.shortened(caption, side // 2 - 18, 15), 15, INK, halo=True)
    return image


def _shown(case: Case, shown: Shown) -> Case:
    """A case whose slices are what a tile shows of them; no difference is the middle of the window."""
    if shown is Shown.SOURCE:
        return case
    predicted = case.images[0].hu
    hu = predicted if shown is Shown.PREDICTED else predicted - case.volume.hu + np.float32(WINDOW_CENTRE_HU)
    return replace(case, volume=replace(case.volume, hu=hu))


def _header(pen: Pen, case: Case, words: Wording) -> None:
    """The answer in one line for each finding, with its colour; what the pictures show below."""
    y, is_alone = BANNER_HEIGHT + 16, len(case.findings) == 1
    size, room = (34, SIZE[0] - 2 * MARGIN) if is_alone else (24, SIZE[0] // 2 - 2 * MARGIN)
    for place, (text, colour) in enumerate(_headlines(case, words)[:MAX_HEADLINES]):
        column, row = divmod(place, 2)
        at = (MARGIN + column * SIZE[0] // 2, y + row * 34)
        pen.text(at, pen.shortened(text, room, size), size, colour)
    if is_alone and case.masks:
        pen.text((MARGIN, y + 46), pen.shortened(words.subline(case.masks[0]), room, 18), 18, DIM)
    pen.text((MARGIN, y + 74), _source_line(case, words), 15, FAINT)


def _headlines(case: Case, words: Wording) -> list[tuple[str, Colour]]:
    masks = [(words.headline(finding), headline_colour(finding)) for finding in case.masks]
    scores = [(f"{score.label}: {words.in_unit(score.value, score.unit)}", INK) for score in case.scores]
    refused = [(words.say("headline not applicable", label=finding.label), DIM) for finding in case.not_applicable]
    return [*masks, *scores, *refused]


def headline_colour(finding: MaskFinding) -> Colour:
    """Of the answer: that of the finding for a positive, amber for an uncertain one, plain ink for a negative."""
    return INK if finding.decision is Decision.NEGATIVE else light(finding)


def _source_line(case: Case, words: Wording) -> str:
    number = text_of(case.sources[0], "SeriesNumber")
    series = words.say("Series", number=number) if number else ""
    window = {"centre": f"{WINDOW_CENTRE_HU:g}", "width": f"{WINDOW_WIDTH_HU:g}"}
    return words.say("source", series=series, count=len(case.sources), **window)
