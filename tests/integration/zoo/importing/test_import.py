"""What of a foreign bundle is refused, with which reason, and that nothing of it runs or stays behind."""

from __future__ import annotations

import os
import pickle
import shutil
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from monai.transforms import Activationsd, AsDiscreted, Compose, KeepLargestConnectedComponentd
from safetensors.torch import load_file, save_file

from dicomnode.errors import BundleError, BundleRefused, ImportRefusal
from dicomnode.zoo.bundle import load_manifest
from dicomnode.zoo.importing.archive import unpack, weights_of
from dicomnode.zoo.importing.foreign import ImportOptions, executed_by, read_metadata, section_of, slug
from dicomnode.zoo.importing.importer import Imported, import_bundle
from dicomnode.zoo.importing.trial import convert_weights, examine
from dicomnode.zoo.registry import Registry
from dicomnode.zoo.volumes import plan_of
from tests.tools.bundle import write_threshold_bundle
from tests.tools.foreign_bundle import change_json, metadata, network_state, write_foreign_bundle

TRUSTED = ImportOptions(trusted=True)
CONFIG, METADATA = "configs/inference.json", "configs/metadata.json"


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    """A bundle that can be imported."""
    return write_foreign_bundle(tmp_path / "foreign")


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> Imported:
    """One that was."""
    folder = tmp_path_factory.mktemp("imported")
    options = ImportOptions(trusted=True, findings={1: "78961009,SCT,Spleen"}, labels={1: "spleen"})
    return import_bundle(write_foreign_bundle(folder / "foreign"), folder / "models", options)


def refusal_of(call: Callable[[], Any]) -> BundleRefused:
    """What a call is refused with."""
    with pytest.raises(BundleRefused) as caught:
        call()
    assert str(caught.value).startswith(f"{caught.value.refusal.value}: {caught.value.refusal.sentence()}")
    return caught.value


def refused(foreign: Path, options: ImportOptions = TRUSTED) -> BundleRefused:
    """The refusal of an import, which left nothing behind."""
    models = foreign.parent / "models"
    fault = refusal_of(lambda: import_bundle(foreign, models, options))
    assert list(models.iterdir()) == []
    return fault


def pred(**changes: Any) -> dict[str, Any]:
    """``network_data_format`` with another output; None removes a key."""
    described = metadata()["network_data_format"]
    described["outputs"]["pred"] = {k: v for k, v in (described["outputs"]["pred"] | changes).items() if v is not None}
    return dict(described)


def image(**changes: Any) -> dict[str, Any]:
    """``network_data_format`` with another input."""
    described = metadata()["network_data_format"]
    described["inputs"]["image"] |= changes
    return dict(described)


def test_an_imported_bundle_is_described_pinned_and_listed(imported: Imported) -> None:
    manifest, models = imported.manifest, imported.manifest.path.parent
    assert manifest.path == models / "bright_spots_on_ct"
    assert (manifest.version, manifest.research, manifest.trained_on) == (
        "0.3.1",
        True,
        "no data: the weights were set by hand",
    )
    (output,) = manifest.gives
    assert (output.label, output.channel, output.threshold) == ("Spleen", 1, 0.5)
    assert output.type.as_tuple() == ("78961009", "SCT", "Spleen")
    assert output.site is not None
    assert output.site.meaning == "Head"
    registry = Registry([models])
    assert registry.get(manifest.name).pinned
    assert registry.get(manifest.name).digest == imported.digest
    state = load_file(manifest.path / "models/model.safetensors")
    assert {key: value.tolist() for key, value in state.items()} == {
        key: value.tolist() for key, value in network_state().items()
    }
    card = (manifest.path / "docs/README.md").read_text()
    assert "not for diagnosis" in card
    assert "The makers' own words." in card


def test_what_is_changed_after_the_import_is_not_the_pinned_bundle(tmp_path: Path, imported: Imported) -> None:
    models = Path(shutil.copytree(imported.manifest.path.parent, tmp_path / "models"))
    name = imported.manifest.name
    change_json(models / name / CONFIG, image_key="other")
    with pytest.raises(BundleError, match="is pinned"):
        Registry([models]).verify()
    # what the configuration pins stands above it
    digest = Registry([models], {name: "sha256:0"})
    with pytest.raises(BundleError, match="sha256:0 is pinned"):
        digest.get(name)


def test_a_name_is_given_once(tmp_path: Path, foreign: Path, imported: Imported) -> None:
    fault = refusal_of(lambda: import_bundle(foreign, imported.manifest.path.parent, TRUSTED))
    assert (fault.refusal, fault.detail) == (ImportRefusal.NAME_TAKEN, "bright_spots_on_ct")
    options = ImportOptions(trusted=True, name="hemorrhage")
    fault = refusal_of(lambda: import_bundle(foreign, tmp_path / "models", options, {"hemorrhage"}))
    assert fault.refusal is ImportRefusal.NAME_TAKEN


def test_without_trust_nothing_runs_and_the_code_is_shown(foreign: Path) -> None:
    mark = foreign.parent / "ran"
    change_json(foreign / CONFIG, network_def=f"$__import__('pathlib').Path({str(mark)!r}).touch()")
    fault = refused(foreign, ImportOptions())
    assert fault.refusal is ImportRefusal.NOT_TRUSTED
    assert f"Path({str(mark)!r}).touch()" in fault.detail
    assert not mark.exists()


def test_a_target_outside_monai_is_code_too() -> None:
    config = {"a": {"_target_": "os.system", "command": "true"}, "b": [{"_target_": "monai.losses.DiceLoss"}, "$1 + 1"]}
    assert executed_by(config) == ["os.system", "$1 + 1"]
    assert executed_by({"_target_": "BasicUNet", "norm": "batch"}) == []


METADATA_FAULTS: list[tuple[dict[str, Any], ImportRefusal]] = [
    ({"network_data_format": None}, ImportRefusal.BAD_METADATA),
    ({"network_data_format": {"inputs": {}, "outputs": {}}}, ImportRefusal.BAD_METADATA),
    ({"version": None}, ImportRefusal.BAD_METADATA),
    ({"network_data_format": pred(channel_def=None)}, ImportRefusal.BAD_METADATA),
    ({"network_data_format": pred(channel_def={"0": "background", "7": "spot"})}, ImportRefusal.BAD_METADATA),
    ({"network_data_format": pred(type="probabilities", format="segmentation")}, ImportRefusal.UNKNOWN_TASK),
    ({"network_data_format": pred(type="tuples", format="classes")}, ImportRefusal.UNKNOWN_TASK),
    ({"network_data_format": pred(format="hounsfield")}, ImportRefusal.UNKNOWN_TASK),
    ({"network_data_format": image(modality="MR")}, ImportRefusal.NOT_CT),
    ({"network_data_format": image(num_channels=4)}, ImportRefusal.INPUT_CHANNELS),
    (
        {"network_data_format": pred(num_channels=105, channel_def={str(c): f"organ {c}" for c in range(105)})},
        ImportRefusal.TOO_MANY_CHANNELS,
    ),
    ({"name": "3 +"}, ImportRefusal.BAD_NAME),
]


@pytest.mark.parametrize(("changes", "refusal"), METADATA_FAULTS, ids=lambda value: getattr(value, "value", ""))
def test_metadata_that_cannot_be_mapped_are_refused(
    foreign: Path, changes: dict[str, Any], refusal: ImportRefusal
) -> None:
    change_json(foreign / METADATA, **changes)
    assert refused(foreign).refusal is refusal


@pytest.mark.parametrize(
    ("options", "refusal"),
    [
        (ImportOptions(trusted=True, findings={5: "hemorrhage"}), ImportRefusal.UNKNOWN_CHANNEL),
        (ImportOptions(trusted=True, labels={5: "Spleen"}), ImportRefusal.UNKNOWN_CHANNEL),
        (ImportOptions(trusted=True, findings={1: "blood"}), ImportRefusal.UNKNOWN_CODE),
        (ImportOptions(trusted=True, findings={1: "1,SCT"}), ImportRefusal.UNKNOWN_CODE),
        (ImportOptions(trusted=True, name="Über"), ImportRefusal.BAD_NAME),
    ],
)
def test_options_that_fit_nothing_are_refused(foreign: Path, options: ImportOptions, refusal: ImportRefusal) -> None:
    assert refused(foreign, options).refusal is refusal


@pytest.mark.parametrize(
    ("missing", "refusal"),
    [
        (METADATA, ImportRefusal.NO_METADATA),
        (CONFIG, ImportRefusal.NO_CONFIG),
        ("models/model.pt", ImportRefusal.NO_WEIGHTS),
    ],
)
def test_a_missing_file_is_named(foreign: Path, missing: str, refusal: ImportRefusal) -> None:
    (foreign / missing).unlink()
    assert refused(foreign).refusal is refusal


@pytest.mark.parametrize("file", [METADATA, CONFIG])
@pytest.mark.parametrize("content", ["", "[1, 2]", '{"a": '])
def test_damaged_json_is_refused(foreign: Path, file: str, content: str) -> None:
    (foreign / file).write_text(content)
    expected = ImportRefusal.BAD_METADATA if file == METADATA else ImportRefusal.NO_CONFIG
    assert refused(foreign).refusal is expected


def test_a_yaml_configuration_is_named(foreign: Path) -> None:
    (foreign / CONFIG).rename(foreign / "configs/inference.yaml")
    fault = refused(foreign)
    assert (fault.refusal, "inference.yaml" in fault.detail) == (ImportRefusal.NO_CONFIG, True)


def test_an_empty_folder_and_a_file_are_no_bundle(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file.zip").write_bytes(b"no zip")
    for name in ("empty", "file.zip", "absent"):
        fault = refusal_of(lambda name=name: import_bundle(tmp_path / name, tmp_path / "models", TRUSTED))
        assert fault.refusal is ImportRefusal.NO_BUNDLE


def test_torchscript_is_refused_as_such_under_any_name(foreign: Path) -> None:
    (foreign / "models/model.pt").unlink()
    with pytest.warns(DeprecationWarning, match="deprecated"):
        torch.jit.script(torch.nn.Conv3d(1, 2, 1)).save(foreign / "models/model.ts")
    assert refused(foreign).refusal is ImportRefusal.TORCHSCRIPT
    (foreign / "models/model.ts").rename(foreign / "models/model.pt")
    fault = refusal_of(lambda: convert_weights(foreign / "models/model.pt", foreign / "out.safetensors"))
    assert fault.refusal is ImportRefusal.TORCHSCRIPT


class Malicious:
    """A pickle that runs a command where it is loaded."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.mark}",)


@pytest.mark.parametrize("zipped", [True, False])
def test_weights_that_are_a_program_are_refused_and_not_run_failure_mode_20(tmp_path: Path, zipped: bool) -> None:
    mark, file = tmp_path / "ran", tmp_path / "model.pt"
    content = {"0.weight": torch.zeros(1), "evil": Malicious(mark)}
    if zipped:
        torch.save(content, file)
    else:
        file.write_bytes(pickle.dumps(content["evil"]))
    fault = refusal_of(lambda: convert_weights(file, tmp_path / "out.safetensors"))
    assert fault.refusal is ImportRefusal.UNSAFE_WEIGHTS
    assert not mark.exists()
    assert not (tmp_path / "out.safetensors").exists()


@pytest.mark.parametrize("content", [{}, {"epoch": 3}, [torch.zeros(1)], torch.zeros(2)])
def test_what_is_no_state_dict_is_refused(tmp_path: Path, content: Any) -> None:
    torch.save(content, tmp_path / "model.pt")
    fault = refusal_of(lambda: convert_weights(tmp_path / "model.pt", tmp_path / "out.safetensors"))
    assert fault.refusal is ImportRefusal.UNSAFE_WEIGHTS


def test_checkpoints_and_parallel_training_are_unwrapped(tmp_path: Path) -> None:
    wrapped = {"epoch": 3, "state_dict": {f"module.{key}": value for key, value in network_state().items()}}
    torch.save(wrapped, tmp_path / "model.pt")
    convert_weights(tmp_path / "model.pt", tmp_path / "out.safetensors")
    assert set(load_file(tmp_path / "out.safetensors")) == set(network_state())


def prepared(foreign: Path) -> Path:
    """The bundle with its weights as safetensors, as the trial finds it."""
    convert_weights(foreign / "models/model.pt", foreign / "models/model.safetensors")
    return foreign


CONFIG_FAULTS: list[tuple[dict[str, Any], ImportRefusal, str]] = [
    ({"network_def": None}, ImportRefusal.MISSING_PART, "network_def"),
    ({"inferer": None, "preprocessing": None}, ImportRefusal.MISSING_PART, "preprocessing, inferer"),
    ({"network_def": {"_target_": "NoSuchNet"}}, ImportRefusal.CANNOT_BUILD, ""),
    ({"network_def": "$undefined_name"}, ImportRefusal.CANNOT_BUILD, "undefined_name"),
    ({"network_def": "$torch.nn.Conv3d(1, 2, 1)"}, ImportRefusal.WEIGHTS_DO_NOT_FIT, "Missing key"),
    ({"inferer": {"_target_": "SlidingWindowInferer", "roi_size": [8, 8]}}, ImportRefusal.CANNOT_RUN, ""),
    (
        {"postprocessing": {"_target_": "Compose", "transforms": [{"_target_": "EnsureTyped", "keys": "pred"}]}},
        ImportRefusal.NO_DECISION,
        "",
    ),
    (
        {"preprocessing": {"_target_": "EnsureTyped", "keys": "image", "track_meta": False}},
        ImportRefusal.CANNOT_RUN,
        "drops the position",
    ),
]


@pytest.mark.parametrize(("changes", "refusal", "says"), CONFIG_FAULTS, ids=lambda value: getattr(value, "value", ""))
def test_a_configuration_that_does_not_work_is_refused(
    foreign: Path, changes: dict[str, Any], refusal: ImportRefusal, says: str
) -> None:
    change_json(prepared(foreign) / CONFIG, **changes)
    fault = refusal_of(lambda: examine(foreign))
    assert (fault.refusal, says in fault.detail) == (refusal, True), fault


def test_a_bundle_that_kills_its_process_is_refused(foreign: Path) -> None:
    change_json(foreign / CONFIG, network_def={"_target_": "tests.tools.broken_networks.Fatal"})
    fault = refused(foreign)
    assert (fault.refusal, "ended with 3" in fault.detail) == (ImportRefusal.CANNOT_RUN, True)


def zipped(foreign: Path, below: str = "bright/") -> Path:
    """The bundle as a zip file, in a folder."""
    target = foreign.parent / "bright.zip"
    with zipfile.ZipFile(target, "w") as archive:
        for file in sorted(path for path in foreign.rglob("*") if path.is_file()):
            archive.write(file, f"{below}{file.relative_to(foreign).as_posix()}")
    return target


@pytest.mark.parametrize("below", ["bright/", ""])
def test_a_zip_file_is_looked_into_with_or_without_a_folder(foreign: Path, below: str) -> None:
    found = unpack(zipped(foreign, below), foreign.parent / "scratch")
    assert read_metadata(found).title == "Bright spots on CT"


def test_a_zip_file_is_imported_and_its_unpacked_files_are_gone(foreign: Path) -> None:
    models = foreign.parent / "models"
    imported = import_bundle(zipped(foreign), models, TRUSTED)
    assert sorted(path.name for path in models.iterdir()) == ["bright_spots_on_ct", "pinned.json"]
    assert Registry([models]).get(imported.manifest.name).pinned


def test_safetensors_are_taken_before_a_pickle(foreign: Path) -> None:
    assert weights_of(foreign).name == "model.pt"
    save_file(network_state(), foreign / "models/model.safetensors")
    assert weights_of(foreign).name == "model.safetensors"


def trial(channels: int | None) -> dict[str, Any]:
    """What a trial says of a network."""
    return {
        "channels": channels,
        "decision": "labels" if channels is None else "argmax",
        "threshold": 0.5,
        "dimensions": 4,
    }


def test_another_number_of_channels_than_described_is_refused(foreign: Path) -> None:
    described = pred(num_channels=3, channel_def={"0": "background", "1": "spot", "2": "other"})
    change_json(foreign / METADATA, network_data_format=described)
    read = read_metadata(foreign)
    fault = refusal_of(lambda: section_of(read, TRUSTED, trial(2), "00"))
    assert (fault.refusal, "gives 2, described are 3" in fault.detail) == (ImportRefusal.CHANNELS_DIFFER, True)
    for fits in (3, None):
        assert [output["channel"] for output in section_of(read, TRUSTED, trial(fits), "00")["gives"]] == [1, 2]


def test_one_channel_beside_a_described_background_is_that_of_the_finding(foreign: Path) -> None:
    (output,) = section_of(read_metadata(foreign), TRUSTED, trial(1), "00")["gives"]
    assert (output["channel"], output["label"]) == (0, "Bright spot")


@pytest.mark.parametrize("name", ["../outside", "/tmp/outside", "a/../../outside", "C:\\outside"])
def test_a_zip_file_that_writes_elsewhere_is_refused(foreign: Path, name: str) -> None:
    archive_path = zipped(foreign)
    with zipfile.ZipFile(archive_path, "a") as archive:
        archive.writestr(zipfile.ZipInfo(name), "evil")
    assert refused(archive_path).refusal is ImportRefusal.UNSAFE_ARCHIVE


def test_a_link_in_a_zip_file_is_refused(foreign: Path) -> None:
    archive_path, link = zipped(foreign), zipfile.ZipInfo("bright/models/link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(archive_path, "a") as archive:
        archive.writestr(link, "/etc/passwd")
    assert refused(archive_path).refusal is ImportRefusal.UNSAFE_ARCHIVE


def test_a_bundle_in_this_projects_own_layout_comes_in_as_it_is(tmp_path: Path) -> None:
    source = write_threshold_bundle(tmp_path / "threshold")
    state = load_file(source / "models/model.safetensors")
    torch.save(state, source / "models/model.pt")
    (source / "models/model.safetensors").unlink()
    imported = import_bundle(source, tmp_path / "models", ImportOptions(trusted=True, name="mine"))
    assert imported.manifest.volume is None
    assert (imported.manifest.name, imported.manifest.gives) == ("mine", load_manifest(source).gives)
    fault = refusal_of(
        lambda: import_bundle(source, tmp_path / "models", ImportOptions(trusted=True, findings={0: "hemorrhage"}))
    )
    assert fault.refusal is ImportRefusal.UNKNOWN_CHANNEL


def test_the_way_a_voxel_is_decided_is_read_off_the_postprocessing() -> None:
    softmax, sigmoid = Activationsd("pred", softmax=True), Activationsd("pred", sigmoid=True)
    argmax, threshold = AsDiscreted("pred", argmax=True), AsDiscreted("pred", threshold=0.3)
    largest = KeepLargestConnectedComponentd("pred", applied_labels=[1])
    assert plan_of([softmax, argmax]) == ((softmax,), "argmax", False, 0.5)
    assert plan_of([argmax]) == ((), "argmax", True, 0.5)
    assert plan_of([sigmoid, threshold]) == ((sigmoid,), "threshold", False, 0.3)
    assert plan_of([sigmoid]) == ((sigmoid,), "threshold", False, 0.5)
    assert plan_of([softmax, argmax, largest])[1] == "labels"
    assert plan_of([AsDiscreted("pred", argmax=True, to_onehot=3), largest])[1] == "threshold"
    assert plan_of(list(Compose([softmax, Compose([argmax])]).flatten().transforms))[1] == "argmax"


def test_names_are_made_of_titles() -> None:
    assert slug("Spleen CT segmentation (v2)") == "spleen_ct_segmentation_v2"
    assert slug("3D-UNet") == "d_unet"
