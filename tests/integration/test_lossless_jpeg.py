"""Pixels that a tool of others has compressed."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pydicom
import pytest

from dicomnode.images.pixels import pixel_digest
from tests.tools.series import ct_series, head_hu


@pytest.mark.tools
@pytest.mark.parametrize("signed", [1, 0], ids=["signed", "unsigned"])
@pytest.mark.parametrize(("option", "syntax"), [("+el", "1.2.840.10008.1.2.4.57"), ("+e1", "1.2.840.10008.1.2.4.70")])
def test_lossless_jpeg_of_dcmtk_changes_neither_pixels_nor_digest(
    tmp_path: Path, option: str, syntax: str, signed: int
) -> None:
    if shutil.which("dcmcjpeg") is None:
        pytest.skip("needs dcmcjpeg (Debian package dcmtk)")
    (ds,) = ct_series((70,), matrix=64, pixel_spacing_mm=(3.5, 3.5), hu=head_hu, PixelRepresentation=signed)
    ds.save_as(tmp_path / "plain.dcm", enforce_file_format=True)
    subprocess.run(["dcmcjpeg", option, tmp_path / "plain.dcm", tmp_path / "jpeg.dcm"], check=True)
    again = pydicom.dcmread(tmp_path / "jpeg.dcm")
    assert again.file_meta.TransferSyntaxUID == syntax
    assert pixel_digest(again) == pixel_digest(ds)
