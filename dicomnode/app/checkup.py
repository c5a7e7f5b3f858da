"""``dicomnode check``: everything that would go wrong later, said now, in plain words."""

from __future__ import annotations

import shutil
import socket
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydicom.uid import UID
from sqlalchemy.exc import SQLAlchemyError

from dicomnode.app.known_answer import ANSWER
from dicomnode.app.known_head import make_known_head
from dicomnode.app.selftest import try_bundle
from dicomnode.assemble.protocols import unmatchable_keywords
from dicomnode.clinical.sources.drop_folder import FAILED, REASON
from dicomnode.config.destinations import AnyDestination, Destination, WebDestination
from dicomnode.config.protocols import Protocol
from dicomnode.config.tls import server_context
from dicomnode.config.whole import Config
from dicomnode.deliver.query import FindNotOffered
from dicomnode.deliver.route import Route, route_to
from dicomnode.deliver.scu import probe
from dicomnode.dicom.commitment import STORAGE_COMMITMENT
from dicomnode.dicom.uids import derived_uid
from dicomnode.errors import BundleError, ConfigError, DeliveryError, InferenceError
from dicomnode.execute.backends.local import LocalBackend
from dicomnode.execute.dispatcher import local_backend
from dicomnode.execute.plan import plan_of
from dicomnode.kinds import KINDS, Kind, stand_ins
from dicomnode.store.deliver import fallback, holding, outbox
from dicomnode.store.engine import Store
from dicomnode.zoo.registry import Registry

GIB = 1024**3
EARLIEST_CLOCK = 1_767_225_600.0  # 2026-01-01: a clock before this release is wrong


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing checked. ``fatal``: the node would not do its work."""

    what: str
    ok: bool
    says: str
    fatal: bool = True


def checkup(config: Config, *, load_models: bool = True) -> Iterator[Finding]:
    """Check one thing after the other, so that each shows as soon as it is known."""
    yield _disk(config)
    yield _clock()
    yield from _database(config)
    yield _port(config)
    yield from _protocols(config)
    yield from _models(config, load_models)
    yield from drop_folder_finding(config)
    for destination in config.destination:
        route = route_to(destination, config.node.ae_title)
        if isinstance(destination, WebDestination):
            yield from _web_destination(config, destination, route)
        else:
            yield from _destination(config, destination, route)


def _disk(config: Config) -> Finding:
    config.node.data_dir.mkdir(parents=True, exist_ok=True)
    free_gb = shutil.disk_usage(config.node.data_dir).free / GIB
    reserve = config.reception.min_free_gb
    says = f"{free_gb:.1f} GB free in {config.node.data_dir}, {reserve:g} GB are kept as reserve"
    if free_gb <= reserve:
        return Finding("disk", False, f"{says}: every C-STORE would be refused with 0xA700")
    return Finding("disk", True, says)


def drop_folder_finding(config: Config) -> Iterator[Finding]:
    """Whether documents can be taken from the drop folder, and how many were refused; nothing where there is none."""
    if not config.clinical.drop_folder:
        return
    folder = Path(config.clinical.drop_folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder, prefix="."):
            failed = sum(not path.name.endswith(REASON) for path in (folder / FAILED).glob("*"))
    except OSError as fault:
        yield Finding(
            "drop folder", False, f"{folder} cannot be written to ({fault.strerror}): nothing is taken from it"
        )
        return
    says = f"{folder} can be written to; {failed} refused documents lie in {FAILED}/, each with its reasons"
    yield Finding("drop folder", failed == 0, says, fatal=False)


def _clock() -> Finding:
    now = time.time()
    return Finding("clock", now > EARLIEST_CLOCK, time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(now)))


def _database(config: Config) -> Iterator[Finding]:
    store = Store(config.database_url)
    try:
        store.migrate()
        with store.read() as session:
            orphaned = outbox.orphaned(session, [destination.name for destination in config.destination])
            held = holding.count_held(session)
    except SQLAlchemyError as fault:
        yield Finding("database", False, str(fault).splitlines()[0])
        return
    finally:
        store.close()
    yield Finding("database", True, f"{store.engine.dialect.name}, schema up to date")
    for name, count in orphaned.items():
        says = f"{count} results wait for it, but it is not configured; 'dicomnode jobs withdraw {name}' ends that"
        yield Finding(f"destination {name}", False, says)
    for name, count in held.items():
        says = f"{count} results are held until somebody decides: see 'dicomnode jobs held'"
        yield Finding(f"destination {name}", False, says, fatal=False)


def _port(config: Config) -> Finding:
    where = f"{config.node.host}:{config.node.port}"
    with socket.socket() as probe_socket:
        probe_socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe_socket.bind((config.node.host, config.node.port))
        except OSError as fault:
            says = f"{where} cannot be used ({fault.strerror}); fine if the node is running already"
            return Finding("port", False, says, fatal=False)
    try:
        secured = server_context(config.reception.tls) is not None
    except ConfigError as fault:
        return Finding("port", False, str(fault))
    return Finding("port", True, f"{where} is free, {'TLS only' if secured else 'plain DICOM'}")


def _protocols(config: Config) -> Iterator[Finding]:
    try:
        registry = Registry(config.bundle_paths, config.zoo.digests)
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


def _models(config: Config, load: bool) -> Iterator[Finding]:
    if not load:
        return
    backend = local_backend(config, config.execution.devices[0])
    try:
        ready = backend.start()
        for model, digest in ready.models.items():
            yield Finding(f"model {model}", True, f"loads on {ready.device}, {digest[:19]}...")
        yield from _selftests(config, backend)
    except InferenceError as fault:
        yield Finding("models", False, str(fault))
    finally:
        backend.kill()


def _selftests(config: Config, backend: LocalBackend) -> Iterator[Finding]:
    """The known answers of those loaded models that have one."""
    registry = Registry(config.bundle_paths, config.zoo.digests)
    bundles = [registry.get(name) for name in sorted(backend.models)]
    able = [bundle for bundle in bundles if (bundle.manifest.path / ANSWER).is_file()]
    if not able:
        return
    with tempfile.TemporaryDirectory(prefix="dicomnode-selftest-") as scratch:
        head = make_known_head(Path(scratch))
        for bundle in able:
            verdict = try_bundle(backend, bundle, head, config.execution.run_timeout_s)
            yield Finding(f"selftest {verdict.name}", verdict.ok is not False, verdict.says)


def _destination(config: Config, destination: Destination, route: Route) -> Iterator[Finding]:
    what = f"destination {destination.name}"
    where = f"{destination.ae_title} at {destination.host}:{destination.port}"
    try:
        route.ask()
    except DeliveryError as fault:
        yield Finding(what, False, f"{where} does not answer C-ECHO: {fault}")
        return
    yield Finding(what, True, f"{where} answers C-ECHO")
    wanted = destination.results
    if not wanted:
        return  # what that means is said of the protocols
    offered = {KINDS[one].sop_class_uid for kind in wanted for one in (kind, *stand_ins(kind))}
    try:
        accepted = probe(destination, config.node.ae_title, sorted(offered))
    except DeliveryError as fault:
        yield Finding(what, False, f"{where} refuses the result classes: {fault}")
        return
    taken = {uid for uid, syntaxes in accepted.items() if syntaxes}
    yield from _kinds(what, wanted, taken, _learned(config, destination.name, set(accepted), taken))
    yield _identity(destination, route)
    if destination.proof == "commitment":
        yield from _commitment(config, destination)
    yield _proof(destination, route, "C-FIND")


def _learned(config: Config, destination: str, asked: set[str], taken: set[str]) -> dict[str, float]:
    """SOP class that it refuses -> since when that is known; what an association just now showed is remembered."""
    store = Store(config.database_url)
    try:
        with store.write() as session:
            fallback.forget_refusals(session, destination, taken)
            for uid in asked - taken if taken else ():
                fallback.learn_refusal(session, destination, uid, how="rejected when dicomnode check asked")
            return {line.sop_class_uid: line.learned_at for line in fallback.list_refusals(session, destination)}
    except SQLAlchemyError:
        return {}  # said of the database already
    finally:
        store.close()


def _kinds(what: str, wanted: Sequence[Kind], taken: set[str], since: dict[str, float]) -> Iterator[Finding]:
    """Which kinds it takes, what is sent in place of others, and what it gets in no form at all."""
    accepted = sorted(kind for kind in wanted if KINDS[kind].sop_class_uid in taken)
    if accepted:
        yield Finding(what, True, f"accepts: {', '.join(accepted)}")
    for kind in sorted(set(wanted) - set(accepted)):
        uid = KINDS[kind].sop_class_uid
        instead = next((one for one in stand_ins(kind) if KINDS[one].sop_class_uid in taken), None)
        known = f", known since {time.strftime('%Y-%m-%d', time.gmtime(since[uid]))}" if uid in since else ""
        says = f"does not accept {kind} ({UID(uid).name}){known}: " + (
            f"{instead} is sent, {KINDS[instead].title}" if instead else "nothing is"
        )
        yield Finding(what, False, says, fatal=not instead)


def _web_destination(config: Config, destination: WebDestination, route: Route) -> Iterator[Finding]:
    what = f"destination {destination.name}"
    try:
        route.ask()
    except DeliveryError as fault:
        yield Finding(what, False, f"no results could be sent by STOW-RS: {fault}")
        return
    yield Finding(what, True, f"{destination.url} answers STOW-RS; it tells which results it takes only when they come")
    if destination.url.startswith("http:"):
        secret = "" if destination.auth.scheme == "none" else ", and so does the secret"
        yield Finding(what, False, f"http:// : results travel in the clear{secret}; use https", fatal=False)
    known = _learned(config, destination.name, set(), set())
    refused = {kind for kind in destination.results if KINDS[kind].sop_class_uid in known}
    every = {row.sop_class_uid for row in KINDS.values()} - known.keys()
    yield from _kinds(what, sorted(refused), every, known)
    yield _identity(destination, route)
    yield _proof(destination, route, "QIDO-RS")


def _identity(destination: AnyDestination, route: Route) -> Finding:
    """Whether the destination can be asked whose study it is; asked about a study that nobody has."""
    what = f"destination {destination.name}"
    if destination.identity == "trust":
        return Finding(what, True, 'identity = "trust": results carry the identity of the images, whatever it has')
    nobody = derived_uid("check")
    try:
        route.find_identities([nobody])
    except FindNotOffered:
        says = "offers no C-FIND: it cannot be asked whose study it is, results carry the identity of the images"
        return Finding(what, False, says, fatal=False)
    except DeliveryError as fault:
        return Finding(what, False, f"cannot be asked whose study it is ({fault}): nothing would be sent")
    return Finding(what, True, "is asked whose study it is before anything is sent")


def _proof(destination: AnyDestination, route: Route, by: str) -> Finding:
    """Whether the destination can prove what it has; asked about a series that nobody has."""
    what = f"destination {destination.name}"
    if destination.proof == "status":
        says = 'proof = "status": nothing shows that it has its results, jobs end sent_unproven'
        return Finding(what, False, says, fatal=False)
    nobody = derived_uid("check")
    try:
        route.find_instances([(nobody, nobody)])
    except DeliveryError as fault:
        return Finding(what, False, f"{fault}; its results could not be proven by {by}")
    return Finding(what, True, f"answers {by}: its results can be proven")


def _commitment(config: Config, destination: Destination) -> Iterator[Finding]:
    what = f"destination {destination.name}"
    try:
        offered = probe(destination, config.node.ae_title, [STORAGE_COMMITMENT])[STORAGE_COMMITMENT]
    except DeliveryError as fault:
        yield Finding(what, False, f"storage commitment: {fault}", fatal=False)
        return
    node = config.node
    says = f"offers storage commitment; to report it must know {node.ae_title} at this host, port {node.port}"
    if not offered:
        says = "does not offer storage commitment; C-FIND is used instead"
    yield Finding(what, bool(offered), says, fatal=False)
