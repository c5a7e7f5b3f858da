"""Findings of a case -> its result instances on disk: all of them valid, or none.

A kind of result is a module with a function from :class:`Context` to a dataset; add it to ``KINDS``, a number to
``context.SERIES_NUMBER_BASE`` and a check to ``validate``.
"""

from __future__ import annotations

import logging
import struct
import traceback
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import cast

from highdicom.base import SOPClass
from highdicom.seg import Segmentation
from pydicom.config import disable_value_validation
from pydicom.dataset import Dataset

from dicomnode.encode.context import Context, context_of
from dicomnode.encode.files import bytes_of, publish, sha256_hex, write_temporary
from dicomnode.encode.sc import secondary_capture
from dicomnode.encode.scores import score_report
from dicomnode.encode.seg import segmentation
from dicomnode.encode.sr import measurement_report
from dicomnode.encode.text import text_report
from dicomnode.encode.validate import validate
from dicomnode.errors import EncodeError
from dicomnode.records import Case, EncodedResult

logger = logging.getLogger(__name__)

Encoder = Callable[[Context, dict[str, SOPClass]], SOPClass | None]
"""From the shared context and the results encoded before it to a dataset; None where there is nothing to say."""

KINDS: dict[str, Encoder] = {
    "seg": lambda context, results: segmentation(context),
    "sr": lambda context, results: measurement_report(context, cast("Segmentation | None", results.get("seg"))),
    "scores": lambda context, results: score_report(context),
    "text": lambda context, results: text_report(context),
    "sc": lambda context, results: secondary_capture(context),
}
"""In the order of encoding: a report refers to the segmentation."""

# What highdicom and pydicom raise on values they cannot encode.
_LIBRARY_ERRORS = (
    ValueError,
    TypeError,
    AttributeError,
    LookupError,
    ArithmeticError,
    NotImplementedError,
    RuntimeError,
    struct.error,
)


def encode_case(case: Case, folder: Path, now: datetime | None = None) -> list[EncodedResult]:
    """Write the results of a case, each validated by reading it back.

    Encoding the same case again, in any process, gives the same UIDs and file names; only times differ.

    Parameters
    ----------
    case : at least one finding; all masks on the slices of the volume.
    folder : gets one file per result, ``<SOPInstanceUID>.dcm``; created where it is missing.
    now : time of encoding, with an offset from UTC; the clock where None.

    Returns
    -------
    list of EncodedResult : ``seg`` (none where all masks are empty), ``sr`` (none without masks), ``scores`` (none
        without scores), ``text``, ``sc``.

    Raises
    ------
    EncodeError : the case cannot be written as valid objects; ``folder`` then holds nothing new.
    OSError : the disk is full or gone; the same call may succeed later.
    """
    with disable_value_validation():  # sources may break value rules; pydicom would print their values in warnings
        context, results, contents = _in_memory(case, now)
        folder.mkdir(parents=True, exist_ok=True)
        paths = {kind: folder / f"{context.instance_uid(kind)}.dcm" for kind in results}
        _write(contents, paths, context, results)
    encoded = [_record(kind, ds, contents[kind], paths[kind], context) for kind, ds in results.items()]
    logger.info("case encoded", extra={"action": "encode", "kinds": list(results), "generation": case.generation})
    return encoded


def _in_memory(case: Case, now: datetime | None) -> tuple[Context, dict[str, SOPClass], dict[str, bytes]]:
    """The results of a case as datasets and as bytes, by kind."""
    try:
        _check_case(case)
        context = context_of(case, now)
        results = _encoded(context)
        return context, results, {kind: bytes_of(ds) for kind, ds in results.items()}
    except _LIBRARY_ERRORS as error:
        raise EncodeError(f"encoding failed: {_named(error)}") from error


def _check_case(case: Case) -> None:
    if not case.findings:
        raise EncodeError("a case without findings has no results")
    names = [finding.name for finding in case.findings]
    if len(set(names)) < len(names):
        raise EncodeError(f"findings of the same name: {names}")
    if not len(case.sources) == len(case.input_digests) == len(case.volume.sop_instance_uids):
        raise EncodeError("sources, input digests and volume differ in their number of slices")
    for finding in case.masks:
        if bool(finding.mask.any()) != (finding.total is not None):
            raise EncodeError(f"{finding.name}: mask and measurements contradict each other")


def _encoded(context: Context) -> dict[str, SOPClass]:
    results: dict[str, SOPClass] = {}
    for kind, encoder in KINDS.items():
        ds = encoder(context, results)
        if ds is not None:
            results[kind] = ds
    return results


def _write(contents: dict[str, bytes], paths: dict[str, Path], context: Context, results: dict[str, SOPClass]) -> None:
    """All files or none: temporary ones are written and validated before the first gets its name."""
    temporaries: dict[Path, Path] = {}
    known: dict[str, Dataset] = dict(results)
    try:
        for kind, content in contents.items():
            temporary = write_temporary(content, paths[kind].parent, paths[kind].name)
            temporaries[temporary] = paths[kind]
            _validate(temporary, context, kind, known)
        publish(temporaries)
    finally:
        for temporary in temporaries:
            temporary.unlink(missing_ok=True)


def _validate(path: Path, context: Context, kind: str, results: dict[str, Dataset]) -> None:
    try:
        validate(path, context, kind, results)
    except _LIBRARY_ERRORS as error:
        raise EncodeError(f"{kind}: cannot be read back: {_named(error)}") from error


def _record(kind: str, ds: SOPClass, content: bytes, path: Path, context: Context) -> EncodedResult:
    return EncodedResult(
        kind=kind,
        sop_class_uid=str(ds.SOPClassUID),
        sop_instance_uid=str(ds.SOPInstanceUID),
        series_instance_uid=str(ds.SeriesInstanceUID),
        path=path,
        sha256=sha256_hex(content),
        size_bytes=len(content),
        research=context.is_research,
    )


def _named(error: Exception) -> str:
    """Type and place of a library's error; its message may quote a patient attribute, and this one is logged."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} in {Path(frame.filename).name}:{frame.lineno} {frame.name}"
