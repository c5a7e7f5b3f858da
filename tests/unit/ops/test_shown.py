"""How the status page writes what it shows."""

from __future__ import annotations

import doctest

import pytest

shown = pytest.importorskip("dicomnode.ops.http.shown", reason="pip install 'dicomnode[operations]'")


def test_the_examples_of_the_filters_hold() -> None:
    result = doctest.testmod(shown)
    assert result.attempted >= 2
    assert result.failed == 0
