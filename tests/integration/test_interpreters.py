"""What a fresh interpreter has loaded, set and said after some lines: seen from outside, since this one has it all."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.config import IGNORE
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.uid import SecondaryCaptureImageStorage

from dicomnode.dicom.identity import identity_in
from dicomnode.dicom.libraries import set_up_pydicom, set_up_pynetdicom
from tests.unit.encode.cases import as_received
from tests.unit.test_structure import PACKAGE

SWITCHES = """
import pydicom.config
from pynetdicom import _config
from pydicom.pixels.decoders.base import JPEGExtended12BitDecoder
print(pydicom.config.settings.reading_validation_mode, _config.STORE_SEND_CHUNKED_DATASET,
      _config.LOG_REQUEST_IDENTIFIERS, _config.LOG_RESPONSE_IDENTIFIERS, *JPEGExtended12BitDecoder.available_plugins)
"""
OF_THE_NODE = sorted(
    name
    for name in PACKAGE.modules
    if name.partition(".")[0] in ("dicom", "images", "receive", "deliver", "app", "encode") and name != "app.demo"
)


CALLS = "from dicomnode.dicom import libraries\nlibraries.set_up_pydicom()\nlibraries.set_up_pynetdicom()"


def secondary_capture() -> Dataset:
    ds = Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID = SecondaryCaptureImageStorage, "1.2.3"
    ds.SpecificCharacterSet, ds.PatientName = "ISO_IR 100", "Unknown^Male"
    return ds


def switches_after(*lines: str) -> str:
    """What a fresh interpreter's switches are after some lines."""
    return "".join(switches_at("\n".join(lines)))


def switches_at(*stages: str) -> list[str]:
    """What they are after each of some stages in one interpreter."""
    code = "\n".join(f"{stage}\n{SWITCHES}" for stage in stages)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=200)
    return done.stdout.splitlines()


def imports(names: list[str]) -> str:
    return "\n".join(f"import dicomnode.{name}" for name in names)


@pytest.mark.parametrize("order", [OF_THE_NODE, OF_THE_NODE[::-1]], ids=["forwards", "backwards"])
def test_no_import_sets_a_switch_and_the_calls_set_the_same_before_and_after_all_imports(order: list[str]) -> None:
    (untouched,) = switches_at("")
    imported, set_after = switches_at(imports(order), CALLS)
    (set_before,) = switches_at(f"{CALLS}\n{imports(order)}")
    assert imported == untouched
    assert set_before == set_after != untouched


def test_setting_up_twice_is_setting_up_once() -> None:
    twice = [set_up_pydicom, set_up_pydicom, set_up_pynetdicom, set_up_pynetdicom]
    lines = ["from dicomnode.dicom.libraries import *", *(f"{one.__name__}()" for one in twice)]
    assert switches_after(*lines) == switches_after(lines[0], lines[1], lines[3])


def loaded_by(statement: str) -> set[str]:
    """Top-level packages that a fresh interpreter has loaded after a statement."""
    code = f"{statement}; import sys; print(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    return set(done.stdout.split())


def test_the_node_process_loads_neither_torch_nor_monai_nor_highdicom() -> None:
    loaded = loaded_by("import dicomnode.app.node")
    assert {"pynetdicom", "sqlalchemy", "apscheduler"} <= loaded
    assert loaded & {"torch", "monai", "highdicom", "matplotlib", "safetensors"} == set()
    # nor Ray, whose library ends a process that has lost its cluster
    assert "ray" not in loaded
    # without an HTTP port nothing of what it needs, which is an extra
    assert loaded & {"starlette", "uvicorn", "jinja2", "argon2", "prometheus_client"} == set()


def test_the_http_port_loads_no_more_than_it_needs() -> None:
    loaded = loaded_by("import dicomnode.app.operations")
    assert {"starlette", "uvicorn", "prometheus_client"} <= loaded
    assert loaded & {"torch", "monai", "highdicom", "matplotlib", "safetensors"} == set()


def test_asking_for_help_loads_nothing_heavy() -> None:
    heavy = {"torch", "monai", "highdicom", "pynetdicom", "sqlalchemy", "scipy", "httpx"}
    assert loaded_by("import dicomnode.cli.main") & heavy == set()


def test_the_node_process_cannot_decode_pixels() -> None:
    code = "import dicomnode.app.node, sys; print('dicomnode.images.pixels' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize(
    "modules",
    ["dicomnode.zoo.registry, dicomnode.zoo.head_check", "dicomnode.cohort.make"],
    ids=["the receiving side of the zoo", "the cohort"],
)
def test_what_handles_no_network_does_not_need_torch(modules: str) -> None:
    assert "torch" not in loaded_by(f"import {modules}")


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


def test_a_result_with_values_that_break_the_rules_is_rewritten_without_a_word(tmp_path: Path) -> None:
    ds = as_received(secondary_capture())
    ds["PatientID"] = DataElement("PatientID", "LO", "X" * 70, validation_mode=IGNORE)
    ds["PatientBirthDate"] = DataElement("PatientBirthDate", "DA", "1950.1.2", validation_mode=IGNORE)
    ds.save_as(tmp_path / "result.dcm", enforce_file_format=True)
    code = (
        "import sys; from pathlib import Path; from dicomnode.deliver.outgoing import Coercion, Outgoing;"
        "file = Outgoing.from_file(Path(sys.argv[1])); file.identity();"
        "taken = {'PatientID': 'Y' * 70, 'PatientBirthDate': '19500102'};"
        "Outgoing(**{**{n: getattr(file, n) for n in file.__slots__}, 'coercion': Coercion(taken, 'NODE', '2024')})"
        ".dataset().save_as(sys.argv[2])"
    )
    paths = [str(tmp_path / name) for name in ("result.dcm", "rewritten.dcm")]
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, *paths], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert identity_in(dcmread(paths[1]))["PatientID"] == "Y" * 70
