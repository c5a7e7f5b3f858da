"""What differs between two configurations: named key by key, without anything that may be a secret."""

from __future__ import annotations

from typing import Any

import pytest

from dicomnode.config.changes import FIXED, changes
from dicomnode.config.sections import Section
from dicomnode.config.whole import Config

PACS: dict[str, Any] = {"name": "pacs", "ae_title": "PACS", "host": "127.0.0.1", "port": 104}
BASE: dict[str, Any] = {
    "sender": [{"ae_title": "CT1"}, {"ae_title": "CT2", "host": "10.0.0.0/24"}],
    "destination": [PACS],
    "protocol": [{"name": "head", "match": {"Modality": "^CT$"}, "models": ["hemorrhage"]}],
}


def found(**sections: Any) -> dict[str, tuple[str, str]]:
    """Key -> before and after, where these sections replace those of the base."""
    return {
        one.key: (one.before, one.after)
        for one in changes(Config.model_validate(BASE), Config.model_validate({**BASE, **sections}))
    }


def test_the_same_configuration_has_no_changes() -> None:
    assert found() == {}


def test_a_value_is_named_with_what_it_was_and_is() -> None:
    assert found(reception={"settle_s": 3}) == {"reception.settle_s": ("1.0", "3.0")}
    stat = [{**BASE["protocol"][0], "priority": "stat"}]
    assert found(protocol=stat) == {"protocol.[head].priority": ('"routine"', '"stat"')}


def test_tables_of_a_list_are_told_apart_by_their_names_not_by_their_places() -> None:
    assert found(sender=[BASE["sender"][1], BASE["sender"][0]]) == {}
    assert found(sender=[BASE["sender"][1]]) == {"sender.[CT1]": ("a table", "-")}
    assert found(destination=[]) == {"destination.[pacs]": ("a table", "-")}


@pytest.mark.parametrize(
    ("sections", "key"),
    [
        (
            {"operations": {"notify": {"webhook": {"url": "https://chat.example/SECRET"}}}},
            "operations.notify.webhook.url",
        ),
        ({"database": {"url": "postgresql+psycopg://node:SECRET@host/db"}}, "database.url"),
    ],
)
def test_what_may_be_a_secret_is_named_and_not_shown(sections: dict[str, Any], key: str) -> None:
    assert found(**sections) == {key: ("", "")}
    cloud = {
        "name": "cloud",
        "url": "https://pacs.example",
        "auth": {"scheme": "basic", "user": "SECRET", "secret_env": "X"},
    }
    assert "SECRET" not in str(found(destination=[cloud]))


def test_what_names_the_node_its_ports_and_its_data_needs_a_restart() -> None:
    every = Config.model_validate({**BASE, "node": {"port": 11113}, "database": {"url": "sqlite:///x.db"}})
    needs = {one.key: one.needs_restart for one in changes(Config.model_validate(BASE), every)}
    assert needs == {"node.port": True, "database.url": True}
    live = Config.model_validate({**BASE, "node": {"language": "de"}, "operations": {"log_level": "DEBUG"}})
    assert not any(one.needs_restart for one in changes(Config.model_validate(BASE), live))


def test_every_key_that_needs_a_restart_exists() -> None:
    for key in FIXED:
        one: Any = Config()
        for name in key.split("."):
            assert isinstance(one, Section)
            one = getattr(one, name)
