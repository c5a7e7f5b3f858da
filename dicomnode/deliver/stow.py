"""STOW-RS (DICOM PS3.18 10.5): stores files at a DICOMweb server, one instance in each request.

A request may carry many instances; then a server that answers 500 or falls silent leaves all of them in doubt. One in
each keeps what is known of it certain, and the connection is kept alive between them.
"""

from __future__ import annotations

import io
import json
import logging
import secrets
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from pydicom.errors import InvalidDicomError

from dicomnode.config.destinations import WebDestination
from dicomnode.deliver.answers import uid_of
from dicomnode.deliver.outgoing import NATIVE, Outgoing, answer_timeout_s, unread
from dicomnode.deliver.web_client import WebClient
from dicomnode.dicom.statuses import DUPLICATE_SOP_INSTANCE, OUT_OF_RESOURCES, PROCESSING_FAILURE, SUCCESS, sentence
from dicomnode.errors import AssociationRejected, DeliveryError, DestinationUnavailable, OutcomeUnknown, StoreRefused
from dicomnode.web.client import Answer

logger = logging.getLogger(__name__)

FAILED_SOP_SEQUENCE, OTHER_FAILURES_SEQUENCE, REFERENCED_SOP_SEQUENCE = "00081198", "0008119A", "00081199"
REFERENCED_SOP_INSTANCE_UID, FAILURE_REASON, WARNING_REASON = "00081155", "00081197", "00081196"

ALREADY_STORED = (DUPLICATE_SOP_INSTANCE, 0xB00E)
"""Failure reasons that say that the server has the instance; 0xB00E (45070) is what Azure's DICOM service says."""

_CHUNK_BYTES = 1 << 18
NOT_OFFERED = (404, 405, 501)
"""HTTP statuses of a path where this service is not."""

_Body = Callable[[], Iterator[bytes]]

Item = dict[str, Any]
"""One data set of the DICOM JSON model (PS3.18 F.2)."""


class StowLink:
    """Stores files over one connection, as :class:`~dicomnode.deliver.scu.StorageLink` does over an association."""

    def __init__(self, client: WebClient, destination: WebDestination) -> None:
        self._client = client
        self._destination = destination
        self._lost = False

    @property
    def is_lost(self) -> bool:
        """Whether the connection was lost, or no answer came: what comes behind is not tried now."""
        return self._lost

    def store(self, file: Outgoing) -> int:
        """STOW-RS of one file, byte for byte as it lies on disk unless the server has the study under another identity.

        Returns
        -------
        a DIMSE status: success, the WarningReason of what was stored with a remark, or "duplicate SOP instance".

        Raises
        ------
        ResultDamaged : the bytes on disk are not those that were encoded.
        OutcomeUnknown : the connection was lost, or no whole answer came in time.
        DestinationUnavailable : no connection, or the server takes nothing now; no other file need be tried.
        StoreRefused : the server refused this instance.
        ResultAway : the file cannot be read now.
        DeliveryError : the file could not be rewritten, or the answer speaks of other instances.
        """
        file.check()
        body, length = _body_of(file)
        try:
            answer = self._post(body, length, answer_timeout_s(self._destination, length, file.unanswered))
        except DestinationUnavailable:
            raise
        except AssociationRejected as fault:
            self._lost = True
            raise OutcomeUnknown(str(fault)) from fault
        except (OSError, MemoryError) as fault:
            raise unread(fault) from fault
        _check_path(answer, self._destination)
        status = status_of(answer, file.sop_instance_uid)
        if status != SUCCESS:
            logger.info("stored with a remark", extra={"action": "stow", "status": sentence(status)})
        return status

    def _post(self, body: _Body, length: int, timeout_s: float) -> Answer:
        boundary = secrets.token_hex(16)
        head = f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode()
        tail = f"\r\n--{boundary}--\r\n".encode()
        return self._client.request(
            "POST",
            f"{self._destination.url}/studies",
            # A length, since not every server takes a chunked body.
            headers=_headers(boundary, len(head) + length + len(tail)),
            content=lambda: chain([head], body(), [tail]),
            timeout_s=timeout_s,
        )


def ask(client: WebClient, destination: WebDestination) -> None:
    """What C-ECHO is to C-STORE: a STOW-RS request without any instance, which a server that takes results answers.

    That it answers "bad request" is as good as any other answer: it is there, and it let the node in.

    Raises
    ------
    AssociationRejected : no answer.
    DestinationUnavailable : no connection, credentials refused, no STOW-RS at this path, or not available now.
    """
    boundary = secrets.token_hex(16)
    body = f"--{boundary}--\r\n".encode()
    url = f"{destination.url}/studies"
    answer = client.request("POST", url, headers=_headers(boundary, len(body)), content=lambda: iter([body]))
    _check_path(answer, destination)


def _headers(boundary: str, length: int) -> dict[str, str]:
    # PS3.18 8.7.1 and 10.5.1
    kind = f'multipart/related; type="application/dicom"; boundary={boundary}'
    return {"Content-Type": kind, "Content-Length": str(length)}


def _body_of(file: Outgoing) -> tuple[_Body, int]:
    """The DICOM file as it leaves, in pieces, and its length in bytes.

    What is compressed leaves native: no server need take another syntax (PS3.18 8.7.3), and none can be asked before.
    """
    if file.coercion is None and file.transfer_syntax_uid in NATIVE:
        return lambda: _pieces_of(file.path), file.size_bytes
    buffer = io.BytesIO()
    try:
        file.dataset(native=True).save_as(buffer, enforce_file_format=True)
    except (OSError, MemoryError) as fault:
        raise unread(fault) from fault
    except (AttributeError, ValueError, InvalidDicomError) as fault:
        raise DeliveryError(f"the file could not be read or rewritten ({type(fault).__name__})") from fault
    content = buffer.getvalue()
    return lambda: iter([content]), len(content)


def _pieces_of(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            yield chunk


def _check_path(answer: Answer, destination: WebDestination) -> None:
    if answer.status in NOT_OFFERED:
        raise DestinationUnavailable(
            f"{destination.url}/studies: the server does not offer STOW-RS here (HTTP {answer.status}); check url"
        )


def status_of(answer: Answer, sop_instance_uid: str) -> int:
    """The DIMSE status of the one instance that was sent (PS3.18 10.5.3 and I.2).

    What the payload says of the instance counts more than the HTTP status; without a payload that can be read, 2xx
    counts as stored: whether that is true the proof will show.

    Raises
    ------
    StoreRefused : it was not stored.
    DeliveryError : the answer speaks of other instances only.
    """
    payload = _payload(answer)
    failed = _item_of(payload, FAILED_SOP_SEQUENCE, sop_instance_uid)
    if failed is None:
        failed = _item_of(payload, OTHER_FAILURES_SEQUENCE, sop_instance_uid)
    if failed is not None:
        return _failed(answer, _code(failed, FAILURE_REASON) or PROCESSING_FAILURE)
    stored = _item_of(payload, REFERENCED_SOP_SEQUENCE, sop_instance_uid)
    if stored is not None:
        return _code(stored, WARNING_REASON) or SUCCESS
    if not 200 <= answer.status < 300:
        reason = OUT_OF_RESOURCES if answer.status == 413 else PROCESSING_FAILURE
        raise StoreRefused(f"STOW-RS was answered with HTTP {answer.status}", reason)
    if _items(payload, REFERENCED_SOP_SEQUENCE) or _items(payload, FAILED_SOP_SEQUENCE):
        raise DeliveryError(f"STOW-RS was answered with HTTP {answer.status}, but for other instances")
    return SUCCESS


def _failed(answer: Answer, reason: int) -> int:
    if reason in ALREADY_STORED:
        return DUPLICATE_SOP_INSTANCE
    raise StoreRefused(f"STOW-RS was answered with {sentence(reason)}, HTTP {answer.status}", reason)


def _payload(answer: Answer) -> Item:
    try:
        said: Any = json.loads(answer.content)
    except (ValueError, RecursionError):
        return {}
    if isinstance(said, list) and len(said) == 1:
        said = said[0]
    return said if isinstance(said, dict) else {}


def _items(payload: Item, tag: str) -> list[Item]:
    return [item for item in values(payload, tag) if isinstance(item, dict)]


def _item_of(payload: Item, tag: str, uid: str) -> Item | None:
    """The item that names the instance, or that names none: only one was sent."""
    for item in _items(payload, tag):
        if uid_of(values(item, REFERENCED_SOP_INSTANCE_UID)) in ("", uid):
            return item
    return None


def _code(item: Item, tag: str) -> int:
    found = values(item, tag)
    return found[0] if found and isinstance(found[0], int) else 0


def values(item: Item, tag: str) -> list[Any]:
    """Values of one element of the DICOM JSON model; empty where it is absent or malformed (PS3.18 F.2.2)."""
    element = item.get(tag)
    found = element.get("Value") if isinstance(element, dict) else None
    return found if isinstance(found, list) else []
