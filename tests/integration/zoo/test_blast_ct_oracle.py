"""The imported networks against the authors' own program, on crops of a real head; needs its weights and its package.

``pip install --no-deps blast-ct`` in the environment of the tests; weights as ``docs/models/blast-ct.md`` says.
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from dicomnode.images.volume import read_volume
from dicomnode.records import Volume
from dicomnode.zoo.importing.blast_ct import import_weights
from dicomnode.zoo.importing.layout import WeightsOptions
from dicomnode.zoo.isotropic import isotropic
from dicomnode.zoo.networks.deepmedic import VOXEL_MM, TraumaClass, normalised
from dicomnode.zoo.networks.dense import class_probabilities
from dicomnode.zoo.networks.members import Members
from dicomnode.zoo.networks.published import PUBLISHED
from dicomnode.zoo.parts import load_weights

PATCH, SEEN = 30, 110
"""Edges of what the program judges at a time, and of what it looks at for that; blocks begin at multiples of ``PATCH``
from the first voxel of the volume."""
EDGE = 60
EQUAL = 0.999
BLOOD_HU, BALL_MM, RIM_MM = 65.0, 12.0, 20.0

pytestmark = [pytest.mark.real_data, pytest.mark.full, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def files(real_data: Path) -> list[Path]:
    """Two of the published networks."""
    found = sorted((real_data / "blast_ct_v1").glob("model_*.pt"))[:2]
    if len(found) < 2:
        pytest.skip("the weights of blast-ct are not here")
    return found


@pytest.fixture(scope="module")
def head(real_data: Path) -> Volume:
    """A real head without blood."""
    return read_volume(sorted((real_data / "head_ct_ge").glob("*.dcm")))


@pytest.fixture(scope="module")
def members(files: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Members:
    """As the node loads them."""
    imported = import_weights(files, tmp_path_factory.mktemp("models"), WeightsOptions())
    network = Members(len(files), **PUBLISHED.as_arguments())
    load_weights(network, imported.manifest.path)
    return network.eval()


def theirs(files: list[Path], hu: NDArray[np.float32], corner: tuple[int, ...]) -> NDArray[np.int64]:
    """Classes of a crop by the authors' own network, window, patches and mean."""
    deepmedic: Any = pytest.importorskip("blast_ct.models.deepmedic")
    samplers: Any = pytest.importorskip("blast_ct.nifti.patch_samplers")
    transformation: Any = pytest.importorskip("blast_ct.nifti.transformation")
    window = transformation.IntensityWindowNormalization(-15.0, 100.0)
    image, _, _ = window(hu[None].copy(), None, np.ones_like(hu))
    sampler = samplers.PatchSampler((SEEN,) * 3, (PATCH,) * 3)
    total = np.zeros((len(TraumaClass), *(EDGE,) * 3))
    for file in files:
        network = deepmedic.DeepMedic(1, len(TraumaClass))
        network.load_state_dict(torch.load(file, weights_only=True, map_location="cpu"))
        network.eval()
        for start in itertools.product(range(0, EDGE, PATCH), repeat=3):
            centre = tuple(first + at + PATCH // 2 for first, at in zip(corner, start, strict=True))
            seen = torch.from_numpy(np.ascontiguousarray(sampler.get_image_patch(image, centre)))
            with torch.no_grad():
                logits, _ = network(seen[None].float())
            place = tuple(slice(at, at + PATCH) for at in start)
            total[:, *place] += torch.softmax(logits, dim=1)[0].numpy()
    return np.asarray(total.argmax(axis=0))


def with_ball(hu: NDArray[np.float32], centre: NDArray[np.int_]) -> NDArray[np.float32]:
    """A ball of blood within a rim that is 8 HU less dense."""
    radius = np.linalg.norm(np.indices(hu.shape).transpose(1, 2, 3, 0) - centre, axis=-1)
    result = np.where((radius >= BALL_MM) & (radius < RIM_MM), hu - 8.0, hu)
    noise = np.random.default_rng(5).normal(0.0, 2.0, hu.shape)
    return np.where(radius < BALL_MM, BLOOD_HU + noise, result).astype(np.float32)


@pytest.mark.parametrize("painted", [False, True], ids=["as it is", "with a ball of blood"])
def test_class_by_class_the_node_marks_what_the_authors_program_marks(
    files: list[Path], head: Volume, members: Members, painted: bool
) -> None:
    cubes, _ = isotropic(head, VOXEL_MM)
    hu = cubes.numpy()
    # blocks of the program begin at multiples of its patch
    corner = tuple(size // 2 // PATCH * PATCH for size in hu.shape)
    if painted:
        hu = with_ball(hu, np.array(corner) + EDGE // 2)
    wanted = theirs(files, hu, corner)
    z, y, x = (slice(first, first + EDGE) for first in corner)
    found = class_probabilities(members.networks, normalised(torch.from_numpy(hu)), (z, y, x)).argmax(dim=0).numpy()
    for kind in TraumaClass:
        assert np.mean((found == kind) == (wanted == kind)) >= EQUAL, kind.name
        if np.any(wanted == kind):
            assert np.mean(found[wanted == kind] == kind) >= EQUAL, kind.name
    assert not painted or np.mean(wanted == TraumaClass.INTRAPARENCHYMAL) > 0.01
