"""The run-length encoder gives what pydicom's gives, byte for byte."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom.pixels.encoders import RLELosslessEncoder

from dicomnode.encode.run_lengths import run_length_frame


def by_pydicom(picture: NDArray[np.uint8]) -> bytes:
    """The same picture, encoded a pixel at a time."""
    rows, columns, samples = picture.shape
    return RLELosslessEncoder.encode(
        picture,
        encoding_plugin="pydicom",
        rows=rows,
        columns=columns,
        samples_per_pixel=samples,
        bits_allocated=8,
        bits_stored=8,
        pixel_representation=0,
        number_of_frames=1,
        photometric_interpretation="RGB",
        planar_configuration=0,
    )


def coloured(plane: NDArray[np.integer]) -> NDArray[np.uint8]:
    """Three different planes."""
    return np.stack([plane, plane[::-1], 255 - plane], axis=2).astype(np.uint8)


@pytest.mark.parametrize("colours", [2, 3, 256])
@pytest.mark.parametrize("shape", [(7, 1), (5, 2), (3, 129), (4, 400)])
def test_noise_of_few_and_of_many_colours_is_encoded_as_by_pydicom(shape: tuple[int, int], colours: int) -> None:
    picture = coloured(np.random.default_rng(colours).integers(0, colours, shape))
    assert run_length_frame(picture) == by_pydicom(picture)


@pytest.mark.parametrize("length", [1, 2, 3, 127, 128, 129, 130, 255, 256, 257, 258, 600])
def test_long_runs_and_long_stretches_without_any_are_cut_as_by_pydicom(length: int) -> None:
    repeated, varied = np.full(length, 9), np.arange(length) % 251
    row = np.concatenate([repeated, varied, [7], repeated + 1, varied])
    picture = coloured(np.stack([row, row[::-1], row]))
    assert run_length_frame(picture) == by_pydicom(picture)


def test_a_run_ends_with_its_row() -> None:
    picture = coloured(np.full((4, 6), 3))
    assert run_length_frame(picture) == by_pydicom(picture)
