"""Heads warped from a CT template instead of painted, for a second kind of anatomy. Needs nibabel and the template.

The template is ``scct.nii`` of the Clinical Toolbox for SPM (Rorden 2012: mean of healthy elderly heads in MNI space,
2 mm) with its tissue maps ``scgrey.nii``, ``scwhite.nii`` and ``sccsf.nii``. Nothing of it is part of this package. Its
values are Cormack units, ``c = v + 10 min(max(v - 900, 0), 200)`` with ``v = HU + 1024``, undone here.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_closing, binary_fill_holes, distance_transform_edt, map_coordinates

from dicomnode.cohort.canvas import AIR_HU, Canvas, Tissue, blank_canvas
from dicomnode.cohort.edition import FIRST, Edition, Version
from dicomnode.cohort.fields import Field, coverage
from dicomnode.cohort.lesions import Lesions
from dicomnode.cohort.painter import Anatomy
from dicomnode.cohort.regions import region_map
from dicomnode.cohort.scene import paint_leukoaraiosis
from dicomnode.cohort.second.calcium import paint_calcium
from dicomnode.cohort.streams import stream

FILES = ("scct.nii", "scgrey.nii", "scwhite.nii", "sccsf.nii")
MIDDLE_MM = (0.0, -14.0, 5.0)
"""(x, y, z) in MNI space (RAS) of the origin of head coordinates."""
VENTRICLE_DEPTH_MM = 18.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """Template volumes on one grid, index order (x, y, z) of the file.

    Attributes
    ----------
    hu, grey, white, csf : attenuation and probability of each tissue.
    distance : signed distance in mm to the surface of the brain and its CSF, negative inside.
    to_index : (4, 4) RAS millimetres to index.
    """

    hu: Field
    grey: Field
    white: Field
    csf: Field
    distance: Field
    to_index: NDArray[np.float64]


def hounsfield(cormack: Field) -> Field:
    """HU from Cormack units.

    >>> hounsfield(np.array([0.0, 900.0, 3100.0, 3794.0])).tolist()
    [-1024.0, -124.0, 76.0, 770.0]
    """
    stretched = np.clip((cormack - 900.0) / 11.0, 0.0, 200.0)
    return np.asarray(np.minimum(cormack, 900.0) + stretched + np.maximum(cormack - 3100.0, 0.0) - 1024.0)


@functools.lru_cache(maxsize=1)
def load_template(folder: Path) -> Template:
    """Read the template from a folder or the first folder below it that has it.

    Raises
    ------
    FileNotFoundError : a file of the template is not there.
    ModuleNotFoundError : nibabel is not installed.
    """
    import nibabel

    found = sorted(folder.rglob(FILES[0]))
    if not found:
        raise FileNotFoundError(f"no {FILES[0]} in {folder}")
    images = {name: nibabel.load(found[0].parent / name) for name in FILES}
    ct, grey, white, csf = (np.asarray(images[name].dataobj, np.float32) for name in FILES)
    hu = hounsfield(ct).astype(np.float32)
    brain = binary_fill_holes(binary_closing((grey + white + csf > 0.5) & (hu < 100.0), iterations=2))
    affine = images[FILES[0]].affine
    spacing_mm = np.abs(np.diag(affine))[:3]
    outside, inside = (distance_transform_edt(side, spacing_mm) for side in (~brain, brain))
    distance = (outside - inside).astype(np.float32)
    return Template(hu=hu, grey=grey, white=white, csf=csf, distance=distance, to_index=np.linalg.inv(affine))


def _sampler(template: Template, canvas: Canvas, scale: NDArray[np.float64]) -> NDArray[np.float32]:
    """(3, voxels) index into the template of every voxel of the canvas: head coordinates are LPS, MNI is RAS."""
    heads = (-canvas.x / scale[0], -canvas.y / scale[1], canvas.z / scale[2])
    ras = np.stack([(axis + shift).ravel() for axis, shift in zip(heads, MIDDLE_MM, strict=True)])
    return np.asarray(template.to_index[:3, :3] @ ras + template.to_index[:3, 3:], np.float32)


def _labels(canvas: Canvas, distance: Field, tissues: tuple[Field, Field, Field]) -> NDArray[np.uint8]:
    """:class:`Tissue` by attenuation outside the brain and by the likeliest tissue within."""
    grey, white, csf = tissues
    labels = np.where(canvas.hu > 250.0, Tissue.SKULL, np.where(canvas.hu > -250.0, Tissue.SCALP, Tissue.AIR))
    within = np.where(white > grey, Tissue.WHITE_MATTER, Tissue.GREY_MATTER)
    fluid = csf > np.maximum(grey, white)
    deep = (distance < -VENTRICLE_DEPTH_MM) & (np.abs(canvas.x) < 32.0) & (np.abs(canvas.z - 10.0) < 22.0)
    within = np.where(fluid, np.where(deep, Tissue.VENTRICLE, Tissue.CSF), within)
    return np.where(distance < 0, within, labels).astype(np.uint8)


def make_template_anatomy(
    folder: Path,
    seed: int,
    lesions: Lesions,
    *,
    spacing_mm: float = 1.2,
    rotation_deg: tuple[float, float, float] | None = None,
    edition: Edition = FIRST,
) -> Anatomy:
    """A patient's head warped from the template: turned, scaled (SD 4 %) and bent (SD 3 mm) at random.

    Parameters
    ----------
    folder : that holds the template, at any depth.
    lesions : of the baseline; only white matter disease is used (the template's CSF spaces are those of old age).

    Raises
    ------
    FileNotFoundError, ModuleNotFoundError : see :func:`load_template`.
    """
    template = load_template(folder)
    pose = stream(seed, "pose").normal(0.0, 4.0, 3) if rotation_deg is None else np.asarray(rotation_deg)
    canvas = blank_canvas(seed, spacing_mm, list(pose), 3.0, edition.midline_warp)
    index = _sampler(template, canvas, np.clip(stream(seed, "template").normal(1.0, 0.04, 3), 0.9, 1.1))

    def sample(values: Field, outside: float) -> Field:
        drawn = map_coordinates(values, index, order=1, mode="constant", cval=outside)
        return np.asarray(drawn.reshape(canvas.shape), np.float32)

    distance = sample(template.distance, 60.0)
    hu = sample(template.hu, AIR_HU)
    # an average of many heads has paler bone and no texture
    hu += np.clip(hu - 150.0, 0.0, None) * 0.8
    canvas.hu[:] = hu + (distance < 0) * 1.2 * canvas.noise("texture", 3.0)
    tissues = (sample(template.grey, 0.0), sample(template.white, 0.0), sample(template.csf, 0.0))
    canvas.labels[:] = _labels(canvas, distance, tissues)
    paint_leukoaraiosis(canvas, lesions.leukoaraiosis)
    inside = coverage(distance, canvas.spacing_mm)
    if edition.pictures is Version.TWO:
        paint_calcium(canvas, distance, inside, lesions.atrophy)
    return Anatomy(seed, canvas, region_map(canvas, distance < 0), distance, inside)
