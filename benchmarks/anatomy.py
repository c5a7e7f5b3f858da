"""How well the anatomical frame does on unseen synthetic heads: region, ventricles, midline, Evans index, seconds.

``python benchmarks/anatomy.py --heads 84 --templates FOLDER`` paints heads of the cohort's second edition (every third
warped from a CT template where one is given), scans them as the cohort's sites do, and compares with what was painted.
Lesions are the painted masks: this judges the frame, not the segmentation.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from dicomnode.cohort.canvas import Tissue
from dicomnode.cohort.edition import BENT
from dicomnode.cohort.lesions import Lesions, draw_lesions
from dicomnode.cohort.midline import shift_from_ideal_mm
from dicomnode.cohort.patients import Site
from dicomnode.cohort.scanner import Scan, draw_protocol, scan_scene
from dicomnode.cohort.scene import Anatomy, Finding, Scene, make_anatomy, make_scene
from dicomnode.cohort.template import make_template_anatomy
from dicomnode.encode.wording import LEAST_SHIFT_MM
from dicomnode.measure.anatomy.location import part_at
from dicomnode.measure.lesions import measure
from dicomnode.measure.place import Places
from dicomnode.records import BrainPart, Region
from dicomnode.train.anatomy.shifted import moved_septum_mm
from tests.unit.zoo.volumes import volume_from

FIRST_SEED = 9_000_000
SITES = (Site.A, Site.B, Site.A, Site.C)
LIMIT_ML, LEAST_ML = 0.8, 1.0
STRAIGHT_MM, DARK_ML = 0.5, 15.0
DEEP = frozenset({BrainPart.BASAL_GANGLIA, BrainPart.THALAMUS})
BELOW = frozenset({BrainPart.CEREBELLUM, BrainPart.BRAINSTEM})


@dataclass(frozen=True, kw_only=True)
class Judged:
    """One head: what was painted, and what the frame says; NaN where it says nothing."""

    warped: bool
    painted: BrainPart | None
    parts: tuple[BrainPart, ...]
    ventricles_ml: tuple[float, float]
    shift_mm: tuple[float, float]
    evans: tuple[float, float]
    dark_percent: float
    dark_ml: float
    seconds: float


def judged(number: int, templates: Path | None) -> Judged:
    """Paint, scan and measure the head of a number."""
    seed, warped = FIRST_SEED + number, is_warped(number, templates)
    rng = np.random.default_rng(seed)
    arm = "trauma" if number % 6 == 5 else "normal" if number % 12 == 4 else "ich"
    lesions = draw_lesions(arm, int(rng.integers(35, 90)), float(rng.uniform(-0.5, 2.0)), seed)
    base, scene = painted(seed, lesions, templates if warped else None)
    scan = scanned(scene, number, seed)
    volume = volume_from(scan.series)
    started = time.perf_counter()
    places = Places(volume)
    head = places.head
    seconds = time.perf_counter() - started
    blood = (scan.findings > Finding.NONE) & (scan.findings <= Finding.EPIDURAL)
    _, found, labels = measure(blood, volume, LIMIT_ML, places)
    bleed = _leading(found, labels, scan.findings == Finding.INTRAPARENCHYMAL)
    has_bleed = bleed is not None and lesions.iph_ml >= LEAST_ML
    inner_ml = sum((one.ventricular_share or 0.0) * one.volume_ml for one in found)
    return Judged(
        warped=warped,
        painted=part_at(np.array(lesions.place_mm)) if has_bleed else None,
        parts=bleed.parts if bleed is not None and has_bleed else (),
        ventricles_ml=(scan.volume_ml(Finding.INTRAVENTRICULAR), inner_ml),
        shift_mm=(ideal_shift_mm(base, lesions), _number(None if head is None else head.midline_shift_mm)),
        dark_percent=_number(None if head is None else head.hypodense_percent),
        dark_ml=scan.volume_ml(Finding.INFARCT) + scan.volume_ml(Finding.OEDEMA),
        evans=(_painted_evans(base, scene), _number(None if head is None else head.evans_index)),
        seconds=seconds,
    )


def is_warped(number: int, templates: Path | None) -> bool:
    """Of every third head, where there is a template."""
    return templates is not None and number % 3 == 2


def painted(seed: int, lesions: Lesions, templates: Path | None) -> tuple[Anatomy, Scene]:
    """A head without and with its lesions; warped from a template where one is given."""
    make = make_anatomy if templates is None else partial(make_template_anatomy, templates)
    base = make(seed, lesions, spacing_mm=1.8, edition=BENT)
    return base, make_scene(base, lesions, BENT)


def ideal_shift_mm(base: Anatomy, lesions: Lesions) -> float:
    """How far the septum lies to the left of the ideal midline, as readers measure it."""
    return shift_from_ideal_mm(base, moved_septum_mm(base, lesions, BENT))


def scanned(scene: Scene, number: int, seed: int) -> Scan:
    """As one of the cohort's sites does."""
    return scan_scene(scene, *draw_protocol(SITES[number % len(SITES)], seed, "baseline", 256), seed)


def _leading(found: tuple[Region, ...], labels: np.ndarray, wanted: np.ndarray) -> Region | None:
    """The lesion that has most of the parenchymal blood."""
    shares = [int((wanted & (labels == number + 1)).sum()) for number in range(len(found))]
    return found[int(np.argmax(shares))] if shares and max(shares) else None


def _number(value: float | None) -> float:
    return float("nan") if value is None else value


def _painted_evans(base: Anatomy, scene: Scene) -> float:
    """Evans index of the painted ventricles: widest frontal horns over the inner width of the skull at that height."""
    canvas, inside = base.canvas, base.distance < 0
    horns = (scene.head.labels == Tissue.VENTRICLE) & (canvas.y < -8.0) & (canvas.y > -45.0)
    horns &= (canvas.z > 0.0) & (canvas.z < 34.0)
    columns = np.arange(horns.shape[2])
    ends = np.where(horns, columns, -1).max(axis=2) - np.where(horns, columns, 9999).min(axis=2) + 1
    widest = np.where(horns.any(axis=2), ends, 0)
    height = int(np.argmax(widest.max(axis=1)))
    return float(widest[height].max() / max(inside[height].sum(axis=1).max(), 1))


def group_of(part: BrainPart) -> str:
    """Lobar, deep or infratentorial."""
    return "deep" if part in DEEP else "infratentorial" if part in BELOW else "lobar"


def table_of(cases: list[Judged]) -> Table:
    """Each figure with how many heads it rests on."""
    table = Table(title=f"Anatomical frame on {len(cases)} unseen synthetic heads")
    for name in ("measure", "heads", "figure"):
        table.add_column(name)
    for row in (
        *_region_rows(cases),
        *_ventricle_rows(cases),
        *_midline_rows(cases),
        *_evans_rows(cases),
        *_dark_rows(cases),
    ):
        table.add_row(*row)
    seconds = [case.seconds for case in cases]
    table.add_row("seconds a head, median and worst", str(len(cases)), f"{np.median(seconds):.2f}, {max(seconds):.2f}")
    return table


Row = tuple[str, str, str]


def _region_rows(cases: list[Judged]) -> list[Row]:
    bleeds = [(case.painted, case.parts) for case in cases if case.painted is not None]
    count, found = str(len(bleeds)), [(painted, parts) for painted, parts in bleeds if parts]
    exact = sum(painted is parts[0] for painted, parts in found)
    group = sum(group_of(painted) == group_of(parts[0]) for painted, parts in found)
    below = sum((painted in BELOW) == (parts[0] in BELOW) for painted, parts in found)
    among = sum(painted in parts for painted, parts in found)
    sure = sum(len(parts) == 1 for _, parts in found)
    names = ("region exact", "region group", "infratentorial or not", "region among those named", "one region named")
    figures = (exact, group, below, among, sure)
    return [
        (name, count, f"{100 * right / max(len(bleeds), 1):.1f} %") for name, right in zip(names, figures, strict=True)
    ]


def _ventricle_rows(cases: list[Judged]) -> list[Row]:
    with_blood = [case.ventricles_ml for case in cases if case.ventricles_ml[0] >= 1.0]
    without = [case.ventricles_ml for case in cases if case.ventricles_ml[0] < 0.1]
    said_yes = sum(found >= 2.0 for _, found in with_blood)
    said_no = sum(found < 0.05 for _, found in with_blood)
    false_yes, true_no = sum(found >= 2.0 for _, found in without), sum(found < 0.05 for _, found in without)
    return [
        ("ventricles with >= 1 mL: yes / open / no", str(len(with_blood)), _three(said_yes, said_no, len(with_blood))),
        ("ventricles without: yes / open / no", str(len(without)), _three(false_yes, true_no, len(without))),
    ]


def _three(yes: int, no: int, count: int) -> str:
    return f"{yes} / {count - yes - no} / {no}"


def _midline_rows(cases: list[Judged]) -> list[Row]:
    pairs = np.array([case.shift_mm for case in cases])
    error = np.abs(pairs[:, 0] - pairs[:, 1])
    large, seen = np.abs(pairs[:, 0]) >= 3.0, np.isfinite(error)
    within = float((error[large & seen] <= 1.5).sum())
    straight = np.abs(pairs[:, 0]) < STRAIGHT_MM
    false = straight & seen & (np.abs(np.round(pairs[:, 1])) >= LEAST_SHIFT_MM)
    return [
        ("midline shift measured", str(len(cases)), f"{seen.sum()}"),
        (
            "  error in mm: median, 90 %",
            f"{seen.sum()}",
            "{:.1f}, {:.1f}".format(*np.quantile(error[seen], [0.5, 0.9])),
        ),
        ("  within 1.5 mm where it is >= 3 mm", f"{large.sum()}", f"{within:.0f}"),
        ("  not measured where it is >= 3 mm", f"{large.sum()}", f"{(large & ~seen).sum()}"),
        ("  told as 2 mm or more where it is < 0.5 mm", f"{straight.sum()}", f"{false.sum()}"),
    ]


def _evans_rows(cases: list[Judged]) -> list[Row]:
    pairs = np.array([case.evans for case in cases if not case.warped and case.evans[0] > 0.0])
    error = np.abs(pairs[:, 0] - pairs[:, 1])
    error = error[np.isfinite(error)]
    quantiles = "{:.3f}, {:.3f}".format(*np.quantile(error, [0.5, 0.9]))
    share = f"{100 * (error <= 0.02).mean():.0f} %"
    return [
        ("Evans index, painted heads: error median, 90 %", str(len(error)), quantiles),
        ("  within 0.02", str(len(error)), share),
    ]


def _dark_rows(cases: list[Judged]) -> list[Row]:
    """The hypodense share of painted heads without and with dark brain, and of warped ones: theirs is dark."""
    kinds = {
        "painted heads, none dark": [case for case in cases if _is_healthy(case) and not case.warped],
        f"painted heads, {DARK_ML:g} mL and more dark": [case for case in cases if _is_dark(case) and not case.warped],
        "warped heads": [case for case in cases if case.warped],
    }
    rows = []
    for name, among in kinds.items():
        told = np.array([case.dark_percent for case in among])
        told = told[np.isfinite(told)]
        figure = "{:.1f} %, {:.1f} %".format(*np.quantile(told, [0.5, 0.9])) if told.size else "-"
        rows.append((f"hypodense share, {name}: median, 90 %", str(len(told)), figure))
    return rows


def _is_healthy(case: Judged) -> bool:
    return case.dark_ml < 1.0


def _is_dark(case: Judged) -> bool:
    return case.dark_ml >= DARK_ML


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--heads", type=int, default=84)
    parser.add_argument("--templates", type=Path, help="folder with a CT template; without it all heads are painted")
    options = parser.parse_args()
    cases = [judged(number, options.templates) for number in track(range(options.heads), "heads")]
    Console().print(table_of(cases))


if __name__ == "__main__":
    main()
