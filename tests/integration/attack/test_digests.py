"""The process that compares copies: started when it is needed, let go when the node stops."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from dicomnode.assemble.copies import UNREADABLE_PIXELS
from dicomnode.errors import EnvironmentFault
from dicomnode.execute.digests import PixelDigests
from tests.tools.series import ct_series, write_series


def test_copies_are_compared_elsewhere_and_a_stop_is_not_kept_waiting(tmp_path: Path) -> None:
    stopping: list[bool] = []
    digests = PixelDigests(start_timeout_s=120, is_stopping=lambda: bool(stopping))
    one, other = write_series(tmp_path, ct_series((0, 5), matrix=16))
    try:
        assert digests(one) == digests(one) != "unreadable"
        assert digests(one) != digests(other)
        digests.close()
        stopping.append(True)
        began = time.monotonic()
        with pytest.raises(EnvironmentFault):
            digests(one)
        assert time.monotonic() - began < 10
        assert not digests._child.is_running
    finally:
        digests.close()


def test_a_disk_that_is_away_is_no_verdict_about_the_pixels(tmp_path: Path) -> None:
    digests = PixelDigests(start_timeout_s=120, is_stopping=lambda: False)
    try:
        with pytest.raises(EnvironmentFault):
            digests(tmp_path / "away.dcm")
    finally:
        digests.close()


def test_a_file_at_which_the_kernel_ends_the_process_again_and_again_is_compared_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dicomnode.execute.digests.PROGRAM", "tests.integration.attack.killed_worker")
    monkeypatch.setattr("dicomnode.execute.digests.DEATHS_MAX", 2)
    digests = PixelDigests(start_timeout_s=120, is_stopping=lambda: False)
    with pytest.raises(EnvironmentFault):
        digests(tmp_path / "heavy.dcm")
    with pytest.raises(EnvironmentFault):
        digests(tmp_path / "another.dcm")
    assert digests(tmp_path / "heavy.dcm") == UNREADABLE_PIXELS
