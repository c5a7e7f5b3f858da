"""SOP Class UIDs that several stages must agree on (DICOM PS3.4 B.5)."""

from __future__ import annotations

from collections.abc import Collection

SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.4"
COMPREHENSIVE_3D_SR = "1.2.840.10008.5.1.4.1.1.88.34"
COMPREHENSIVE_SR = "1.2.840.10008.5.1.4.1.1.88.33"
ENHANCED_SR = "1.2.840.10008.5.1.4.1.1.88.22"
MULTI_FRAME_WORD_SC = "1.2.840.10008.5.1.4.1.1.7.3"
KEY_OBJECT_SELECTION = "1.2.840.10008.5.1.4.1.1.88.59"
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
PARAMETRIC_MAP = "1.2.840.10008.5.1.4.1.1.30"

RESULT_SOP_CLASSES: dict[str, str] = {
    "seg": SEGMENTATION,
    "sr": COMPREHENSIVE_3D_SR,
    "scores": COMPREHENSIVE_3D_SR,
    "text": ENHANCED_SR,
    "sc": SECONDARY_CAPTURE,
    "predicted": MULTI_FRAME_WORD_SC,
    "predicted_sc": SECONDARY_CAPTURE,
    "kos": KEY_OBJECT_SELECTION,
    "probability": PARAMETRIC_MAP,
    "rejection": KEY_OBJECT_SELECTION,
    "not_performed": ENHANCED_SR,
    "seg_sc": SECONDARY_CAPTURE,
    "sr_comp": COMPREHENSIVE_SR,
    "sr_enhanced": ENHANCED_SR,
    "scores_comp": COMPREHENSIVE_SR,
    "scores_enhanced": ENHANCED_SR,
}
"""Kind of result -> the SOP class that it is sent as."""

NEXT_RUNG: dict[str, str] = {
    "seg": "seg_sc",
    "sr": "sr_comp",
    "sr_comp": "sr_enhanced",
    "scores": "scores_comp",
    "scores_comp": "scores_enhanced",
    "predicted": "predicted_sc",
}
"""Kind -> the kind that tells the same to a destination that refuses its SOP class."""


def rungs_below(kind: str) -> list[str]:
    """The kinds that may stand in for a kind, the best first.

    >>> rungs_below("sr"), rungs_below("sc")
    (['sr_comp', 'sr_enhanced'], [])
    """
    below = []
    while kind in NEXT_RUNG:
        kind = NEXT_RUNG[kind]
        below.append(kind)
    return below


def stand_in(kind: str, refused: Collection[str]) -> str:
    """The kind to send in place of ``kind`` to a destination that refuses these SOP classes; itself where it may go.

    Where every rung is refused: the lowest, since something must show that nothing arrives.

    >>> stand_in("sr", {COMPREHENSIVE_3D_SR}), stand_in("sc", {SECONDARY_CAPTURE})
    ('sr_comp', 'sc')
    """
    while RESULT_SOP_CLASSES[kind] in refused and kind in NEXT_RUNG:
        kind = NEXT_RUNG[kind]
    return kind
