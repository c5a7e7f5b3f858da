"""What a model gives, corrected on exams that neither the weights nor the choice between them have seen.

In a cross-validation those of each fold are corrected by what the other folds say, so that no exam corrects itself.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from dicomnode.errors import TrainingError
from dicomnode.train.outputs.output import Calibration, Output
from dicomnode.train.results import Results, joined

CALIBRATION = "calibration.json"
Corrections = Mapping[str, Calibration]
"""Output -> by what it is corrected; an output that needs no correction is absent."""


def fitted(apart: Results, outputs: Sequence[Output]) -> Corrections:
    """How each output is to be corrected, by exams set apart for it."""
    found = {output.name: output.calibration(apart) for output in outputs}
    return {name: correction for name, correction in found.items() if correction is not None}


def told(results: Results, outputs: Sequence[Output], corrections: Corrections) -> Results:
    """The results with a further column for each output that is corrected."""
    for output in outputs:
        if output.name in corrections:
            results = output.calibrated(results, corrections[output.name])
    return results


def told_out_of_fold(folds: Sequence[Results], outputs: Sequence[Output]) -> list[Results]:
    """The results of each fold, corrected by those of all the others."""
    return [
        told(results, outputs, fitted(joined([other for other in folds if other is not results]), outputs))
        for results in folds
    ]


def write_calibration(path: Path, corrections: Corrections) -> None:
    """Write them as JSON."""
    path.write_text(json.dumps({name: dict(item) for name, item in corrections.items()}, indent=1) + "\n")


def read_calibration(path: Path, outputs: Sequence[Output]) -> Corrections:
    """Read what :func:`write_calibration` wrote.

    Raises
    ------
    TrainingError : the file is absent, damaged, or corrects what is not among the outputs.
    """
    try:
        read = json.loads(path.read_text(encoding="utf-8"))
        corrections = {name: {key: float(value) for key, value in numbers.items()} for name, numbers in read.items()}
    except (OSError, ValueError, AttributeError) as error:
        raise TrainingError(f"{path} is no calibration: {error}") from error
    unknown = corrections.keys() - {output.name for output in outputs}
    if unknown:
        raise TrainingError(f"{path} corrects {', '.join(sorted(unknown))}, which the model does not give")
    return corrections
