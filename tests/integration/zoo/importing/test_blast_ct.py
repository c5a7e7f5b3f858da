"""Weights of blast-ct from files to results: what comes in, what is refused, what is marked, counted and scored."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import torch
from numpy.typing import NDArray
from typer.testing import CliRunner, Result

from dicomnode.cli.main import app
from dicomnode.decision import Decision, decision_of
from dicomnode.errors import BundleRefused, ImportRefusal
from dicomnode.measure.outcome import outcomes_of
from dicomnode.records import Inputs, MaskFinding, PatientContext
from dicomnode.zoo.importing.blast_ct import import_weights
from dicomnode.zoo.importing.importer import Imported
from dicomnode.zoo.importing.layout import WeightsOptions
from dicomnode.zoo.networks.deepmedic import DeepMedic, TraumaClass
from dicomnode.zoo.registry import Registry, open_bundle
from dicomnode.zoo.runner import Runner
from tests.tools.foreign_bundle import write_config
from tests.tools.published_weights import attenuation_network, published, random_network, write_weights
from tests.tools.series import AXIAL, ct_series, head_hu, points_of, tilted, volume_of, write_series

BLOOD_MM, OEDEMA_MM, CENTRE_MM = 14.0, 20.0, np.array((15.0, 8.0, 74.0))
BLOOD_ML = 4 / 3 * np.pi * BLOOD_MM**3 / 1000.0
"""11.5"""
SMALLER = 1.3
MIDDLE_MM = np.array((0.0, 0.0, 72.0))
"""A head that is that much smaller than others has less than half of their voxels."""
OFFSETS_MM = tuple(np.arange(0.0, 144.0, 6.0))
UNEVEN_MM = (*np.arange(0.0, 72.0, 4.0), *np.arange(75.0, 144.0, 7.0))
STACKS = {"even": (OFFSETS_MM, AXIAL), "tilted and uneven": (UNEVEN_MM, tilted(18.5))}


def plain_head(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """A small head without blood."""
    return head_hu(MIDDLE_MM + SMALLER * (points - MIDDLE_MM))


def bleeding_head(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """A head with a ball of blood within a shell of oedema."""
    hu, radius_mm = plain_head(points), np.linalg.norm(points - CENTRE_MM, axis=1)
    hu[radius_mm < OEDEMA_MM] = 22.0
    hu[radius_mm < BLOOD_MM] = 66.0
    return hu


def series(stack: str = "even", hu: Callable[[NDArray[np.float64]], NDArray[np.float64]] = bleeding_head) -> list[Any]:
    """The head on one of ``STACKS``."""
    offsets_mm, orientation = STACKS[stack]
    return ct_series(offsets_mm, matrix=96, pixel_spacing_mm=(2.2, 2.2), orientation=orientation, hu=hu)


def run(*arguments: str | Path) -> Result:
    """One command line."""
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> Imported:
    """Two networks that judge by attenuation."""
    folder = tmp_path_factory.mktemp("imported")
    other = attenuation_network()
    other.head[-1].conv.weight.data *= 1.5  # as sure of the same, and another file
    return import_weights(
        write_weights(folder / "given", attenuation_network(), other), folder / "models", WeightsOptions()
    )


@pytest.fixture(scope="module")
def runner(imported: Imported) -> Runner:
    return Runner(open_bundle(imported.manifest.path), threads=1)


def masks_of(runner: Runner, datasets: list[Any]) -> dict[str, MaskFinding]:
    """By the end of their names."""
    inputs = Inputs(volume=volume_of(datasets), context=PatientContext(), earlier=())
    found = [one for one in runner.run(inputs) if isinstance(one, MaskFinding)]
    return {one.name.removeprefix("blast_ct_"): one for one in found}


def test_an_import_is_described_pinned_and_says_whose_it_is(imported: Imported) -> None:
    manifest, models = imported.manifest, imported.manifest.path.parent
    assert (manifest.name, manifest.research, manifest.run_limit_s) == ("blast_ct", True, 1200.0)
    assert [one.label for one in manifest.masks] == [
        "Intraparenchymal haemorrhage",
        "Extra-axial haemorrhage",
        "Perilesional oedema",
        "Intraventricular haemorrhage",
    ]
    assert Registry([models]).get("blast_ct").pinned
    # these are no published networks: nobody knows what they learned from
    assert manifest.trained_on.startswith("not stated")
    card = (manifest.path / "docs/README.md").read_text(encoding="utf-8")
    for said in ("not for diagnosis", "Apache-2.0", "Lancet Digital Health 2020", "model_1.pt", "model_2.pt"):
        assert said in card
    assert [path.name for path in models.iterdir() if path.name.startswith(".")] == []


def test_the_order_in_which_files_are_given_does_not_matter(tmp_path: Path, imported: Imported) -> None:
    other = attenuation_network()
    other.head[-1].conv.weight.data *= 1.5
    files = write_weights(tmp_path / "given", attenuation_network(), other)
    assert import_weights(files[::-1], tmp_path / "models", WeightsOptions()).digest == imported.digest


def test_the_published_form_is_what_its_authors_trained(tmp_path: Path) -> None:
    torch.manual_seed(1)
    (file,) = write_weights(tmp_path / "given", DeepMedic(), ending=".torch_model")
    known = import_weights([file], tmp_path / "models", WeightsOptions(name="second_set"))
    assert known.manifest.trained_on.startswith("680 head CTs")
    assert dict(known.manifest.model_ref(known.digest).translations)["de"].startswith("680 Kopf-CTs")
    own = import_weights([file], tmp_path / "models", WeightsOptions(name="own", trained_on="our own 50 patients"))
    assert own.manifest.trained_on == "our own 50 patients"


def not_a_number() -> DeepMedic:
    network = random_network(1)
    network.head[-1].conv.weight.data.fill_(float("nan"))
    return network


def another_form(file: Path) -> None:
    write_weights(file.parent / "other", random_network(2, path_maps=(5,)))[0].replace(file)


CONTENTS: dict[str, Callable[[Path], object]] = {
    "the same twice": lambda file: file.write_bytes((file.parent / "model_1.pt").read_bytes()),
    "two forms": another_form,
    "a text": lambda file: file.write_text("no weights"),
    "a checkpoint": lambda file: torch.save({"epoch": 3, "state": published(random_network(2))}, file),
    "another network": lambda file: torch.save({"conv.weight": torch.zeros(3, 1, 3, 3, 3)}, file),
    "three classes": lambda file: torch.save(published(DeepMedic(3, (3, 2, 1), (4,), (8,))), file),
    "compiled code": lambda file: torch.jit.save(torch.jit.script(torch.nn.Conv3d(1, 1, 1)), str(file)),
    "no numbers": lambda file: torch.save(published(not_a_number()), file),
}
"""What the second file holds."""


def given(folder: Path, what: str) -> list[Path]:
    """Files that cannot come in."""
    one, two = write_weights(folder, random_network(1), random_network(2))
    CONTENTS.get(what, Path.touch)(two)
    if what == "two sets":
        return [one, two.rename(folder / "model_2.torch_model")]
    return {"nothing": [], "no file": [one, folder / "model_7.pt"]}.get(what, [one, two])


@pytest.mark.parametrize(
    ("what", "refusal", "named"),
    [
        ("nothing", ImportRefusal.NO_FILE, "None"),
        ("no file", ImportRefusal.NO_FILE, "model_7.pt"),
        ("the same twice", ImportRefusal.MIXED_MEMBERS, "the same"),
        ("two sets", ImportRefusal.MIXED_MEMBERS, ".pt, .torch_model"),
        ("two forms", ImportRefusal.MIXED_MEMBERS, "other maps"),
        ("a text", ImportRefusal.UNSAFE_WEIGHTS, "model_2.pt"),
        ("a checkpoint", ImportRefusal.UNSAFE_WEIGHTS, "no state dictionary"),
        ("another network", ImportRefusal.OTHER_NETWORK, "model_2.pt"),
        ("three classes", ImportRefusal.OTHER_NETWORK, "size mismatch"),
        ("compiled code", ImportRefusal.TORCHSCRIPT, "model_2.pt"),
        ("no numbers", ImportRefusal.CANNOT_RUN, "model_2.pt: its answer is not finite"),
    ],
)
def test_what_is_no_ensemble_is_refused_and_leaves_nothing_behind(
    tmp_path: Path, what: str, refusal: ImportRefusal, named: str
) -> None:
    with pytest.raises(BundleRefused) as caught:
        import_weights(given(tmp_path / "given", what), tmp_path / "models", WeightsOptions())
    assert caught.value.refusal is refusal
    assert named in caught.value.detail
    assert list((tmp_path / "models").iterdir()) == []


@pytest.mark.parametrize("stack", STACKS)
def test_blood_and_oedema_lie_where_they_are_in_the_patient(runner: Runner, stack: str) -> None:
    datasets = series(stack)
    masks, volume = masks_of(runner, datasets), volume_of(datasets)
    blood = masks["parenchymal"].lesions[0]
    assert np.abs(np.subtract(blood.centroid_mm, CENTRE_MM)).max() < 1.1
    assert blood.volume_ml == pytest.approx(BLOOD_ML, rel=0.2)
    places = points_of(volume.stack, np.argwhere(masks["oedema"].mask))
    radius_mm = np.linalg.norm(places - CENTRE_MM, axis=1)
    # bone and air mix to the attenuation of oedema on the rim of the skull's interior: not judged here
    shell = radius_mm[radius_mm < 28.0]
    assert shell.size
    assert shell.min() > BLOOD_MM - 3.5
    assert shell.max() < OEDEMA_MM + 3.5
    assert not masks["extra_axial"].mask.any()
    assert masks["ventricular"].total is None


def test_what_is_outside_the_skull_is_not_marked(runner: Runner) -> None:
    def with_clot_on_the_skin(points: NDArray[np.float64]) -> NDArray[np.float64]:
        hu = plain_head(points)
        hu[(np.linalg.norm(points - (-60.0, 0.0, 75.0), axis=1) < 12.0) & (hu < 0.0)] = 66.0
        return hu

    datasets = series(hu=with_clot_on_the_skin)
    places = points_of(volume_of(datasets).stack, np.argwhere(masks_of(runner, datasets)["parenchymal"].mask))
    assert not (places[:, 0] < -55.0).any()


def test_networks_that_see_background_alone_make_a_negative_exam(tmp_path: Path) -> None:
    network = attenuation_network()
    network.head[-1].conv.weight.data.fill_(-1.0)
    network.head[-1].conv.weight.data[TraumaClass.BACKGROUND] = 1.0
    imported = import_weights(write_weights(tmp_path / "given", network), tmp_path / "models", WeightsOptions())
    masks = masks_of(Runner(open_bundle(imported.manifest.path), threads=1), series())
    assert len(masks) == 4
    assert not any(mask.mask.any() for mask in masks.values())
    assert decision_of(outcomes_of(masks.values())) is Decision.NEGATIVE


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A node that runs the model to be imported."""
    return write_config(tmp_path, "trauma", "blast_ct", "[clinical]\nscores = 'always'")


def processed(config: Path, datasets: list[Any]) -> tuple[dict[str, Any], dict[str, pydicom.Dataset]]:
    """What ``dicomnode process`` says of a series, and its results by kind."""
    write_series(config.parent / "in", datasets)
    out = ("--out", config.parent / "out", "--protocol", "trauma", "-c", config, "--json")
    ended = run("process", config.parent / "in", *out)
    assert ended.exit_code == 0, ended.output
    said = json.loads(ended.stdout)
    return said, {result["kind"]: pydicom.dcmread(result["path"]) for result in said["results"]}


@pytest.mark.usefixtures("_wide")
def test_from_files_to_segments_and_scores_by_the_command_line(tmp_path: Path, config: Path) -> None:
    # one of three networks takes the blood for another kind: the mean of them decides
    surer = attenuation_network()
    surer.head[-1].conv.weight.data *= 1.5
    other = attenuation_network(TraumaClass.INTRAVENTRICULAR)
    files = write_weights(tmp_path / "given", attenuation_network(), surer, other)
    layout = ("--layout", "blast-ct", "--config", config)
    wrong = run("zoo", "import", *files, *layout, "--trust")
    assert (wrong.exit_code, "--trust: belongs to a MONAI bundle" in wrong.stderr) == (2, True)
    assert run("zoo", "import", *files, "--config", config).exit_code == 2
    done = run("zoo", "import", *files, *layout)
    assert done.exit_code == 0, done.output
    assert "research, not for diagnosis" in done.stdout
    again = run("zoo", "import", *files, *layout)
    assert (again.exit_code, "name_taken" in again.stderr) == (2, True)

    said, results = processed(config, series("tilted and uneven"))
    findings = {one["name"]: one for one in said["findings"]}
    assert said["decision"] == Decision.POSITIVE
    assert findings["blast_ct_oedema"]["decision"] == Decision.POSITIVE
    assert not findings["blast_ct_oedema"]["decides"]
    segments = {segment.SegmentLabel: segment for segment in results["seg"].SegmentSequence}
    assert set(segments) == {"Intraparenchymal haemorrhage", "Perilesional oedema"}
    blood = segments["Intraparenchymal haemorrhage"]
    (kind,), (site,) = blood.SegmentedPropertyTypeCodeSequence, blood.AnatomicRegionSequence
    assert (kind.CodeValue, kind.CodeMeaning, site.CodeValue) == ("50960005", "Hemorrhage", "12738006")
    scores = {score["name"]: score for score in said["reference"]}
    ventricles = next(one for one in scores["ich_score"]["inputs"] if one["label"] == "Blood in the ventricles")
    assert (ventricles["value"], ventricles["source"]) == ("0.00 mL", "measured")
    assert 0.0 < scores["oedema_extension"]["value"] < 1.0
