"""Overlays among the pixels, and values that cannot be Hounsfield units."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from dicomnode.errors import Refusal, SeriesError
from dicomnode.images.pixels import AIR_HU, hounsfield, stored_values
from dicomnode.images.volume import read_volume
from tests.tools.series import ct_series, head_hu, write_series

OVERLAY_BIT = 15


def head(signed: int = 0, bits: int = 12, **attributes: object) -> Dataset:
    """One slice of a head, stored in ``bits`` of 16."""
    attributes = {"BitsStored": bits, "HighBit": bits - 1, "PixelRepresentation": signed, **attributes}
    intercept = {"RescaleIntercept": 0} if signed else {}
    return ct_series((70,), matrix=64, pixel_spacing_mm=(3.5, 3.5), hu=head_hu, **intercept, **attributes)[0]


def cells(ds: Dataset) -> NDArray[np.uint16]:
    return np.frombuffer(ds.PixelData, "<u2").reshape(ds.Rows, ds.Columns).copy()


def with_drawing(ds: Dataset, bit: int = OVERLAY_BIT) -> Dataset:
    """Lines drawn over the brain in one of the upper bits."""
    drawn = cells(ds)
    drawn[28:36, 16:48] |= np.uint16(1 << bit)
    ds.PixelData = drawn.tobytes()
    return ds


def with_plane(ds: Dataset, position: int, data: bytes | None = None) -> Dataset:
    """The header of an overlay plane."""
    ds.add_new((0x6000, 0x0010), "US", ds.Rows)
    ds.add_new((0x6000, 0x0011), "US", ds.Columns)
    ds.add_new((0x6000, 0x0040), "CS", "G")
    ds.add_new((0x6000, 0x0050), "SS", [1, 1])
    ds.add_new((0x6000, 0x0100), "US", 16 if data is None else 1)
    ds.add_new((0x6000, 0x0102), "US", position)
    if data is not None:
        ds.add_new((0x6000, 0x3000), "OW", data)
    return ds


def hu_of(ds: Dataset) -> NDArray[np.float32]:
    return hounsfield(ds, stored_values(ds))


def refused(ds: Dataset) -> Refusal:
    with pytest.raises(SeriesError) as caught:
        hu_of(ds)
    return caught.value.refusal


@pytest.mark.parametrize("signed", [0, 1], ids=["unsigned", "signed"])
@pytest.mark.parametrize("position", [0, 12, OVERLAY_BIT])
@pytest.mark.parametrize("bit", [12, OVERLAY_BIT])
def test_an_overlay_in_the_upper_bits_never_reaches_the_hounsfield_units(signed: int, position: int, bit: int) -> None:
    drawn = with_plane(with_drawing(head(signed), bit), position)
    assert (hu_of(drawn) == hu_of(head(signed))).all()


def test_negative_pixels_without_sign_extension_are_right_under_an_overlay_too() -> None:
    ds = head(1)
    ds.PixelData = (cells(ds) & 0x0FFF).tobytes()
    assert (hu_of(with_plane(with_drawing(ds), 0)) == hu_of(head(1))).all()


def test_pixels_in_the_upper_bits_are_read_where_high_bit_says_so() -> None:
    ds = head(HighBit=15)
    ds.PixelData = (cells(ds) << 4).tobytes()
    assert (hu_of(with_plane(with_drawing(ds, bit=0), 0)) == hu_of(head())).all()


def test_a_wrong_high_bit_alone_changes_nothing() -> None:
    assert (hu_of(head(HighBit=15)) == hu_of(head())).all()


def test_an_overlay_with_data_of_its_own_changes_no_pixel() -> None:
    padded = cells(head(1)).view("<i2")
    padded[:4] = -3024
    ds = head(1)
    ds.PixelData = padded.tobytes()
    with_plane(ds, 0, bytes(64 * 64 // 8))
    assert (stored_values(ds)[:4] == -3024).all()


@pytest.mark.parametrize("padding", [-1500, -2000, -2048, -3024])
@pytest.mark.parametrize("bits", [12, 13, 16])
@pytest.mark.parametrize("declared", [True, False])
@pytest.mark.parametrize("plane", [True, False])
def test_padding_is_air_whatever_the_header_says(padding: int, bits: int, declared: bool, plane: bool) -> None:
    ds, values = head(1, bits), cells(head(1, bits)).view("<i2")
    expected = hu_of(head(1, bits))
    values[:6], expected[:6] = padding, AIR_HU
    ds.PixelData = values.tobytes()
    if declared:
        ds.PixelPaddingValue = padding
    assert (hu_of(with_plane(ds, 0) if plane else ds) == expected).all()


@pytest.mark.parametrize("signed", [0, 1], ids=["unsigned", "signed"])
@pytest.mark.parametrize("bit", [12, 13, OVERLAY_BIT])
def test_bits_that_no_header_tells_of_are_refused(signed: int, bit: int) -> None:
    assert refused(with_drawing(head(signed), bit)) is Refusal.IMPLAUSIBLE_HU


@pytest.mark.parametrize("signed", [0, 1], ids=["unsigned", "signed"])
@pytest.mark.parametrize("position", [0, 12, OVERLAY_BIT])
@pytest.mark.parametrize("bit", [12, 13, OVERLAY_BIT])
@pytest.mark.parametrize("voxels", [1, 2048])
def test_an_overlay_in_bits_that_count_as_image_is_refused(signed: int, position: int, bit: int, voxels: int) -> None:
    ds, drawn = head(signed, bits=16), cells(head(signed, bits=16))
    drawn.flat[2080 : 2080 + voxels] |= np.uint16(1 << bit)
    ds.PixelData = drawn.tobytes()
    assert refused(with_plane(ds, position)) is Refusal.IMPLAUSIBLE_HU


def test_a_plane_without_a_drawing_costs_no_image_of_16_bits() -> None:
    assert (hu_of(with_plane(head(1, bits=16), 12)) == hu_of(head(1, bits=16))).all()


@pytest.mark.parametrize("bit", [12, 13, OVERLAY_BIT])
def test_a_drawing_that_no_header_tells_of_is_refused_in_16_bits_too(bit: int) -> None:
    assert refused(with_drawing(head(0, bits=16), bit)) is Refusal.IMPLAUSIBLE_HU


def shifted(ds: Dataset) -> None:
    ds.RescaleIntercept = -4024


def steep(ds: Dataset) -> None:
    ds.RescaleSlope = 40


def swapped(ds: Dataset) -> None:
    noise = np.random.default_rng(3).integers(-20, 20, (64, 64))
    ds.PixelData = (cells(ds).view("<i2") + noise).astype(">i2").tobytes()


def unsigned(ds: Dataset) -> None:
    ds.PixelRepresentation = 0


@pytest.mark.parametrize("break_it", [shifted, steep, swapped, unsigned])
def test_what_is_no_scale_of_hounsfield_is_refused(break_it: Callable[[Dataset], None]) -> None:
    ds = head(0 if break_it in (shifted, steep) else 1, bits=16)
    break_it(ds)
    assert refused(ds) is Refusal.IMPLAUSIBLE_HU


def test_metal_and_its_streaks_are_plausible() -> None:
    ds, values = head(1, bits=16), cells(head(1, bits=16)).view("<i2")
    values[30:34, 30:34], values[32, 20:30] = 14000, -1400
    ds.PixelData = values.tobytes()
    assert hu_of(ds)[31, 31] == 14000


def test_one_implausible_slice_refuses_the_series_before_any_model(tmp_path: Path) -> None:
    slices = ct_series((0, 5, 10), matrix=16, hu=head_hu, BitsStored=12, HighBit=11, PixelRepresentation=0)
    slices[1].PixelData = (cells(slices[1]) | np.uint16(0x8000)).tobytes()
    with pytest.raises(SeriesError) as caught:
        read_volume(write_series(tmp_path, slices))
    assert caught.value.refusal is Refusal.IMPLAUSIBLE_HU
