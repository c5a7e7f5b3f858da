"""Whether every protocol has its models, its ways out, and right answers."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from dicomnode.app.check.finding import Finding
from dicomnode.app.known_answer import ANSWER
from dicomnode.app.known_head import make_known_head
from dicomnode.app.parts import devices_of
from dicomnode.app.selftest import try_bundle
from dicomnode.assemble.protocols import unmatchable_keywords
from dicomnode.config.protocols import Protocol
from dicomnode.config.whole import Config
from dicomnode.errors import BundleError, InferenceError, RunTimedOut
from dicomnode.execute.backends.in_child import ChildBackend
from dicomnode.execute.dispatcher import backend_of
from dicomnode.execute.plan import plan_of
from dicomnode.zoo.registry import Registry


def check_protocols(config: Config) -> Iterator[Finding]:
    try:
        registry = Registry(config.bundle_paths, config.zoo.digests, config.zoo.thresholds, config.zoo.horizons_h)
    except BundleError as fault:
        yield Finding("zoo", False, str(fault))
        return
    for protocol in config.protocol:
        what, research = f"protocol {protocol.name}", False
        for model in protocol.models:
            try:
                research |= registry.get(model).manifest.research
            except BundleError as fault:
                yield Finding(what, False, str(fault))
        yield from _unserved(registry, protocol)
        yield from _unmatchable(protocol)
        yield _ways_out(config, protocol, research)
    yield from _unknown_scores(config, registry)


def _unknown_scores(config: Config, registry: Registry) -> Iterator[Finding]:
    """Limits of scores that no model of a protocol gives: they would never be told."""
    models = {model for protocol in config.protocol for model in protocol.models}
    manifests = [manifest for manifest in registry.list() if manifest.name in models]
    known = {score.name for manifest in manifests for score in manifest.scores}
    for name in sorted(set(config.operations.notify.urgent_scores) - known):
        says = f"no model of a protocol gives the score {name!r}; known: {', '.join(sorted(known)) or 'none'}"
        yield Finding("operations.notify.urgent_scores", False, says)


def _unserved(registry: Registry, protocol: Protocol) -> Iterator[Finding]:
    """Needs that no model of the protocol serves, and circles of needs: the node would not start."""
    if not {manifest.name for manifest in registry.list()}.issuperset(protocol.models):
        return  # said of the models themselves
    try:
        plan_of(registry, protocol)
    except BundleError as fault:
        yield Finding(f"protocol {protocol.name}", False, str(fault))


def _unmatchable(protocol: Protocol) -> Iterator[Finding]:
    """Conditions on what is never kept of an image: names and numbers of patients, sequences, bulk data."""
    for keyword in unmatchable_keywords(protocol.match):
        says = f"match names {keyword}, which is never kept of an image: to this protocol it is always absent"
        yield Finding(f"protocol {protocol.name}", False, says)


def _ways_out(config: Config, protocol: Protocol, research: bool) -> Finding:
    """A protocol whose results may go nowhere: research results need a destination that accepts them."""
    what = f"protocol {protocol.name}"
    if protocol.shadow:
        return Finding(what, True, "runs in shadow: its results are recorded and go nowhere")
    takers = [destination for destination in config.destinations_of(protocol) if destination.results]
    open_ways = [destination.name for destination in takers if destination.accept_research or not research]
    if open_ways:
        return Finding(what, True, f"results go to {', '.join(open_ways)}")
    if not takers:
        return Finding(what, False, "none of its destinations takes any kind of result: they would go nowhere")
    says = (
        "its models are marked research, but none of its destinations has accept_research = true: "
        "every result would be withheld"
    )
    return Finding(what, False, says)


def check_models(config: Config) -> Iterator[Finding]:
    """Load every model on every device that has a worker, and ask each for its known answer there."""
    # An actor of a cluster is like the next, and takes a place from patients.
    devices = devices_of(config)[: 1 if config.execution.backend == "ray" else None]
    for device in dict.fromkeys(devices):
        yield from _models_on(config, device)


def _models_on(config: Config, device: str) -> Iterator[Finding]:
    backend = backend_of(config, device)
    try:
        ready = backend.start()
        for model, digest in ready.models.items():
            yield Finding(f"model {model}", True, f"loads on {ready.device}, {digest[:19]}...")
        yield from _selftests(config, backend)
    except RunTimedOut as fault:
        says = f"slow, or the machine is busy: {fault}; [execution] start_timeout_s may allow more"
        yield Finding("models", False, says, fatal=False)
    except InferenceError as fault:
        yield Finding("models", False, str(fault))
    finally:
        backend.kill()


def _selftests(config: Config, backend: ChildBackend) -> Iterator[Finding]:
    """The known answers of those loaded models that have one."""
    registry = Registry(config.bundle_paths, config.zoo.digests, config.zoo.thresholds, config.zoo.horizons_h)
    bundles = [registry.get(name) for name in sorted(backend.models)]
    able = [bundle for bundle in bundles if (bundle.manifest.path / ANSWER).is_file()]
    if not able:
        return
    with tempfile.TemporaryDirectory(prefix="dicomnode-selftest-") as scratch:
        head = make_known_head(Path(scratch))
        for bundle in able:
            if not backend.is_running:
                backend.start()  # the one before did not answer in time, and its process was killed
            verdict = try_bundle(backend, bundle, head, config.execution.run_timeout_s)
            yield Finding(f"selftest {verdict.name}", verdict.ok is not False, verdict.says, fatal=not verdict.is_late)
