"""Which bundles this node may run: built-in ones and those in configured folders, pinned by digest. No torch here."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dicomnode.config.known import there_are
from dicomnode.errors import BundleError
from dicomnode.language import model_name
from dicomnode.records import ModelRef
from dicomnode.zoo.bundle import BundleManifest, bundle_digest, load_manifest
from dicomnode.zoo.manifest import ScoreOutput

BUILT_IN = Path(__file__).parent
PINS = "pinned.json"
WEIGHTS = Path("models/model.safetensors")
MAX_HEADER_BYTES = 100_000_000
"""Limit of the safetensors format itself."""


@dataclass(frozen=True, slots=True)
class RegisteredBundle:
    """A bundle, verified when it was read.

    Attributes
    ----------
    digest : ``sha256:<hex>`` of what lies on disk now.
    pinned : whether the configuration pins this digest.
    parameters : number of weights, from the safetensors header.
    """

    manifest: BundleManifest
    digest: str
    pinned: bool
    parameters: int

    @property
    def model_ref(self) -> ModelRef:
        """Reference that every finding of this bundle carries."""
        return self.manifest.model_ref(self.digest)


def read_safetensors_header(file: Path) -> dict[str, dict[str, object]]:
    """Names, types, shapes and byte ranges of the tensors: the first 8 bytes give the length of a JSON header.

    Raises
    ------
    BundleError : the file is missing or is no safetensors file, or its tensors do not fill it.
    """
    try:
        with file.open("rb") as stream:
            (length,) = struct.unpack("<Q", stream.read(8))
            if length > min(MAX_HEADER_BYTES, file.stat().st_size):
                raise BundleError(f"{file}: no safetensors file: header of {length} bytes")
            header = json.loads(stream.read(length))
        header.pop("__metadata__", None)
        end = max((int(tensor["data_offsets"][1]) for tensor in header.values()), default=0)
    except OSError as error:
        raise BundleError(f"{file}: cannot be read: {error.strerror}") from error
    except (struct.error, ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise BundleError(f"{file}: no safetensors file: {error}") from error
    if file.stat().st_size != 8 + length + end:
        raise BundleError(f"{file}: cut short or padded: {file.stat().st_size} bytes, {8 + length + end} expected")
    tensors: dict[str, dict[str, object]] = header
    return tensors


def _parameters(header: Mapping[str, Mapping[str, object]]) -> int:
    total = 0
    for tensor in header.values():
        count, shape = 1, tensor.get("shape")
        for size in shape if isinstance(shape, list) else []:
            count *= int(size)
        total += count
    return total


def _verified(manifest: BundleManifest, pinned: str | None) -> RegisteredBundle:
    digest = bundle_digest(manifest.path)
    if pinned is not None and pinned != digest:
        raise BundleError(f"{manifest.name}: the digest is {digest}, but {pinned} is pinned")
    header = read_safetensors_header(manifest.path / WEIGHTS)
    return RegisteredBundle(manifest, digest, pinned is not None, _parameters(header))


def with_thresholds(manifest: BundleManifest, thresholds: Mapping[str, float]) -> BundleManifest:
    """A manifest whose scores have the thresholds that are given for them by name."""
    gives = tuple(
        output.model_copy(update={"threshold": thresholds[output.name]})
        if isinstance(output, ScoreOutput) and output.name in thresholds
        else output
        for output in manifest.gives
    )
    return manifest.model_copy(update={"gives": gives})


def open_bundle(path: Path) -> RegisteredBundle:
    """A bundle by its folder, without a registry.

    Raises
    ------
    BundleError : the manifest or the weights are at fault.
    """
    return _verified(load_manifest(path), None)


def read_pins(folder: Path) -> dict[str, str]:
    """Digests by name that ``pinned.json`` of a models folder pins; imports write it.

    Raises
    ------
    BundleError : the file is damaged.
    """
    file = folder / PINS
    if not file.is_file():
        return {}
    try:
        pins = json.loads(file.read_text(encoding="utf-8"))
        return {str(name): str(digest) for name, digest in pins.items()}
    except (OSError, ValueError, AttributeError) as error:
        raise BundleError(f"{file}: cannot be read: {error}") from error


def pin(folder: Path, name: str, digest: str) -> None:
    """Pin a digest in a models folder; the file is whole at any moment."""
    pins = {**read_pins(folder), name: digest}
    temporary = folder / f".{PINS}.tmp"
    temporary.write_text(json.dumps(dict(sorted(pins.items())), indent=2) + "\n", encoding="utf-8")
    temporary.replace(folder / PINS)


def _bundle_folders(folder: Path) -> list[Path]:
    """The folder itself, or the bundles one or two levels below it."""
    if (folder / "configs").is_dir():
        return [folder]
    return sorted(found.parent for pattern in ("*/configs", "*/bundle/configs") for found in folder.glob(pattern))


class Registry:
    """All bundles by name.

    Parameters
    ----------
    paths : further bundles, or folders of bundles; they may not take the name of another.
    digests : pinned digest by name, ``sha256:<hex>``; they stand above those that a models folder pins itself.
    thresholds : operating threshold of a score by its name; it takes the place of the one in the bundle.
    horizons_h : hours to what a model foretells, by its name; they take the place of the bundle's own.

    Raises
    ------
    BundleError : a folder holds no bundle, two bundles share a name, a manifest is at fault, no bundle gives a score
        that has a threshold, or hours are given that no bundle allows; every fault is named.
    """

    def __init__(
        self,
        paths: Sequence[Path] = (),
        digests: Mapping[str, str] | None = None,
        thresholds: Mapping[str, float] | None = None,
        horizons_h: Mapping[str, float] | None = None,
    ) -> None:
        self._thresholds = dict(thresholds or {})
        self._horizons_h = {model_name(name): hours for name, hours in (horizons_h or {}).items()}
        self._digests = {model_name(name): digest for name, digest in (digests or {}).items()}
        self._manifests: dict[str, BundleManifest] = {}
        faults: list[str] = []
        pins: dict[str, str] = {}
        for folder in (BUILT_IN, *paths):
            pins |= read_pins(folder)
            found = _bundle_folders(folder)
            if not found:
                faults.append(f"{folder}: holds no bundle")
            for path in found:
                faults += self._add(path)
        faults += [
            f"digest pinned for {name}, which is no bundle here" for name in self._digests.keys() - self._manifests
        ]
        scores = {score.name for manifest in self._manifests.values() for score in manifest.scores}
        faults += [f"threshold given for {name}, which is no score here" for name in self._thresholds.keys() - scores]
        # a bundle that was refused for its hours is none here, which need not be said twice
        unknown = () if faults else self._horizons_h.keys() - self._manifests
        faults += [f"hours given for {name}, which is no bundle here" for name in unknown]
        # a model that was taken out of its folder leaves its pin behind: that one says nothing
        self._digests = {**pins, **self._digests}
        if faults:
            raise BundleError("\n".join(sorted(faults)))

    def _add(self, path: Path) -> Sequence[str]:
        try:
            manifest = with_thresholds(load_manifest(path, self._horizons_h), self._thresholds)
        except BundleError as error:
            return [str(error)]
        other = self._manifests.setdefault(model_name(manifest.name), manifest)
        return [] if other is manifest else [f"{path}: the name {manifest.name} is taken by {other.path}"]

    def list(self) -> tuple[BundleManifest, ...]:
        """Manifests by name; nothing is verified."""
        return tuple(self._manifests[name] for name in sorted(self._manifests))

    def manifest(self, name: str) -> BundleManifest:
        """The manifest of one bundle; nothing is verified.

        Raises
        ------
        BundleError : unknown name.
        """
        manifest = self._manifests.get(model_name(name))
        if manifest is None:
            raise BundleError(f"no bundle named {name}{there_are(name, sorted(self._manifests))}")
        return manifest

    def get(self, name: str) -> RegisteredBundle:
        """One bundle, verified now.

        Raises
        ------
        BundleError : unknown name, digest not the pinned one, or damaged weights.
        """
        manifest = self.manifest(name)
        return _verified(manifest, self._digests.get(manifest.name))

    def verify(self) -> tuple[RegisteredBundle, ...]:
        """All bundles, verified now.

        Raises
        ------
        BundleError : every bundle at fault is named.
        """
        verified, faults = [], []
        for name in sorted(self._manifests):
            try:
                verified.append(self.get(name))
            except BundleError as error:
                faults.append(str(error))
        if faults:
            raise BundleError("\n".join(faults))
        return tuple(verified)
