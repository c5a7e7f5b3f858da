"""Pictures for people: the overview that goes to the PACS, and the mask over the CT.

The limits of use stand on the picture itself. No patient attribute is drawn.
"""

from __future__ import annotations

from PIL import Image, ImageDraw

from dicomnode.dicom import codes
from dicomnode.dicom.values import text_of
from dicomnode.encode import wording
from dicomnode.encode.pictures.drawing import BACKGROUND, BANNER, DIM, FAINT, INK, PANEL, Box, Colour, Pen, banner
from dicomnode.encode.pictures.slices import (
    WINDOW_CENTRE_HU,
    WINDOW_WIDTH_HU,
    colour_of,
    crop_of,
    key_slices,
    slice_image,
    slice_name,
    slice_range,
    widest_slice,
)
from dicomnode.records import Case, MaskFinding, ModelRef, NotApplicable, Region, ScoreFinding

SIZE = (1440, 1024)
TILE_COLUMNS, TILE_ROWS = 4, 3
TILE = 262
GAP = 6
MARGIN = 20
BANNER_HEIGHT = 40
HEADER_HEIGHT = 120
PANEL_WIDTH = SIZE[0] - 3 * MARGIN - TILE_COLUMNS * TILE - (TILE_COLUMNS - 1) * GAP
MAX_HEADLINES = 4
MODEL_HEIGHT = 44
TABLE_ROWS = {1: 8, 2: 2}
"""Lesions listed for each finding, by the number of findings; more findings leave no room for any."""


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
    index = widest_slice(case)
    crop = crop_of(case.volume.hu, case.volume.stack)
    image = Image.new("RGB", (2 * size, size + BANNER_HEIGHT), BACKGROUND)
    image.paste(slice_image(case, index, crop, size, marked=False), (0, 0))
    image.paste(slice_image(case, index, crop, size, marked=True, tint=0.35), (size, 0))
    pen = Pen(ImageDraw.Draw(image))
    text = f"{slice_name(case, index)}    " + "    ".join(text for text, _ in _headlines(case))
    pen.text((12, size + 10), pen.shortened(text, 2 * size - 230, 18), 18, INK)
    pen.text((2 * size - 12, size + 12), "Research, not for diagnosis", 15, BANNER, anchor="ra")
    return image


def _grid_bottom(top: int) -> int:
    return top + TILE_ROWS * TILE + (TILE_ROWS - 1) * GAP


def _slice_grid(image: Image.Image, case: Case, top: int) -> None:
    crop = crop_of(case.volume.hu, case.volume.stack)
    for place, index in enumerate(key_slices(case, TILE_COLUMNS * TILE_ROWS)):
        row, column = divmod(place, TILE_COLUMNS)
        corner = (MARGIN + column * (TILE + GAP), top + row * (TILE + GAP))
        image.paste(slice_image(case, index, crop, TILE), corner)


def _header(pen: Pen, case: Case) -> None:
    """The answer in one line for each finding, with its colour; what the pictures show below."""
    y, is_alone = BANNER_HEIGHT + 16, len(case.findings) == 1
    size, room = (34, SIZE[0] - 2 * MARGIN) if is_alone else (24, SIZE[0] // 2 - 2 * MARGIN)
    for place, (text, colour) in enumerate(_headlines(case)[:MAX_HEADLINES]):
        column, row = divmod(place, 2)
        at = (MARGIN + column * SIZE[0] // 2, y + row * 34)
        pen.text(at, pen.shortened(text, room, size), size, colour)
    if is_alone and case.masks:
        pen.text((MARGIN, y + 46), _subline(case.masks[0]), 18, DIM)
    pen.text((MARGIN, y + 74), _source_line(case), 15, FAINT)


def _headlines(case: Case) -> list[tuple[str, Colour]]:
    masks = [(_headline(finding), colour_of(finding) if finding.total else INK) for finding in case.masks]
    scores = [(f"{score.label}: {wording.in_unit(score.value, score.unit)}", INK) for score in case.scores]
    return [*masks, *scores, *((f"{finding.label}: not applicable", DIM) for finding in case.not_applicable)]


def _headline(finding: MaskFinding) -> str:
    if not finding.lesions or finding.total is None:
        return f"No {codes.concepts_of(finding).noun} above the detection limit"
    return f"{finding.label}: {wording.millilitres(finding.total.volume_ml)}"


def _subline(finding: MaskFinding) -> str:
    if finding.total is None:
        return f"Nothing was marked. This does not exclude {codes.concepts_of(finding).noun}."
    if not finding.lesions:
        return f"Marked pieces below the limit add up to {wording.millilitres(finding.total.volume_ml)}."
    return wording.lesion_count(finding)


def _source_line(case: Case) -> str:
    series = text_of(case.sources[0], "SeriesNumber")
    name = f"Series {series}, " if series else ""
    return f"{name}{len(case.sources)} slices, window {WINDOW_CENTRE_HU:g}/{WINDOW_WIDTH_HU:g} HU"


def _side_panel(pen: Pen, case: Case, box: Box) -> None:
    pen.draw.rounded_rectangle(box, radius=8, fill=PANEL)
    left, right, y = box[0] + 16, box[2] - 16, box[1] + 14
    for finding in case.masks:
        y = _measurements(pen, finding, left, right, y)
        y = _lesion_table(pen, case, finding, left, right, y)
    for score in case.scores:
        y = _score(pen, score, left, right, y)
    for refused in case.not_applicable:
        y = _not_applicable(pen, refused, left, right, y)
    if case.masks:
        y = pen.heading((left, y), "Detection limit", right - left)
    for finding in case.masks:
        y = _limits(pen, finding, left, right, y)
    models = list(dict.fromkeys(finding.model for finding in case.findings))
    if len(models) == 1:
        _model(pen, models[0], left, right, y + 10)
    else:
        _models(pen, models, left, right, y + 10, box[3] - 14)


def _score(pen: Pen, score: ScoreFinding, left: int, right: int, y: int) -> int:
    y = pen.heading((left, y), score.label, right - left)
    rows = [("Probability" if wording.is_probability(score) else "Value", wording.in_unit(score.value, score.unit))]
    if score.interval is not None:
        low, high = (wording.in_unit(limit, score.unit) for limit in score.interval)
        rows.append(("95 % interval", f"{low} to {high}"))
    if score.threshold is not None:
        rows.append(("Operating threshold", wording.in_unit(score.threshold, score.unit)))
    known = [reference for reference in score.reference if reference.value is not None]
    rows += [(item.label, wording.in_unit(item.value or 0, item.unit)) for item in known]
    if score.missing:
        rows.append(("Inputs missing", str(len(score.missing))))
    for name, value in rows:
        y = pen.row(left, right, y, name, value)
    return y + 10


def _not_applicable(pen: Pen, finding: NotApplicable, left: int, right: int, y: int) -> int:
    y = pen.heading((left, y), finding.label, right - left)
    y = pen.row(left, right, y, "Result", "not applicable")
    return pen.paragraph((left, y), wording.why_not_applicable(finding), right - left, 14, DIM) + 10


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
    rows = TABLE_ROWS.get(len(case.findings), 0)
    if not finding.lesions or not rows:
        return y
    y = pen.heading((left, y), "Lesions", right - left)
    for index, region in enumerate(finding.lesions[:rows]):
        y = pen.row(left, right, y, _lesion_row(case, index, region), wording.millilitres(region.volume_ml))
    if len(finding.lesions) > rows:
        pen.text((left, y), f"and {len(finding.lesions) - rows} smaller", 14, FAINT)
        y += 20
    return y + 10


def _lesion_row(case: Case, index: int, region: Region) -> str:
    return f"{index + 1}   {region.longest_diameter_mm:.0f} mm, {slice_range(case, region)}"


def _limits(pen: Pen, finding: MaskFinding, left: int, right: int, y: int) -> int:
    limit = f"{finding.detection_limit_ml:g} mL, threshold {finding.threshold:g}"
    return pen.row(left, right, y, codes.concepts_of(finding).noun.capitalize(), limit)


def _model(pen: Pen, model: ModelRef, left: int, right: int, y: int) -> int:
    y = pen.heading((left, y), "Model", right - left)
    y = pen.paragraph((left, y), f"{model.title} ({model.name} {model.version})", right - left, 15, INK)
    y = pen.paragraph((left, y + 4), f"Trained on {model.trained_on}", right - left, 14, DIM)
    return pen.paragraph((left, y + 4), model.digest[:26] + "…", right - left, 12, FAINT)


def _models(pen: Pen, models: list[ModelRef], left: int, right: int, y: int, bottom: int) -> None:
    """Two lines for each model, as many as there is room for; the reports name them all, with digests."""
    y = pen.heading((left, y), "Models", right - left)
    for place, model in enumerate(models):
        left_over = len(models) - place
        if y + MODEL_HEIGHT * (1 if left_over == 1 else 2) > bottom + MODEL_HEIGHT // 2:
            pen.text((left, y), f"and {left_over} more, see the text report", 14, FAINT)
            return
        pen.text((left, y), pen.shortened(f"{model.title} ({model.name} {model.version})", right - left, 14), 14, INK)
        pen.text((left, y + 19), pen.shortened(f"Trained on {model.trained_on}", right - left, 13), 13, DIM)
        y += MODEL_HEIGHT


def _footer(pen: Pen, case: Case, top: int) -> None:
    pen.paragraph((MARGIN, top), wording.NOTICE, SIZE[0] - 2 * MARGIN, 14, FAINT)
