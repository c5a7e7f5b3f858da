"""The body of an answer, read within bounds of size and time."""

from __future__ import annotations

import time

import httpx

from dicomnode.errors import AnswerTooLong


def read_body(response: httpx.Response, limit_s: float, max_bytes: int) -> bytes:
    """The whole body of a streamed answer.

    A limit of httpx holds for each read, so that one byte now and then would hold the thread for ever.

    Raises
    ------
    AnswerTooLong : more than ``max_bytes``.
    httpx.HTTPError : the connection was lost, or ``limit_s`` is over.
    """
    deadline, held = time.monotonic() + limit_s, bytearray()
    for chunk in response.iter_raw():
        held += chunk
        if len(held) > max_bytes:
            raise AnswerTooLong(f"{path_of(str(response.url))}: the answer is longer than {max_bytes} bytes")
        if time.monotonic() > deadline:
            raise httpx.ReadTimeout("the answer came too slowly")
    return bytes(held)


def path_of(url: str) -> str:
    """A URL without its query: one fault has one message, and no message names a patient."""
    return url.partition("?")[0]
