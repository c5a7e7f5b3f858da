"""Findings of a case -> its result instances on disk: all of them valid, or none.

A kind of result has a row in :mod:`dicomnode.kinds` and a module below ``encode/kinds`` with a function from
:class:`Context` to a dataset; ``ENCODERS`` names the function, ``validate`` may have a check of what it says.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from datetime import datetime
from pathlib import Path
from typing import cast

from highdicom.base import SOPClass
from highdicom.seg import Segmentation
from pydicom.config import disable_value_validation
from pydicom.dataset import Dataset

from dicomnode.encode.context import Context, context_of
from dicomnode.encode.files import bytes_of, publish, write_temporary
from dicomnode.encode.kinds.kos import result_root
from dicomnode.encode.kinds.predicted import predicted_scans, predicted_slices
from dicomnode.encode.kinds.probability import probability_maps
from dicomnode.encode.kinds.sc import secondary_capture
from dicomnode.encode.kinds.scores import score_report
from dicomnode.encode.kinds.seg import segmentation
from dicomnode.encode.kinds.seg_sc import overlays
from dicomnode.encode.kinds.sr import measurement_report
from dicomnode.encode.kinds.text import text_report
from dicomnode.encode.single import LIBRARY_ERRORS, named, record_of
from dicomnode.encode.validate import validate
from dicomnode.environment import raise_unless_it_stays
from dicomnode.errors import EncodeError
from dicomnode.kinds import KINDS, Kind, Made, first_choice
from dicomnode.records import Case, EncodedResult

logger = logging.getLogger(__name__)

Encoded = SOPClass | list[SOPClass] | None
Encoder = Callable[[Context, dict[str, SOPClass], Kind], Encoded]
"""From the shared context, the results encoded before, and the kind, to datasets; None where there is nothing."""


def _seg(results: dict[str, SOPClass]) -> Segmentation | None:
    return cast("Segmentation | None", results.get("seg"))


ENCODERS: dict[Kind, Encoder] = {
    Kind.SEG: lambda context, results, kind: segmentation(context),
    Kind.SR: lambda context, results, kind: measurement_report(context, _seg(results), kind),
    Kind.SR_NEGATIVE: lambda context, results, kind: measurement_report(context, _seg(results), kind),
    Kind.SCORES: lambda context, results, kind: score_report(context, kind),
    Kind.TEXT: lambda context, results, kind: text_report(context),
    Kind.SC: lambda context, results, kind: secondary_capture(context),
    Kind.PREDICTED: lambda context, results, kind: predicted_scans(context),
    Kind.PREDICTED_SC: lambda context, results, kind: predicted_slices(context),
    Kind.PROBABILITY: lambda context, results, kind: probability_maps(context),
    Kind.KOS: lambda context, results, kind: result_root(context, results.values()),
    Kind.SEG_SC: lambda context, results, kind: overlays(context),
}
"""What makes a kind; a stand-in without an encoder of its own is made by that of its first choice."""


def encode_case(
    case: Case, folder: Path, now: datetime | None = None, requested: Collection[str] = ()
) -> list[EncodedResult]:
    """Write the results of a case, each validated by reading it back.

    Encoding the same case again, in any process, gives the same UIDs and file names; only times differ.

    Parameters
    ----------
    case : at least one finding; all masks on the slices of the volume.
    folder : gets one file per result, ``<SOPInstanceUID>.dcm``; created where it is missing.
    now : time of encoding, with an offset from UTC; the clock where None.
    requested : kinds that are wanted; of those made on request only these are encoded.

    Returns
    -------
    list of EncodedResult : ``seg`` (none where all masks are empty), ``sr`` (likewise),
        ``scores`` (none without scores), ``text``, ``sc``, ``predicted`` (one per predicted scan).

    Raises
    ------
    EncodeError : the case cannot be written as valid objects; ``folder`` then holds nothing new.
    OSError : the disk is full or gone; the same call may succeed later.
    """
    with disable_value_validation():  # sources may break value rules; pydicom would print their values in warnings
        context, results, contents = _in_memory(case, now, [*_always(), *requested])
        folder.mkdir(parents=True, exist_ok=True)
        paths = {name: folder / f"{ds.SOPInstanceUID}.dcm" for name, ds in results.items()}
        _write(contents, paths, context, results)
    encoded = [record_of(ds, kind_of(name), contents[name], paths[name], context) for name, ds in results.items()]
    kinds = list(dict.fromkeys(map(kind_of, results)))
    logger.info("case encoded", extra={"action": "encode", "kinds": kinds, "generation": case.generation})
    return encoded


def kind_of(name: str) -> Kind:
    """``predicted_sc/7`` -> ``predicted_sc``: results are named by kind, and by number where there are several."""
    return Kind(name.partition("/")[0])


def _always() -> list[Kind]:
    return [kind for kind, row in KINDS.items() if row.made is Made.ALWAYS]


def _in_memory(
    case: Case, now: datetime | None, kinds: Collection[str]
) -> tuple[Context, dict[str, SOPClass], dict[str, bytes]]:
    """The results of a case as datasets and as bytes, by name."""
    try:
        _check_case(case)
        context = context_of(case, now)
        results = _encoded(context, kinds)
        return context, results, {name: bytes_of(ds) for name, ds in results.items()}
    except LIBRARY_ERRORS as error:
        raise_unless_it_stays(error)
        raise EncodeError(f"encoding failed: {named(error)}") from error


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
    for image in case.images:
        if image.hu.shape != case.volume.hu.shape:
            raise EncodeError(f"{image.name}: predicted scan {image.hu.shape} does not fit the source slices")


def _encoded(context: Context, kinds: Collection[str]) -> dict[str, SOPClass]:
    results: dict[str, SOPClass] = {}
    for kind in [one for one, row in KINDS.items() if one in kinds and row.made is not Made.ALONE]:
        encoder = ENCODERS.get(kind) or ENCODERS[first_choice(kind)]
        made = encoder(context, results, kind)
        several = made if isinstance(made, list) else [made]
        results |= {f"{kind}/{n}" if n else kind: ds for n, ds in enumerate(several) if ds is not None}
    return results


def _write(contents: dict[str, bytes], paths: dict[str, Path], context: Context, results: dict[str, SOPClass]) -> None:
    """All files or none: temporary ones are written and validated before the first gets its name."""
    temporaries: dict[Path, Path] = {}
    known: dict[str, Dataset] = dict(results)
    try:
        for name, content in contents.items():
            temporary = write_temporary(content, paths[name].parent, paths[name].name)
            temporaries[temporary] = paths[name]
            _validate(temporary, context, kind_of(name), known)
        publish(temporaries)
    finally:
        for temporary in temporaries:
            temporary.unlink(missing_ok=True)


def _validate(path: Path, context: Context, kind: Kind, results: dict[str, Dataset]) -> None:
    try:
        validate(path, context, kind, results)
    except LIBRARY_ERRORS as error:
        raise_unless_it_stays(error)
        raise EncodeError(f"{kind}: cannot be read back: {named(error)}") from error
