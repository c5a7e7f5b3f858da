"""Reference scores in the panel of the overview: what they come to, from what, and what is not known."""

from __future__ import annotations

from collections.abc import Sequence

from dicomnode.encode.pictures.drawing import DIM, FAINT, Pen
from dicomnode.encode.references import by_themselves, is_measured
from dicomnode.encode.wording import Wording
from dicomnode.records import MEASURED, Case, ReferenceScore, ScoreInput

FIRST_SCORES, MOST_SCORES, MOST_INPUTS, MOST_MISSING_LINES = 3, 6, 6, 2
ROW, SMALL, HEADING, BELOW = 15, 13, 32, 8
"""Sizes of letters, heights, and the pause below the block, pixels."""
ABC2 = "abc2_total"
"""Where it is measured, it stands among the measurements of the panel already."""


def wanted_scores(case: Case) -> list[ReferenceScore]:
    """Those that stand nowhere else in the panel: what comes to a number or a range before what cannot be computed."""
    told = [score for score in by_themselves(case) if not (score.name == ABC2 and is_measured(score))]
    return sorted(told, key=lambda score: score.value is None and score.possible is None)


def room_of_first(wanted: Sequence[ReferenceScore]) -> int:
    """Pixels that the first scores take: what a reader shall find in the picture, of whatever else there is."""
    if not wanted:
        return 0
    first = wanted[:FIRST_SCORES]
    rows = sum(ROW + 8 + (SMALL + 5 if score.headline else 0) for score in first)
    return HEADING + rows + (SMALL + 6 if len(wanted) > len(first) else 0) + BELOW


def reference_block(
    pen: Pen, wanted: Sequence[ReferenceScore], left: int, right: int, y: int, bottom: int, words: Wording
) -> int:
    """Draw as much as there is room for above ``bottom``; returns the y below.

    Scores come first, then the inputs, the measured ones left out, then what is not known. Where there is no room for
    any, one line says where they stand.
    """
    shown = _that_fit(wanted, bottom - y - HEADING - BELOW)
    if not wanted:
        return y
    if not shown:
        pen.text((left, y), pen.shortened(words.say("scores elsewhere"), right - left, SMALL), SMALL, FAINT)
        return y + SMALL + 6 + BELOW
    y = pen.heading((left, y), words.say("reference heading"), right - left)
    for score in shown:
        y = pen.row(left, right, y, score.label, words.possible(score) or words.say("not computable"), ROW)
        if score.headline:
            y = pen.row(left + 12, right, y - 3, words.say("mortality row"), score.headline, SMALL)
    if len(shown) < len(wanted):
        pen.text((left, y), words.say("more scores", count=len(wanted) - len(shown)), SMALL, FAINT)
        y += SMALL + 6
    return _inputs(pen, shown, left, right, y, bottom - BELOW, words) + BELOW


def _that_fit(scores: Sequence[ReferenceScore], room: int) -> Sequence[ReferenceScore]:
    """As many as there is room for, with what stands below them and, where there are more, the line that says so."""
    taken = 0
    for count, score in enumerate(scores):
        taken += ROW + 8 + (SMALL + 5 if score.headline else 0)
        is_last = count + 1 == len(scores)
        if count == MOST_SCORES or taken + (0 if is_last else SMALL + 6) > room:
            return scores[:count]
    return scores


def _inputs(
    pen: Pen, scores: Sequence[ReferenceScore], left: int, right: int, y: int, bottom: int, words: Wording
) -> int:
    """Each input once, with its source and how long before or after the scan it was observed."""
    used = dict.fromkeys(item for score in scores for item in score.inputs if item.source != MEASURED)
    missing = list(dict.fromkeys(label for score in scores for label in score.missing))
    for item in list(used)[:MOST_INPUTS]:
        # a line for what is missing: it decides how much a range says
        if y + SMALL + 5 > bottom - (SMALL + 5 if missing else 0):
            break
        y = pen.row(left, right, y, item.label, f"{item.value} ({_origin(item, words)})", SMALL) - 3
    if not missing:
        return y
    lines = pen.lines(words.say("not known", names=", ".join(missing)), right - left, SMALL)
    room = min(MOST_MISSING_LINES, (bottom - y) // (SMALL + 5))
    if len(lines) > room > 0:
        lines[room - 1 :] = [pen.shortened(" ".join(lines[room - 1 :]), right - left, SMALL)]
    for line in lines[:room]:
        pen.text((left, y), line, SMALL, DIM)
        y += SMALL + 5
    return y


def _origin(item: ScoreInput, words: Wording) -> str:
    """``FHIR, -20 min``."""
    source = words.source(item.source)
    if item.offset_s is None:
        return source
    sign = "-" if item.offset_s < 0 else "+"
    return f"{source}, {sign}{words.amount_of_time(item.offset_s)}"
