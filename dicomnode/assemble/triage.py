"""Which series is a plain axial CT: read off the headers, with coded reasons.

Only what stands at the instance or the series decides. StudyDescription and ProtocolName, which scanners copy into
every series of an examination, do not: a stroke study named "CT head + CTA" holds the very non-contrast series that is
wanted, and "thrombectomy" says that iodine may be left in the brain, which is expected.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

import numpy as np

from dicomnode.dicom.ct_slices import reason_not_used
from dicomnode.dicom.geometry import DUPLICATE_TOLERANCE_MM
from dicomnode.dicom.headers import SliceHeader, text_of, values_of
from dicomnode.errors import Refusal
from dicomnode.records import Header

# DERIVED alone is no reason: thick axial slices averaged from thin ones, the series that is read in many hospitals, and
# everything lossily compressed carry it (PS3.3 C.7.6.1.1.2). These say that a value is no longer the HU of its place.
_NOT_HU = re.compile(
    r"(?<![A-Z])(?:MIP|MINIP|MIN_IP|MAX_IP|PROJECTION IMAGE|VRT|VOLREN|VOLUME RENDER\w*|SSD|CPR|CURVED|"
    r"SUBTRACTION|SUBTRACTED|BONE ?REMOVAL|IODINE|VNC|VIRTUAL NON|RHO|Z_?EFF|FUSION)(?![A-Z])"
)
_PERFUSION = re.compile(
    r"(?<![A-Z])(?:V?CTP|VPCT|PERF\w*|CBF|CBV|R?MTT|TMAX|TTP|TTD|4D|DYNAMIC|MULTI ?PHASE|MONITOR\w*|PREMON\w*|"
    r"BOLUS ?TRACK\w*|TEST ?BOLUS|SMART ?PREP|CT_SOM\d+ MON)(?![A-Z])"
)

_WITHOUT = re.compile(
    r"(?<![A-Z])(?:(?:NON|NO|W/O|WO|WITHOUT|OHNE|SANS|SIN|SENZA|PRE)[ -]*(?:IV )?(?:CONTRAST\w*|KM|C|CM|ENHANCE\w*)"
    r"|UNENHANCED|NECT|NCCT|NATIVE?|NATIF|PLAIN)(?![A-Z])"
)
_AFTER_ANGIOGRAPHY = re.compile(
    r"(?<![A-Z])(?:POST|AFTER|NACH|APRES|S/P|Z\.? ?N\.?|FOLLOWING)[ -]*(?:CEREBRAL )?"
    r"(?:ANGIO\w*|DSA|EMBOLI\w*|THROMB\w*|EVT|MT|STENT\w*)"
)
_CONTRAST = re.compile(
    r"(?<![A-Z])(?:CTA|CTV|CT-A|ANGIO\w*|CAROT\w*|WILLIS|COW|ART|ARTERIAL|ARTERIELL|VEN(?:OU|OE|Ö)S|PORTAL|"
    r"CONTRAST\w*|KONTRAST\w*|ENHANCED|CECT|KM|C\+)(?![A-Z])"
)

_NO_AGENT = re.compile(
    r"\s*(?:NO(?:NE|T GIVEN)?|NIL|N/?A|W/?O\b.*|WITHOUT.*|OHNE.*|SANS.*|NATIVE?|UNENHANCED|[-0.]*)\s*"
)
_INTRA_ARTERIAL = re.compile(r"INTRA.?ARTERI|(?<![A-Z])I\.?A\.?(?![A-Z])")

MAX_LOCALIZERS = 3
"""A series of up to three non-axial images is a set of scouts (two planes, one repeated), not a reformat."""
_STEEP = 0.5
"""|z| of a normal below which a slice is not axial (60 degrees from the long axis); no gantry tilts more than 30."""


def refusal_of_series(headers: Sequence[Header]) -> tuple[Refusal, str] | None:
    """Why a series is no plain axial CT, with what was seen; None where the headers say nothing against it.

    Parameters
    ----------
    headers : of all instances of the series; those that are not used (:func:`reason_not_used`) decide only where
        nothing else is left.

    Returns
    -------
    The reason and its detail, without patient attributes (matched words, counts), or None.
    """
    reasons = [reason_not_used(header) for header in headers]
    used = [header for header, reason in zip(headers, reasons, strict=True) if reason is None]
    if not used:
        counted = Counter(reason for reason in reasons if reason is not None)
        return (counted.most_common(1)[0][0], f"{len(headers)} instances") if counted else (Refusal.NO_PIXELS, "")
    slices = [SliceHeader.of(header) for header in used]
    for test in (_localizer, _derived, _perfusion, _contrast):
        refusal = test(used, slices)
        if refusal is not None:
            return refusal
    return None


def _localizer(_: Sequence[Header], slices: Sequence[SliceHeader]) -> tuple[Refusal, str] | None:
    steep = sum(1 for view in slices if _is_steep(view))
    if len(slices) <= MAX_LOCALIZERS and steep:
        return Refusal.LOCALIZER, f"{steep} of {len(slices)} images not axial"
    return None


def _is_steep(view: SliceHeader) -> bool:
    if view.orientation is None:
        return False
    normal = np.cross(view.orientation[:3], view.orientation[3:])
    return abs(float(normal[2])) < _STEEP


def _derived(headers: Sequence[Header], slices: Sequence[SliceHeader]) -> tuple[Refusal, str] | None:
    words = _word(_NOT_HU, headers, slices)
    # As ImageType a rendering; in a description "3D" may just as well name a thin axial series.
    if not words and any("3D" in view.image_type for view in slices):
        words = "ImageType: 3D"
    return (Refusal.DERIVED, words) if words else None


def _perfusion(headers: Sequence[Header], slices: Sequence[SliceHeader]) -> tuple[Refusal, str] | None:
    words = _word(_PERFUSION, headers, slices)
    if words:
        return Refusal.PERFUSION, words
    places = _distinct_positions(slices)
    # A few doubled slices are an error of sending (duplicate positions); every slice doubled is another phase.
    if places and len(slices) >= 2 * places:
        return Refusal.PERFUSION, f"{len(slices)} images at {places} positions"
    return None


def _distinct_positions(slices: Sequence[SliceHeader]) -> int:
    places = {
        tuple(round(value / DUPLICATE_TOLERANCE_MM) for value in view.position_mm)
        for view in slices
        if view.position_mm is not None
    }
    return len(places)


def _contrast(headers: Sequence[Header], slices: Sequence[SliceHeader]) -> tuple[Refusal, str] | None:
    if any(_intravenous_agent(header) for header in headers):
        return Refusal.CONTRAST_ANGIOGRAPHY, "ContrastBolusAgent"
    words = _word(_CONTRAST, headers, slices)
    return (Refusal.CONTRAST_ANGIOGRAPHY, words) if words else None


def _intravenous_agent(header: Header) -> bool:
    """Whether contrast was given for this scan; what an angiography left behind (intra-arterial) is no reason."""
    agent = text_of(header, "ContrastBolusAgent").upper()
    if _NO_AGENT.fullmatch(agent):
        return False
    return _INTRA_ARTERIAL.search(text_of(header, "ContrastBolusRoute").upper()) is None


def _word(pattern: re.Pattern[str], headers: Sequence[Header], slices: Sequence[SliceHeader]) -> str:
    """First match in ImageType or SeriesDescription of any slice, such as ``SeriesDescription: CTA``; else ``""``."""
    for value in dict.fromkeys(value for view in slices for value in view.image_type):
        if found := pattern.search(value):
            return f"ImageType: {found[0]}"
    for text in dict.fromkeys(_description(header) for header in headers):
        if found := pattern.search(text):
            return f"SeriesDescription: {found[0]}"
    return ""


def _description(header: Header) -> str:
    """What the series says of itself, upper case, without phrases that deny contrast or look back on an angiography."""
    text = " ".join(str(value) for value in values_of(header, "SeriesDescription")).upper()
    text = re.sub(r"[_^,;:()\[\]]+", " ", text)
    return _AFTER_ANGIOGRAPHY.sub(" ", _WITHOUT.sub(" ", text))
