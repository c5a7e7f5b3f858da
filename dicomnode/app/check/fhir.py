"""Whether the FHIR server can be asked: its version, what it offers, the credentials, whether it searches at all."""

from __future__ import annotations

from collections.abc import Iterator

from dicomnode.app.check.finding import Finding
from dicomnode.clinical.sources.fhir.server import FhirServer, kinds_offered, supported_version
from dicomnode.clinical.variables import VARIABLES
from dicomnode.config.clinical import Fhir
from dicomnode.config.whole import Config
from dicomnode.errors import ConfigError, FhirError
from dicomnode.web.credentials import Credentials

WHAT = "FHIR server"
KINDS = ("Patient", "Observation", "Condition", "DiagnosticReport")
NOBODY = "dicomnode-check-nobody"
"""An identifier that no patient has."""


def check_fhir(config: Config) -> Iterator[Finding]:
    """Ask the server of the configuration all that a question would ask, about nobody."""
    fhir = config.clinical.fhir
    if not fhir.base_url:
        return
    unknown = sorted(set(fhir.codes.values()) - VARIABLES.keys())
    if unknown:
        yield Finding(WHAT, False, f"clinical.fhir.codes: there is no variable {unknown[0]!r}")
    try:
        with FhirServer(fhir, Credentials(fhir.auth)) as server:
            yield from _asked(fhir, server)
    except ConfigError as fault:
        yield Finding(WHAT, False, str(fault))
    except FhirError as fault:
        yield Finding(WHAT, False, f"{fhir.base_url}: {fault}")
    if fhir.base_url.startswith("http:"):
        says = "http:// : health data travel in the clear; use https"
        yield Finding(WHAT, False, says, fatal=False)


def _asked(fhir: Fhir, server: FhirServer) -> Iterator[Finding]:
    capability = server.capability()
    version = supported_version(capability)
    is_r4 = version.startswith("4.0.")
    says = f"{fhir.base_url} is a FHIR server, version {version or 'not told'}"
    yield Finding(WHAT, is_r4, says if is_r4 else f"{says}; the node speaks R4 (4.0)", fatal=False)
    missing = sorted(set(KINDS) - kinds_offered(capability))
    if missing:
        yield Finding(WHAT, False, f"offers no {', '.join(missing)}: nothing of it is known", fatal=False)
    system = fhir.identifier_system or next(iter(fhir.identifier_systems.values()))
    found = list(server.search("Patient", [("identifier", f"{system}|{NOBODY}")]))
    if found:
        says = "returns patients for an identifier that nobody has: it does not search by it, no patient will be found"
        yield Finding(WHAT, False, says)
        return
    by = "" if fhir.auth.scheme == "none" else f" with the credentials ({fhir.auth.scheme})"
    yield Finding(WHAT, True, f"searches patients by identifier{by}")
