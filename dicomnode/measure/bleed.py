"""What the lesions of a mask of blood say of the bleed as a whole: where it arose, and what lies in the ventricles."""

from __future__ import annotations

from collections.abc import Sequence

from dicomnode.records import BrainPart, Region

VENTRICULAR_ML, NOT_VENTRICULAR_ML = 2.0, 0.05
"""Blood that the frame finds in the ventricles: from the first on there is some, below the second there is none; what
lies between may be the error of either (``docs/anatomy.md``)."""
LOBAR = (BrainPart.FRONTAL, BrainPart.PARIETAL, BrainPart.TEMPORAL, BrainPart.OCCIPITAL)
INFRATENTORIAL = (BrainPart.CEREBELLUM, BrainPart.BRAINSTEM)


def main_lesion(lesions: Sequence[Region]) -> Region | None:
    """The largest that has a place and does not lie in the ventricles for the most part."""
    return next((one for one in lesions if one.parts and (one.ventricular_share or 0.0) < 0.5), None)


def ventricular_ml(lesions: Sequence[Region]) -> float | None:
    """Blood in the ventricles; None where no frame was found."""
    shares = [(one.ventricular_share, one.volume_ml) for one in lesions]
    if any(share is None for share, _ in shares):
        return None
    return sum((share or 0.0) * volume_ml for share, volume_ml in shares)


def ventricles_of(inner_ml: float) -> tuple[bool, ...]:
    """Whether there is blood in the ventricles; both is possible where there is little."""
    return (True,) if inner_ml >= VENTRICULAR_ML else (False,) if inner_ml < NOT_VENTRICULAR_ML else (False, True)
