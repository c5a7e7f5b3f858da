"""A DICOMweb server with a script, on a real socket: it refuses, warns, falls silent, loses, and comes back."""

from __future__ import annotations

import io
import json
import ssl
import threading
import time
from dataclasses import dataclass, field
from email.parser import BytesParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from pydicom import dcmread
from pydicom.dataset import Dataset

from dicomnode.dicom.identity import KEYWORDS

JSON = "application/dicom+json"


@dataclass
class Reply:
    """The answer to one STOW-RS request.

    Attributes
    ----------
    payload : the data set in JSON, or bytes as they are; None: no body.
    keeps : whether the instance is stored all the same.
    cut : the connection is closed in the middle of the body.
    wait_s : silence before the answer.
    drip_s : pause after each byte of the body.
    """

    status: int = 200
    payload: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    keeps: bool = False
    cut: bool = False
    wait_s: float = 0.0
    drip_s: float = 0.0


def stored(uid: str, **more: Any) -> dict[str, Any]:
    """ReferencedSOPSequence with one item (DICOM PS3.18 I.2)."""
    return {"00081199": {"vr": "SQ", "Value": [_item(uid, **more)]}}


def failed(uid: str, reason: int) -> dict[str, Any]:
    """FailedSOPSequence with one item."""
    return {"00081198": {"vr": "SQ", "Value": [_item(uid) | {"00081197": {"vr": "US", "Value": [reason]}}]}}


def _item(uid: str, warning: int = 0) -> dict[str, Any]:
    item: dict[str, Any] = {"00081155": {"vr": "UI", "Value": [uid]}}
    return item | ({"00081196": {"vr": "US", "Value": [warning]}} if warning else {})


class WebPacs:
    """Stores what it gets and shows it by QIDO-RS; what the script does not mention is stored with 200.

    Parameters
    ----------
    port : 0 takes a free one, which stays the same through ``stop`` and ``start``.

    Attributes
    ----------
    replies : given in turn to the next STOW-RS requests that carry an instance.
    answers_all : where given, the reply to every STOW-RS request, also to one without an instance.
    authorizations : where given, the Authorization headers that are let in; others get 401.
    instances : SOP Instance UID -> (study, series) of what is kept.
    files : SOP Instance UID -> the bytes that arrived.
    asked : SOP Instance UID of each STOW-RS request, also of those not kept.
    loses : SOP Instance UID -> how many times it is acknowledged and not kept.
    offers_lone_query : whether QIDO-RS answers queries for an instance alone, without study and series.
    knows_offset : whether it gives the next page; else the first one again.
    refiles_under : study that takes the place of the one that an instance came with.
    page : most matches in one QIDO-RS answer; 0: no limit.
    not_found : QIDO-RS answers 404 where nothing matches, instead of an empty list.
    nothing : where given, the answer of QIDO-RS where nothing matches.
    says : tag -> what every match says in this element in place of what is true; None: it is left out.
    patients : whom it has every study under; None: those of what it keeps.
    offers_query : whether there is QIDO-RS at all.
    find_status : answered to queries for instances in place of matches, where not 200.
    tokens : given in turn by ``/token``; a number is an HTTP status.
    connections : TCP connections so far.
    """

    def __init__(self, *, port: int = 0, ssl_context: ssl.SSLContext | None = None) -> None:
        self.port = port
        self.replies: list[Reply] = []
        self.answers_all: Reply | None = None
        self.authorizations: set[str] = set()
        self.instances: dict[str, tuple[str, str]] = {}
        self.files: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.loses: dict[str, int] = {}
        self.offers_lone_query = True
        self.knows_offset = True
        self.refiles_under = ""
        self.page = 0
        self.not_found = False
        self.nothing: Reply | None = None
        self.says: dict[str, Any] = {}
        self.patients: list[Dataset] | None = None
        self.offers_query = True
        self.find_status = 200
        self.tokens: list[str | int] = []
        self.token_requests: list[tuple[str, dict[str, list[str]]]] = []
        self.connections = 0
        self.looks = 0
        self._ssl_context = ssl_context
        self._server: ThreadingHTTPServer | None = None
        self._woken = threading.Event()

    @property
    def url(self) -> str:
        """The base of the DICOMweb service."""
        return f"{'https' if self._ssl_context else 'http'}://127.0.0.1:{self.port}/dicom-web"

    def start(self) -> None:
        """Listen."""
        self._woken.clear()
        self._server = _Server(("127.0.0.1", self.port), self)
        if self._ssl_context is not None:
            self._server.socket = self._ssl_context.wrap_socket(self._server.socket, server_side=True)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        """Stop listening; what is kept stays."""
        self._woken.set()
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def pause(self, wait_s: float) -> None:
        """Silence, which ends with the server."""
        self._woken.wait(wait_s)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def take(self, content_type: str, body: bytes) -> Reply:
        """The reply to a STOW-RS request."""
        parts = BytesParser().parsebytes(b"Content-Type: " + content_type.encode() + b"\r\n\r\n" + body)
        files = [
            part.get_payload(decode=True) for part in parts.walk() if part.get_content_type() == "application/dicom"
        ]
        if self.answers_all is not None:
            return self.answers_all
        if len(files) != 1:
            return Reply(400)
        (content,) = files
        ds = dcmread(io.BytesIO(content))
        uid = str(ds.SOPInstanceUID)
        self.asked.append(uid)
        reply = self.replies.pop(0) if self.replies else Reply(200, stored(uid), keeps=True)
        if self.loses.get(uid, 0) > 0:
            self.loses[uid] -= 1
        elif reply.keeps:
            self.instances[uid] = (self.refiles_under or str(ds.StudyInstanceUID), str(ds.SeriesInstanceUID))
            self.files[uid] = content
        return reply

    def _studies(self, study_uid: str) -> list[dict[str, Any]]:
        if self.patients is not None:
            return [_study(ds, study_uid) for ds in self.patients]
        kept = [uid for uid, (study, _) in self.instances.items() if study == study_uid and uid in self.files]
        return [_study(dcmread(io.BytesIO(self.files[uid])), study_uid) for uid in kept]

    def answer(self, path: list[str], query: dict[str, list[str]]) -> Reply:
        """The reply to a QIDO-RS request, in the words that this server has for nothing."""
        reply = self.matches(path, query)
        if self.says and isinstance(reply.payload, list):
            told = [match | self.says for match in reply.payload]
            reply.payload = [{tag: said for tag, said in match.items() if said is not None} for match in told]
        return self.nothing if self.nothing is not None and reply.payload == [] else reply

    def matches(self, path: list[str], query: dict[str, list[str]]) -> Reply:
        """The reply to a QIDO-RS request."""
        if not self.offers_query:
            return Reply(404)
        if path == ["studies"]:
            return Reply(200, self._studies(query["StudyInstanceUID"][0]))
        if self.find_status != 200:
            return Reply(self.find_status)
        if path == ["instances"]:
            return self._alone(query["SOPInstanceUID"][0])
        self.looks += 1
        study, series = path[1], path[3]
        found = sorted(uid for uid, where in self.instances.items() if where == (study, series))
        if not found and self.not_found:
            return Reply(404)
        offset = int(query.get("offset", ["0"])[0]) if self.knows_offset else 0
        page = found[offset : offset + (self.page or len(found))]
        more = {"Warning": "299 server: there are more"} if offset + len(page) < len(found) else {}
        return Reply(200, [_match(uid, study, series) for uid in page], more)

    def _alone(self, uid: str) -> Reply:
        if not self.offers_lone_query:
            return Reply(404)
        return Reply(200, [_match(uid, *self.instances[uid])] if uid in self.instances else [])


def _study(ds: Dataset, study_uid: str) -> dict[str, Any]:
    answer = Dataset()
    answer.StudyInstanceUID = study_uid
    for keyword in KEYWORDS:
        if keyword in ds:
            setattr(answer, keyword, str(ds[keyword].value))
    return answer.to_json_dict()


def _match(uid: str, study: str, series: str) -> dict[str, Any]:
    tags = {"00080018": uid, "0020000D": study, "0020000E": series}
    return {tag: {"vr": "UI", "Value": [value]} for tag, value in tags.items()}


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: tuple[str, int], pacs: WebPacs) -> None:
        super().__init__(address, _Handler)
        self.pacs = pacs

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that leaves is no error."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def setup(self) -> None:
        super().setup()
        self.server.pacs.connections += 1

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/token":
            self._token(body)
        elif not self.path.startswith("/dicom-web/studies"):
            self._reply(Reply(404))
        elif self._let_in():
            self._reply(self.server.pacs.take(self.headers["Content-Type"], body))

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        if self._let_in():
            self._reply(self.server.pacs.answer(parts.path.strip("/").split("/")[1:], parse_qs(parts.query)))

    def _let_in(self) -> bool:
        known = self.server.pacs.authorizations
        if not known or self.headers.get("Authorization") in known:
            return True
        self._reply(Reply(401, headers={"WWW-Authenticate": "Bearer"}))
        return False

    def _token(self, body: bytes) -> None:
        pacs = self.server.pacs
        pacs.token_requests.append((self.headers.get("Authorization", ""), parse_qs(body.decode())))
        token = pacs.tokens.pop(0)
        if isinstance(token, int):
            self._reply(Reply(token, {"error": "invalid_client"}))
        else:
            self._reply(Reply(200, {"access_token": token, "token_type": "Bearer", "expires_in": 3600}))

    def _reply(self, reply: Reply) -> None:
        self.server.pacs.pause(reply.wait_s)
        body = b"" if reply.payload is None else reply.payload
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(reply.status)
        for name, value in ({"Content-Type": JSON} | reply.headers).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if reply.cut:
            self.wfile.write(body[: len(body) // 2])
            self.close_connection = True
            return
        self._write(body, reply.drip_s)

    def _write(self, body: bytes, drip_s: float) -> None:
        if not drip_s:
            self.wfile.write(body)
            return
        for index in range(len(body)):
            self.wfile.write(body[index : index + 1])
            time.sleep(drip_s)

    def log_message(self, *_: Any) -> None:
        """Quiet."""
