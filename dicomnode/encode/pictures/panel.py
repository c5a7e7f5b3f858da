"""The panel beside the tiles of the overview: figures, lesions, scores, limits and models, as far as there is room."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dicomnode.encode.pictures.drawing import DIM, FAINT, INK, MAX_LINES, PANEL, Box, Pen
from dicomnode.encode.pictures.reference_rows import reference_block, room_of_first, wanted_scores
from dicomnode.encode.pictures.slices import capitalised, slice_range
from dicomnode.encode.references import beside
from dicomnode.encode.wording import Wording, is_probability, is_speck
from dicomnode.measure.figures import rounded_hu
from dicomnode.records import Case, MaskFinding, ModelRef, NotApplicable, Region, ScoreFinding

MODEL_HEIGHT, LAST_MODEL_HEIGHT, HEADING_HEIGHT, ROW_HEIGHT = 44, 36, 32, 23
LESION_HEIGHT, MORE_HEIGHT, PAUSE = 41, 20, 10
TABLE_ROWS = {1: 5, 2: 2}
"""Lesions listed for each finding, by the number of findings; more findings leave no room for any."""
MOST_IN_FULL = 2
"""Of more findings than this each has its result and its volume alone."""
TABLE_ROWS_BESIDE_SCORES = 2

Rows = list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class _Detail:
    """How much is told of each finding; the reports tell all.

    Attributes
    ----------
    contributions : inputs of a score whose part in it is shown.
    figures : of a mask, its volume first; None: all.
    in_one_row : a threshold stands behind the value that it is held to.
    """

    contributions: int = 4
    figures: int | None = None
    in_one_row: bool = False


DETAILS = (
    _Detail(),
    _Detail(contributions=2),
    _Detail(contributions=1, in_one_row=True),
    _Detail(contributions=1, figures=2, in_one_row=True),
    _Detail(contributions=0, figures=2, in_one_row=True),
    _Detail(contributions=0, figures=1, in_one_row=True),
)
"""The first that fits is taken: a panel that ran over its box would be read as belonging to the banner."""


def side_panel(pen: Pen, case: Case, box: Box, words: Wording) -> None:
    """Draw it into ``box``."""
    pen.draw.rounded_rectangle(box, radius=8, fill=PANEL)
    left, right, y, bottom = box[0] + 16, box[2] - 16, box[1] + 14, box[3] - 14
    models = list(dict.fromkeys(finding.model for finding in case.findings))
    wanted = wanted_scores(case)
    room = bottom - _room_below_scores(case, len(models), words)
    detail = _that_fits(pen, case, right - left, room - y - room_of_first(wanted), words)
    y = _findings(pen, case, left, right, y, words, detail)
    y = reference_block(pen, wanted, left, right, y, room, words)
    if case.masks:
        y = pen.heading((left, y), words.say("detection limit"), right - left)
    y = _rows(pen, _limits(case.masks, words), left, right, y)
    if len(models) == 1 and y + _height_of(pen, models[0], right - left, words) <= bottom:
        _model(pen, models[0], left, right, y + 10, words)
    else:
        _models(pen, models, left, right, y + 10, bottom, words)


def _that_fits(pen: Pen, case: Case, width: int, room: int, words: Wording) -> _Detail:
    heights = ((detail, _height_of_findings(pen, case, width, words, detail)) for detail in DETAILS)
    return next((detail for detail, height in heights if height <= room), DETAILS[-1])


def _height_of_findings(pen: Pen, case: Case, width: int, words: Wording, detail: _Detail) -> int:
    """What :func:`_findings` takes."""
    rows = [_mask_rows(case, mask, words, detail) for mask in case.masks]
    rows += [_score_rows(case, score, words, detail) for score in case.scores]
    height = sum(HEADING_HEIGHT + ROW_HEIGHT * len(one) + PAUSE for one in rows)
    height += sum(_height_of_table(case, mask) for mask in case.masks)
    for refused in case.not_applicable:
        lines = min(len(pen.lines(words.why_not_applicable(refused), width, 14)), MAX_LINES)
        height += HEADING_HEIGHT + ROW_HEIGHT + lines * 19 + PAUSE
    return height


def _findings(pen: Pen, case: Case, left: int, right: int, y: int, words: Wording, detail: _Detail) -> int:
    for mask in case.masks:
        y = _block(pen, mask.label, _mask_rows(case, mask, words, detail), left, right, y)
        y = _lesion_table(pen, case, mask, left, right, y, words)
    for score in case.scores:
        y = _block(pen, score.label, _score_rows(case, score, words, detail), left, right, y)
    for refused in case.not_applicable:
        y = _not_applicable(pen, refused, left, right, y, words)
    return y


def _block(pen: Pen, label: str, rows: Rows, left: int, right: int, y: int) -> int:
    y = pen.heading((left, y), label, right - left)
    return _rows(pen, rows, left, right, y) + PAUSE


def _room_below_scores(case: Case, models: int, words: Wording) -> int:
    """What limits and models take below the reference scores, one model in two lines and a line for the others."""
    limits = HEADING_HEIGHT + len(_limits(case.masks, words)) * ROW_HEIGHT if case.masks else 0
    return limits + 10 + HEADING_HEIGHT + LAST_MODEL_HEIGHT + (MODEL_HEIGHT if models > 1 else 0)


def _rows(pen: Pen, rows: Rows, left: int, right: int, y: int) -> int:
    for name, value in rows:
        y = pen.row(left, right, y, name, value)
    return y


def _mask_rows(case: Case, finding: MaskFinding, words: Wording, detail: _Detail) -> Rows:
    total = finding.total
    rows = [(words.say("result"), words.say(finding.decision))]
    if finding.exam_probability is not None and finding.exam_threshold is not None:
        threshold = words.number(finding.exam_threshold)
        rows.append((words.say("exam"), f"{words.exam_figure(finding)} ({words.say('exam threshold')} {threshold})"))
    if total is None:
        rows.append((words.say("total volume"), words.say("none marked")))
    else:
        rows += _figures(total, words)[: detail.figures if len(case.masks) <= MOST_IN_FULL else 1]
    if case.tells_of_head(finding):
        rows += _head_rows(finding, words)
    if finding.dense_pieces:
        rows.append((words.say("dense row"), words.dense_row(finding)))
    return rows


def _head_rows(finding: MaskFinding, words: Wording) -> Rows:
    """What the head shows as a whole, as far as it was measured."""
    head = finding.head
    shift = "" if head is None or head.midline_shift_mm is None else words.shift(finding)
    rows = [(words.say("shift row"), shift), (words.say("evans row"), words.evans(finding))]
    rows.append((words.say("hypodense row"), words.hypodense_figure(finding)))
    return [row for row in rows if row[1]]


def _figures(total: Region, words: Wording) -> Rows:
    """Of a speck its size alone."""
    rows = [(words.say("total volume"), words.millilitres(total.volume_ml))]
    if total.abc2_ml is not None and not is_speck(total):
        rows.append(("ABC/2", words.millilitres(total.abc2_ml)))
    rows.append((words.say("diameter"), words.millimetres(total.longest_diameter_mm)))
    mean, maximum = (words.number(rounded_hu(value), 0) for value in (total.mean_hu, total.max_hu))
    unit = words.say("HU")
    attenuation = f"{mean} {unit}" if is_speck(total) else f"{mean} / {maximum} {unit}"
    return [*rows, (words.say("mean" if is_speck(total) else "mean and maximum"), attenuation)]


def _lesions_shown(case: Case, finding: MaskFinding) -> int:
    rows = TABLE_ROWS.get(len(case.findings), 0)
    if wanted_scores(case):
        rows = min(rows, TABLE_ROWS_BESIDE_SCORES)
    return min(rows, len(finding.lesions))


def _height_of_table(case: Case, finding: MaskFinding) -> int:
    shown = _lesions_shown(case, finding)
    more = MORE_HEIGHT if len(finding.lesions) > shown else 0
    return HEADING_HEIGHT + shown * LESION_HEIGHT + more + PAUSE if shown else 0


def _lesion_table(pen: Pen, case: Case, finding: MaskFinding, left: int, right: int, y: int, words: Wording) -> int:
    shown = _lesions_shown(case, finding)
    if not shown:
        return y
    y = pen.heading((left, y), words.say("table"), right - left)
    for index, region in enumerate(finding.lesions[:shown]):
        name = f"{index + 1}   {words.place(region) or words.millimetres(region.longest_diameter_mm)}"
        pen.row(left, right, y, name, words.millilitres(region.volume_ml))
        below = f"{words.millimetres(region.longest_diameter_mm)}, {slice_range(case, region, words)}"
        pen.text((left + 20, y + ROW_HEIGHT - 4), below, 13, FAINT)
        y += LESION_HEIGHT
    if len(finding.lesions) > shown:
        pen.text((left, y), words.say("and smaller", count=len(finding.lesions) - shown), 14, FAINT)
        y += MORE_HEIGHT
    return y + PAUSE


def _score_rows(case: Case, score: ScoreFinding, words: Wording, detail: _Detail) -> Rows:
    name = words.say("probability" if is_probability(score) else "value")
    value = words.in_unit(score.value, score.unit)
    threshold = "" if score.threshold is None else words.in_unit(score.threshold, score.unit)
    if threshold and detail.in_one_row:
        value = f"{value} ({words.say('exam threshold')} {threshold})"
    rows = [(name, value)]
    if score.interval is not None:
        low, high = (words.in_unit(limit, score.unit) for limit in score.interval)
        rows.append((words.say("interval row"), words.say("range", low=low, high=high)))
    if threshold and not detail.in_one_row:
        rows.append((words.say("operating threshold"), threshold))
    known = [reference for reference in beside(case, score) if reference.value is not None]
    rows += [(item.label, words.in_unit(item.value or 0, item.unit)) for item in known]
    if score.missing:
        rows.append((words.say("missing"), str(len(score.missing))))
    if score.attention is not None:
        rows.append((words.say("attention row"), "Score-CAM"))
    changes = score.contributions[: detail.contributions]
    return [*rows, *((words.text(one.label), words.change(one, score.unit)) for one in changes)]


def _not_applicable(pen: Pen, finding: NotApplicable, left: int, right: int, y: int, words: Wording) -> int:
    y = pen.heading((left, y), finding.label, right - left)
    y = pen.row(left, right, y, words.say("result"), words.say("is not applicable"))
    return pen.paragraph((left, y), words.why_not_applicable(finding), right - left, 14, DIM) + PAUSE


def _limits(findings: Sequence[MaskFinding], words: Wording) -> list[tuple[str, str]]:
    """Names with their limits; of more than ``MOST_IN_FULL`` findings with the same limits one row for all."""
    rows = [(capitalised(words.noun(finding).plain), _limit(finding, words)) for finding in findings]
    if len(rows) > MOST_IN_FULL and len({limit for _, limit in rows}) == 1:
        return [(capitalised(words.say("each finding")), rows[0][1])]
    return rows


def _limit(finding: MaskFinding, words: Wording) -> str:
    return words.say("detection limit row", limit=words.limit(finding), threshold=words.number(finding.threshold))


def _height_of(pen: Pen, model: ModelRef, width: int, words: Wording) -> int:
    """Room that :func:`_model` takes: what it was trained on may be told at length."""
    trained_on = words.say("trained on", trained_on=model.trained_on)
    return 110 + 19 * min(len(pen.lines(trained_on, width, 14)), MAX_LINES)


def _model(pen: Pen, model: ModelRef, left: int, right: int, y: int, words: Wording) -> int:
    y = pen.heading((left, y), words.say("model heading"), right - left)
    y = pen.paragraph((left, y), f"{model.title} ({model.name} {model.version})", right - left, 15, INK)
    trained_on = words.say("trained on", trained_on=model.trained_on)
    y = pen.paragraph((left, y + 4), trained_on, right - left, 14, DIM)
    return pen.paragraph((left, y + 4), model.digest[:26] + "…", right - left, 12, FAINT)


def _models(pen: Pen, models: list[ModelRef], left: int, right: int, y: int, bottom: int, words: Wording) -> None:
    """Two lines for each model, as many as there is room for; the reports name them all, with digests."""
    y = pen.heading((left, y), words.say("models heading"), right - left)
    for place, model in enumerate(models):
        left_over = len(models) - place
        if y + MODEL_HEIGHT * (1 if left_over == 1 else 2) > bottom + MODEL_HEIGHT // 2:
            pen.text((left, y), words.say("more models" if place else "models elsewhere", count=left_over), 14, FAINT)
            return
        pen.text((left, y), pen.shortened(f"{model.title} ({model.name} {model.version})", right - left, 14), 14, INK)
        trained_on = words.say("trained on", trained_on=model.trained_on)
        pen.text((left, y + 19), pen.shortened(trained_on, right - left, 13), 13, DIM)
        y += MODEL_HEIGHT
