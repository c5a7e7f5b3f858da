"""What a bundle once answered in the self-test, and whether it answers so now.

The answer lies in ``selftest.json`` of the bundle, outside its digest: it decides no result. It is compared within
tolerances, since another processor or version of torch rounds otherwise; other weights do not fall within them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from dicomnode.errors import BundleError
from dicomnode.records import PROBABILITY_SCALE, Finding, ImageFinding, MaskFinding, NotApplicable, Volume

ANSWER = Path("selftest.json")
LEAST_ML, RELATIVE, CENTRE_MM = 0.03, 0.002, 0.2
"""Tolerances of a volume (whichever is larger), and of the centre of what is marked. The shipped network in bfloat16
stays within 0.005 mL, with TF32's rounding within 0.0002 mL; 5 % more of one of its last biases is 0.09 mL off."""
LEAST_SCORE, LEAST_HU = 1e-3, 0.05
"""Tolerances of a score, beside ``RELATIVE``, and of the mean HU of a slice."""
SAME_HEAD = 1e-3
"""Relative difference of truth and mean HU within which the head counts as the one of the recording."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class HeadFacts(_Frozen):
    """What tells that the head made now is the one of the recording."""

    seed: int
    cohort_version: str
    truth_ml: float
    mean_hu: float

    def is_same(self, now: HeadFacts) -> bool:
        """Whether both heads are one."""
        pairs = ((self.truth_ml, now.truth_ml), (self.mean_hu, now.mean_hu))
        return self.seed == now.seed and all(abs(a - b) <= SAME_HEAD * abs(a) for a, b in pairs)


class MaskAnswer(_Frozen):
    """What one output marked: mL in all and per slice, the sum of its probabilities in mL, the centre in mm (LPS)."""

    volume_ml: float
    slices_ml: tuple[float, ...]
    probability_ml: float
    centre_mm: tuple[float, float, float] | None

    def says(self) -> str:
        """The answer in a few words."""
        return f"{self.volume_ml:.2f} mL"

    def differences(self, seen: OutputAnswer) -> Iterator[str]:
        """Where another answer differs by more than rounding, in plain words."""
        if not isinstance(seen, MaskAnswer):
            yield "no mask any more"
            return
        for what, then, now in (
            ("volume", self.volume_ml, seen.volume_ml),
            ("sum of probabilities", self.probability_ml, seen.probability_ml),
        ):
            if abs(now - then) > max(LEAST_ML, RELATIVE * then):
                yield f"{what} {now:.2f} mL, known is {then:.2f} mL"
        yield from self._off_slices(seen)
        yield from self._off_centre(seen)

    def _off_slices(self, seen: MaskAnswer) -> Iterator[str]:
        if len(self.slices_ml) != len(seen.slices_ml):
            yield f"{len(seen.slices_ml)} slices, known are {len(self.slices_ml)}"
            return
        off = np.abs(np.subtract(seen.slices_ml, self.slices_ml))
        if (off > np.maximum(LEAST_ML, RELATIVE * np.array(self.slices_ml))).any():
            yield f"slice {int(off.argmax()) + 1} off by {off.max():.2f} mL"

    def _off_centre(self, seen: MaskAnswer) -> Iterator[str]:
        if self.centre_mm is None or seen.centre_mm is None:
            if self.centre_mm != seen.centre_mm:
                yield "something marked, known is nothing" if seen.centre_mm else "nothing marked"
            return
        moved = float(np.linalg.norm(np.subtract(seen.centre_mm, self.centre_mm)))
        if moved > CENTRE_MM:
            yield f"centre moved by {moved:.1f} mm"


class ScoreAnswer(_Frozen):
    """The number that one output gave."""

    value: float

    def says(self) -> str:
        """The answer in a few words."""
        return f"{self.value:g}"

    def differences(self, seen: OutputAnswer) -> Iterator[str]:
        """Where another answer differs by more than rounding, in plain words."""
        if not isinstance(seen, ScoreAnswer):
            yield "no score any more"
        elif abs(seen.value - self.value) > max(LEAST_SCORE, RELATIVE * abs(self.value)):
            yield f"score {seen.value:g}, known is {self.value:g}"


class ImageAnswer(_Frozen):
    """The mean HU of each slice that one output predicted."""

    slices_hu: tuple[float, ...]

    def says(self) -> str:
        """The answer in a few words."""
        return f"{len(self.slices_hu)} slices of {np.mean(self.slices_hu):.1f} HU"

    def differences(self, seen: OutputAnswer) -> Iterator[str]:
        """Where another answer differs by more than rounding, in plain words."""
        if not isinstance(seen, ImageAnswer) or len(seen.slices_hu) != len(self.slices_hu):
            yield "no predicted scan of as many slices any more"
            return
        off = np.abs(np.subtract(seen.slices_hu, self.slices_hu))
        if off.max() > LEAST_HU:
            yield f"slice {int(off.argmax()) + 1} off by {off.max():.2f} HU"


OutputAnswer = MaskAnswer | ScoreAnswer | ImageAnswer


class Answer(_Frozen):
    """``selftest.json``. ``digest``: of the bundle that gave it; ``outputs``: by the name of the output."""

    digest: str
    head: HeadFacts
    outputs: dict[str, OutputAnswer]


def load_answer(bundle: Path) -> Answer | None:
    """The known answer of a bundle; None where it has none.

    Raises
    ------
    BundleError : the file is damaged.
    """
    file = bundle / ANSWER
    if not file.is_file():
        return None
    try:
        return Answer.model_validate_json(file.read_text(encoding="utf-8"))
    except (OSError, ValidationError) as error:
        raise BundleError(f"{file}: cannot be read: {error}") from error


def save_answer(bundle: Path, answer: Answer) -> None:
    """Keep an answer as the known one of a bundle.

    Raises
    ------
    BundleError : the file cannot be written.
    """
    text = json.dumps(answer.model_dump(), indent=2)
    one_line = re.sub(r"\[[^\[\]{}]*\]", lambda found: " ".join(found[0].split()), text) + "\n"
    try:
        (bundle / ANSWER).write_text(one_line, encoding="utf-8")
    except OSError as error:
        raise BundleError(f"{bundle / ANSWER} cannot be written: {error.strerror}") from error


def answer_of(finding: Finding, volume: Volume) -> OutputAnswer:
    """What a finding comes to.

    Raises
    ------
    BundleError : it is none: the model does not apply to the patient of the self-test.
    """
    if isinstance(finding, MaskFinding):
        return _mask_answer(finding, volume)
    if isinstance(finding, ImageFinding):
        return ImageAnswer(slices_hu=_rounded(finding.hu.mean(axis=(1, 2))))
    if isinstance(finding, NotApplicable):
        why = f"{finding.reason.sentence()} {finding.detail}".strip()
        raise BundleError(f"{finding.name} is not given: {why} (needs: give each variable and text an example)")
    return ScoreAnswer(value=round(finding.value, 5))


def _mask_answer(finding: MaskFinding, volume: Volume) -> MaskAnswer:
    slices_ml = finding.mask.sum(axis=(1, 2)) * volume.stack.voxel_ml
    assert finding.probability is not None  # asked for
    probability_ml = finding.probability.sum(axis=(1, 2), dtype=np.float64) * volume.stack.voxel_ml / PROBABILITY_SCALE
    x, y, z = (None, None, None) if finding.total is None else (round(float(v), 3) for v in finding.total.centroid_mm)
    return MaskAnswer(
        volume_ml=round(float(slices_ml.sum()), 4),
        slices_ml=_rounded(slices_ml),
        probability_ml=round(float(probability_ml.sum()), 4),
        centre_mm=None if x is None or y is None or z is None else (x, y, z),
    )


def _rounded(values: np.ndarray[tuple[int, ...], np.dtype[np.floating]]) -> tuple[float, ...]:
    return tuple(round(float(value), 4) for value in values)
