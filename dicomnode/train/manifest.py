"""The manifest: one CSV row per exam, what there is of it, and in which split it stands.

Columns (only ``id`` and ``patient`` must be there, and what a learner needs; paths are relative to the manifest's
folder)::

    id         unique
    patient    exams of one patient never stand in two splits
    image      folder with one DICOM series, text file that lists its files, NIfTI file, or .npz made by the cohort
    masks      hemorrhage=masks/1.nii.gz; edema=masks/1.nii.gz#3   (#3+4: voxels of value 3 or 4; else all above 0)
    variables  age=72; gcs=13                                      (absent = not known)
    text       path of a UTF-8 file with the report
    labels     deterioration=1; mrs=4                              (0 to 1 unless the learner declares a range)
    targets    followup=ct/1-followup                              (images to be predicted, named like ``image``)
    split      train, validation, calibration, test or unlabelled; empty in every row = to be drawn by patient
    site       free
    groups     scanner=GE; sex=F                                   (free: subgroups for which figures are given, too)
    synthetic  yes or no; every figure made from a synthetic row says so
"""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from dicomnode.errors import ManifestError

COLUMNS = (
    "id",
    "patient",
    "image",
    "masks",
    "variables",
    "text",
    "labels",
    "targets",
    "split",
    "site",
    "groups",
    "synthetic",
)
REQUIRED = ("id", "patient")
LABEL_RANGE = (0.0, 1.0)


class Split(StrEnum):
    """What an exam is used for.

    ``CALIBRATION`` says how the scores of finished weights become probabilities: neither the weights nor the choice
    between them have seen it.
    """

    TRAIN = "train"
    VALIDATION = "validation"
    CALIBRATION = "calibration"
    TEST = "test"
    UNLABELLED = "unlabelled"


@dataclass(frozen=True, slots=True)
class MaskFile:
    """Where a mask is.

    Attributes
    ----------
    values : voxels with one of these values belong to it; empty: all above 0.
    """

    path: Path
    values: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One exam of a manifest.

    Attributes
    ----------
    image : None where the manifest names none.
    masks : name of the finding -> where its mask is.
    variables, labels : name -> number; what is not known is absent.
    targets : name -> image that a model is to predict.
    groups : name -> word, such as a scanner's maker; figures are given for exams of the same word, too.
    split : None where the manifest leaves it to be drawn.
    """

    id: str
    patient: str
    image: Path | None = None
    masks: Mapping[str, MaskFile] = field(default_factory=dict)
    variables: Mapping[str, float] = field(default_factory=dict)
    text: Path | None = None
    labels: Mapping[str, float] = field(default_factory=dict)
    targets: Mapping[str, Path] = field(default_factory=dict)
    split: Split | None = None
    site: str = ""
    groups: Mapping[str, str] = field(default_factory=dict)
    synthetic: bool = False


@dataclass(frozen=True, slots=True)
class Manifest:
    """All exams of one file, checked."""

    path: Path
    cases: tuple[Case, ...]

    @property
    def synthetic(self) -> bool:
        """Does any figure made from it have to say "synthetic"?"""
        return any(case.synthetic for case in self.cases)

    def of(self, split: Split) -> tuple[Case, ...]:
        """The exams of one split, in the order of the file."""
        return tuple(case for case in self.cases if case.split is split)


def read_manifest(path: Path, label_ranges: Mapping[str, tuple[float, float]] | None = None) -> Manifest:
    """Read and check a manifest.

    Parameters
    ----------
    label_ranges : label -> (least, largest) value, such as ``{"mrs": (0, 6)}``; any other label lies in 0 to 1.

    Raises
    ------
    ManifestError : with every fault found: missing column or file, duplicate id, patient in two splits, unknown split,
        number that cannot be read, label outside its range, rows with and rows without a split.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream)
            header = [name.strip() for name in reader.fieldnames or ()]
            reader.fieldnames = header
            faults = _faults_of_header(header)
            if faults:
                raise ManifestError([f"{path.name}: {fault}" for fault in faults])
            lines = [_Line(reader.line_num, row, path.parent, label_ranges or {}) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ManifestError([f"{path}: cannot be read: {error}"]) from error
    cases = tuple(line.case() for line in lines)
    faults = [fault for line in lines for fault in line.faults]
    if not lines:
        faults.append("no exam in it")
    numbered = [(line.number, case) for line, case in zip(lines, cases, strict=True)]
    faults += _duplicates(numbered) + _split_patients(numbered) + _half_split(numbered)
    if faults:
        raise ManifestError([f"{path.name}: {fault}" for fault in faults])
    return Manifest(path, cases)


class _Line:
    """Reads one row and collects its faults."""

    def __init__(
        self, number: int, row: Mapping[str | None, object], folder: Path, ranges: Mapping[str, tuple[float, float]]
    ) -> None:
        self.number, self.folder, self.ranges = number, folder, ranges
        self.faults: list[str] = []
        if None in row:
            self.fault("", "more fields than the header has")
        self.row = {str(name): str(value or "").strip() for name, value in row.items() if name is not None}

    def fault(self, column: str, says: str) -> None:
        self.faults.append(f"line {self.number}{f', {column}' if column else ''}: {says}")

    def case(self) -> Case:
        for name in REQUIRED:
            if not self.row.get(name):
                self.fault(name, "is empty")
        image, text = self.row.get("image", ""), self.row.get("text", "")
        return Case(
            id=self.row.get("id", ""),
            patient=self.row.get("patient", ""),
            image=self._file("image", image) if image else None,
            masks={name: self._mask(value) for name, value in self._pairs("masks").items()},
            variables=self._numbers("variables"),
            text=self._file("text", text) if text else None,
            labels=self._labels(),
            targets={name: self._file("targets", value) for name, value in self._pairs("targets").items()},
            split=self._split(),
            site=self.row.get("site", ""),
            groups=self._pairs("groups"),
            synthetic=self._synthetic(),
        )

    def _file(self, column: str, value: str) -> Path:
        path = self.folder / value
        if value and not path.exists():
            self.fault(column, f"there is no {value}")
        elif value and path.is_dir() and not any(path.iterdir()):
            self.fault(column, f"{value} is an empty folder")
        return path

    def _mask(self, value: str) -> MaskFile:
        name, mark, after = value.partition("#")
        numbers = after.split("+") if mark else []
        wrong = [number for number in numbers if not number.isdecimal()]
        for number in wrong:
            self.fault("masks", f"{number!r} after # is no whole number")
        return MaskFile(self._file("masks", name), () if wrong else tuple(int(number) for number in numbers))

    def _pairs(self, column: str) -> dict[str, str]:
        result: dict[str, str] = {}
        for part in filter(None, (part.strip() for part in self.row.get(column, "").split(";"))):
            name, mark, value = (piece.strip() for piece in part.partition("="))
            if not mark or not name or not value:
                self.fault(column, f"{part!r} is not name=value")
            elif name in result:
                self.fault(column, f"{name} stands there twice")
            else:
                result[name] = value
        return result

    def _numbers(self, column: str) -> dict[str, float]:
        result = {}
        for name, value in self._pairs(column).items():
            try:
                number = float(value)
            except ValueError:
                number = math.nan
            if math.isfinite(number):
                result[name] = number
            else:
                self.fault(column, f"{name}: {value!r} is no number")
        return result

    def _labels(self) -> dict[str, float]:
        labels = self._numbers("labels")
        for name, value in labels.items():
            low, high = self.ranges.get(name, LABEL_RANGE)
            if not low <= value <= high:
                self.fault("labels", f"{name}: {value:g} lies outside {low:g} to {high:g}")
        return labels

    def _split(self) -> Split | None:
        value = self.row.get("split", "")
        if not value:
            return None
        try:
            return Split(value)
        except ValueError:
            self.fault("split", f"{value!r} is none of {', '.join(Split)}")
            return None

    def _synthetic(self) -> bool:
        value = self.row.get("synthetic", "").lower()
        if value not in ("", "yes", "no"):
            self.fault("synthetic", f"{value!r} is neither yes nor no")
        return value == "yes"


def _faults_of_header(header: Sequence[str]) -> list[str]:
    missing = [f"column {name} is missing" for name in REQUIRED if name not in header]
    unknown = [f"column {name!r} is unknown; known: {', '.join(COLUMNS)}" for name in header if name not in COLUMNS]
    twice = [f"column {name} stands there twice" for name in COLUMNS if header.count(name) > 1]
    return missing + unknown + twice


def _duplicates(numbered: Sequence[tuple[int, Case]]) -> list[str]:
    first: dict[str, int] = {}
    faults = []
    for number, case in numbered:
        if case.id and first.setdefault(case.id, number) != number:
            faults.append(f"line {number}, id: {case.id} stands already in line {first[case.id]}")
    return faults


def _split_patients(numbered: Sequence[tuple[int, Case]]) -> list[str]:
    splits: dict[str, set[Split]] = {}
    for _, case in numbered:
        if case.patient and case.split is not None:
            splits.setdefault(case.patient, set()).add(case.split)
    return [
        f"patient {patient} stands in {len(found)} splits: {', '.join(sorted(found))}"
        for patient, found in splits.items()
        if len(found) > 1
    ]


def _half_split(numbered: Sequence[tuple[int, Case]]) -> list[str]:
    without = [number for number, case in numbered if case.split is None]
    if not without or len(without) == len(numbered):
        return []
    return [f"{len(without)} of {len(numbered)} rows have no split (first: line {without[0]}); give all or none"]


def write_manifest(path: Path, cases: Iterable[Case]) -> Path:
    """Write a manifest, whole or not at all; paths become relative to its folder. Returns ``path``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # seeds that are trained beside each other write, and read, the same manifest
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    with part.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, COLUMNS)
        writer.writeheader()
        writer.writerows(_row(case, path.parent) for case in cases)
    return part.replace(path)


def _row(case: Case, folder: Path) -> dict[str, str]:
    return {
        "id": case.id,
        "patient": case.patient,
        "image": _relative(case.image, folder) if case.image else "",
        "masks": "; ".join(f"{name}={_mask_text(mask, folder)}" for name, mask in case.masks.items()),
        "variables": "; ".join(f"{name}={value!r}" for name, value in case.variables.items()),
        "text": _relative(case.text, folder) if case.text else "",
        "labels": "; ".join(f"{name}={value:g}" for name, value in case.labels.items()),
        "targets": "; ".join(f"{name}={_relative(target, folder)}" for name, target in case.targets.items()),
        "split": case.split.value if case.split else "",
        "site": case.site,
        "groups": "; ".join(f"{name}={word}" for name, word in case.groups.items()),
        "synthetic": "yes" if case.synthetic else "no",
    }


def _mask_text(mask: MaskFile, folder: Path) -> str:
    return _relative(mask.path, folder) + ("#" if mask.values else "") + "+".join(str(value) for value in mask.values)


def _relative(path: Path, folder: Path) -> str:
    return Path(os.path.relpath(path, folder)).as_posix()
