"""Whether the destinations take results, say whose study it is, and can prove what they have."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator, Sequence

from pydicom.uid import UID

from dicomnode.app.check.finding import Finding
from dicomnode.config.destinations import AnyDestination, Destination, WebDestination
from dicomnode.config.whole import Config
from dicomnode.deliver.query import STUDY_ROOT_FIND, FindNotOffered
from dicomnode.deliver.retrieving import STUDY_ROOT_MOVE
from dicomnode.deliver.route import Route, route_to
from dicomnode.deliver.scu import probe
from dicomnode.dicom.commitment import STORAGE_COMMITMENT
from dicomnode.dicom.uids import derived_uid
from dicomnode.errors import ConfigError, DatabaseUnusable, DeliveryError, NotAdmitted
from dicomnode.kinds import KINDS, Kind, stand_ins
from dicomnode.store.deliver import fallback
from dicomnode.store.opening import existing_store


def check_destinations(config: Config) -> Iterator[Finding]:
    """Ask every destination all that a delivery would ask."""
    for destination in config.destination:
        route = route_to(destination, config.node.ae_title)
        if isinstance(destination, WebDestination):
            yield from _web_destination(config, destination, route)
        else:
            yield from _destination(config, destination, route)


def _destination(config: Config, destination: Destination, route: Route) -> Iterator[Finding]:
    what = f"destination {destination.name}"
    where = f"{destination.ae_title} at {destination.host}:{destination.port}"
    try:
        route.ask()
    except DeliveryError as fault:
        yield Finding(what, False, f"{where} does not answer C-ECHO: {fault}{_entry(config, destination, fault)}")
        return
    yield Finding(what, True, f"{where} answers C-ECHO")
    wanted = destination.results
    if not wanted:
        return  # what that means is said of the protocols
    offered = {KINDS[one].sop_class_uid for kind in wanted for one in (kind, *stand_ins(kind))}
    try:
        accepted = probe(destination, config.node.ae_title, sorted(offered))
    except DeliveryError as fault:
        yield Finding(what, False, f"{where} refuses the result classes: {fault}{_entry(config, destination, fault)}")
        return
    taken = {uid for uid, syntaxes in accepted.items() if syntaxes}
    yield from _kinds(what, wanted, taken, _learned(config, destination.name, set(accepted), taken))
    yield _identity(destination, route)
    if destination.proof == "commitment":
        yield from _commitment(config, destination)
    yield _proof(destination, route, "C-FIND")
    if destination.name == config.priors.destination:
        yield _retrieving(config, destination)


def _retrieving(config: Config, destination: Destination) -> Finding:
    """Whether earlier CTs can be asked for; that it knows this node as a destination shows at the first C-MOVE only."""
    what = f"destination {destination.name}"
    try:
        accepted = probe(destination, config.node.ae_title, [STUDY_ROOT_FIND, STUDY_ROOT_MOVE])
    except DeliveryError as fault:
        return Finding(what, False, f"other CTs cannot be asked for: {fault}")
    missing = [name for name, uid in (("C-FIND", STUDY_ROOT_FIND), ("C-MOVE", STUDY_ROOT_MOVE)) if not accepted[uid]]
    if missing:
        return Finding(what, False, f"does not offer {' and '.join(missing)}: no other CT can be fetched ([priors])")
    return Finding(what, True, f"offers C-FIND and C-MOVE; must know {config.node.ae_title} and its port")


def _learned(config: Config, destination: str, asked: set[str], taken: set[str]) -> dict[str, float]:
    """SOP class that it refuses -> since when that is known; what an association just now showed is remembered."""
    try:
        with existing_store(config.database_url) as store, store.write() as session:
            fallback.forget_refusals(session, destination, taken)
            for uid in asked - taken if taken else ():
                fallback.learn_refusal(session, destination, uid, how="rejected when dicomnode check asked")
            return {line.sop_class_uid: line.learned_at for line in fallback.list_refusals(session, destination)}
    except (ConfigError, DatabaseUnusable):
        return {}  # said of the database already


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


def _entry(config: Config, destination: Destination, fault: DeliveryError) -> str:
    """What an admin of the PACS enters there, where it was reached but wants nothing of this node."""
    if not isinstance(fault, NotAdmitted):
        return ""
    host = _seen_from(destination) or socket.gethostname()
    node = config.node
    return f". Enter this node there: AE title {node.ae_title}, host {host}, port {node.port}"


def _seen_from(destination: Destination) -> str:
    """The address of this machine on the way to a destination; nothing is sent."""
    try:
        family, kind, *_, address = socket.getaddrinfo(destination.host, destination.port, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, kind) as way:
            way.connect(address)
            return str(way.getsockname()[0])
    except OSError:
        return ""
