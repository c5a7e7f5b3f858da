"""A folder is made durable with those above it once, and again where it is not the one that was."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dicomnode.receive.folders import MOST_HELD, Folders


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the folders that were synchronised, in order."""
    names: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: names.append(Path(os.readlink(f"/dev/fd/{descriptor}")).name))
    return names


def series(root: Path, name: str = "1.2") -> Path:
    folder = root / "1" / name
    folder.mkdir(parents=True)
    return folder


def test_a_folder_that_is_known_is_synchronised_alone(tmp_path: Path, synced: list[str]) -> None:
    folders, folder = Folders(tmp_path), series(tmp_path)
    folders.sync(folder)
    assert synced == ["1.2", "1", tmp_path.name]
    folders.sync(folder)
    assert synced[3:] == ["1.2"]
    folders.let_go()
    folders.sync(folder)
    assert synced[4:] == ["1.2", "1", tmp_path.name]
    folders.let_go()


def test_a_folder_that_was_made_anew_is_not_the_one_that_is_known(tmp_path: Path, synced: list[str]) -> None:
    folders, folder = Folders(tmp_path), series(tmp_path)
    folders.sync(folder)
    for _ in range(3):  # the operating system gives a free inode to the next folder
        folder.rmdir()
        folder.parent.rmdir()
        synced.clear()
        folders.sync(series(tmp_path))
        assert synced == ["1.2", "1", tmp_path.name]
    folders.let_go()


def test_a_few_folders_are_held_and_none_is_left_open(tmp_path: Path) -> None:
    before = len(os.listdir("/dev/fd"))
    folders = Folders(tmp_path)
    for number in range(3 * MOST_HELD):
        folders.sync(series(tmp_path, f"1.{number}"))
        assert len(os.listdir("/dev/fd")) <= before + MOST_HELD
    with pytest.raises(FileNotFoundError):
        folders.sync(tmp_path / "absent")
    folders.let_go()
    assert len(os.listdir("/dev/fd")) == before
