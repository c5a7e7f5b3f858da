"""Results in the hands of readers that nobody here wrote: dcmqi (C++, DCMTK) for masks, maps and numbers."""

from __future__ import annotations

import gzip
import json
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from dicomnode.encode.case import encode_case
from dicomnode.measure.figures import SPECK_ML, rounded_hu, rounded_ml, rounded_mm
from dicomnode.records import Case, MaskFinding, Region, Stack
from tests.unit.encode.cases import (
    EVEN,
    Geometry,
    case_of,
    changed,
    ellipsoid,
    finding_of,
    score_of,
    with_probability,
)

NOW = datetime(2024, 1, 2, 11, 30, tzinfo=UTC)
BLEEDS = (((25.0, 60.0, 40.0), (12.0, 14.0, 10.0)), ((38.0, 80.0, 60.0), (6.0, 5.0, 4.0)))
THIN = Geometry(tuple(0.625 * index for index in range(96)), row_spacing_mm=0.9, column_spacing_mm=0.9)
TYPES = {"short": np.int16, "unsigned char": np.uint8, "uint8": np.uint8, "float": np.float32}


def dcmqi(name: str, *arguments: object) -> None:
    """Run a program of dcmqi; skips where it is not installed."""
    tool = shutil.which(name) or shutil.which(name, path=str(Path(sys.executable).parent))
    if tool is None:
        pytest.skip(f"missing {name} (pip install dcmqi)")
    subprocess.run([tool, *map(str, arguments)], capture_output=True, check=True, timeout=100)


@pytest.fixture(scope="module", params=[EVEN, THIN], ids=["5 mm", "0.6 mm"])
def case(request: pytest.FixtureRequest) -> Case:
    """Two overlapping findings with probabilities, the first in two pieces, and a score."""
    plain = case_of(request.param, BLEEDS)
    oedema = ellipsoid(plain.volume.stack, BLEEDS[0][0], (16.0, 19.0, 15.0))
    findings = (*plain.findings, finding_of(oedema, plain.volume, name="edema", label="Oedema"))
    mapped = with_probability(changed(plain, findings=findings))
    return changed(mapped, findings=(*mapped.findings, score_of()))


@pytest.fixture(scope="module")
def results(case: Case, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Path]]:
    """The results of the case, by kind."""
    found: dict[str, list[Path]] = {}
    for result in encode_case(case, tmp_path_factory.mktemp("results"), NOW, ["probability"]):
        found.setdefault(result.kind, []).append(result.path)
    return found


def image_on(stack: Stack, path: Path) -> NDArray[Any]:
    """Voxels of an NRRD file written by ITK, on the slices of ``stack`` where their positions say; 0 elsewhere.

    A text header, an empty line, gzip or raw data. The axes are columns, rows, slices.
    """
    header, _, data = path.read_bytes().partition(b"\n\n")
    fields = dict(line.split(": ", 1) for line in header.decode().splitlines() if ": " in line)
    raw = gzip.decompress(data) if fields["encoding"] == "gzip" else data
    sizes = [int(size) for size in fields["sizes"].split()]
    voxels = np.frombuffer(raw, dtype=TYPES[fields["type"]]).reshape(sizes[::-1])
    directions = [np.array(json.loads(f"[{item[1:-1]}]")) for item in fields["space directions"].split()]
    origin = np.array(json.loads(f"[{fields['space origin'][1:-1]}]"))
    assert np.allclose(directions[0], stack.row_cosines * stack.column_spacing_mm, atol=1e-4)
    assert np.allclose(directions[1], stack.column_cosines * stack.row_spacing_mm, atol=1e-4)
    volume = np.zeros((len(stack.order), stack.rows, stack.columns), dtype=voxels.dtype)
    for index, plane in enumerate(voxels):
        distances = np.linalg.norm(stack.positions_mm - (origin + index * directions[2]), axis=1)
        assert distances.min() < 0.01
        volume[int(distances.argmin())] = plane
    return volume


def test_dcmqi_puts_every_voxel_of_every_segment_where_it_was_measured(
    case: Case, results: dict[str, list[Path]], tmp_path: Path
) -> None:
    seg = results["seg"][0]
    dcmqi("segimage2itkimage", "--inputDICOM", seg, "--outputDirectory", tmp_path, "--outputType", "nrrd")
    for number, finding in enumerate(case.masks, start=1):
        assert np.array_equal(image_on(case.volume.stack, tmp_path / f"{number}.nrrd") > 0, finding.mask)
    groups = json.loads((tmp_path / "meta.json").read_text())["segmentAttributes"]
    segments = {segment["SegmentLabel"]: segment for group in groups for segment in group}
    assert segments["Intracranial haemorrhage"]["SegmentedPropertyTypeCodeSequence"]["CodeValue"] == "50960005"
    assert segments["Oedema"]["SegmentedPropertyTypeCodeSequence"]["CodeValue"] == "79654002"


def test_dcmqi_reads_the_probability_of_every_voxel(case: Case, results: dict[str, list[Path]], tmp_path: Path) -> None:
    maps = results["probability"]
    for number, (finding, path) in enumerate(zip(case.masks, maps, strict=True)):
        out = tmp_path / str(number)
        out.mkdir()
        dcmqi("paramap2itkimage", "--inputDICOM", path, "--outputDirectory", out, "--outputType", "nrrd")
        assert finding.probability is not None
        read = image_on(case.volume.stack, out / "pmap.nrrd")
        assert np.allclose(read, finding.probability / 10_000, atol=1e-6)
        assert json.loads((out / "meta.json").read_text())["QuantityValueCode"]["CodeValue"] == "110854"


def numbers_in(report: Path, folder: Path) -> list[tuple[str, list[tuple[str, str, float]]]]:
    """Of each group that dcmqi reads in a report: tracking identifier, and code, unit and value of every number."""
    out = folder / "report.json"
    dcmqi("tid1500reader", "--inputDICOM", report, "--outputMetadata", out)
    return [
        (
            group["TrackingIdentifier"],
            [
                (item["quantity"]["CodeValue"], item["units"]["CodeValue"], float(item["value"]))
                for item in group["measurementItems"]
            ],
        )
        for group in json.loads(out.read_text())["Measurements"]
    ]


def measured(region: Region) -> list[tuple[str, str, float]]:
    """What a report states of a region: volume, ABC/2 and its difference, diameter, HU; fewer of specks."""
    assert region.abc2_ml is not None
    volume, diameter = ("118565006", "mL", rounded_ml(region.volume_ml)), rounded_mm(region.longest_diameter_mm)
    size = [("103339001", "mm", diameter), ("112031", "[hnsf'U]", rounded_hu(region.mean_hu))]
    if region.volume_ml < SPECK_ML:
        return [volume, *size]
    difference_ml = rounded_ml(rounded_ml(region.abc2_ml) - rounded_ml(region.volume_ml))
    estimate = [("ABC2", "mL", rounded_ml(region.abc2_ml)), ("ABC2DIFF", "mL", difference_ml)]
    return [volume, *estimate, *size, ("112031", "[hnsf'U]", rounded_hu(region.max_hu))]


def regions_of(finding: MaskFinding) -> list[Region]:
    assert finding.total is not None
    return [finding.total, *finding.lesions]


def test_dcmqi_reads_every_number_of_the_measurements(
    case: Case, results: dict[str, list[Path]], tmp_path: Path
) -> None:
    groups = numbers_in(results["sr"][0], tmp_path)
    regions = [region for finding in case.masks for region in regions_of(finding)]
    assert len(case.masks[0].lesions) == 2
    for (_, read), region in zip(groups, regions, strict=True):
        assert [row[:2] for row in read] == [row[:2] for row in measured(region)]
        assert [row[2] for row in read] == pytest.approx([row[2] for row in measured(region)], abs=0.00051)


def test_dcmqi_reads_every_number_of_the_scores(case: Case, results: dict[str, list[Path]], tmp_path: Path) -> None:
    ((name, read),) = numbers_in(results["scores"][0], tmp_path)
    assert name == "Poor outcome (mRS 4 to 6) at 90 days"
    probability = [("122157", "1", 0.42), ("CI95LOW", "1", 0.31), ("CI95HIGH", "1", 0.55), ("122411", "1", 0.5)]
    assert read == [*probability, ("ICH_SCORE", "{score}", 2.0)]
