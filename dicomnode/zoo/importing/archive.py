"""Finds a foreign MONAI bundle in a folder or a zip file, and copies what belongs to it. Nothing is executed."""

from __future__ import annotations

import shutil
import stat
import zipfile
from pathlib import Path, PurePosixPath

from dicomnode.errors import BundleRefused, ImportRefusal
from dicomnode.zoo.bundle import METADATA

MAX_BYTES = 8 << 30
MAX_FILES = 2000
CONFIG_SUFFIXES = {".json", ".yaml", ".yml", ".conf"}
CARD = Path("docs/README.md")
WEIGHT_FILES = tuple(Path("models") / name for name in ("model.safetensors", "model.pt", "model.pth"))
"""In the order of preference."""
SCRIPT_FILES = (Path("models/model.ts"), Path("models/model.zip"))


def unpack(source: Path, scratch: Path) -> Path:
    """The folder of the bundle: ``source`` itself, one folder below it, or what a zip file holds.

    Parameters
    ----------
    scratch : empty folder that a zip file is unpacked to.

    Raises
    ------
    BundleRefused : ``NO_BUNDLE``, ``UNSAFE_ARCHIVE``, ``NO_METADATA``.
    """
    if source.is_file() and zipfile.is_zipfile(source):
        _extract(source, scratch)
        source = scratch
    if not source.is_dir():
        raise BundleRefused(ImportRefusal.NO_BUNDLE, str(source))
    candidates = [source, *sorted(path for path in source.iterdir() if path.is_dir())]
    for folder in candidates:
        if (folder / METADATA).is_file():
            return folder
    if any((folder / "configs").is_dir() or (folder / "models").is_dir() for folder in candidates):
        raise BundleRefused(ImportRefusal.NO_METADATA, str(source))
    raise BundleRefused(ImportRefusal.NO_BUNDLE, str(source))


def _extract(source: Path, scratch: Path) -> None:
    with zipfile.ZipFile(source) as archive:
        entries = archive.infolist()
        if len(entries) > MAX_FILES or sum(entry.file_size for entry in entries) > MAX_BYTES:
            raise BundleRefused(ImportRefusal.UNSAFE_ARCHIVE, f"{len(entries)} files")
        for entry in entries:
            _check(entry)
        try:
            archive.extractall(scratch)
        except (zipfile.BadZipFile, RuntimeError, NotImplementedError) as error:
            raise BundleRefused(ImportRefusal.UNSAFE_ARCHIVE, f"{type(error).__name__}: {error}") from error


def _check(entry: zipfile.ZipInfo) -> None:
    path = PurePosixPath(entry.filename.replace("\\", "/"))
    mode = entry.external_attr >> 16
    is_special = stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR)
    if path.is_absolute() or ".." in path.parts or ":" in entry.filename or is_special:
        raise BundleRefused(ImportRefusal.UNSAFE_ARCHIVE, entry.filename[:100])


def weights_of(bundle: Path) -> Path:
    """The weights file of a bundle.

    Raises
    ------
    BundleRefused : ``NO_WEIGHTS``, or ``TORCHSCRIPT`` where there is nothing else.
    """
    for name in WEIGHT_FILES:
        if (bundle / name).is_file():
            return bundle / name
    script = next((name for name in SCRIPT_FILES if (bundle / name).is_file()), None)
    if script is not None:
        raise BundleRefused(ImportRefusal.TORCHSCRIPT, f"Only {script} is here.")
    raise BundleRefused(ImportRefusal.NO_WEIGHTS)


def copy_texts(bundle: Path, target: Path) -> None:
    """Copy configurations and licence; weights and card are written anew, code of the bundle's own is left out."""
    for file in sorted((bundle / "configs").iterdir()):
        if file.is_file() and file.suffix in CONFIG_SUFFIXES:
            _copy(file, target / "configs" / file.name)
    for file in sorted(bundle.iterdir()):
        if file.is_file() and file.name.upper().startswith(("LICENSE", "LICENCE", "NOTICE")):
            _copy(file, target / file.name)


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
