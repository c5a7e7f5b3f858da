"""What turns a folder, a list or a NIfTI file into a volume; the tests of training read many of each."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def test_without_nibabel_dicom_is_read_and_a_nifti_file_is_refused_in_words(tmp_path: Path) -> None:
    (tmp_path / "head.nii.gz").write_bytes(b"")
    code = (
        "import sys; sys.modules['nibabel'] = None\n"
        "from pathlib import Path\n"
        "from dicomnode.images.files import ReadError, dicom_files, read_image\n"
        f"folder = Path({str(tmp_path)!r})\n"
        "print(len(dicom_files(folder)))\n"
        "try:\n    read_image(folder / 'head.nii.gz')\nexcept ReadError as error:\n    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.splitlines() == ["0", "head.nii.gz: NIfTI files need nibabel (pip install 'dicomnode[train]')"]
