"""Which scores of the known bundles say what a later CT will show, and whether the two scans can be compared."""

from __future__ import annotations

from importlib.util import find_spec

from dicomnode.store.ops.outcomes import Forecast
from dicomnode.zoo.registry import Registry


def forecasts_of(registry: Registry) -> list[Forecast]:
    """Every score of the known bundles that says what a later CT will show.

    Raises
    ------
    BundleError : a bundle cannot be read.
    """
    return [
        Forecast(
            model=manifest.name,
            score=score.name,
            finding=score.foretells.finding,
            at_h=score.foretells.at_h,
            until_h=score.foretells.until_h,
        )
        for manifest in registry.list()
        for score in manifest.scores
        if score.foretells is not None
    ]


def drawn_forecasts(registry: Registry) -> list[Forecast]:
    """Those of bundles that also give the image of that CT.

    Raises
    ------
    BundleError : a bundle cannot be read.
    """
    return [one for one in forecasts_of(registry) if registry.manifest(one.model).images]


def can_register() -> bool:
    """Whether SimpleITK is installed, which lays one scan onto the other."""
    return find_spec("SimpleITK") is not None
