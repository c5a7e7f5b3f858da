"""The other side of MLLP: one message sent, its answer awaited. For the check of one's own port, and the demo."""

from __future__ import annotations

import socket
import ssl

from dicomnode.receive.mllp.framing import Framer, framed

MAX_ANSWER = 1 << 20


def ask(host: str, port: int, message: bytes, *, timeout_s: float, context: ssl.SSLContext | None = None) -> bytes:
    """The answer to a message.

    Raises
    ------
    OSError : no connection, no TLS, or no answer in time.
    """
    with socket.create_connection((host, port), timeout=timeout_s) as plain:
        connection = plain if context is None else context.wrap_socket(plain)
        with connection:
            connection.sendall(framed(message))
            framer = Framer(MAX_ANSWER)
            while data := connection.recv(65_536):
                for frame in framer.feed(data):
                    return frame.content
    raise ConnectionError("the other side hung up without an answer")
