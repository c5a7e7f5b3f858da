"""What the protocols of a configuration have run, and by what a run is known to be up to date. No torch here."""

from __future__ import annotations

from collections.abc import Mapping

from dicomnode.config.protocols import Protocol
from dicomnode.config.whole import Config
from dicomnode.errors import BundleError, ConfigError
from dicomnode.records import PatientContext
from dicomnode.store.queue.runs import RunIdentity
from dicomnode.zoo.applicability import GivenBy, inputs_digest
from dicomnode.zoo.bundle import BundleManifest
from dicomnode.zoo.order import run_order
from dicomnode.zoo.registry import Registry

Plan = tuple[BundleManifest, ...]
"""The models of a protocol in the order in which they run."""


def plans_of(config: Config, only: Protocol | None = None) -> dict[str, Plan]:
    """The plan of every protocol, or of one, by its name.

    Raises
    ------
    ConfigError : a protocol names a model that is not there, nobody gives what a model needs, or models need each other
        in a circle; every fault of every protocol.
    """
    registry = registry_of(config)
    plans, faults = {}, []
    for protocol in config.protocol if only is None else (only,):
        try:
            plans[protocol.name] = plan_of(registry, protocol)
        except BundleError as fault:
            faults += [f"protocol {protocol.name}: {line}" for line in str(fault).splitlines()]
    if faults:
        raise ConfigError(faults)
    return plans


def registry_of(config: Config) -> Registry:
    """The bundles of a configuration.

    Raises
    ------
    ConfigError : a bundle's manifest is at fault.
    """
    try:
        return Registry(config.bundle_paths, config.zoo.digests, config.zoo.thresholds, config.zoo.horizons_h)
    except BundleError as fault:
        raise ConfigError([f"zoo: {line}" for line in str(fault).splitlines()]) from fault


def plan_of(registry: Registry, protocol: Protocol) -> Plan:
    """The models of one protocol in order.

    Raises
    ------
    BundleError : see :func:`plans_of`.
    """
    return run_order([registry.manifest(name) for name in protocol.models])


def identities(plan: Plan, digests: Mapping[str, str], context: PatientContext) -> dict[str, RunIdentity]:
    """The identity of each run of a job, by the name of the model.

    Parameters
    ----------
    digests : model name -> digest, as the backend has loaded them.
    """
    found: dict[str, RunIdentity] = {}
    given: list[GivenBy] = []
    for manifest in plan:
        identity = RunIdentity(digests.get(manifest.name, ""), inputs_digest(manifest, context, given))
        found[manifest.name] = identity
        given += [(output.name, identity.model_digest, identity.inputs_digest) for output in manifest.gives]
    return found


def givers_of(manifest: BundleManifest, plan: Plan) -> tuple[str, ...]:
    """Names of the models whose findings a model needs, in the order of the plan."""
    needed = set(manifest.needs.findings)
    return tuple(other.name for other in plan if needed & {output.name for output in other.gives})
