"""A foreign bundle from import to SEG: what it marks lies where it lies in the patient, on any stack."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from sqlalchemy import select
from typer.testing import CliRunner, Result

from dicomnode.cli.main import app
from dicomnode.config.load import load_config
from dicomnode.errors import Refusal, SeriesError
from dicomnode.records import Inputs, Volume
from dicomnode.store.opening import existing_store, up_to_date_store
from dicomnode.store.tables import Event
from dicomnode.zoo.importing.foreign import ImportOptions
from dicomnode.zoo.importing.importer import import_bundle
from dicomnode.zoo.registry import open_bundle
from dicomnode.zoo.runner import Runner
from tests.tools.foreign_bundle import ARGMAX, HOLES, SIGMOID, SOFTMAX, change_json, write_config, write_foreign_bundle
from tests.tools.series import AXIAL, ct_series, head_hu, points_of, tilted, volume_of, write_series

CENTRE_MM, RADIUS_MM = np.array((20.0, 10.0, 75.0)), 15.0
TRUE_ML = 4 / 3 * np.pi * RADIUS_MM**3 / 1000.0  # 14.1
EVEN = tuple(np.arange(0.0, 144.0, 6.0))
UNEVEN = (*np.arange(0.0, 72.0, 4.0), *np.arange(75.0, 144.0, 7.0))
STACKS = {
    "even": (EVEN, AXIAL),
    "tilted": (EVEN, tilted(18.5)),
    "tilted the other way": (EVEN, tilted(-15.0)),
    "uneven": (UNEVEN, AXIAL),
    "tilted and uneven": (UNEVEN, tilted(18.5)),
    "from the crown down, rows to the front": (EVEN, (1.0, 0.0, 0.0, 0.0, -1.0, 0.0)),
    "turned by 90 degrees": (EVEN, (0.0, 1.0, 0.0, 1.0, 0.0, 0.0)),
}
CORNERS_MM = {"from the crown down, rows to the front": (-105.6, 103.4), "turned by 90 degrees": (-105.6, -105.6)}


def soft_head(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """A head without bone, which the bundle would mark at its rims, and a ball of 70 HU."""
    hu = np.minimum(head_hu(points), 32.0)
    hu[np.linalg.norm(points - CENTRE_MM, axis=1) < RADIUS_MM] = 70.0
    return hu


def series(stack: str, **attributes: Any) -> list[Dataset]:
    """The head on one of ``STACKS``."""
    offsets, orientation = STACKS[stack]
    # where the normal points down, ct_series would stack toward the feet
    moved = {"ImagePositionPatient": _upward(stack)} if stack in CORNERS_MM else {}
    return ct_series(
        offsets, matrix=96, pixel_spacing_mm=(2.2, 2.2), orientation=orientation, hu=soft_head, **moved, **attributes
    )


def _upward(stack: str) -> Callable[[int], list[float]]:
    return lambda index: [*CORNERS_MM[stack], float(STACKS[stack][0][index])]


def measured(mask: NDArray[np.bool_], volume: Volume) -> tuple[NDArray[np.float64], float]:
    """Centre of mass in patient coordinates, and mL."""
    places = np.argwhere(mask)
    weights = volume.stack.weights_mm[places[:, 0]]
    centre = (points_of(volume.stack, places) * weights[:, None]).sum(axis=0) / weights.sum()
    return centre, float(weights.sum()) * volume.stack.pixel_area_mm2 / 1000.0


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Runner:
    folder = tmp_path_factory.mktemp("foreign")
    options = ImportOptions(trusted=True, require_head=False)
    imported = import_bundle(write_foreign_bundle(folder / "source"), folder / "models", options)
    return Runner(open_bundle(imported.manifest.path), threads=1)


@pytest.mark.parametrize("stack", STACKS)
def test_what_a_foreign_bundle_marks_lies_where_it_is_in_the_patient(runner: Runner, stack: str) -> None:
    volume = volume_of(series(stack))
    (scores,) = runner.outputs(Inputs(volume=volume)).values()
    assert scores.shape == volume.hu.shape
    centre, volume_ml = measured(scores > 0.5, volume)
    # half a pixel in plane; a slice or two more or less at the poles of the ball along the stack
    assert np.abs(centre - CENTRE_MM).max() < 1.1
    assert volume_ml == pytest.approx(TRUE_ML, rel=0.12)
    inside = np.linalg.norm(points_of(volume.stack, np.argwhere(scores > 0.5)) - CENTRE_MM, axis=1)
    assert inside.max() < RADIUS_MM + 3.2


@pytest.mark.parametrize(
    ("channels", "post"),
    [(2, [SOFTMAX, ARGMAX, HOLES]), (1, [SIGMOID, {"_target_": "AsDiscreted", "keys": "pred", "threshold": 0.6}])],
    ids=["labels with steps after them", "one channel with a threshold"],
)
def test_other_ways_to_decide_a_voxel_are_followed(tmp_path: Path, channels: int, post: list[dict[str, Any]]) -> None:
    source = write_foreign_bundle(tmp_path / "source", channels, post)
    options = ImportOptions(trusted=True, require_head=False)
    imported = import_bundle(source, tmp_path / "models", options)
    (output,) = imported.manifest.gives
    assert (output.channel, output.threshold) == ((1, 0.5) if channels == 2 else (0, 0.6))
    volume = volume_of(series("tilted"))
    scores = Runner(open_bundle(imported.manifest.path)).outputs(Inputs(volume=volume))[output.name]
    centre, volume_ml = measured(scores > output.threshold, volume)
    assert np.abs(centre - CENTRE_MM).max() < 1.5
    assert volume_ml == pytest.approx(TRUE_ML, rel=0.2)


def test_a_series_without_a_brain_is_refused_unless_the_import_said_otherwise(tmp_path: Path, runner: Runner) -> None:
    volume = volume_of(series("even"))
    assert runner.outputs(Inputs(volume=volume))
    copy = write_copy(runner.manifest.path, tmp_path / "copy")
    with pytest.raises(SeriesError) as caught:
        Runner(open_bundle(copy)).outputs(Inputs(volume=volume))
    assert caught.value.refusal is Refusal.NOT_A_HEAD


def write_copy(bundle: Path, target: Path) -> Path:
    """The bundle, for heads only."""
    for file in (path for path in bundle.rglob("*") if path.is_file()):
        (target / file.relative_to(bundle)).parent.mkdir(parents=True, exist_ok=True)
        (target / file.relative_to(bundle)).write_bytes(file.read_bytes())
    section = json.loads((target / "configs/metadata.json").read_text())["dicomnode"]
    section["volume"]["require_head"] = True
    change_json(target / "configs/metadata.json", dicomnode=section)
    return target


def run(*arguments: str | Path) -> Result:
    """One command line."""
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A node that runs the model to be imported."""
    return write_config(tmp_path, "spleen", "bright")


@pytest.mark.usefixtures("_wide")
@pytest.mark.usefixtures("cold_trials")
def test_from_import_to_seg_by_the_command_line(tmp_path: Path, config: Path) -> None:
    source = write_foreign_bundle(tmp_path / "source")
    chosen = ("--name", "bright", "--finding", "1=78961009,SCT,Spleen", "--label", "1=Spleen", "--any-body-part")
    asked = run("zoo", "import", source, "--config", config, *chosen)
    assert (asked.exit_code, "not_trusted" in asked.stderr, "$import glob" in asked.stderr) == (2, True, True)
    assert not list((tmp_path / "data/models").iterdir())
    done = run("zoo", "import", source, "--config", config, *chosen, "--trust")
    assert done.exit_code == 0, done.output
    assert 'models = ["bright"]' in done.stdout
    again = run("zoo", "import", source, "--config", config, *chosen, "--trust")
    assert (again.exit_code, "name_taken" in again.stderr) == (2, True)

    verified = {
        item["name"]: item for item in json.loads(run("zoo", "verify", "--json", "-c", config).stdout)["models"]
    }
    assert verified["bright"]["pinned"]
    assert "imported" in next(line for line in run("zoo", "list", "-c", config).stdout.splitlines() if "bright" in line)
    assert "The makers' own words." in run("zoo", "show", "bright", "-c", config).stdout

    datasets = series("tilted and uneven")
    write_series(tmp_path / "in", datasets)
    ended = run("process", tmp_path / "in", "--out", tmp_path / "out", "--protocol", "spleen", "-c", config)
    assert ended.exit_code == 0, ended.output
    (seg,) = [ds for path in (tmp_path / "out").glob("*.dcm") if (ds := pydicom.dcmread(path)).Modality == "SEG"]
    centre, volume_ml = measured(*mask_of(seg, datasets))
    assert np.abs(centre - CENTRE_MM).max() < 1.1
    assert volume_ml == pytest.approx(TRUE_ML, rel=0.12)
    (segment,) = seg.SegmentSequence
    (kind,), (site,) = segment.SegmentedPropertyTypeCodeSequence, segment.AnatomicRegionSequence
    assert (segment.SegmentLabel, kind.CodeValue, kind.CodeMeaning) == ("Spleen", "78961009", "Spleen")
    assert site.CodeMeaning == "Head"
    assert seg.SeriesDescription == "AI spleen segmentation (research)"


def mask_of(seg: Dataset, datasets: list[Dataset]) -> tuple[NDArray[np.bool_], Volume]:
    """The mask on the slices of the source, by the instances that the frames refer to."""
    volume = volume_of(datasets)
    place = {uid: index for index, uid in enumerate(volume.sop_instance_uids)}
    mask = np.zeros(volume.hu.shape, bool)
    for frame, group in zip(seg.pixel_array, seg.PerFrameFunctionalGroupsSequence, strict=True):
        uid = group.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
        mask[place[uid]] = frame > 0
    return mask, volume


def test_an_import_says_where_it_goes_and_what_its_options_mean(tmp_path: Path, config: Path) -> None:
    source = write_foreign_bundle(tmp_path / "source")
    for wrong, says in (
        ((), "give either --config"),
        (("--config", config, "--into", tmp_path / "models"), "give either --config"),
        (("--into", tmp_path / "models", "--finding", "spleen"), "--finding spleen: use CHANNEL=TEXT"),
        (("--into", tmp_path / "models", "--finding", "1=unheard of"), "unknown_code"),
    ):
        ended = run("zoo", "import", source, *wrong)
        assert (ended.exit_code, says in ended.stderr) == (2, True), ended.stderr


def test_who_brought_which_model_in_is_told_in_the_history_of_the_node_that_there_is(
    tmp_path: Path, config: Path
) -> None:
    url = load_config(config, serving=False).database_url
    chosen = ("--config", config, "--name", "bright", "--any-body-part")
    source = write_foreign_bundle(tmp_path / "source")
    up_to_date_store(url).close()
    assert run("zoo", "import", source, *chosen).exit_code == 2  # not trusted: nothing came in
    done = run("zoo", "import", source, *chosen, "--trust", "--json")
    assert done.exit_code == 0, done.output
    with existing_store(url) as store, store.read() as session:
        (event,) = session.scalars(select(Event).where(Event.subject == "operator"))
    assert (event.name, event.detail["name"], event.detail["version"]) == ("import", "bright", "0.3.1")
    assert event.detail["digest"] == json.loads(done.stdout)["digest"]
    assert (bool(event.detail["by"]), event.detail["research"]) == (True, True)


def test_where_the_history_cannot_be_written_no_model_comes_in(tmp_path: Path, config: Path) -> None:
    database = tmp_path / "data" / "node.db"
    database.parent.mkdir(exist_ok=True)
    database.write_bytes(b"no database" * 100)
    source = write_foreign_bundle(tmp_path / "source")
    ended = run("zoo", "import", source, "--config", config, "--any-body-part", "--trust")
    assert (ended.exit_code, "the database cannot be used" in ended.stderr) == (1, True), ended.output
    assert not [*(tmp_path / "data").glob("models/*")]
