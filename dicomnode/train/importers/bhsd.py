"""BHSD, the part with voxel labels: ``label_192/images/*.nii.gz`` and ``label_192/ground truths/*.nii.gz``.

The masks tell five types apart by value; here every value above 0 is haemorrhage. BHSD was drawn from RSNA 2019: do not
test on the one what was trained on the other.
"""

from __future__ import annotations

from pathlib import Path

from dicomnode.errors import ManifestError
from dicomnode.train.importers.tables import require
from dicomnode.train.manifest import Case, MaskFile

LICENCE = (
    "BHSD: labels and code MIT, but the images are those of RSNA 2019, for non-commercial and research use only; cite "
    "Wu et al., MLMI 2023 (doi 10.1007/978-3-031-45673-2_15)."
)
IMAGES, MASKS = "images", "ground truths"


def read(folder: Path, beside: Path) -> list[Case]:
    """One exam for each image; ``folder`` may be ``label_192`` itself or the folder that holds it.

    Raises
    ------
    ManifestError : a part of the layout or a mask is missing.
    """
    root = folder / "label_192" if (folder / "label_192").is_dir() else folder
    require(root, IMAGES, MASKS)
    images = sorted((root / IMAGES).glob("*.nii.gz"))
    missing = [f"{MASKS}: there is no {image.name}" for image in images if not (root / MASKS / image.name).exists()]
    if missing:
        raise ManifestError(missing)
    return [_case(image, root / MASKS / image.name) for image in images]


def _case(image: Path, mask: Path) -> Case:
    name = f"bhsd-{image.name.removesuffix('.nii.gz')}"
    return Case(
        id=name,
        patient=name,
        image=image,
        masks={"hemorrhage": MaskFile(mask)},
        labels={"hemorrhage": 1.0},
        site="BHSD",
    )
