"""The conformance statement lists what is negotiated: each class with each transfer syntax is tried on a reception."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from pynetdicom import AE, build_context
from typer.testing import CliRunner

from dicomnode.app.conformance.services import Service, accepted_services, proposed_services, syntaxes_of
from dicomnode.app.conformance.statement import statement
from dicomnode.cli.main import app
from dicomnode.config.destinations import Destination
from dicomnode.config.whole import Config
from dicomnode.deliver.outgoing import Outgoing
from dicomnode.deliver.scu import contexts_for, probe
from dicomnode.dicom.contexts import CT_IMAGE
from dicomnode.kinds import KINDS, Kind
from dicomnode.store.engine import Store
from tests.integration.receive.world import Reception
from tests.integration.store.fixture import sqlite_only

MOST = 128
"""Presentation contexts of one association (PS3.8 9.3.2.2)."""
PACS = {"name": "pacs", "ae_title": "PACS", "host": "127.0.0.1", "port": 104, "proof": "commitment"}


def negotiated(port: int, pairs: Sequence[tuple[str, str]]) -> set[tuple[str, str]]:
    """Of these classes with their syntaxes, each in a context of its own, those that the reception accepts."""
    accepted = set()
    for start in range(0, len(pairs), MOST):
        ae = AE("PACS")
        ae.acse_timeout = ae.network_timeout = ae.dimse_timeout = 20
        contexts = [build_context(uid, syntax) for uid, syntax in pairs[start : start + MOST]]
        assoc = ae.associate("127.0.0.1", port, contexts=contexts, ae_title="NODE")
        assert assoc.is_established
        accepted |= {(str(one.abstract_syntax), str(one.transfer_syntax[0])) for one in assoc.accepted_contexts}
        assoc.release()
    return accepted


def pairs_of(services: Sequence[Service]) -> list[tuple[str, str]]:
    """Each class with each of its syntaxes."""
    return [(one.sop_class_uid, syntax) for one in services for syntax in one.transfer_syntax_uids]


@sqlite_only
def test_every_class_that_is_listed_is_accepted_and_of_one_every_syntax(
    store: Store, new_reception: Callable[..., Reception]
) -> None:
    reception = new_reception(store, destinations=(PACS,))
    services = accepted_services(reception.config)
    some = [(one.sop_class_uid, one.transfer_syntax_uids[-1]) for one in services]
    some += pairs_of([one for one in services if one.sop_class_uid == CT_IMAGE])[:-1]
    assert negotiated(reception.port, some) == set(some)


@sqlite_only
@pytest.mark.full
def test_every_class_is_accepted_in_every_syntax_that_is_listed(
    store: Store, new_reception: Callable[..., Reception]
) -> None:
    reception = new_reception(store, destinations=(PACS,))
    listed = pairs_of(accepted_services(reception.config))
    assert len(listed) > 2000
    assert negotiated(reception.port, listed) == set(listed)


@sqlite_only
def test_what_is_not_listed_is_not_accepted(store: Store, new_reception: Callable[..., Reception]) -> None:
    reception = new_reception(store, destinations=(PACS,))
    foreign = [
        ("1.2.840.10008.5.1.4.1.2.2.1", "1.2.840.10008.1.2"),  # Study Root Query
        ("1.2.840.10008.5.1.4.31", "1.2.840.10008.1.2"),  # Modality Worklist
        ("1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.1.2.4.100"),  # CT as MPEG2
    ]
    echo = ("1.2.840.10008.1.1", "1.2.840.10008.1.2")
    assert negotiated(reception.port, [echo, *foreign]) == {echo}


@pytest.mark.parametrize("kind", list(Kind))
def test_results_are_proposed_as_the_statement_lists_them(kind: Kind) -> None:
    destination = Destination.model_validate({**PACS, "results": [kind]})
    uid, own = KINDS[kind].sop_class_uid, syntaxes_of(kind)
    file = Outgoing(path=Path("x"), sop_class_uid=uid, sop_instance_uid="1.2", transfer_syntax_uid=own[0], size_bytes=1)
    proposed = {(str(c.abstract_syntax), str(one)) for c in contexts_for([file]) for one in c.transfer_syntax}
    assert proposed <= set(pairs_of(proposed_services(destination)))
    assert {syntax for _, syntax in proposed} == set(own)


@sqlite_only
def test_a_peer_that_knows_the_statement_takes_every_result_class(
    store: Store, new_reception: Callable[..., Reception]
) -> None:
    reception = new_reception(store)
    node = Destination.model_validate({**PACS, "ae_title": "NODE", "port": reception.port, "results": list(Kind)})
    classes = sorted({row.sop_class_uid for row in KINDS.values()})
    assert all(probe(node, "PACS", classes).values())


def test_the_statement_has_the_chapters_of_the_standard_and_the_values_of_the_configuration() -> None:
    cloud = {"name": "cloud", "url": "https://pacs.example/dicom-web"}
    config = Config.model_validate(
        {
            "node": {"ae_title": "AINODE", "port": 11113},
            "reception": {"max_associations": 7},
            "destination": [PACS, cloud],
            "sender": [{"ae_title": "CT1", "host": "10.1.2.0/24"}],
        }
    )
    text = statement(config)
    heads = [line for line in text.splitlines() if line.startswith("#")]
    assert [head.split()[1] for head in heads if head.startswith("## ")] == ["1", "3", "4", "5", "6", "7", "8"]
    for said in ("AINODE", "11113", "| associations accepted at a time | 7 |", "10.1.2.0/24", cloud["url"], "T1"):
        assert said in text
    for uid, syntax in pairs_of([*accepted_services(config), *proposed_services(config.destination[0])]):
        assert uid in text
        assert syntax in text


def test_retrieving_earlier_cts_stands_in_the_statement_where_it_is_configured() -> None:
    shadow = {"name": "earlier", "match": {"Modality": "CT"}, "models": ["hemorrhage"], "shadow": True}
    asked = {
        "destination": [PACS],
        "protocol": [shadow],
        "priors": {"destination": PACS["name"], "protocol": "earlier"},
    }
    told, silent = (statement(Config.model_validate(one)) for one in (asked, {"destination": [PACS]}))
    for text, says in ((told, True), (silent, False)):
        assert ("1.2.840.10008.5.1.4.1.2.2.2" in text) is says  # Study Root Retrieve, Move
        assert ("C-MOVE" in text) is says


def test_the_command_writes_it(tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    assert CliRunner().invoke(app, ["init", str(config)]).exit_code == 0
    printed = CliRunner().invoke(app, ["conformance", "--config", str(config)])
    written = CliRunner().invoke(app, ["conformance", "--config", str(config), "--out", str(tmp_path / "c.md")])
    assert (printed.exit_code, written.exit_code) == (0, 0)
    assert (tmp_path / "c.md").read_text() == printed.output
