"""``dicomnode process``: the same pipeline without a network. A folder with one series in, result files out."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from dicomnode.app.context_file import context_with, read_document
from dicomnode.app.folder import choose_series
from dicomnode.clinical.sources.document import Document
from dicomnode.config.protocols import Protocol
from dicomnode.config.whole import Config
from dicomnode.errors import InferenceError, Refusal, SeriesError
from dicomnode.execute.backends.in_child import ChildBackend
from dicomnode.execute.child import ChildProcess
from dicomnode.execute.dispatcher import backend_of, case_worker
from dicomnode.execute.findings_file import load_findings
from dicomnode.execute.plan import Plan, givers_of, plans_of
from dicomnode.execute.results import kinds_taken, settings_digest
from dicomnode.execute.tasks import EncodeReply, EncodeTask, Failure, InferTask, ReadReply, ReadTask, Reply, Source
from dicomnode.kinds import Kind
from dicomnode.records import EncodedResult, Finding, PatientContext, ReferenceScore
from dicomnode.zoo.bundle import BundleManifest

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Processed:
    """What came out of a folder.

    Attributes
    ----------
    left_out : how many files were not used, and why, in words.
    reference : scores that need no learning.
    """

    series_uid: str
    findings: tuple[Finding, ...]
    results: tuple[EncodedResult, ...]
    left_out: tuple[str, ...] = ()
    reference: tuple[ReferenceScore, ...] = ()


def process_folder(
    folder: Path, out: Path, config: Config, protocol: Protocol, progress: Progress, context: Path | None = None
) -> Processed:
    """Run a protocol on the best series of a folder and write the results to ``out``.

    Parameters
    ----------
    context : a document with values and texts of the patient.

    Raises
    ------
    ContextError : the document cannot be taken, or is about another patient.
    ConfigError : the models of the protocol cannot be run in any order, or are not there.
    ReadError : the folder holds no DICOM file.
    SeriesError : no series in the folder can be processed; the reason of the best one.
    InferenceError : a model or the encoding failed.
    """
    plan = plans_of(config, protocol)[protocol.name]
    document = None if context is None else read_document(context, config)
    progress("reading headers")
    series = choose_series(folder, protocol)
    progress(f"series {series.series_uid}: {len(series.paths)} slices")
    for line in series.left_out:
        progress(f"left out: {line}")
    with tempfile.TemporaryDirectory(prefix="dicomnode-") as scratch:
        bench = _Bench(config, protocol, plan, Path(scratch), progress)
        files, encoded = bench.process(Source(series.paths, series.paths[-1]), document)
        findings = tuple(finding for file in files for finding in load_findings(file))
        results = tuple(_move(result, out) for result in encoded.results)
        return Processed(series.series_uid, findings, results, series.left_out, encoded.reference)


class _Bench:
    """The workers of a node, without its database."""

    def __init__(self, config: Config, protocol: Protocol, plan: Plan, scratch: Path, progress: Progress) -> None:
        self.config, self.protocol, self.plan = config, protocol, plan
        self.scratch, self.progress = scratch, progress
        self.backend: ChildBackend = backend_of(config, config.execution.devices[0])
        self.case_worker: ChildProcess = case_worker(config)

    def process(self, source: Source, document: Document | None) -> tuple[list[Path], EncodeReply]:
        """Files of findings in the order of the protocol, and the results."""
        try:
            self._start()
            context = context_with(document, self._read(source), self.config)
            if document is not None:
                self.progress(f"context: {len(context.values)} values and {len(context.texts)} texts are used")
            for manifest in self.plan:
                self._run(manifest, context)
            files = [self._findings_of(name) for name in self.protocol.models]
            return files, self._encode(source, files, context)
        finally:
            self.backend.kill()
            self.case_worker.kill()

    def _start(self) -> None:
        self.progress("loading models")
        for worker in (self.backend, self.case_worker):
            worker.launch()
        for worker in (self.backend, self.case_worker):
            worker.wait_until_ready()

    def _findings_of(self, model: str) -> Path:
        return self.scratch / f"{model}.npz"

    @property
    def _volume(self) -> Path:
        return self.scratch / "volume.npz"

    def _read(self, source: Source) -> ReadReply:
        self.progress("reading images")
        task = ReadTask(source, self._volume, self.config.node.timezone, self.config.node.provisional_names)
        reply = _answer(self.case_worker.ask(task, timeout_s=self._timeout_s))
        assert isinstance(reply, ReadReply)
        return reply

    @property
    def _timeout_s(self) -> float:
        return self.config.execution.run_timeout_s

    def _run(self, manifest: BundleManifest, context: PatientContext) -> None:
        self.progress(f"running {manifest.name}")
        task = InferTask(
            model=manifest.name,
            volume=None if manifest.needs.image is None else self._volume,
            context=context,
            earlier=tuple(map(self._findings_of, givers_of(manifest, self.plan))),
            findings=self._findings_of(manifest.name),
            keep_probability=Kind.PROBABILITY in kinds_taken(self.config, self.protocol),
        )
        _answer(self.backend.infer(task, timeout_s=manifest.limit_s(self._timeout_s)))

    def _encode(self, source: Source, files: list[Path], context: PatientContext) -> EncodeReply:
        self.progress("encoding")
        task = EncodeTask(
            source=source,
            findings=tuple(files),
            folder=self.scratch / "results",
            protocol=self.protocol.name,
            settings_digest=settings_digest(self.protocol, self.config.execution.precision),
            generation=1,
            timezone=self.config.node.timezone,
            station_ae_title=self.config.node.ae_title,
            language=self.config.node.language,
            requested=kinds_taken(self.config, self.protocol),
            context=context,
            unasked_scores=self.config.clinical.scores == "always",
        )
        reply = _answer(self.case_worker.ask(task, timeout_s=self._timeout_s))
        assert isinstance(reply, EncodeReply)
        return reply


def _answer(reply: Reply) -> Reply:
    if isinstance(reply, Failure):
        if reply.refusal:
            raise SeriesError(Refusal(reply.refusal), reply.detail)
        raise InferenceError(reply.message)
    return reply


def _move(result: EncodedResult, out: Path) -> EncodedResult:
    out.mkdir(parents=True, exist_ok=True)
    target = out / f"{result.kind}-{result.sop_instance_uid}.dcm"
    shutil.move(result.path, target)
    return replace(result, path=target)
