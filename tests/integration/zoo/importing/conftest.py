"""Bundles of others turn their images with what the extra ``bundle`` brings: processes that try them find it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conftest import OWN_PATH


@pytest.fixture(scope="package", autouse=True)
def _children_with_extras(_plain_children: None) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", OWN_PATH)
        yield
