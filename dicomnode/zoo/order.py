"""In which order the models of a protocol run: what a model needs is given before it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from graphlib import CycleError, TopologicalSorter

from dicomnode.errors import BundleError
from dicomnode.zoo.bundle import BundleManifest


def run_order(manifests: Sequence[BundleManifest]) -> tuple[BundleManifest, ...]:
    """The models in an order that serves their needs; what is free keeps the order given.

    Raises
    ------
    BundleError : two models give a finding of the same name, nobody gives one that is needed, one is a predicted scan,
        or models need each other in a circle; every fault is named.
    """
    givers = _givers(manifests)
    missing = [
        f"{manifest.name} needs the finding {name!r}, which no model of the protocol gives"
        for manifest in manifests
        for name in manifest.needs.findings
        if name not in givers
    ]
    predicted = {output.name for manifest in manifests for output in manifest.images}
    missing += [
        f"{manifest.name} needs {name!r}, a predicted scan: no model reads what was never acquired"
        for manifest in manifests
        for name in manifest.needs.findings
        if name in predicted
    ]
    if missing:
        raise BundleError("\n".join(missing))
    return _sorted(manifests, givers)


def _givers(manifests: Sequence[BundleManifest]) -> dict[str, str]:
    """Finding -> the model that gives it."""
    givers: dict[str, str] = {}
    faults = []
    for manifest in manifests:
        for output in manifest.gives:
            other = givers.setdefault(output.name, manifest.name)
            if other != manifest.name:
                faults.append(f"{other} and {manifest.name} both give a finding called {output.name!r}")
    if faults:
        raise BundleError("\n".join(faults))
    return givers


def _sorted(manifests: Sequence[BundleManifest], givers: Mapping[str, str]) -> tuple[BundleManifest, ...]:
    places = {manifest.name: place for place, manifest in enumerate(manifests)}
    sorter = TopologicalSorter({m.name: [givers[name] for name in m.needs.findings] for m in manifests})
    try:
        sorter.prepare()
    except CycleError as error:
        raise BundleError(f"models need each other in a circle: {' -> '.join(reversed(error.args[1]))}") from error
    order: list[BundleManifest] = []
    ready: list[str] = []
    while sorter.is_active():
        ready = sorted({*ready, *sorter.get_ready()}, key=places.__getitem__)
        name = ready.pop(0)
        order.append(manifests[places[name]])
        sorter.done(name)
    return tuple(order)
