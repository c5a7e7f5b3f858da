"""Rigid registration of two scans of one head: of the pairs of a training, and of a forecast with what came.

A model itself sees one scan. Rigid alone, since a warp would undo the mass effect that is to be learned, or judged.
Reference: SimpleITK (Lowekamp et al., Front Neuroinform 7 (2013) 45); an extra, without which nothing is registered.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dicomnode.records import Volume
from dicomnode.zoo.grid import regular_grid

if TYPE_CHECKING:
    import SimpleITK

SEEN_HU = (-200.0, 600.0)
"""Air, skin, brain and bone; what is beyond is cut off, so that teeth and metal do not decide."""
COARSE_MM = 2.5
"""About so large the voxels become, where they are smaller."""
SMOOTH_MM = (4.0, 2.0)
"""At first and then."""
COMPARED, SEED = 20_000, 1
"""Voxels that are compared at each step, and seed of their draw: the same scans give the same motion."""
STEPS = 60


def motion_between(first: Volume, second: Volume) -> NDArray[np.float64]:
    """(4, 4) from where a point of the head lies in the first scan to where it lies in the second, RAS mm.

    Raises
    ------
    RuntimeError : the two do not overlap.
    ImportError : SimpleITK is not installed.
    """
    import SimpleITK

    fixed, moving = _image_of(first), _image_of(second)
    start = SimpleITK.CenteredTransformInitializer(
        fixed, moving, SimpleITK.Euler3DTransform(), SimpleITK.CenteredTransformInitializerFilter.MOMENTS
    )
    method = _method(min(1.0, COMPARED / fixed.GetNumberOfPixels()))
    method.SetInitialTransform(start, inPlace=True)
    return _matrix(method.Execute(fixed, moving))


def _image_of(volume: Volume) -> SimpleITK.Image:
    """On its regular grid, coarser, in RAS mm."""
    import SimpleITK

    grid, affine = regular_grid(volume)
    # SimpleITK takes (slices, rows, columns) and counts (columns, rows, slices)
    image = SimpleITK.GetImageFromArray(np.ascontiguousarray(grid.permute(2, 1, 0).clamp(*SEEN_HU).numpy()))
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    image.SetSpacing(spacing.tolist())
    image.SetDirection((affine[:3, :3] / spacing).ravel().tolist())
    image.SetOrigin(affine[:3, 3].tolist())
    return SimpleITK.BinShrink(image, [max(1, int(COARSE_MM / mm)) for mm in spacing])


def _method(share: float) -> SimpleITK.ImageRegistrationMethod:
    import SimpleITK

    method = SimpleITK.ImageRegistrationMethod()
    method.SetMetricAsMeanSquares()
    method.SetMetricSamplingStrategy(method.RANDOM)
    method.SetMetricSamplingPercentage(share, SEED)
    method.SetInterpolator(SimpleITK.sitkLinear)
    method.SetShrinkFactorsPerLevel([1] * len(SMOOTH_MM))
    method.SetSmoothingSigmasPerLevel(SMOOTH_MM)
    method.SetOptimizerAsRegularStepGradientDescent(learningRate=2.0, minStep=1e-3, numberOfIterations=STEPS)
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetNumberOfThreads(1)  # sums in another order would give another motion
    return method


def _matrix(found: SimpleITK.Transform) -> NDArray[np.float64]:
    """By where the origin and the axes go: the transform turns about a centre of its own."""
    matrix = np.eye(4)
    matrix[:3, 3] = found.TransformPoint((0.0, 0.0, 0.0))
    for axis in range(3):
        matrix[:3, axis] = np.array(found.TransformPoint(tuple(np.eye(3)[axis].tolist()))) - matrix[:3, 3]
    return matrix
