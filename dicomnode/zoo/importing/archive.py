"""Finds a foreign MONAI bundle in a folder or a zip file, and copies what belongs to it. Nothing is executed."""

from __future__ import annotations

import shutil
import stat
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources.abc import Traversable
from pathlib import Path, PurePosixPath
from typing import TypeVar, cast

from dicomnode.errors import BundleRefused, ImportRefusal
from dicomnode.zoo.bundle import METADATA

MAX_BYTES = 8 << 30
MAX_TEXT_BYTES = 4 << 20
MAX_RATIO, RATIO_FREE_BYTES = 100, 64 << 20
"""A zip file that is this many times its size, beyond some megabytes, is a bomb: weights hardly shrink."""
MAX_FILES = 2000
CONFIG_SUFFIXES = {".json", ".yaml", ".yml", ".conf"}
CARD = Path("docs/README.md")
WEIGHT_FILES = tuple(Path("models") / name for name in ("model.safetensors", "model.pt", "model.pth"))
"""In the order of preference."""
Folder = TypeVar("Folder", bound=Traversable)
SCRIPT_FILES = (Path("models/model.ts"), Path("models/model.zip"))


@contextmanager
def look_into(source: Path) -> Iterator[Traversable]:
    """The bundle in a folder or, still packed, in a zip file: to be read before anybody was asked to trust it.

    Raises
    ------
    BundleRefused : ``NO_BUNDLE``, ``UNSAFE_ARCHIVE``, ``NO_METADATA``.
    """
    if not (source.is_file() and zipfile.is_zipfile(source)):
        yield _bundle_in(source, str(source))
        return
    with zipfile.ZipFile(source) as archive:
        _check_archive(archive)
        yield _bundle_in(zipfile.Path(archive), str(source))


def text_of(file: Traversable) -> str:
    """A text of a bundle.

    Raises
    ------
    OSError : it is not there.
    ValueError : it is no UTF-8, damaged, or longer than any such text is.
    """
    try:
        with file.open("rb") as stream:
            content = stream.read(MAX_TEXT_BYTES + 1)
    except (KeyError, RuntimeError, NotImplementedError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"{file.name} cannot be read: {type(error).__name__}") from error
    if len(content) > MAX_TEXT_BYTES:
        raise ValueError(f"{file.name} has more than {MAX_TEXT_BYTES} bytes")
    return content.decode("utf-8")


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
    return Path(str(_bundle_in(source, str(source))))


def _bundle_in(top: Traversable, named: str) -> Traversable:
    if not top.is_dir():
        raise BundleRefused(ImportRefusal.NO_BUNDLE, named)
    below = sorted((path for path in top.iterdir() if path.is_dir()), key=lambda path: path.name)
    candidates = [top, *below]
    for folder in candidates:
        if (folder / str(METADATA)).is_file():
            return folder
    if any((folder / "configs").is_dir() or (folder / "models").is_dir() for folder in candidates):
        raise BundleRefused(ImportRefusal.NO_METADATA, named)
    raise BundleRefused(ImportRefusal.NO_BUNDLE, named)


def _extract(source: Path, scratch: Path) -> None:
    with zipfile.ZipFile(source) as archive:
        _check_archive(archive)
        try:
            archive.extractall(scratch)
        except (zipfile.BadZipFile, RuntimeError, NotImplementedError, zlib.error) as error:
            raise BundleRefused(ImportRefusal.UNSAFE_ARCHIVE, f"{type(error).__name__}: {error}") from error


def _check_archive(archive: zipfile.ZipFile) -> None:
    entries = archive.infolist()
    size, packed = sum(entry.file_size for entry in entries), sum(entry.compress_size for entry in entries)
    if len(entries) > MAX_FILES or size > MAX_BYTES:
        raise BundleRefused(ImportRefusal.UNSAFE_ARCHIVE, f"{len(entries)} files with {size} bytes")
    if size > RATIO_FREE_BYTES + MAX_RATIO * packed:
        raise BundleRefused(ImportRefusal.UNSAFE_ARCHIVE, f"{packed} bytes would become {size}")
    if len({entry.filename for entry in entries}) < len(entries):
        raise BundleRefused(ImportRefusal.UNSAFE_ARCHIVE, "The same name stands for several files.")
    for entry in entries:
        _check(entry)


def _check(entry: zipfile.ZipInfo) -> None:
    path = PurePosixPath(entry.filename.replace("\\", "/"))
    mode = entry.external_attr >> 16
    is_special = stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR)
    if path.is_absolute() or ".." in path.parts or ":" in entry.filename or is_special:
        raise BundleRefused(ImportRefusal.UNSAFE_ARCHIVE, entry.filename[:100])


def weights_of(bundle: Folder) -> Folder:
    """The weights file of a bundle.

    Raises
    ------
    BundleRefused : ``NO_WEIGHTS``, or ``TORCHSCRIPT`` where there is nothing else.
    """
    for name in WEIGHT_FILES:
        if (bundle / str(name)).is_file():
            return cast(Folder, bundle / str(name))
    script = next((name for name in SCRIPT_FILES if (bundle / str(name)).is_file()), None)
    if script is not None:
        raise BundleRefused(ImportRefusal.TORCHSCRIPT, f"Only {script} is here.")
    raise BundleRefused(ImportRefusal.NO_WEIGHTS)


def is_torchscript(source: Path) -> bool:
    """A zip file with code in it, which a state dict never has."""
    if not zipfile.is_zipfile(source):
        return False
    with zipfile.ZipFile(source) as archive:
        return any("/code/" in name or name.endswith("constants.pkl") for name in archive.namelist())


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
