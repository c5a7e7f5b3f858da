"""What a network that has learned on real patients sees of the cohort's blood.

    python -m benchmarks.critic --weights FOLDER --arm ich --patients 40 --keep seen.jsonl
    python -m benchmarks.critic --weights FOLDER --arm trauma --only edh_ml --patients 10 --cohort-version 1
    python -m benchmarks.critic --weights FOLDER --arm normal --patients 6 --whole --real HEAD
    python -m benchmarks.critic --weights FOLDER --patients 0 --keep seen.jsonl       (the table alone)

``FOLDER`` holds the published weights of blast-ct (``*.pt``), a network that segments intraparenchymal,
intraventricular and extra-axial blood and the oedema around it; users get them from its authors. Where it does not see
painted blood, painted blood is not like real blood. Of every baseline scan each lesion of at least 0.5 mL is judged:
the share of its voxels that are marked as blood of any kind (oedema: as oedema), the share that are marked as the right
kind, and the Dice of that kind within 5 mm of it.

``--whole`` judges all of the skull's contents instead, and prints what is marked where nothing is painted; ``--real``
does so with CT series without blood. One line of JSON a kind, and a table of all that the kept file holds.

As its own tool does, scans are resampled to 1 mm without smoothing, and painted masks with them.
"""

from __future__ import annotations

import argparse
import itertools
import json
import multiprocessing
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from statistics import median

import numpy as np
import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.seen import LEAST_ML, Seen, false_marks, seen_in
from dicomnode.cohort.edition import Version
from dicomnode.cohort.findings import Finding
from dicomnode.cohort.lesions import Lesions
from dicomnode.cohort.patient_files import SCANS, PatientOrder, scan_patient
from dicomnode.cohort.patients import Arm, Site
from dicomnode.cohort.scanner import Scan
from dicomnode.cohort.streams import derived_seed
from dicomnode.images.volume import read_volume
from dicomnode.zoo.networks.deepmedic import DeepMedic
from dicomnode.zoo.networks.published import read_deepmedic
from tests.unit.zoo.volumes import volume_from


@dataclass(frozen=True, slots=True)
class Order:
    """One patient to make and judge."""

    name: str
    patient: PatientOrder
    weights: tuple[Path, ...]
    whole: bool


def baseline(order: PatientOrder) -> Scan:
    """The first scan of a patient, as the cohort makes it."""
    patient = order.recipe.draw_patient(order.seed, order.arm, order.site)
    later = order.recipe.follow_up(patient, order.recipe.draw_outcomes(patient))
    _, scans = scan_patient(order, patient, later)
    return scans[0]


def read_members(weights: Sequence[Path]) -> list[DeepMedic]:
    """The networks of some files."""
    return [read_deepmedic(file) for file in weights]


def judged(order: Order) -> list[Seen]:
    """Make and judge one patient."""
    networks = read_members(order.weights)
    scan = baseline(order.patient)
    volume = volume_from(scan.series)
    if order.whole:
        return [false_marks(networks, volume, scan.findings, order.name)]
    # a patient without lesions is done too
    return list(seen_in(networks, volume, scan.findings, order.name)) or [_nothing(order.name)]


def _nothing(patient: str) -> Seen:
    return Seen(patient=patient, kind="", painted_ml=0.0, mean_hu=0.0)


class Kept:
    """What was seen before, one lesion a line."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        lines = path.read_text(encoding="utf-8").splitlines() if path is not None and path.exists() else []
        self.seen = [Seen(**json.loads(line)) for line in lines]

    def of(self, patient: str) -> list[Seen]:
        """What was seen in one patient; empty where it was not judged yet."""
        return [one for one in self.seen if one.patient == patient]

    def add(self, seen: Sequence[Seen]) -> None:
        """Keep some more, all of a patient at once."""
        self.seen += seen
        if self.path is not None:
            with self.path.open("a", encoding="utf-8") as file:
                file.write("".join(json.dumps(asdict(one)) + "\n" for one in seen))


def run(orders: Sequence[Order], processes: int) -> Iterator[list[Seen]]:
    """Patients as they come, whatever their order."""
    if processes == 1:
        yield from map(judged, orders)
        return
    threads = max(1, (os.cpu_count() or 1) // processes)
    with multiprocessing.get_context("spawn").Pool(processes, torch.set_num_threads, (threads,)) as pool:
        yield from pool.imap_unordered(judged, orders)


def groups(seen: Iterable[Seen]) -> dict[str, list[Seen]]:
    """By kind; parenchymal bleeds by volume too."""
    result: dict[str, list[Seen]] = {}
    for one in seen:
        names = [one.kind]
        if one.kind == Finding.INTRAPARENCHYMAL.name.lower():
            size = "below 2" if one.painted_ml < 2 else "2 to 10" if one.painted_ml < 10 else "above 10"
            names.append(f"{one.kind} {size} mL")
        for name in names:
            result.setdefault(name, []).append(one)
    return {name: result[name] for name in sorted(result) if name}


def row(kind: str, seen: Sequence[Seen]) -> dict[str, float | str]:
    """Figures of one kind."""
    if kind == "none":
        return {
            "kind": "nothing painted",
            "cases": len(seen),
            "marked as blood, mL": round(median(one.marked_ml for one in seen), 2),
            "most, mL": max(one.marked_ml for one in seen),
            "as oedema, mL": round(median(one.oedema_ml for one in seen), 2),
        }
    shares = [one.blood for one in seen]
    total = sum(one.painted_ml for one in seen)
    return {
        "kind": kind,
        "cases": len(seen),
        "painted, mL": round(total, 1),
        "HU": round(median(one.mean_hu for one in seen), 1),
        "recall": round(sum(one.blood * one.painted_ml for one in seen) / total, 3),
        "median recall": round(median(shares), 3),
        "touched": round(float(np.mean([share > 0.1 for share in shares])), 3),
        "right kind": round(sum(one.right * one.painted_ml for one in seen) / total, 3),
        "median Dice": round(median(one.dice for one in seen), 3),
    }


def show(rows: Sequence[dict[str, float | str]], title: str) -> None:
    """One table, and one line of JSON a kind."""
    table = Table(title=title)
    for name in rows[0]:
        table.add_column(name, justify="left" if name == "kind" else "right", no_wrap=True)
    for one in rows:
        table.add_row(*(str(value) for value in one.values()))
        print(json.dumps(one))
    Console(width=140).print(table)


def members_in(folder: Path) -> tuple[Path, ...]:
    """The files of weights in a folder."""
    return tuple(sorted(file for file in folder.iterdir() if file.suffix in (".pt", ".torch_model")))


def orders_of(given: argparse.Namespace, weights: tuple[Path, ...]) -> list[Order]:
    """What to do, by the command line: patients are those that ``dicomnode cohort make`` makes with that seed."""
    what = " whole" if given.whole else ""
    orders: list[Order] = []
    for index in itertools.count(1):
        if len(orders) == given.patients:
            break
        patient = PatientOrder(
            out=Path(),
            index=index,
            seed=derived_seed(given.seed, "patient", index),
            arm=Arm(given.arm),
            site=Site(given.site),
            version=Version(given.cohort_version),
            scans=SCANS[:1],
        )
        drawn = patient.recipe.draw_patient(patient.seed, patient.arm, patient.site)
        if given.only is None or getattr(drawn.lesions, given.only) >= LEAST_ML:
            name = f"{given.cohort_version} {given.arm} {given.site} {given.seed} {index} by {len(weights)}{what}"
            orders.append(Order(name, patient, weights, given.whole))
    return orders


def read_real(folders: Sequence[Path], weights: Sequence[Path], kept: Kept) -> None:
    """False marks in real heads without blood."""
    networks = read_members(weights) if folders else []
    for folder in folders:
        name = f"{folder.name} by {len(weights)} whole"
        if not kept.of(name):
            volume = read_volume(sorted(path for path in folder.iterdir() if path.suffix == ".dcm"))
            kept.add([false_marks(networks, volume, np.zeros(volume.hu.shape, np.uint8), name)])


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, required=True, help="folder with the published weights")
    parser.add_argument("--members", type=int, default=1, help="networks to average")
    parser.add_argument("--arm", default="ich", choices=[arm.value for arm in Arm])
    parser.add_argument("--site", default="A", choices=[site.value for site in Site])
    parser.add_argument("--patients", type=int, default=20)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--cohort-version", default=Version.TWO.value, choices=[version.value for version in Version])
    volumes = [field.name for field in fields(Lesions) if field.name.endswith("_ml")]
    parser.add_argument("--only", choices=volumes, help="patients who have some of it")
    parser.add_argument("--whole", action="store_true", help="what is marked where nothing is painted, in whole heads")
    parser.add_argument("--real", type=Path, nargs="*", default=[], help="CT series without blood")
    parser.add_argument("--keep", type=Path, help="file of what was seen; a run that was stopped goes on")
    parser.add_argument("--processes", type=int, default=1)
    given = parser.parse_args()
    weights = members_in(given.weights)[: given.members]
    orders, kept = orders_of(given, weights), Kept(given.keep)
    waiting = [order for order in orders if not kept.of(order.name)]
    for seen in track(run(waiting, given.processes), "patients", total=len(waiting)):
        kept.add(seen)
    read_real(given.real, weights, kept)
    rows = [row(kind, seen) for kind, seen in groups(kept.seen).items()]
    for title, part in (
        ("Lesions", [one for one in rows if "recall" in one]),
        ("Where nothing is painted", [one for one in rows if "recall" not in one]),
    ):
        if part:
            show(part, title)


if __name__ == "__main__":
    main()
