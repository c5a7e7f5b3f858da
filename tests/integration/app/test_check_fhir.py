"""``dicomnode check`` asks the FHIR server all that a question would ask, about nobody."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from dicomnode.app.check.fhir import check_fhir
from dicomnode.app.check.finding import Finding
from dicomnode.config.load import parse_config
from tests.tools.fhir_server import SYSTEM, FhirTestServer, Reply, patient


@pytest.fixture
def server() -> Iterator[FhirTestServer]:
    with FhirTestServer(patient("a", "ANNA")) as running:
        yield running


def findings(server: FhirTestServer | None, **fhir: Any) -> list[Finding]:
    told = {"base_url": server.url, "identifier_system": SYSTEM, **fhir} if server else {}
    return list(check_fhir(parse_config({"clinical": {"fhir": told}}, serving=False)))


def test_a_server_that_can_be_asked_is_said_to_be_one(server: FhirTestServer) -> None:
    version, search, clear = findings(server)
    assert (version.ok, version.says) == (True, f"{server.url} is a FHIR server, version 4.0.1")
    assert (search.ok, search.says) == (True, "searches patients by identifier")
    assert (clear.ok, clear.fatal) == (False, False)
    assert findings(None) == []


def test_a_token_that_does_not_work_is_found_although_the_version_is_open_to_all(
    server: FhirTestServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FHIR_TOKEN", "wrong")
    server.tokens = ["right"]
    auth = {"scheme": "bearer", "secret_env": "FHIR_TOKEN"}
    refused = [one for one in findings(server, auth=auth) if not one.ok and one.fatal]
    assert ["not_allowed" in one.says for one in refused] == [True]
    assert not any("wrong" in one.says for one in refused)
    server.tokens = ["wrong"]
    assert "with the credentials (bearer)" in findings(server, auth=auth)[1].says


def test_what_would_go_wrong_is_said(server: FhirTestServer) -> None:
    server.always["metadata"] = Reply(body={**server.capability(), "fhirVersion": "5.0.0", "rest": []})
    version, offers, *_ = findings(server)
    assert (version.ok, version.fatal) == (False, False)
    assert "offers no Condition, DiagnosticReport, Observation, Patient" in offers.says
    del server.always["metadata"]
    server.ignores_parameters = True
    assert any(not one.ok and "does not search" in one.says for one in findings(server))
    away, _ = findings(server, base_url="http://127.0.0.1:1/fhir")
    assert not away.ok
    assert "not_reached" in away.says
    assert "no variable 'speed'" in findings(server, codes={"x|y": "speed"})[0].says
