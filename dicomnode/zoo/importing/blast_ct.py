"""Brings weights of blast-ct into the models folder as a bundle: read, tried, described, pinned; whole or not at all.

Neither the authors' program nor anything else foreign runs: the network is :mod:`dicomnode.zoo.networks.deepmedic`.

Reference: Monteiro, Newcombe et al., Lancet Digital Health 2 (2020) e314; https://github.com/biomedia-mira/blast-ct.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from dicomnode.errors import BundleRefused, ImportRefusal
from dicomnode.zoo.bundle import METADATA, load_manifest
from dicomnode.zoo.importing.archive import CARD
from dicomnode.zoo.importing.blast_ct_words import PUBLISHED_SETS, UNKNOWN_SET, PublishedSet, card_of, section_of
from dicomnode.zoo.importing.child import answer_of, sha256_of
from dicomnode.zoo.importing.foreign import CONFIG, check_name
from dicomnode.zoo.importing.importer import Imported, put_in_place, require_free
from dicomnode.zoo.importing.layout import WeightsOptions

TRIAL = "dicomnode.zoo.importing.weights_trial"
NAME = "blast_ct"
MAX_MEMBERS = 32
"""More networks than anybody has published."""


def import_weights(files: Sequence[Path], into: Path, options: WeightsOptions, taken: Collection[str] = ()) -> Imported:
    """Import networks whose answers are averaged.

    Parameters
    ----------
    files : state dictionaries, one a network, in any order.
    into : the models folder; gets ``<name>/``, and its digest in ``pinned.json``.
    taken : names of models that the node knows already.

    Raises
    ------
    BundleRefused : ``BAD_NAME``, ``NAME_TAKEN``, ``NO_FILE``, ``MIXED_MEMBERS``, ``TORCHSCRIPT``, ``UNSAFE_WEIGHTS``,
        ``OTHER_NETWORK``, ``CANNOT_RUN``; the models folder is as it was.
    """
    into.mkdir(parents=True, exist_ok=True)
    name = check_name(options.name or NAME)
    require_free(name, into, taken)
    digests = _members(files)
    with tempfile.TemporaryDirectory(prefix=".import-", dir=into) as scratch:
        # two levels deep: a registry that reads the folder meanwhile does not take it for a bundle
        staged = Path(scratch) / "staged" / name
        staged.mkdir(parents=True)
        trial = answer_of(TRIAL, (*digests.values(), staged), Path(scratch) / "reply.json")
        _describe(staged, digests, trial, options)
        return put_in_place(staged, into)


def _members(files: Sequence[Path]) -> dict[str, Path]:
    """Each file by its sha256, in the order of those: the same files make the same bundle, however they are given."""
    missing = [file.name for file in files if not file.is_file()]
    if missing or not files:
        raise BundleRefused(ImportRefusal.NO_FILE, f"No file: {missing[0]}." if missing else "None is given.")
    if len(files) > MAX_MEMBERS:
        raise BundleRefused(ImportRefusal.MIXED_MEMBERS, f"{len(files)} files, at most {MAX_MEMBERS}.")
    if len({file.suffix for file in files}) > 1:
        endings = ", ".join(sorted({file.suffix for file in files}))
        raise BundleRefused(ImportRefusal.MIXED_MEMBERS, f"Endings {endings} are of different sets.")
    found: dict[str, Path] = {}
    for file in files:
        digest = sha256_of(file)
        if digest in found:
            raise BundleRefused(ImportRefusal.MIXED_MEMBERS, f"{file.name} is the same as {found[digest].name}.")
        found[digest] = file.absolute()
    return dict(sorted(found.items()))


def _describe(staged: Path, digests: dict[str, Path], trial: dict[str, Any], options: WeightsOptions) -> None:
    """Write configuration, metadata and card."""
    files = list(digests.values())
    ending = files[0].suffix
    known = PUBLISHED_SETS.get(ending, UNKNOWN_SET) if trial["published"] else UNKNOWN_SET
    origin = {
        "name": "blast-ct",
        "version": known.version,
        "weights_sha256": hashlib.sha256("".join(digests).encode()).hexdigest(),
    }
    section = section_of(staged.name, len(files), known, options) | {"origin": origin}
    _write_json(staged / CONFIG, _inference(trial["form"], len(files), section))
    _write_json(staged / METADATA, _metadata(section, known))
    (staged / CARD).parent.mkdir(parents=True, exist_ok=True)
    listed = "".join(f"| {file.name} | `{digest}` |\n" for digest, file in digests.items())
    (staged / CARD).write_text(card_of(load_manifest(staged), listed), encoding="utf-8")


def _inference(form: dict[str, Any], members: int, section: dict[str, Any]) -> dict[str, Any]:
    outputs = {output["name"]: channel for channel, output in enumerate(section["gives"], start=1)}
    return {
        "network_def": {"_target_": "dicomnode.zoo.networks.members.Members", "count": members, **form},
        "model_def": {
            "_target_": "dicomnode.zoo.cubes.LesionsOnCubes",
            "members": "@network_def",
            "outputs": outputs,
        },
    }


def _metadata(section: dict[str, Any], known: PublishedSet) -> dict[str, Any]:
    return {
        "version": known.version,
        "name": section["title"],
        "task": "Segmentation of traumatic lesions on non-contrast head CT",
        "authors": "Monteiro, Newcombe et al. (weights)",
        "license": "Apache-2.0 (weights)",
        "references": ["Monteiro M, Newcombe VFJ, et al. Lancet Digit Health 2020;2:e314-e322"],
        "data_source": section["trained_on"],
        "dicomnode": section,
    }


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
