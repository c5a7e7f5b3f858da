"""``dicomnode check``: everything that would go wrong later, said now, in plain words."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from dicomnode.app.check.certificates import check_certificates
from dicomnode.app.check.cluster import check_cluster
from dicomnode.app.check.context import check_context
from dicomnode.app.check.destinations import check_destinations
from dicomnode.app.check.fhir import check_fhir
from dicomnode.app.check.finding import Finding
from dicomnode.app.check.hl7 import check_hl7
from dicomnode.app.check.host import check_host
from dicomnode.app.check.models import check_models, check_protocols
from dicomnode.app.check.operations import check_operations
from dicomnode.config.secrets import open_password
from dicomnode.config.whole import Config


def checkup(
    config: Config, *, load_models: bool = True, only_configuration: bool = False, file: Path | None = None
) -> Iterator[Finding]:
    """Check one thing after the other, so that each shows as soon as it is known; nothing is made.

    Parameters
    ----------
    only_configuration : only what passes by itself never: a database, a disk or a PACS that is away when a service
        starts must not keep the node from starting.
    file : that the configuration was read from.
    """
    if file is not None and (fault := open_password(file)):
        yield Finding("configuration", False, fault, fatal=False)
    if only_configuration:
        yield from check_protocols(config)
        yield from check_certificates(config)
        return
    yield from check_host(config)
    yield from check_protocols(config)
    yield from check_cluster(config)
    if load_models:
        yield from check_models(config)
    yield from check_context(config)
    yield from check_fhir(config)
    yield from check_hl7(config)
    yield from check_certificates(config)
    yield from check_operations(config)
    yield from check_destinations(config)
