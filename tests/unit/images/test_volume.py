from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    HTJ2K,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from dicomnode.errors import InconsistentGeometry, Refusal, SeriesError
from dicomnode.images.pixels import AIR_HU, hounsfield, pixel_digest, stored_values
from dicomnode.images.volume import read_series, read_volume
from tests.tools.series import ct_series, head_hu, tilted, volume_of, write_series

# 12 x 16 signed pixels, value = index x 21 - 2000, encoded reversibly by OpenJPH.
HTJ2K_FRAME = base64.b64decode(
    "/0//UQApQAAAAAAQAAAADAAAAAAAAAAAAAAAEAAAAAwAAAAAAAAAAAABjwEB/1AACAACAAAACv9SAAwAAgABAAUEBEAB/1wAEyCI"
    "kJCQkJCQkJCQkJCQiIiI/2QAFwABT3BlbkpQSCBWZXIgMC4yNi4zLv+QAAoAAAAAAH8AAf+TwAAm/38CB3QAAMAAEsAAEwB+AYd0"
    "AHj2A4d0AMAAE0AAEwA+3wECdAC7uwBCNADAABUwAAVgHMf9oCIwgnYA5jWvec37wFKBvrYAwAAq4AAWoAghhNDninpwAncAnnry"
    "5MmTJ0+e/voQgHv2QgHsugD/2Q=="
)


def one(**attributes: object) -> Dataset:
    """One head slice with air, bone and brain, 64 x 64."""
    keywords = {"matrix": 64, "pixel_spacing_mm": (3.5, 3.5), "hu": head_hu} | attributes
    return ct_series((70,), **keywords)[0]


def with_stored(values: list[list[int]], **attributes: object) -> Dataset:
    """A tiny slice with these stored values."""
    ds = one(matrix=8, **attributes)
    stored = np.array(values)
    ds.Rows, ds.Columns = stored.shape
    ds.PixelData = stored.astype("<i2" if ds.PixelRepresentation else "<u2").tobytes()
    return ds


def refused(ds: Dataset, function: Callable[[Dataset], object] = stored_values) -> Refusal:
    with pytest.raises(SeriesError) as caught:
        function(ds)
    return caught.value.refusal


def through_file(ds: Dataset, path: Path, syntax: str | None = None) -> Dataset:
    if syntax is not None:
        ds.file_meta.TransferSyntaxUID = syntax
    ds.save_as(path, enforce_file_format=True)
    return pydicom.dcmread(path)


@pytest.mark.parametrize("signed", [1, 0], ids=["signed", "unsigned"])
@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian])
def test_uncompressed_pixels_are_the_same_in_every_encoding(tmp_path: Path, syntax: str, signed: int) -> None:
    ds = one(PixelRepresentation=signed)
    expected, digest = stored_values(ds), pixel_digest(ds)
    again = through_file(ds, tmp_path / "slice.dcm", syntax)
    assert (stored_values(again) == expected).all()
    assert pixel_digest(again) == digest


def test_big_endian_pixels_are_the_same() -> None:
    ds = one()
    expected = stored_values(ds)
    ds.PixelData = expected.astype(">i2").tobytes()
    ds.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    ds.set_original_encoding(False, False)
    assert (stored_values(ds) == expected).all()


@pytest.mark.parametrize("signed", [1, 0], ids=["signed", "unsigned"])
@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless, JPEG2000Lossless])
def test_lossless_compression_changes_neither_pixels_nor_digest(tmp_path: Path, syntax: str, signed: int) -> None:
    ds = one(PixelRepresentation=signed)
    expected, digest = stored_values(ds), pixel_digest(ds)
    ds.compress(syntax, generate_instance_uid=False)
    again = through_file(ds, tmp_path / "slice.dcm")
    assert again.file_meta.TransferSyntaxUID == syntax
    assert (stored_values(again) == expected).all()
    assert pixel_digest(again) == digest


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless, JPEG2000Lossless])
def test_negative_pixels_of_12_bits_survive_lossless_compression(tmp_path: Path, syntax: str) -> None:
    ds = one(BitsStored=12, HighBit=11, RescaleIntercept=0)
    expected = stored_values(ds)
    assert expected.min() == -1000
    ds.compress(syntax, generate_instance_uid=False)
    assert (stored_values(through_file(ds, tmp_path / "slice.dcm")) == expected).all()


@pytest.mark.parametrize("syntax", [HTJ2KLossless, HTJ2KLosslessRPCL, HTJ2K])
def test_htj2k_is_decoded_with_its_sign(syntax: str) -> None:
    ds = one()
    ds.Rows, ds.Columns = 12, 16
    ds.file_meta.TransferSyntaxUID = syntax
    ds.PixelData = encapsulate([HTJ2K_FRAME])
    ds["PixelData"].is_undefined_length = True
    assert (stored_values(ds) == np.arange(12 * 16).reshape(12, 16) * 21 - 2000).all()


def test_each_slice_is_rescaled_by_its_own_values() -> None:
    slices = ct_series((0, 5), matrix=8, hu=40.0, RescaleSlope=lambda index: (1, 2)[index])
    slices[1].RescaleIntercept = -1000
    volume = volume_of(slices)
    assert volume.hu[0].mean() == 40.0
    assert volume.hu[1].mean() == (40 + 1024) / 2 * 2 - 1000
    assert volume.hu.dtype == np.float32


def test_a_fractional_slope_is_applied() -> None:
    ds = with_stored([[0, 1], [100, 4095]], RescaleSlope="0.5", RescaleIntercept="-1000.25")
    np.testing.assert_allclose(hounsfield(ds, stored_values(ds)), [[-1000.25, -999.75], [-950.25, 1047.25]])


def test_padding_becomes_air() -> None:
    ds = with_stored([[-1500, 0], [40, -1024]], RescaleIntercept=0, PixelPaddingValue=-1500)
    assert hounsfield(ds, stored_values(ds)).tolist() == [[AIR_HU, 0], [40, AIR_HU]]


def test_undeclared_padding_below_air_becomes_air() -> None:
    ds = with_stored([[-3024, -2000], [-1025, -1000]], RescaleIntercept=0)
    assert hounsfield(ds, stored_values(ds)).tolist() == [[AIR_HU, AIR_HU], [AIR_HU, -1000]]


def test_padding_may_be_a_range() -> None:
    ds = with_stored([[100, 150], [200, 500]], PixelPaddingValue=100, PixelPaddingRangeLimit=200)
    assert hounsfield(ds, stored_values(ds)).tolist() == [[AIR_HU, AIR_HU], [AIR_HU, -524]]


def test_padding_written_unsigned_for_signed_pixels_is_understood() -> None:
    ds = with_stored([[-2000, 500], [600, 700]], RescaleIntercept=0)
    ds.add_new("PixelPaddingValue", "US", 63536)
    assert hounsfield(ds, stored_values(ds)).tolist() == [[AIR_HU, 500], [600, 700]]


def test_padding_that_equals_water_leaves_the_head_alone() -> None:
    values = np.full((9, 9), 0)
    values[2:7, 2:7] = 40
    values[4, 4] = 0
    ds = with_stored(values.tolist(), RescaleIntercept=0, PixelPaddingValue=0)
    hu = hounsfield(ds, stored_values(ds))
    assert hu[0, 0] == AIR_HU
    assert hu[4, 4] == 0.0
    assert hu[3, 3] == 40.0


def test_signed_pixels_of_12_bits_are_extended() -> None:
    ds = with_stored([[0xFFF, 0x800], [0x7FF, 5]], BitsStored=12, HighBit=11)
    assert stored_values(ds).tolist() == [[-1, -2048], [2047, 5]]


def test_values_beyond_the_declared_bits_are_not_wrapped() -> None:
    ds = with_stored([[4500, 0], [1, 2]], BitsStored=12, HighBit=11, PixelRepresentation=0)
    assert stored_values(ds).max() == 4500
    ds = with_stored([[-3024, 40], [1, 2]], BitsStored=12, HighBit=11)
    assert stored_values(ds).tolist() == [[-3024, 40], [1, 2]]


def test_an_overlay_in_the_unused_bits_is_dropped() -> None:
    ds = with_stored([[0x8000 | 40, 40], [0x8000 | 100, 100]], BitsStored=12, HighBit=11, PixelRepresentation=0)
    ds.add_new((0x6000, 0x0102), "US", 15)
    assert stored_values(ds).tolist() == [[40, 40], [100, 100]]


def test_the_volume_is_sorted_with_its_slices_whatever_the_order_of_files(tmp_path: Path) -> None:
    slices = ct_series(range(0, 40, 5), matrix=16, hu=head_hu, orientation=tilted(15))
    for index, ds in enumerate(slices):
        ds.PixelData = np.full((16, 16), 1024 + index, "<i2").tobytes()
    shuffled = [slices[index] for index in (3, 0, 7, 1, 6, 2, 5, 4)]
    loaded = read_series(write_series(tmp_path, shuffled))
    assert loaded.volume.hu[:, 0, 0].tolist() == list(range(8))
    assert loaded.volume.sop_instance_uids == tuple(ds.SOPInstanceUID for ds in slices)
    assert [source.SOPInstanceUID for source in loaded.sources] == [ds.SOPInstanceUID for ds in slices]
    assert loaded.input_digests == tuple(pixel_digest(ds) for ds in slices)
    assert all("PixelData" not in source and "PatientName" in source for source in loaded.sources)
    assert loaded.volume.stack.spacings_mm == pytest.approx([5.0] * 7, abs=1e-5)


def test_reading_leaves_the_datasets_as_they_are() -> None:
    slices = ct_series((0, 5), matrix=8)
    before = [ds.to_json() for ds in slices]
    for ds in slices:
        hounsfield(ds, stored_values(ds))
        pixel_digest(ds)
    assert [ds.to_json() for ds in slices] == before


def test_a_new_name_keeps_the_digest_and_new_pixels_or_geometry_change_it() -> None:
    digest = pixel_digest(one())
    assert pixel_digest(one(PatientName="Other^Name", StudyDescription="x", SOPInstanceUID="1.2")) == digest
    assert pixel_digest(one(PixelSpacing=["3.50", "3.5000000"])) == digest
    assert pixel_digest(one(hu=41.0)) != digest
    assert pixel_digest(one(PixelSpacing=[3.5, 3.6])) != digest
    assert pixel_digest(one(ImagePositionPatient=[0, 0, 1])) != digest
    assert pixel_digest(one(ImageOrientationPatient=[1, 0, 0, 0, -1, 0])) != digest
    assert pixel_digest(one(PixelPaddingValue=-2000)) != digest


def test_what_cannot_be_decoded_is_refused_with_a_reason(tmp_path: Path) -> None:
    short = one()
    short.PixelData = short.PixelData[:-2]
    assert refused(short) is Refusal.UNREADABLE
    unknown = one()
    unknown.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.100"
    assert refused(unknown) is Refusal.UNREADABLE
    bare = one()
    del bare.PixelData
    assert refused(bare) is Refusal.NO_PIXELS
    frames = one(NumberOfFrames=2)
    frames.PixelData = frames.PixelData * 2
    assert refused(frames) is Refusal.MULTI_FRAME
    assert refused(one(RescaleSlope=None), lambda ds: hounsfield(ds, stored_values(ds))) is Refusal.NO_RESCALE
    garbage = tmp_path / "garbage.dcm"
    garbage.write_bytes(b"no DICOM at all" * 100)
    with pytest.raises(SeriesError) as caught:
        read_volume([garbage])
    assert caught.value.refusal is Refusal.UNREADABLE


def test_one_damaged_slice_refuses_the_whole_series(tmp_path: Path) -> None:
    slices = ct_series((0, 5, 10), matrix=8)
    slices[1].PixelData = slices[1].PixelData[:10]
    with pytest.raises(SeriesError) as caught:
        read_volume(write_series(tmp_path, slices))
    assert caught.value.refusal is Refusal.UNREADABLE


def test_slices_that_are_no_stack_are_no_volume() -> None:
    with pytest.raises(InconsistentGeometry):
        volume_of(ct_series((0, 5, 5), matrix=8))


SYNTAXES = {
    "1.2.840.10008.1.2": 0.0,
    "1.2.840.10008.1.2.1": 0.0,
    "1.2.840.10008.1.2.2": 0.0,
    "1.2.840.10008.1.2.1.99": 0.0,
    "1.2.840.10008.1.2.5": 0.0,
    "1.2.840.10008.1.2.4.57": 0.0,
    "1.2.840.10008.1.2.4.70": 0.0,
    "1.2.840.10008.1.2.4.80": 0.0,
    "1.2.840.10008.1.2.4.90": 0.0,
    # lossy, mean absolute error in HU
    "1.2.840.10008.1.2.4.81": 1.0,
    "1.2.840.10008.1.2.4.91": 1.0,
    "1.2.840.10008.1.2.4.51": 5.0,
    "1.2.840.10008.1.2.4.50": 20.0,  # 8 bits for 4096 values
}


@pytest.mark.real_data
@pytest.mark.parametrize("syntax", SYNTAXES)
def test_a_real_slice_is_the_same_in_every_transfer_syntax(real_data: Path, syntax: str) -> None:
    folder = real_data / "awkward" / "transfer_syntaxes"
    (path,) = folder.glob(f"CTImage.dcm_*_{syntax}.dcm")
    original, ds = pydicom.dcmread(folder / "CTImage.dcm"), pydicom.dcmread(path)
    assert ds.file_meta.TransferSyntaxUID == syntax
    expected, hu = (hounsfield(item, stored_values(item)) for item in (original, ds))
    error = np.abs(hu - expected)
    if SYNTAXES[syntax] == 0.0:
        assert (stored_values(ds) == stored_values(original)).all()
        assert pixel_digest(ds) == pixel_digest(original)
    else:
        assert 0 < error.mean() < SYNTAXES[syntax]


@pytest.mark.real_data
@pytest.mark.filterwarnings("ignore::UserWarning")  # pydicom warns of the damage that these files were chosen for
def test_real_awkward_files_are_decoded_or_refused_and_never_crash(real_data: Path) -> None:
    outcomes = {}
    for path in sorted((real_data / "awkward").rglob("*.dcm")):
        try:
            read_volume([path, path])
        except SeriesError as error:
            outcomes[path.name] = error.refusal
    # One file twice is never a volume; what got that far had its pixels decoded.
    assert outcomes["D_CLUNIE_CT1_RLE_FRAGS.dcm"] is Refusal.DUPLICATE_POSITIONS
    assert outcomes["GH1308.dcm"] is Refusal.DUPLICATE_POSITIONS
    assert outcomes["GH340.dcm"] is Refusal.UNREADABLE
    assert outcomes["no-pixel-data.dcm"] is Refusal.NO_PIXELS
    assert outcomes["no-pixel-spacing.dcm"] is Refusal.NO_RESCALE
    assert outcomes["CT0012.fragmented_no_bot_jpeg_baseline.51.dcm"] is Refusal.MULTI_FRAME
    assert len(outcomes) > 30


@pytest.mark.real_data
def test_the_real_ge_head_becomes_a_volume_in_hounsfield_units(real_data: Path) -> None:
    volume = read_volume(sorted((real_data / "head_ct_ge").glob("*.dcm")))
    assert volume.hu.shape == (28, 512, 512)
    assert volume.hu.min() == AIR_HU
    # The corners are padded with -1500, the middle of slice 23 is brain.
    assert volume.hu[:, 0, 0].tolist() == [AIR_HU] * 28
    assert 20 < np.median(volume.hu[22, 230:280, 230:280]) < 45
