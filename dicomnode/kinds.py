"""The kinds of result that the node writes: one row for each, which config, encode, store, deliver and app read.

A new kind is a member of :class:`Kind`, its row in ``KINDS``, and a module in ``encode/kinds`` that makes it.
Where a destination refuses the SOP class of a kind, its *stand-in* tells the same in a class that more systems take.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum

SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.4"
COMPREHENSIVE_3D_SR = "1.2.840.10008.5.1.4.1.1.88.34"
COMPREHENSIVE_SR = "1.2.840.10008.5.1.4.1.1.88.33"
ENHANCED_SR = "1.2.840.10008.5.1.4.1.1.88.22"
MULTI_FRAME_WORD_SC = "1.2.840.10008.5.1.4.1.1.7.3"
KEY_OBJECT_SELECTION = "1.2.840.10008.5.1.4.1.1.88.59"
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
PARAMETRIC_MAP = "1.2.840.10008.5.1.4.1.1.30"


class Kind(StrEnum):
    """A kind of result, as configurations and rows of the database name it.

    In the order of encoding: a report refers to the segmentation before it, the key object to all before it.
    """

    SEG = "seg"
    SR = "sr"
    SCORES = "scores"
    TEXT = "text"
    SC = "sc"
    PREDICTED = "predicted"
    PREDICTED_SC = "predicted_sc"
    PROBABILITY = "probability"
    KOS = "kos"
    SEG_SC = "seg_sc"
    SR_NEGATIVE = "sr_negative"
    SR_COMP = "sr_comp"
    SR_ENHANCED = "sr_enhanced"
    SCORES_COMP = "scores_comp"
    SCORES_ENHANCED = "scores_enhanced"
    REJECTION = "rejection"
    NOT_PERFORMED = "not_performed"


class Made(StrEnum):
    """When a kind is written."""

    ALWAYS = "with the results of every job"
    ON_REQUEST = "with the results of a job, where a destination takes it"
    ALONE = "by a job of its own, about other results or about a study without any"


@dataclass(frozen=True, slots=True, kw_only=True)
class KindRow:
    """What the stages know of a kind.

    Attributes
    ----------
    title : what a person reads.
    sop_class_uid : that it is sent as (DICOM PS3.4 B.5).
    series_number : of its series for a source series without a number: 91004 is the SEG of series 4.
    stand_in : the kind that tells the same to a destination that refuses the SOP class; None where nothing does.
    by_default : whether a destination gets it that does not choose its kinds.
    """

    title: str
    sop_class_uid: str
    series_number: int
    made: Made
    stand_in: Kind | None = None
    by_default: bool = False


KINDS: dict[Kind, KindRow] = {
    Kind.SEG: KindRow(
        title="segmentation",
        sop_class_uid=SEGMENTATION,
        series_number=91_000,
        made=Made.ALWAYS,
        stand_in=Kind.SEG_SC,
        by_default=True,
    ),
    Kind.SR: KindRow(
        title="measurements",
        sop_class_uid=COMPREHENSIVE_3D_SR,
        series_number=92_000,
        made=Made.ALWAYS,
        stand_in=Kind.SR_COMP,
        by_default=True,
    ),
    Kind.SCORES: KindRow(
        title="scores",
        sop_class_uid=COMPREHENSIVE_3D_SR,
        series_number=95_000,
        made=Made.ALWAYS,
        stand_in=Kind.SCORES_COMP,
        by_default=True,
    ),
    Kind.TEXT: KindRow(
        title="text report",
        sop_class_uid=ENHANCED_SR,
        series_number=94_000,
        made=Made.ALWAYS,
        by_default=True,
    ),
    Kind.SC: KindRow(
        title="overview picture",
        sop_class_uid=SECONDARY_CAPTURE,
        series_number=93_000,
        made=Made.ALWAYS,
        by_default=True,
    ),
    Kind.PREDICTED: KindRow(
        title="predicted scan",
        sop_class_uid=MULTI_FRAME_WORD_SC,
        series_number=96_000,
        made=Made.ALWAYS,
        stand_in=Kind.PREDICTED_SC,
        by_default=True,
    ),
    Kind.PREDICTED_SC: KindRow(
        title="predicted scan as single images",
        sop_class_uid=SECONDARY_CAPTURE,
        series_number=97_000,
        made=Made.ON_REQUEST,
    ),
    Kind.PROBABILITY: KindRow(
        title="probability map",
        sop_class_uid=PARAMETRIC_MAP,
        series_number=89_000,
        made=Made.ON_REQUEST,
    ),
    Kind.KOS: KindRow(
        title="list of the results of one job",
        sop_class_uid=KEY_OBJECT_SELECTION,
        series_number=98_000,
        made=Made.ON_REQUEST,
    ),
    Kind.SEG_SC: KindRow(
        title="marked slices as pictures",
        sop_class_uid=SECONDARY_CAPTURE,
        series_number=81_000,
        made=Made.ON_REQUEST,
    ),
    Kind.SR_NEGATIVE: KindRow(
        title="measurement report of an exam without marks",
        sop_class_uid=COMPREHENSIVE_3D_SR,
        series_number=84_000,
        made=Made.ON_REQUEST,
    ),
    Kind.SR_COMP: KindRow(
        title="measurements as Comprehensive SR",
        sop_class_uid=COMPREHENSIVE_SR,
        series_number=82_000,
        made=Made.ON_REQUEST,
        stand_in=Kind.SR_ENHANCED,
    ),
    Kind.SR_ENHANCED: KindRow(
        title="measurements as Enhanced SR",
        sop_class_uid=ENHANCED_SR,
        series_number=83_000,
        made=Made.ON_REQUEST,
    ),
    Kind.SCORES_COMP: KindRow(
        title="scores as Comprehensive SR",
        sop_class_uid=COMPREHENSIVE_SR,
        series_number=85_000,
        made=Made.ON_REQUEST,
        stand_in=Kind.SCORES_ENHANCED,
    ),
    Kind.SCORES_ENHANCED: KindRow(
        title="scores as Enhanced SR",
        sop_class_uid=ENHANCED_SR,
        series_number=86_000,
        made=Made.ON_REQUEST,
    ),
    Kind.REJECTION: KindRow(
        title="rejection note",
        sop_class_uid=KEY_OBJECT_SELECTION,
        series_number=90_000,
        made=Made.ALONE,
        by_default=True,
    ),
    Kind.NOT_PERFORMED: KindRow(
        title="report that nothing was done",
        sop_class_uid=ENHANCED_SR,
        series_number=99_000,
        made=Made.ALONE,
    ),
}

BY_DEFAULT = tuple(kind for kind, row in KINDS.items() if row.by_default)
"""What a destination gets that does not choose its kinds."""


def stand_ins(kind: Kind) -> list[Kind]:
    """The kinds that may stand in for a kind, the best first.

    >>> stand_ins(Kind.SR), stand_ins(Kind.SC)
    ([<Kind.SR_COMP: 'sr_comp'>, <Kind.SR_ENHANCED: 'sr_enhanced'>], [])
    """
    following = KINDS[kind].stand_in
    return [following, *stand_ins(following)] if following else []


def kind_to_send(kind: Kind, refused: Collection[str]) -> Kind:
    """The kind that goes to a destination which refuses these SOP classes: itself, or its best stand-in.

    Where every stand-in is refused too: the last, since something must show that nothing arrives.

    >>> kind_to_send(Kind.SR, {COMPREHENSIVE_3D_SR}), kind_to_send(Kind.SC, {SECONDARY_CAPTURE})
    (<Kind.SR_COMP: 'sr_comp'>, <Kind.SC: 'sc'>)
    """
    following = KINDS[kind].stand_in
    if following is None or KINDS[kind].sop_class_uid not in refused:
        return kind
    return kind_to_send(following, refused)


def first_choice(kind: Kind) -> Kind:
    """The kind that a kind stands in for; itself where it stands in for none.

    >>> first_choice(Kind.SR_ENHANCED)
    <Kind.SR: 'sr'>
    """
    return next((first for first in KINDS if kind in stand_ins(first)), kind)
