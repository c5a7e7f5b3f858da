"""``dicomnode process``: the same pipeline without a network. A folder with one series in, result files out."""

from __future__ import annotations

import shutil
import tempfile
from collections import defaultdict
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pydicom

from dicomnode.app import show
from dicomnode.assemble.gate import volume_gate
from dicomnode.assemble.protocols import explain
from dicomnode.assemble.selection import candidate_of, rank
from dicomnode.assemble.triage import reason_not_used, refusal_of_series
from dicomnode.config.protocols import Protocol
from dicomnode.config.whole import Config
from dicomnode.dicom.headers import header_of
from dicomnode.errors import InferenceError, Refusal, SeriesError
from dicomnode.execute.dispatcher import kinds_taken, settings_digest, worker_settings
from dicomnode.execute.findings_file import load_findings
from dicomnode.execute.process import WorkerProcess
from dicomnode.execute.tasks import EncodeReply, EncodeTask, Failure, Reply, RunTask, Source
from dicomnode.images.pixels import BAD_FILE
from dicomnode.records import RESEARCH_NOTICE, EncodedResult, Finding, Header, ImageFinding, ScoreFinding

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class FoundSeries:
    """A series in a folder."""

    series_uid: str
    paths: tuple[Path, ...]
    headers: tuple[Header, ...]


@dataclass(frozen=True, slots=True)
class Processed:
    """What came out of a folder."""

    series_uid: str
    findings: tuple[Finding, ...]
    results: tuple[EncodedResult, ...]


def process_folder(folder: Path, out: Path, config: Config, protocol: Protocol, progress: Progress) -> Processed:
    """Run a protocol on the best series of a folder and write the results to ``out``.

    Raises
    ------
    SeriesError : no series in the folder can be processed; the reason of the best one.
    InferenceError : a model or the encoding failed.
    """
    progress("reading headers")
    series = choose_series(folder, protocol)
    progress(f"series {series.series_uid}: {len(series.paths)} slices")
    source = Source(series.paths, series.paths[-1])
    worker = WorkerProcess(
        worker_settings(config, config.execution.devices[0]), start_timeout_s=config.execution.start_timeout_s
    )
    with tempfile.TemporaryDirectory(prefix="dicomnode-") as scratch:
        try:
            progress("loading models")
            worker.start()
            tasks = _tasks(source, Path(scratch), config, protocol)
            files = [_run(worker, task, config, progress) for task in tasks]
            progress("encoding")
            results = _encode(worker, source, files, Path(scratch) / "results", config, protocol)
        finally:
            worker.kill()
        findings = tuple(finding for file in files for finding in load_findings(file))
        return Processed(series.series_uid, findings, tuple(_move(result, out) for result in results))


def choose_series(folder: Path, protocol: Protocol) -> FoundSeries:
    """The series that a node would run: of those that pass triage, gate and protocol, the best reconstruction.

    Raises
    ------
    SeriesError : none passes.
    """
    found = find_series(folder)
    if not found:
        raise SeriesError(Refusal.UNREADABLE, f"no DICOM files in {folder}")
    fit, faults = [], []
    for series in found:
        try:
            fit.append(_fit(series, protocol))
        except SeriesError as fault:
            faults.append(fault)
    if not fit:
        raise faults[0]
    return min(fit, key=lambda series: rank(candidate_of(series.headers), protocol.preferred_thickness_mm))


def find_series(folder: Path) -> list[FoundSeries]:
    """All series below a folder, the one with the most files first."""
    groups: dict[str, list[tuple[Path, Header]]] = defaultdict(list)
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        try:
            dataset = pydicom.dcmread(path, stop_before_pixels=True)
        except BAD_FILE:
            continue  # a folder from a CD holds much that is no DICOM file
        groups[str(dataset.get("SeriesInstanceUID", ""))].append((path.absolute(), header_of(dataset)))
    series = [FoundSeries(uid, tuple(p for p, _ in items), tuple(h for _, h in items)) for uid, items in groups.items()]
    return sorted(series, key=lambda item: -len(item.paths))


def _fit(series: FoundSeries, protocol: Protocol) -> FoundSeries:
    refusal = refusal_of_series(series.headers)
    if refusal is not None:
        raise SeriesError(*refusal)
    pairs = list(zip(series.paths, series.headers, strict=True))
    used = [(path, header) for path, header in pairs if reason_not_used(header) is None]
    headers = tuple(header for _, header in used)
    volume_gate(headers)
    clauses = [clause.sentence() for clause in explain(protocol.match, headers) if not clause.ok]
    if clauses:
        raise SeriesError(Refusal.NO_PROTOCOL, "; ".join(clauses))
    return FoundSeries(series.series_uid, tuple(path for path, _ in used), headers)


def _tasks(source: Source, scratch: Path, config: Config, protocol: Protocol) -> list[RunTask]:
    keep_probability = "probability" in kinds_taken(config, protocol)
    return [RunTask(model, source, scratch / f"{model}.npz", keep_probability) for model in protocol.models]


def _run(worker: WorkerProcess, task: RunTask, config: Config, progress: Progress) -> Path:
    progress(f"running {task.model}")
    _answer(worker.ask(task, timeout_s=config.execution.run_timeout_s, tick=_nothing))
    return task.findings


def _encode(
    worker: WorkerProcess, source: Source, files: list[Path], folder: Path, config: Config, protocol: Protocol
) -> tuple[EncodedResult, ...]:
    task = EncodeTask(
        source=source,
        findings=tuple(files),
        folder=folder,
        protocol=protocol.name,
        settings_digest=settings_digest(protocol),
        generation=1,
        timezone=config.node.timezone,
        station_ae_title=config.node.ae_title,
        requested=kinds_taken(config, protocol),
    )
    reply = _answer(worker.ask(task, timeout_s=config.execution.run_timeout_s, tick=_nothing))
    assert isinstance(reply, EncodeReply)
    return reply.results


def _answer(reply: Reply) -> Reply:
    if isinstance(reply, Failure):
        if reply.refusal:
            raise SeriesError(Refusal(reply.refusal), reply.detail)
        raise InferenceError(reply.message)
    return reply


def _nothing() -> None:
    return None


def _move(result: EncodedResult, out: Path) -> EncodedResult:
    out.mkdir(parents=True, exist_ok=True)
    target = out / f"{result.kind}-{result.sop_instance_uid}.dcm"
    shutil.move(result.path, target)
    return EncodedResult(
        kind=result.kind,
        sop_class_uid=result.sop_class_uid,
        sop_instance_uid=result.sop_instance_uid,
        series_instance_uid=result.series_instance_uid,
        path=target,
        sha256=result.sha256,
        size_bytes=result.size_bytes,
        research=result.research,
    )


def processed_as_dict(done: Processed) -> dict[str, Any]:
    """For ``--json``."""
    return {
        "series_uid": done.series_uid,
        "findings": [_finding_as_dict(finding) for finding in done.findings],
        "results": [{"kind": result.kind, "path": str(result.path)} for result in done.results],
        "notice": RESEARCH_NOTICE,
    }


def _finding_as_dict(finding: Finding) -> dict[str, Any]:
    model = f"{finding.model.name} {finding.model.version}"
    if isinstance(finding, ScoreFinding):
        return {**asdict(finding), "model": model}
    if isinstance(finding, ImageFinding):
        return {"name": finding.name, "model": model, "horizon": finding.horizon, "warnings": list(finding.warnings)}
    return {
        "name": finding.name,
        "model": model,
        "threshold": finding.threshold,
        "detection_limit_ml": finding.detection_limit_ml,
        "total": None if finding.total is None else asdict(finding.total),
        "lesions": [asdict(lesion) for lesion in finding.lesions],
    }


def processed_table(done: Processed) -> None:
    """Findings and files for a person."""
    for finding in done.findings:
        show.out.print(finding_sentence(finding))
    show.table("Results", ["kind", "file"], [[result.kind, str(result.path)] for result in done.results])
    show.out.print(f"[yellow]{RESEARCH_NOTICE}.[/yellow]")


def finding_sentence(finding: Finding) -> str:
    """One finding in words."""
    model = f"{finding.model.name} {finding.model.version}"
    if isinstance(finding, ScoreFinding):
        return f"{finding.label}: {finding.value:g} ({model})"
    if isinstance(finding, ImageFinding):
        return f"{finding.label}, {finding.horizon}: predicted, never acquired ({model})"
    model = f"{model}, threshold {finding.threshold:g}"
    if finding.total is None:
        return f"{finding.label}: none found ({model}; smallest lesion reported {finding.detection_limit_ml:g} mL)"
    total = finding.total
    return (
        f"{finding.label}: {total.volume_ml:.1f} mL in {len(finding.lesions)} lesion(s), "
        f"mean {total.mean_hu:.0f} HU, max {total.max_hu:.0f} HU ({model})"
    )
