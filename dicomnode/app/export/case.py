"""One job as one file: its images and results without what names the patient, and what happened to it.

``dicomnode process`` runs the images again, and makes anew what is left out: the reports in words and the overview say
what was known of the patient, in sentences and in pixels.
"""

from __future__ import annotations

import json
import os
import secrets
import zipfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from dicomnode.app.export.cleaned import Cleaner, read_whole
from dicomnode.app.export.telling import told
from dicomnode.config.whole import Config
from dicomnode.dicom.deidentify.profile import Deidentifier
from dicomnode.dicom.deidentify.pseudonyms import Pseudonyms
from dicomnode.errors import ExportRefusal, ExportRefused, NodeError
from dicomnode.kinds import Kind
from dicomnode.store.engine import Store
from dicomnode.store.history.events import events_of
from dicomnode.store.history.jobs import show_job
from dicomnode.store.history.lines import EventLine, JobLine
from dicomnode.store.ops.exporting import JobFiles, files_of
from dicomnode.store.states import JobTask

EXPORTED = frozenset(
    {
        *(Kind.SEG, Kind.SEG_SC, Kind.SR, Kind.SR_NEGATIVE, Kind.SR_COMP, Kind.SR_ENHANCED),
        *(Kind.PREDICTED, Kind.PREDICTED_SC, Kind.PROBABILITY),
    }
)
"""Kinds that say what was measured in the images, and nothing of what was known of the patient beside them."""
KEY_BYTES = 32
_EPOCH = (1980, 1, 1, 0, 0, 0)
_READ_ME = """A case of dicomnode, job {job}. Research, not for diagnosis.

De-identified by the Basic Application Level Confidentiality Profile (DICOM PS3.15 E.2); {dates}.
The images are those of a head: whoever renders them sees a face.

images/    the series that was run
results/   what the node made of it
case.json  status, decision, runs with the digests of their models, events

Run it again: dicomnode process images --protocol {protocol} --out again --config config.toml
"""


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written. ``left_out``: kinds of result that stayed behind."""

    path: Path
    images: int
    results: int
    left_out: tuple[str, ...]


def export_case(config: Config, store: Store, job_id: int, out: Path, *, keep_intervals: bool = False) -> Exported:
    """Write a job as one zip file, for this user alone.

    Parameters
    ----------
    keep_intervals : move all dates of the patient by the same number of days in place of removing them (option "Retain
        Longitudinal Temporal Information with Modified Dates").

    Raises
    ------
    NodeError : there is no such job.
    ExportRefused : the case may not leave, or the file is there already; nothing was written.
    OSError : it cannot be written.
    """
    if out.exists():
        raise ExportRefused(ExportRefusal.FILE_EXISTS, str(out))
    with store.read() as session:
        job, files = show_job(session, job_id), files_of(session, job_id)
        if job is None or files is None:
            raise NodeError(f"there is no job {job_id}; 'dicomnode jobs list' shows all ids")
        events = events_of(session, job.study_uid)
    _refuse_without_images(config, files)
    images = [config.spool_dir / path for path in files.images]
    cleaner = Cleaner(_deidentifier(config, images[-1], keep_intervals))
    taken = [(one, config.node.data_dir / one.path) for one in files.results if one.kind in EXPORTED]
    results = [(one.kind, path) for one, path in taken if not one.superseded and path.is_file()]
    kinds = {kind for kind, _ in results}
    left_out = tuple(sorted({one.kind for one in files.results} - kinds))
    for path in (*images, *(path for _, path in results)):
        cleaner.learn(path)
    members = _Members(cleaner, job, events, left_out)
    _write(out, members, images, results)
    return Exported(out, len(images), len(results), left_out)


def _refuse_without_images(config: Config, files: JobFiles) -> None:
    if files.task != JobTask.ANALYSIS:
        raise ExportRefused(ExportRefusal.NO_ANALYSIS)
    if not files.images or not all((config.spool_dir / path).is_file() for path in files.images):
        raise ExportRefused(ExportRefusal.NO_IMAGES)


def _deidentifier(config: Config, image: Path, keep_intervals: bool) -> Deidentifier:
    pseudonyms = Pseudonyms(export_key(config))
    ds = read_whole(image)
    whose = (str(ds.get("PatientID", "") or ""), str(ds.get("IssuerOfPatientID", "") or ""))
    if not whose[0]:
        # else all patients without an ID would be one
        whose = (str(ds.get("StudyInstanceUID", "")), whose[1])
    days = pseudonyms.days(*whose) if keep_intervals else None
    return Deidentifier(pseudonyms, pseudonyms.patient(*whose), days)


def export_key(config: Config) -> bytes:
    """The key of this node's pseudonyms, made at the first export; whoever has it can try out who a pseudonym is.

    Raises
    ------
    OSError : it cannot be read or written.
    """
    path = config.export_key_file
    with suppress(FileExistsError):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(f"{secrets.token_hex(KEY_BYTES)}\n")
    return bytes.fromhex(path.read_text(encoding="ascii").strip())


@dataclass(frozen=True, slots=True)
class _Members:
    """What stands in the zip file beside the DICOM files."""

    cleaner: Cleaner
    job: JobLine
    events: Sequence[EventLine]
    left_out: tuple[str, ...]

    def texts(self) -> dict[str, str]:
        """Name -> content; refused where one of them names somebody."""
        deidentifier = self.cleaner.deidentifier
        dates = "dates are removed" if deidentifier.days is None else "dates are moved, intervals kept"
        document = {**told(self.job, self.events, deidentifier.uid), "left_out": list(self.left_out), "dates": dates}
        texts = {
            "README.txt": _READ_ME.format(job=self.job.job_id, dates=dates, protocol=self.job.protocol),
            "case.json": json.dumps(document, indent=2) + "\n",
        }
        for name, text in texts.items():
            self.cleaner.refuse_named(text.encode(), name)
        return texts


def _write(out: Path, members: _Members, images: Sequence[Path], results: Sequence[tuple[str, Path]]) -> None:
    """Under another name first: a file with this name is whole."""
    temporary = out.with_name(f".{out.name}.{secrets.token_hex(4)}")
    try:
        descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w+b") as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, text in members.texts().items():
                archive.writestr(zipfile.ZipInfo(name, _EPOCH), text, zipfile.ZIP_DEFLATED)
            for number, path in enumerate(images, 1):
                _add(archive, f"images/{number:05d}.dcm", members.cleaner.cleaned(path, is_source=True))
            for number, (kind, path) in enumerate(results, 1):
                _add(archive, f"results/{kind}-{number}.dcm", members.cleaner.cleaned(path, is_source=False))
        temporary.replace(out)
    finally:
        temporary.unlink(missing_ok=True)


def _add(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    archive.writestr(zipfile.ZipInfo(name, _EPOCH), content, zipfile.ZIP_DEFLATED)
