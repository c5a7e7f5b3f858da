"""What the shipped model finds in a folder with one series, as the case that its results are encoded from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from dicomnode.app.process import process_folder
from dicomnode.config.destinations import Destination
from dicomnode.config.sections import Execution
from dicomnode.config.whole import built_in_config
from dicomnode.images.volume import read_series
from dicomnode.kinds import Kind
from dicomnode.language import Language
from dicomnode.records import Case, ImageFinding, Inputs, PatientContext
from dicomnode.zoo.registry import Registry
from dicomnode.zoo.runner import Runner
from tests.unit.encode.cases import score_of

PATIENCE_S = 900.0
"""A busy machine loads slowly."""
EVERY_KIND = (Kind.PROBABILITY, Kind.SEG_SC, Kind.KOS)
"""What is encoded beside what always is."""


def case_of_run(ct: Path, scratch: Path, language: Language = Language.BRITISH) -> Case:
    """A run of the shipped model on the series in ``ct``, with the probability of every voxel."""
    viewer = Destination(name="viewer", ae_title="VIEWER", host="127.0.0.1", port=104, results=(Kind.PROBABILITY,))
    (protocol,) = (one.model_copy(update={"destinations": ("viewer",)}) for one in built_in_config().protocol)
    patient = Execution(start_timeout_s=PATIENCE_S, run_timeout_s=PATIENCE_S)
    config = built_in_config().model_copy(
        update={"destination": (viewer,), "protocol": (protocol,), "execution": patient}
    )
    done = process_folder(ct, scratch, config, protocol, lambda line: None)
    series = read_series(sorted(path for path in ct.iterdir() if path.suffix == ".dcm"))
    return Case(
        sources=series.sources,
        identity=series.sources[0],
        volume=series.volume,
        findings=done.findings,
        input_digests=series.input_digests,
        protocol="head-ct",
        settings_digest="",
        generation=1,
        language=language,
    )


def with_every_finding(case: Case) -> Case:
    """The case with a generated score, and the scan that the shipped model predicts."""
    return replace(case, findings=(*case.findings, score_of(), followed_up(case)))


def followed_up(case: Case) -> ImageFinding:
    """The scan to come, of a head of which nothing else is known."""
    found = Runner(Registry().get("followup")).run(Inputs(volume=case.volume, context=PatientContext()))
    return next(one for one in found if isinstance(one, ImageFinding))
