"""``dicomnode zoo selftest``: a bundle reads a head that is made anew from a seed, and gives the answer it once gave.

The answer lies in ``selftest.json`` of the bundle, outside its digest: it decides no result. It is compared within
tolerances, since another processor or version of torch rounds otherwise; other weights do not fall within them. The
head goes the whole way of a series: DICOM files, worker process, findings on the source's slices.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from dicomnode.cohort.acquire import Acquisition, acquire
from dicomnode.cohort.dicom_series import write_acquired
from dicomnode.cohort.head import BleedOrder, make_head
from dicomnode.cohort.make import COHORT_VERSION
from dicomnode.cohort.statistics import BleedKind
from dicomnode.dicom import codes
from dicomnode.errors import BundleError, InferenceError, SeriesError
from dicomnode.execute.findings_file import load_findings
from dicomnode.execute.process import Settings, WorkerProcess
from dicomnode.execute.tasks import Failure, RunTask, Source
from dicomnode.images.volume import read_volume
from dicomnode.records import PROBABILITY_SCALE, MaskFinding, Volume
from dicomnode.zoo.registry import RegisteredBundle

ANSWER = Path("selftest.json")
SEED = 20
BLEED_ML, BLEED_HU = 25.0, 66.0
POSITIONS_MM = tuple(float(z) for z in np.arange(26) * 5.5 - 62.0)
TILT_DEG, MATRIX, PIXEL_MM = 12.0, 256, 0.9
PLAUSIBLE = (0.6, 1.4)
"""A model of haemorrhage that marks less or more of the true volume than this has no answer worth keeping."""
LEAST_ML, RELATIVE, CENTRE_MM = 0.03, 0.002, 0.2
"""Tolerances of a volume (whichever is larger), and of the centre of what is marked. The shipped network in bfloat16
stays within 0.005 mL, with TF32's rounding within 0.0002 mL; 5 % more of one of its last biases is 0.09 mL off."""
SAME_HEAD = 1e-3
"""Relative difference of truth and mean HU within which the head counts as the one of the recording."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class HeadFacts(_Frozen):
    """What tells that the head made now is the one of the recording."""

    seed: int
    cohort_version: str
    truth_ml: float
    mean_hu: float


class OutputAnswer(_Frozen):
    """What one output marked: mL in all and per slice, the sum of its probabilities in mL, the centre in mm (LPS)."""

    volume_ml: float
    slices_ml: tuple[float, ...]
    probability_ml: float
    centre_mm: tuple[float, float, float] | None


class Answer(_Frozen):
    """``selftest.json``. ``digest``: of the bundle that gave it."""

    digest: str
    head: HeadFacts
    outputs: dict[str, OutputAnswer]


@dataclass(frozen=True, slots=True)
class KnownHead:
    """The head on disk, and in memory."""

    paths: tuple[Path, ...]
    volume: Volume
    facts: HeadFacts


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a selftest says of a bundle. ``ok``: None where it has no known answer."""

    name: str
    ok: bool | None
    says: str


def make_known_head(folder: Path) -> KnownHead:
    """A tilted head of 26 slices with an intraparenchymal bleed of about 25 mL; a second or two on one core."""
    head = make_head(SEED, bleeds=(BleedOrder(BleedKind.INTRAPARENCHYMAL, BLEED_ML, BLEED_HU),), spacing_mm=1.5)
    acquired = acquire(head, Acquisition(POSITIONS_MM, 5.5, TILT_DEG, MATRIX, PIXEL_MM), seed=SEED)
    paths = tuple(write_acquired(acquired, folder))
    volume = read_volume(paths)
    inside = volume.hu > -500.0
    facts = HeadFacts(
        seed=SEED,
        cohort_version=COHORT_VERSION,
        truth_ml=round(acquired.volume_ml, 4),
        mean_hu=round(float(volume.hu[inside].mean()), 4),
    )
    return KnownHead(paths, volume, facts)


def load_answer(bundle: Path) -> Answer | None:
    """The known answer of a bundle; None where it has none.

    Raises
    ------
    BundleError : the file is damaged.
    """
    file = bundle / ANSWER
    if not file.is_file():
        return None
    try:
        return Answer.model_validate_json(file.read_text(encoding="utf-8"))
    except (OSError, ValidationError) as error:
        raise BundleError(f"{file}: cannot be read: {error}") from error


def ask(worker: WorkerProcess, name: str, head: KnownHead, timeout_s: float) -> dict[str, OutputAnswer]:
    """What a bundle marks in the head.

    Raises
    ------
    InferenceError : it failed.
    SeriesError : it refuses the head.
    """
    with tempfile.TemporaryDirectory(prefix="dicomnode-selftest-") as scratch:
        file = Path(scratch) / "findings.npz"
        task = RunTask(name, Source(head.paths, head.paths[-1]), file, keep_probability=True)
        reply = worker.ask(task, timeout_s=timeout_s, tick=lambda: None)
        if isinstance(reply, Failure):
            raise InferenceError(reply.message)
        found = [finding for finding in load_findings(file) if isinstance(finding, MaskFinding)]
    return {finding.name: _answer_of(finding, head.volume) for finding in found}


def _answer_of(finding: MaskFinding, volume: Volume) -> OutputAnswer:
    slices_ml = finding.mask.sum(axis=(1, 2)) * volume.stack.voxel_ml
    assert finding.probability is not None  # asked for
    probability_ml = finding.probability.sum(axis=(1, 2), dtype=np.float64) * volume.stack.voxel_ml / PROBABILITY_SCALE
    return OutputAnswer(
        volume_ml=round(float(slices_ml.sum()), 4),
        slices_ml=tuple(round(float(value), 4) for value in slices_ml),
        probability_ml=round(float(probability_ml.sum()), 4),
        centre_mm=None if finding.total is None else _rounded(finding.total.centroid_mm),
    )


def _rounded(point: tuple[float, float, float]) -> tuple[float, float, float]:
    x, y, z = (round(float(value), 3) for value in point)
    return x, y, z


def differences(known: OutputAnswer, seen: OutputAnswer) -> list[str]:
    """Where an answer differs from the known one by more than rounding, in plain words; empty where it does not."""
    faults = []
    for what, then, now in (
        ("volume", known.volume_ml, seen.volume_ml),
        ("sum of probabilities", known.probability_ml, seen.probability_ml),
    ):
        if abs(now - then) > max(LEAST_ML, RELATIVE * then):
            faults.append(f"{what} {now:.2f} mL, known is {then:.2f} mL")
    if len(known.slices_ml) != len(seen.slices_ml):
        faults.append(f"{len(seen.slices_ml)} slices, known are {len(known.slices_ml)}")
    else:
        off = np.abs(np.subtract(seen.slices_ml, known.slices_ml))
        if (off > np.maximum(LEAST_ML, RELATIVE * np.array(known.slices_ml))).any():
            faults.append(f"slice {int(off.argmax()) + 1} off by {off.max():.2f} mL")
    if (known.centre_mm is None) != (seen.centre_mm is None):
        faults.append("something marked, known is nothing" if seen.centre_mm else "nothing marked")
    elif known.centre_mm is not None and seen.centre_mm is not None:
        moved = float(np.linalg.norm(np.subtract(seen.centre_mm, known.centre_mm)))
        faults += [f"centre moved by {moved:.1f} mm"] if moved > CENTRE_MM else []
    return faults


def judge(bundle: RegisteredBundle, known: Answer, seen: dict[str, OutputAnswer], head: KnownHead) -> Verdict:
    """Compare an answer with the known one."""
    name = bundle.manifest.name
    if not _same_head(known.head, head.facts):
        says = f"the head made now is not that of the recording (cohort version {known.head.cohort_version}, now "
        return Verdict(name, False, f"{says}{head.facts.cohort_version}); record the answer anew with --record")
    faults = [f"{output}: missing or unknown" for output in known.outputs.keys() ^ seen.keys()]
    for output in known.outputs.keys() & seen.keys():
        faults += [f"{output}: {fault}" for fault in differences(known.outputs[output], seen[output])]
    if faults:
        changed = "the bundle was changed since the answer was recorded"
        why = (
            changed if bundle.digest != known.digest else "the bundle is unchanged, so this machine computes otherwise"
        )
        return Verdict(name, False, f"the answer differs ({'; '.join(sorted(faults))}): {why}")
    marked = ", ".join(f"{output} {answer.volume_ml:.2f} mL" for output, answer in seen.items())
    return Verdict(name, True, f"{marked} of {head.facts.truth_ml:.2f} mL painted, as known")


def _same_head(known: HeadFacts, now: HeadFacts) -> bool:
    pairs = ((known.truth_ml, now.truth_ml), (known.mean_hu, now.mean_hu))
    return known.seed == now.seed and all(abs(a - b) <= SAME_HEAD * abs(a) for a, b in pairs)


def try_bundle(worker: WorkerProcess, bundle: RegisteredBundle, head: KnownHead, timeout_s: float) -> Verdict:
    """Run the selftest of one bundle in a worker that has it loaded."""
    name = bundle.manifest.name
    try:
        known = load_answer(bundle.manifest.path)
        if known is None:
            return Verdict(name, None, "has no known answer; 'dicomnode zoo selftest NAME --record' keeps one")
        return judge(bundle, known, ask(worker, name, head, timeout_s), head)
    except (BundleError, InferenceError, SeriesError) as fault:
        return Verdict(name, False, str(fault))


def record(worker: WorkerProcess, bundle: RegisteredBundle, head: KnownHead, timeout_s: float) -> Verdict:
    """Keep what a bundle answers now as its known answer.

    Raises
    ------
    BundleError : a model of haemorrhage marks far less or more than was painted, or the bundle cannot be written to.
    InferenceError, SeriesError : as :func:`ask`.
    """
    seen, manifest = ask(worker, bundle.manifest.name, head, timeout_s), bundle.manifest
    low, high = (round(share * head.facts.truth_ml, 1) for share in PLAUSIBLE)
    for output in manifest.outputs:
        blood = output.type.as_tuple()[:2] == codes.HEMORRHAGE[:2]
        if blood and not low <= seen[output.name].volume_ml <= high:
            says = f"{output.name}: {seen[output.name].volume_ml:.2f} mL marked of {head.facts.truth_ml:.2f} mL painted"
            raise BundleError(f"{says}; an answer outside {low} to {high} mL is not worth keeping")
    answer = Answer(digest=bundle.digest, head=head.facts, outputs=seen)
    try:
        (manifest.path / ANSWER).write_text(_text_of(answer), encoding="utf-8")
    except OSError as error:
        raise BundleError(f"{manifest.path / ANSWER} cannot be written: {error.strerror}") from error
    marked = ", ".join(f"{name} {output.volume_ml:.2f} mL" for name, output in seen.items())
    return Verdict(manifest.name, True, f"{marked} of {head.facts.truth_ml:.2f} mL painted; recorded")


def _text_of(answer: Answer) -> str:
    """JSON with each list of numbers on one line."""
    text = json.dumps(answer.model_dump(), indent=2)
    return re.sub(r"\[[^\[\]{}]*\]", lambda found: " ".join(found[0].split()), text) + "\n"


def selftest(
    bundles: Sequence[RegisteredBundle], settings: Settings, timeout_s: float, start_timeout_s: float, *, keep: bool
) -> list[Verdict]:
    """Test, or with ``keep`` record, bundles one after the other, each in a worker of its own.

    Raises
    ------
    BundleError, InferenceError, SeriesError : an answer cannot be recorded.
    """
    verdicts = []
    with tempfile.TemporaryDirectory(prefix="dicomnode-selftest-") as scratch:
        head = make_known_head(Path(scratch))
        for bundle in bundles:
            worker = WorkerProcess(settings._replace(models=(bundle.manifest.name,)), start_timeout_s=start_timeout_s)
            try:
                worker.start()
                verdicts.append((record if keep else try_bundle)(worker, bundle, head, timeout_s))
            except InferenceError as fault:
                if keep:
                    raise
                verdicts.append(Verdict(bundle.manifest.name, False, str(fault)))
            finally:
                worker.kill()
    return verdicts
