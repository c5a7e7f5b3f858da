"""``dicomnode zoo selftest``: a bundle is asked about a known patient, and gives the answer it once gave.

The patient is of :mod:`dicomnode.app.known_head`, the answer of :mod:`dicomnode.app.known_answer`. The bundle runs as
it does for the node: in a backend of its own.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from dicomnode.app.known_answer import Answer, MaskAnswer, OutputAnswer, answer_of, load_answer, save_answer
from dicomnode.app.known_head import KnownHead, known_context, known_findings, make_known_head
from dicomnode.dicom import codes
from dicomnode.errors import BundleError, InferenceError, RunTimedOut, SeriesError
from dicomnode.execute.backends.contract import Backend
from dicomnode.execute.backends.local import LocalBackend, ModelWorkerSettings
from dicomnode.execute.findings_file import load_findings, save_findings
from dicomnode.execute.tasks import Failure, InferTask
from dicomnode.execute.volume_file import save_volume
from dicomnode.zoo.bundle import BundleManifest
from dicomnode.zoo.registry import RegisteredBundle

PLAUSIBLE = (0.6, 1.4)
"""A model of haemorrhage that marks less or more of the true volume than this has no answer worth keeping."""
NO_ANSWER = "has no known answer; 'dicomnode zoo selftest NAME --record' keeps one"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a selftest says of a bundle.

    Attributes
    ----------
    ok : None where it has no known answer.
    is_late : it did not answer in time, as happens where a machine is busy: nothing is known of its answer.
    """

    name: str
    ok: bool | None
    says: str
    is_late: bool = False


def ask(backend: Backend, manifest: BundleManifest, head: KnownHead, timeout_s: float) -> dict[str, OutputAnswer]:
    """What a bundle says of the known patient, by the name of the output.

    Raises
    ------
    BundleError : it does not apply to the patient: its manifest lacks examples.
    InferenceError : it failed, or refuses the head.
    """
    with tempfile.TemporaryDirectory(prefix="dicomnode-selftest-") as scratch:
        task = _task(manifest, head, Path(scratch))
        reply = backend.infer(task, timeout_s=manifest.limit_s(timeout_s))
        if isinstance(reply, Failure):
            raise InferenceError(reply.message)
        return {finding.name: answer_of(finding, head.volume) for finding in load_findings(task.findings)}


def _task(manifest: BundleManifest, head: KnownHead, scratch: Path) -> InferTask:
    volume, earlier = scratch / "volume.npz", scratch / "earlier.npz"
    save_volume(volume, head.volume)
    save_findings(earlier, known_findings(manifest, head))
    return InferTask(
        model=manifest.name,
        volume=None if manifest.needs.image is None else volume,
        context=known_context(manifest),
        earlier=(earlier,),
        findings=scratch / "findings.npz",
        keep_probability=True,
    )


def judge(bundle: RegisteredBundle, known: Answer, seen: dict[str, OutputAnswer], head: KnownHead) -> Verdict:
    """Compare an answer with the known one."""
    name = bundle.manifest.name
    if not known.head.is_same(head.facts):
        says = f"the head made now is not that of the recording (cohort version {known.head.cohort_version}, now "
        return Verdict(name, False, f"{says}{head.facts.cohort_version}); record the answer anew with --record")
    faults = [f"{output}: missing or unknown" for output in known.outputs.keys() ^ seen.keys()]
    for output in known.outputs.keys() & seen.keys():
        faults += [f"{output}: {fault}" for fault in known.outputs[output].differences(seen[output])]
    if faults:
        changed = "the bundle was changed since the answer was recorded"
        why = (
            changed if bundle.digest != known.digest else "the bundle is unchanged, so this machine computes otherwise"
        )
        return Verdict(name, False, f"the answer differs ({'; '.join(sorted(faults))}): {why}")
    return Verdict(name, True, f"{_said(seen, head)}, as known")


def _said(seen: dict[str, OutputAnswer], head: KnownHead) -> str:
    answers = ", ".join(f"{output} {answer.says()}" for output, answer in seen.items())
    marks = any(isinstance(answer, MaskAnswer) for answer in seen.values())
    return f"{answers} of {head.facts.truth_ml:.2f} mL painted" if marks else answers


def known_of(bundle: RegisteredBundle) -> Answer | Verdict:
    """The known answer of a bundle, or what is to say of one that has none, or a damaged one."""
    name = bundle.manifest.name
    try:
        return load_answer(bundle.manifest.path) or Verdict(name, None, NO_ANSWER)
    except BundleError as fault:
        return Verdict(name, False, str(fault))


def try_bundle(backend: Backend, bundle: RegisteredBundle, head: KnownHead, timeout_s: float) -> Verdict:
    """Run the selftest of one bundle in a backend that has it loaded."""
    known = known_of(bundle)
    if isinstance(known, Verdict):
        return known
    try:
        return judge(bundle, known, ask(backend, bundle.manifest, head, timeout_s), head)
    except RunTimedOut as fault:
        return Verdict(
            bundle.manifest.name, False, f"not tested, it is slow or the machine busy: {fault}", is_late=True
        )
    except (BundleError, InferenceError, SeriesError) as fault:
        return Verdict(bundle.manifest.name, False, str(fault))


def record(backend: Backend, bundle: RegisteredBundle, head: KnownHead, timeout_s: float) -> Verdict:
    """Keep what a bundle answers now as its known answer.

    Raises
    ------
    BundleError : a model of haemorrhage marks far less or more than was painted, the bundle does not apply to the known
        patient, or it cannot be written to.
    InferenceError : as :func:`ask`.
    """
    seen, manifest = ask(backend, bundle.manifest, head, timeout_s), bundle.manifest
    _require_plausible(manifest, seen, head)
    save_answer(manifest.path, Answer(digest=bundle.digest, head=head.facts, outputs=seen))
    return Verdict(manifest.name, True, f"{_said(seen, head)}; recorded")


def _require_plausible(manifest: BundleManifest, seen: dict[str, OutputAnswer], head: KnownHead) -> None:
    low, high = (round(share * head.facts.truth_ml, 1) for share in PLAUSIBLE)
    for output in manifest.masks:
        answer = seen[output.name]
        blood = output.type.as_tuple()[:2] == codes.HEMORRHAGE[:2]
        if blood and isinstance(answer, MaskAnswer) and not low <= answer.volume_ml <= high:
            says = f"{output.name}: {answer.volume_ml:.2f} mL marked of {head.facts.truth_ml:.2f} mL painted"
            raise BundleError(f"{says}; an answer outside {low} to {high} mL is not worth keeping")


def selftest(
    bundles: Sequence[RegisteredBundle],
    settings: ModelWorkerSettings,
    timeout_s: float,
    start_timeout_s: float,
    *,
    keep: bool,
) -> list[Verdict]:
    """Test, or with ``keep`` record, bundles one after the other, each in a backend of its own.

    Raises
    ------
    BundleError, InferenceError : an answer cannot be recorded.
    """
    verdicts = []
    with tempfile.TemporaryDirectory(prefix="dicomnode-selftest-") as scratch:
        head = make_known_head(Path(scratch))
        for bundle in bundles:
            if not keep and isinstance(known := known_of(bundle), Verdict):
                verdicts.append(known)
                continue
            alone = replace(settings, models=(bundle.manifest.name,))
            backend = LocalBackend(alone, start_timeout_s=start_timeout_s)
            try:
                backend.start()
                verdicts.append((record if keep else try_bundle)(backend, bundle, head, timeout_s))
            except InferenceError as fault:
                if keep:
                    raise
                verdicts.append(Verdict(bundle.manifest.name, False, str(fault)))
            finally:
                backend.kill()
    return verdicts
