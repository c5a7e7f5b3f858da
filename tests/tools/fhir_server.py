"""A small FHIR R4 server on a real socket: searches what it holds, pages, gives tokens, and misbehaves on order."""

from __future__ import annotations

import json
import ssl
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

Json = dict[str, Any]
JSON = "application/fhir+json"


@dataclass
class Reply:
    """An answer out of turn. ``body``: JSON, or bytes as they are; ``drip_s``: pause after each byte of it."""

    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    wait_s: float = 0.0
    drip_s: float = 0.0


class FhirTestServer:
    """Use as a context manager.

    Attributes
    ----------
    resources : what it holds.
    replies : kind of resource, or ``metadata`` or ``token`` -> given in turn in place of the true answers.
    always : kind -> the answer to every request.
    page : most resources in one page, whatever is asked for.
    ignores_parameters : it returns every resource of the kind, as servers do that do not know a parameter.
    next_base : where it says that next pages lie, in place of its own base.
    endless : each page has a next one.
    tokens : where given, those that are let in; ``/token`` gives the last one.
    expires_in : of the tokens that it gives, seconds.
    asked : path and query of each request; ``authorizations``: its header.
    """

    def __init__(self, *resources: Json, tls: ssl.SSLContext | None = None) -> None:
        self.resources: list[Json] = list(resources)
        self.replies: dict[str, list[Reply]] = {}
        self.always: dict[str, Reply] = {}
        self.page = 1000
        self.ignores_parameters = False
        self.next_base = ""
        self.endless = False
        self.tokens: list[str] = []
        self.expires_in: float | None = 300
        self.asked: list[tuple[str, dict[str, list[str]]]] = []
        self.authorizations: list[str] = []
        self.token_requests: list[tuple[str, dict[str, list[str]]]] = []
        self.woken = threading.Event()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _handler_of(self))
        self._http.daemon_threads = True
        self._is_tls = tls is not None
        if tls is not None:
            self._http.socket = tls.wrap_socket(self._http.socket, server_side=True)
        self.port = int(self._http.server_address[1])

    @property
    def url(self) -> str:
        """The base."""
        return f"{'https' if self._is_tls else 'http'}://127.0.0.1:{self.port}/fhir"

    def __enter__(self) -> Self:
        threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, at: TracebackType | None) -> None:
        self.woken.set()
        self._http.shutdown()
        self._http.server_close()

    def kinds_asked(self) -> list[str]:
        """Kinds of resources asked for so far, in turn."""
        return [path.rpartition("/")[2] for path, _ in self.asked]

    def answer(self, path: str, query: str) -> Reply:
        """The answer to a GET request."""
        kind = path.rpartition("/")[2]
        self.asked.append((path, parse_qs(query)))
        if self.replies.get(kind):
            return self.replies[kind].pop(0)
        if kind in self.always:
            return self.always[kind]
        if kind == "metadata":
            return Reply(body=self.capability())
        return Reply(body=self._bundle(kind, query))

    def capability(self) -> Json:
        """What it says of itself."""
        kinds = ("Patient", "Observation", "Condition", "DiagnosticReport")
        rest = [{"mode": "server", "resource": [{"type": kind} for kind in kinds]}]
        return {"resourceType": "CapabilityStatement", "fhirVersion": "4.0.1", "rest": rest}

    def _bundle(self, kind: str, query: str) -> Json:
        asked = parse_qs(query)
        start = int(asked.get("_start", ["0"])[0])
        found = [one for one in self.resources if one["resourceType"] == kind and self._matches(one, asked)]
        shown = found[start : start + self.page]
        links = [{"relation": "self", "url": f"{self.url}/{kind}?{query}"}]
        if self.endless or start + self.page < len(found):
            rest = [(name, value) for name, value in parse_qsl(query) if name != "_start"]
            following = urlencode([*rest, ("_start", start + self.page)])
            links.append({"relation": "next", "url": f"{self.next_base or self.url}/{kind}?{following}"})
        entries = [{"fullUrl": f"{self.url}/{kind}/{one['id']}", "resource": one} for one in shown]
        return {"resourceType": "Bundle", "type": "searchset", "total": len(found), "link": links, "entry": entries}

    def _matches(self, resource: Json, asked: dict[str, list[str]]) -> bool:
        if self.ignores_parameters:
            return True
        if "identifier" in asked:
            system, _, value = asked["identifier"][0].partition("|")
            return {"system": system, "value": value} in [
                {key: one.get(key) for key in ("system", "value")} for one in resource.get("identifier", [])
            ]
        if resource.get("subject", {}).get("reference", "").rpartition("/")[2] != asked.get("patient", [""])[0]:
            return False
        if "code" not in asked:
            return True
        codes = {f"{one.get('system')}|{one['code']}" for one in resource["code"]["coding"]}
        return bool(codes & set(asked["code"][0].split(",")))


def _handler_of(server: FhirTestServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *args: Any) -> None:
            pass

        def do_POST(self) -> None:
            form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
            server.token_requests.append((self.headers.get("Authorization", ""), form))
            replies = server.replies.get("token")
            expires = {} if server.expires_in is None else {"expires_in": server.expires_in}
            body = {"access_token": server.tokens[-1] if server.tokens else "none", "token_type": "Bearer", **expires}
            self._send(replies.pop(0) if replies else Reply(body=body))

        def do_GET(self) -> None:
            url, authorization = urlsplit(self.path), self.headers.get("Authorization", "")
            server.authorizations.append(authorization)
            allowed = [f"Bearer {token}" for token in server.tokens]
            if allowed and authorization not in allowed and not url.path.endswith("/metadata"):
                server.asked.append((url.path, {}))
                self._send(Reply(401, outcome("login")))
                return
            self._send(server.answer(url.path, url.query))

        def _send(self, reply: Reply) -> None:
            server.woken.wait(reply.wait_s)
            body = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
            self.send_response(reply.status)
            for name, value in {"Content-Type": JSON, "Content-Length": str(len(body)), **reply.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            try:
                if not reply.drip_s:
                    self.wfile.write(body)
                for byte in body if reply.drip_s else b"":
                    self.wfile.write(bytes([byte]))
                    self.wfile.flush()
                    time.sleep(reply.drip_s)
            except OSError:
                self.close_connection = True

    return Handler


def outcome(code: str) -> Json:
    """An OperationOutcome; its text names somebody, as such texts do."""
    issue = {"severity": "error", "code": code, "diagnostics": "Patient MUSTERMANN, Erika"}
    return {"resourceType": "OperationOutcome", "issue": [issue]}


SYSTEM = "https://hospital.example/patients"


def patient(name: str, value: str = "", **more: Any) -> Json:
    """A Patient with an identifier, born in 1943."""
    identifier = [{"use": "usual", "system": SYSTEM, "value": value or name}]
    told = {"birthDate": "1943-06-01", "gender": "female"}
    return {"resourceType": "Patient", "id": name, "identifier": identifier, **told, **more}


def observation(name: str, of: str, loinc: str, value: Any = None, unit: str = "", at: str = "", **more: Any) -> Json:
    """A final Observation; a number becomes a valueQuantity."""
    quantity = {"value": value, "unit": unit, "system": "http://unitsofmeasure.org", "code": unit}
    return {
        "resourceType": "Observation",
        "id": name,
        "status": "final",
        "code": coded("http://loinc.org", loinc),
        "subject": {"reference": f"Patient/{of}"},
        **({"effectiveDateTime": at} if at else {}),
        **({} if value is None else {"valueQuantity": quantity}),
        **more,
    }


def condition(name: str, of: str, code: str, system: str = "http://hl7.org/fhir/sid/icd-10", **more: Any) -> Json:
    """A confirmed, active Condition."""
    return {
        "resourceType": "Condition",
        "id": name,
        "clinicalStatus": coded("http://terminology.hl7.org/CodeSystem/condition-clinical", "active"),
        "verificationStatus": coded("http://terminology.hl7.org/CodeSystem/condition-ver-status", "confirmed"),
        "code": coded(system, code),
        "subject": {"reference": f"Patient/{of}"},
        **more,
    }


def report(name: str, of: str, at: str, **more: Any) -> Json:
    """A final DiagnosticReport of radiology."""
    return {
        "resourceType": "DiagnosticReport",
        "id": name,
        "status": "final",
        "category": [coded("http://terminology.hl7.org/CodeSystem/v2-0074", "RAD")],
        "code": coded("http://loinc.org", "18748-4"),
        "subject": {"reference": f"Patient/{of}"},
        "issued": at,
        **more,
    }


def coded(system: str, code: str) -> Json:
    """A CodeableConcept."""
    return {"coding": [{"system": system, "code": code}]}
