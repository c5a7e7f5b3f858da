"""Bundles of others turn their images with what the extra ``bundle`` brings: processes that try them find it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dicomnode.zoo.importing import child
from tests.conftest import BUNDLE_PATH
from tests.tools.warm_trials import WarmTrials

COLD = child.run_confined


@pytest.fixture(scope="package", autouse=True)
def _children_with_the_extra(_plain_children: None) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", BUNDLE_PATH)
        yield


@pytest.fixture(scope="package", autouse=True)
def _warm_trials(_children_with_the_extra: None) -> Iterator[None]:
    """Each trial is a copy of a process that has imported all; ``cold_trials`` starts one as an admin's import does."""
    warm = WarmTrials()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(child, "run_confined", warm.run)
        yield
    warm.close()


@pytest.fixture
def cold_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trials are started by the code that starts them in a hospital."""
    monkeypatch.setattr(child, "run_confined", COLD)
