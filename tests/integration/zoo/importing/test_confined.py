"""An import asks before it unpacks, judges names as MONAI looks them up, and tries a bundle in a limited process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from dicomnode.errors import BundleRefused, ImportRefusal
from dicomnode.zoo.importing.components import require_components
from dicomnode.zoo.importing.confined import plain_environment, without_network
from dicomnode.zoo.importing.foreign import CONFIG, ImportOptions
from dicomnode.zoo.importing.importer import import_bundle
from dicomnode.zoo.volumes import load_volume_parts
from tests.tools.foreign_bundle import change_json, inference, metadata, write_foreign_bundle

TRUSTED = ImportOptions(trusted=True)


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    return write_foreign_bundle(tmp_path / "foreign")


def refused(source: Path, options: ImportOptions = TRUSTED) -> BundleRefused:
    """The refusal of an import, which leaves nothing behind."""
    models = source.parent / "models"
    with pytest.raises(BundleRefused) as caught:
        import_bundle(source, models, options)
    assert list(models.iterdir()) == []
    return caught.value


def test_a_command_that_monai_would_find_by_its_short_name_is_not_run(foreign: Path) -> None:
    mark = foreign.parent / "ran"
    change_json(foreign / CONFIG, network_def={"_target_": "run_cmd", "cmd_list": ["touch", str(mark)]})
    fault = refused(foreign)
    assert fault.refusal is ImportRefusal.FORBIDDEN
    assert "run_cmd is monai.utils.misc.run_cmd" in fault.detail
    assert not mark.exists()


def test_a_command_hidden_in_another_file_is_refused_and_named_before_trust(foreign: Path) -> None:
    mark = foreign.parent / "ran"
    hidden = {"network": {"_target_": "os.system", "command": f"touch {mark}"}}
    (foreign / "configs/hidden.json").write_text(json.dumps(hidden))
    change_json(foreign / CONFIG, network_def=f"%{foreign}/configs/hidden.json::network")
    assert "hidden.json::network" in refused(foreign, ImportOptions()).detail
    assert refused(foreign).refusal is ImportRefusal.OTHER_FILE
    assert not mark.exists()


@pytest.mark.parametrize(
    "component",
    [
        {"_target_": "DenseNet121", "spatial_dims": 2, "in_channels": 1, "out_channels": 2, "pretrained": True},
        {"_target_": "UNet", "_mode_": "debug"},
        {"_target_": "TorchVision", "name": "Lambda"},
        {"_target_": "PatchInferer", "merger_cls": "os.system"},
        {"_target_": "SaveImage", "output_dir": "/tmp"},
        {"_target_": "monai.transforms.os.system"},
        {"_target_": "monai.networks.nets.unet.warnings.warn"},
        {"_target_": "torch.nn.modules.module.functools.partial"},
        {"_target_": "download_and_extract"},
    ],
)
def test_components_that_fetch_write_stop_or_name_others_are_refused(component: dict[str, Any]) -> None:
    with pytest.raises(BundleRefused) as caught:
        require_components({"network_def": component}, {})
    assert caught.value.refusal in (ImportRefusal.FORBIDDEN, ImportRefusal.CANNOT_BUILD)


@pytest.mark.parametrize(
    "expression",
    [
        "$monai.transforms.SaveImage('/tmp')",
        "$monai.transforms.LoadImage()",
        "$monai.transforms.TorchVision('Lambda')",
        "$monai.networks.utils.save_state(@x, 'file')",
        "$monai.networks.utils.convert_to_onnx(@x)",
        "$monai.networks.nets.get_pretrained_resnet_medicalnet(50)",
        "$monai.networks.nets.nothing",
        "$taken('/tmp')",
    ],
)
def test_expressions_may_name_no_more_of_monai_than_targets_may(expression: str) -> None:
    config = {"imports": ["$from monai.transforms import SaveImage as taken"], "x": 1, "network_def": expression}
    with pytest.raises(BundleRefused) as caught:
        require_components(config, {})
    assert caught.value.refusal in (ImportRefusal.FORBIDDEN, ImportRefusal.CANNOT_BUILD)


@pytest.mark.parametrize(
    "expression",
    [
        "$monai.networks.nets.resnet18(spatial_dims=3)",
        "$monai.networks.nets.UNet(3, 1, 2, (4, 8), (2,), norm=monai.networks.layers.Norm.BATCH)",
        "$monai.networks.layers.get_act_layer('relu')",
        "$monai.networks.layers.Act['prelu']",
        "$torch.nn.Sequential(torch.nn.Conv3d(1, 2, 1))",
    ],
)
def test_layers_and_networks_may_be_named_in_expressions(expression: str) -> None:
    require_components({"network_def": expression}, {})


@pytest.mark.parametrize(
    "target", ["UNet", "SwinUNETR", "resnet18", "monai.networks.nets.SegResNet", "SlidingWindowInferer", "Compose"]
)
def test_networks_inferers_and_transforms_are_found_as_monai_finds_them(target: str) -> None:
    require_components({"network_def": {"_target_": target}, "preprocessing": inference()["inferer"]}, metadata())


def zipped(foreign: Path, **more: bytes) -> Path:
    target = foreign.parent / "bundle.zip"
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(path for path in foreign.rglob("*") if path.is_file()):
            archive.write(file, f"bundle/{file.relative_to(foreign).as_posix()}")
        for name, content in more.items():
            archive.writestr(f"bundle/{name}", content)
    return target


def test_nothing_is_unpacked_before_somebody_trusts_it(foreign: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def extract(*_: object) -> None:
        raise AssertionError("it was unpacked")

    monkeypatch.setattr(zipfile.ZipFile, "extractall", extract)
    assert refused(zipped(foreign), ImportOptions()).refusal is ImportRefusal.NOT_TRUSTED
    with pytest.raises(AssertionError, match="it was unpacked"):
        import_bundle(zipped(foreign), foreign.parent / "models", TRUSTED)


def test_a_zip_bomb_is_refused_by_its_table_of_contents(foreign: Path) -> None:
    fault = refused(zipped(foreign, bomb=bytes(200 << 20)), ImportOptions())
    assert fault.refusal is ImportRefusal.UNSAFE_ARCHIVE
    assert "would become" in fault.detail


def test_a_configuration_of_many_megabytes_is_not_read(foreign: Path) -> None:
    (foreign / CONFIG).write_text("[" * (5 << 20))
    assert refused(zipped(foreign), ImportOptions()).refusal is ImportRefusal.NO_CONFIG
    (foreign / CONFIG).write_text("[" * 100_000)
    assert refused(foreign, ImportOptions()).refusal is ImportRefusal.NO_CONFIG


def test_two_files_of_one_name_in_an_archive_are_refused(foreign: Path) -> None:
    source = zipped(foreign)
    with zipfile.ZipFile(source, "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr("bundle/configs/inference.json", "{}")
    assert refused(source, ImportOptions()).refusal is ImportRefusal.UNSAFE_ARCHIVE


TRIES = {
    "a connection": "import socket; socket.create_connection(('127.0.0.1', {port}), 2)",
    "a name": "import socket; socket.getaddrinfo('localhost', 80)",
    "a program": "import subprocess; subprocess.run(['true'])",
    "a shell": "import os; os.system('true')",
    "a fork": "import os; os.fork()",
    "a file elsewhere": "open({elsewhere!r}, 'w')",
    "a file elsewhere by number": "import os; os.open({elsewhere!r}, os.O_WRONLY | os.O_CREAT)",
    "a removal elsewhere": "import os; os.remove({untouched!r})",
    "a folder elsewhere": "import os; os.mkdir({elsewhere!r})",
    "a library": "import ctypes; ctypes.CDLL('libc.so.6')",
}


@pytest.mark.parametrize("tried", sorted(TRIES))
def test_a_confined_process_reaches_nobody_and_starts_and_writes_nothing(tmp_path: Path, tried: str) -> None:
    (tmp_path / "own").mkdir()
    here = tmp_path / "own/here"
    (tmp_path / "untouched").touch()
    places = {name: str(tmp_path / name) for name in ("elsewhere", "untouched")}
    code = TRIES[tried].format(port=9, **places)
    program = (
        "import pathlib, socket, subprocess, ctypes, os\n"
        "from dicomnode.zoo.importing.confined import confine\n"
        f"confine(pathlib.Path({str(here.parent)!r}))\n"
        f"open({str(here)!r}, 'w').close()\n"
        f"{code}\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60)
    assert ended.returncode == 1
    assert "Confined: a trial may not" in ended.stderr
    assert here.exists()
    assert (tmp_path / "untouched").exists()
    assert not (tmp_path / "elsewhere").exists()


def test_a_trial_has_no_network_where_the_machine_can_take_it_away() -> None:
    command = without_network([sys.executable, "-c", "print(len(open('/proc/net/dev').readlines()))"])
    if len(command) == 3:
        pytest.skip("unshare --net is not allowed here: the audit hook alone keeps a trial from the network")
    lines = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    assert int(lines) == 3  # two of a heading, and the loopback device, which is down


def test_a_trial_inherits_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PACS_TOKEN", "sesame")
    monkeypatch.setenv("DICOMNODE_DATABASE__URL", "postgresql+psycopg://node:sesame@db/node")
    assert "sesame" not in str(plain_environment())
    assert plain_environment()["PATH"] == os.environ["PATH"]


def test_what_a_file_step_would_do_is_not_built(foreign: Path) -> None:
    change_json(foreign / CONFIG, network_def="$torch.nn.Conv3d(1, 2, 1)")
    assert load_volume_parts(foreign).image_key == "image"
