"""What every shipped bundle gets of a finished training: its calibration, and its place in the project."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterable
from pathlib import Path

from dicomnode.train.outputs.output import Calibration


def write_calibration(bundle: Path, told: Calibration) -> None:
    """Slope and intercept into the configuration of a bundle, the threshold into its manifest.

    Raises
    ------
    OSError : a file cannot be read or written.
    """
    inference, metadata = bundle / "configs" / "inference.json", bundle / "configs" / "metadata.json"
    settings = json.loads(inference.read_text(encoding="utf-8"))
    settings |= {"slope": told["slope"], "intercept": told["intercept"]}
    inference.write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
    text = metadata.read_text(encoding="utf-8")
    metadata.write_text(re.sub(r'("threshold": )[\d.]+', rf"\g<1>{told['threshold']:g}", text), encoding="utf-8")


def write_exam_calibration(bundle: Path, told: Calibration) -> None:
    """The correction of an exam's score into a manifest whose masks have one: ``exam_slope`` and so on.

    Raises
    ------
    OSError : the manifest cannot be read or written.
    """
    metadata = bundle / "configs" / "metadata.json"
    text = metadata.read_text(encoding="utf-8")
    for name, value in told.items():
        text = re.sub(rf'("exam_{name}": )[-\d.]+', rf"\g<1>{value:g}", text)
    metadata.write_text(text, encoding="utf-8")


def copy_bundle(bundle: Path, shipped: Path, report: Path, docs: Path, *, kept: Iterable[str]) -> None:
    """Copy a bundle over the shipped one, and what is kept of its report to the documentation.

    Raises
    ------
    OSError : a file is missing or cannot be written.
    """
    for folder in ("configs", "models"):
        shutil.copytree(bundle / folder, shipped / folder, dirs_exist_ok=True)
    docs.mkdir(parents=True, exist_ok=True)
    for name in kept:
        shutil.copyfile(report / name, docs / name)
