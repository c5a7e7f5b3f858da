"""TLS in front of a plain port, as a reverse proxy does: what comes in is decrypted and passed on.

Debian's Orthanc 1.10.1 crashes at the first HTTPS request, and hospitals put a proxy before such servers anyway.
"""

from __future__ import annotations

import socket
import ssl
import threading
from contextlib import suppress
from types import TracebackType
from typing import Self


class TlsFront:
    """Listens on ``port``, a free one, and passes on to a plain port of this machine."""

    def __init__(self, context: ssl.SSLContext, behind: int) -> None:
        self._context, self._behind = context, behind
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, at: TracebackType | None) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                plain, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(plain,), daemon=True).start()

    def _serve(self, plain: socket.socket) -> None:
        with suppress(OSError), plain:
            plain.settimeout(30)
            secured = self._context.wrap_socket(plain, server_side=True)
            with secured, socket.create_connection(("127.0.0.1", self._behind), timeout=90) as server:
                back = threading.Thread(target=_pump, args=(server, secured), daemon=True)
                back.start()
                _pump(secured, server)
                back.join()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)
