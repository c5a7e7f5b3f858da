"""The process that has to do with DICOM files: reads the images of a job, encodes its results, writes notes. No torch.

Bytes of a peer are decoded here and nowhere else, so that a decoder's crash costs one job, never the reception.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path

from pydicom.dataset import Dataset

from dicomnode.clinical.naming import named_for
from dicomnode.clinical.scores.report import reference_scores
from dicomnode.clinical.sources.header import context_of_header, patient_of
from dicomnode.dicom.identity import identity_in, why_several_persons
from dicomnode.dicom.received import at_pixels, read_received
from dicomnode.dicom.times import scanned_at
from dicomnode.encode.case import encode_case
from dicomnode.errors import InferenceError, Refusal, SeriesError
from dicomnode.execute.findings_file import load_findings
from dicomnode.execute.limits import reading
from dicomnode.execute.note_writer import write_not_performed, write_rejection
from dicomnode.execute.program import serve, timed
from dicomnode.execute.tasks import (
    FINDINGS,
    CompareTask,
    DigestTask,
    EncodeReply,
    EncodeTask,
    Failure,
    InferTask,
    NotPerformedTask,
    ReadReply,
    ReadTask,
    Ready,
    RejectionTask,
    Reply,
    Source,
    Task,
)
from dicomnode.execute.volume_file import save_volume
from dicomnode.images.volume import LoadedSeries, read_series
from dicomnode.measure.parenchyma import brain_level_hu
from dicomnode.records import Case, Finding


def main(connection: Connection, _: None) -> None:
    """Entry point of the spawned process."""
    serve(connection, CaseWorker)


class CaseWorker:
    """Keeps the series that was read last, and the header: what was read for the models is encoded from memory."""

    def __init__(self) -> None:
        self._header: tuple[Path, Dataset] | None = None
        self._source: Source | None = None
        self._series: LoadedSeries | None = None

    def ready(self) -> Ready:
        """Nothing is loaded."""
        return Ready("cpu", {})

    def do(self, task: Task) -> Reply:
        """One task.

        Raises
        ------
        SeriesError : the images cannot be read as a volume.
        EncodeError : the results cannot be written as valid objects.
        OSError : the disk is full or gone.
        """
        assert not isinstance(task, InferTask | DigestTask | CompareTask)
        if isinstance(task, ReadTask):
            return self._read(task)
        return self._encode(task) if isinstance(task, EncodeTask) else _note(task)

    def _read(self, task: ReadTask) -> ReadReply:
        seconds: dict[str, float] = {}
        brain_hu = None
        with timed(seconds, "read"):
            if task.volume is not None:
                series = self._load(task.source)
                _require_one_patient(series.sources, task.provisional_names)
                volume = series.volume
                save_volume(task.volume, volume)
                brain_hu = brain_level_hu(volume.hu)
            header = self._newest_header(task.source)
        at = scanned_at(header, task.timezone)
        return ReadReply(context_of_header(header), patient_of(header), at, seconds, brain_hu)

    def _encode(self, task: EncodeTask) -> EncodeReply | Failure:
        seconds: dict[str, float] = {}
        with timed(seconds, "read"):
            series = self._load(task.source)
            try:
                findings = tuple(finding for path in task.findings for finding in load_findings(path))
            except InferenceError as fault:
                return Failure(str(fault), stage=FINDINGS)
        with timed(seconds, "encode"):
            case = case_of(task, series, self._newest_header(task.source), findings)
            results = encode_case(case, task.folder, requested=task.requested)
        return EncodeReply(tuple(results), seconds, case.reference)

    def _load(self, source: Source) -> LoadedSeries:
        if self._series is None or self._source != source:
            self._series = None  # two of them take twice the memory
            with reading(len(source.paths)):
                self._series, self._source = read_series(source.paths), source
        return self._series

    def _newest_header(self, source: Source) -> Dataset:
        """The newest header received: a name corrected after the scan is corrected in the results."""
        if self._header is None or self._header[0] != source.newest:
            with reading(1):
                self._header = source.newest, read_received(source.newest, at_pixels)
        return self._header[1]


def _require_one_patient(sources: Sequence[Dataset], provisional_names: str) -> None:
    """The result carries one identity, and its picture must be of that person alone.

    Raises
    ------
    SeriesError : ``MIXED_PATIENTS``.
    """
    if reason := why_several_persons(map(identity_in, sources), re.compile(provisional_names)):
        raise SeriesError(Refusal.MIXED_PATIENTS, reason)


def _note(task: RejectionTask | NotPerformedTask) -> EncodeReply:
    seconds: dict[str, float] = {}
    with timed(seconds, "encode"):
        written = write_rejection(task) if isinstance(task, RejectionTask) else write_not_performed(task)
    return EncodeReply((written,), seconds)


def case_of(task: EncodeTask, series: LoadedSeries, header: Dataset, findings: Sequence[Finding]) -> Case:
    """Everything that shapes the results of a job. ``header``: the newest, whose identity they carry."""
    return Case(
        sources=series.sources,
        identity=header,
        volume=series.volume,
        findings=named_for(findings, task.context),
        input_digests=series.input_digests,
        protocol=task.protocol,
        settings_digest=task.settings_digest,
        generation=task.generation,
        predecessors=task.predecessors,
        timezone=task.timezone,
        station_ae_title=task.station_ae_title,
        reference=reference_scores(findings, series.volume, task.context, unasked=task.unasked_scores),
        language=task.language,
    )
