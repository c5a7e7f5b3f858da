"""A node that is told variables by HL7 and sends the scores of its models to a PACS."""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.acceptance.orthanc import Orthanc, free_port
from tests.acceptance.served import ServedNode
from tests.tools.certificates import Authority
from tests.tools.hl7_messages import Hl7Peer

PATIENCE_S = 900.0
"""A busy machine loads slowly."""


@contextmanager
def node_with_hl7(
    folder: Path,
    pacs: Orthanc,
    models: tuple[str, ...],
    hl7: dict[str, Any],
    *,
    results: Sequence[str] = (),
    protocol: str = "head-ct",
    laboratory: ssl.SSLContext | None = None,
    **clinical: Any,
) -> Iterator[ServedNode]:
    """While the block lasts. ``hl7``: of its listener, beside host and port; the node has to stop by itself.

    ``results``: kinds that the PACS takes, where those are not the usual ones.
    """
    destination = {"name": "pacs", "ae_title": pacs.ae_title, "host": "127.0.0.1", "port": pacs.dicom_port}
    asked = {"results": list(results)} if results else {}
    served = ServedNode(
        folder,
        free_port(),
        [{**destination, **asked, "accept_research": True, "retry_min_s": 0.3, "retry_max_s": 2.0}],
        reception={"settle_s": 0.2, "quiet_period_s": 2.0, "selection_wait_s": 0.0},
        execution={"start_timeout_s": PATIENCE_S, "run_timeout_s": PATIENCE_S},
        models=models,
        protocol=protocol,
        laboratory=laboratory,
        clinical={"amend_settle_s": 1.0, **clinical, "hl7": {"port": free_port(), "host": "127.0.0.1", **hl7}},
    )
    served.start()
    yield served
    assert served.stop() == 0


def by_mutual_tls(folder: Path, codes: Mapping[str, str]) -> tuple[dict[str, Any], ssl.SSLContext]:
    """What a listener lets in, a laboratory with a certificate of its own alone, and what that one connects with."""
    authority = Authority(folder)
    server, lab = authority.sign("node"), authority.sign("lab")
    hl7 = {
        "codes": codes,
        "tls": {"cert": str(server.cert), "key": str(server.key), "ca": str(authority.ca)},
        "senders": [{"application": "LAB", "certificate": "lab"}],
    }
    laboratory = ssl.create_default_context(cafile=str(authority.ca))
    laboratory.load_cert_chain(lab.cert, lab.key)
    return hl7, laboratory


def peer_of(node: ServedNode) -> Hl7Peer:
    """A sender of HL7 that the node lets in."""
    return Hl7Peer(node.clinical["hl7"]["port"], context=node.laboratory)
