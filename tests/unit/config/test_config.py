"""The configuration says every fault at once, and the example shows every key."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from dicomnode.config.destinations import Destination, WebDestination
from dicomnode.config.load import load_config, parse_config
from dicomnode.config.protocols import HEAD_CT
from dicomnode.config.whole import Config
from dicomnode.errors import ConfigError
from tests.conftest import REPOSITORY

EXAMPLE = REPOSITORY / "config.example.toml"

GOOD = """
[node]
data_dir = "{data}"

[[destination]]
name = "pacs"
ae_title = "PACS"
host = "127.0.0.1"
port = 104

[[protocol]]
name = "head"
match = {{ Modality = "CT" }}
models = ["hemorrhage"]
destinations = ["pacs"]
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "config.toml"
    path.write_text(text)
    return path


def faults_of(path: Path) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_config(path, environment={})
    return caught.value.faults


def test_the_example_is_valid_and_names_every_key_with_its_default() -> None:
    loaded = load_config(EXAMPLE, environment={})
    raw = tomllib.loads(EXAMPLE.read_text())
    for name, field in Config.model_fields.items():
        section = getattr(loaded, name)
        if isinstance(section, tuple):
            continue
        assert set(raw[name]) == set(type(section).model_fields), f"[{name}] of the example lacks or invents a key"
        assert section == field.default, f"[{name}] of the example does not show the defaults"
    for name in ("destination", "protocol"):
        model = type(getattr(loaded, name)[0])
        assert set(raw[name][0]) == set(model.model_fields)
    assert loaded.protocol[0].match == HEAD_CT


def test_the_example_shows_a_dicomweb_destination_whole_with_its_defaults() -> None:
    lines = EXAMPLE.read_text().splitlines()
    start = lines.index("# [[destination]]")
    block = [line.removeprefix("# ") for line in lines[start : lines.index("", start)]]
    raw = tomllib.loads("\n".join(block))
    (shown,) = parse_config(raw, serving=False, environment={}).destination
    assert set(raw["destination"][0]) == set(WebDestination.model_fields)
    assert shown == WebDestination(name="cloud", url="https://pacs.example/dicom-web")
    assert set(raw["destination"][0]["auth"]) == set(type(shown.auth).model_fields)


def test_a_url_makes_a_dicomweb_destination(tmp_path: Path) -> None:
    text = GOOD.format(data=tmp_path) + '[[destination]]\nname = "web"\nurl = "https://pacs:8443/rs/"\n'
    plain, web = load_config(write(tmp_path, text), environment={}).destination
    assert isinstance(plain, Destination)
    assert isinstance(web, WebDestination)
    assert (web.url, web.proof) == ("https://pacs:8443/rs", "query")


def test_every_fault_of_a_dicomweb_destination_is_named_at_once(tmp_path: Path) -> None:
    text = """
[[destination]]
name = "web"
url = "ftp://pacs"
host = "pacs"
proof = "commitment"
auth = { scheme = "oauth", user = "ai", secret_file = "a", secret_env = "B" }
tls = { cert = "a.pem" }
timeout_s = 0

[[destination]]
name = "other"
url = "http://user:word@pacs/rs?x=1"

[[destination]]
name = "dimse"
ae_title = "PACS"
port = 104
auth = { scheme = "none" }
"""
    faults = "\n".join(faults_of(write(tmp_path, text)))
    for expected in (
        "line 4: destination[0].url: must be a URL that begins with https:// or http://",
        "line 5: destination[0].host: unknown key: this destination has a url, which says where it is",
        "line 6: destination[0].proof: DICOMweb has no storage commitment; use 'query' (QIDO-RS) or 'status'",
        "line 7: destination[0].auth: oauth needs token_url; oauth needs client_id; "
        "user is given, but scheme = 'oauth' does not use it; oauth needs either secret_file or secret_env",
        "line 8: destination[0].tls: cert and key belong together",
        "line 9: destination[0].timeout_s",
        "line 13: destination[1].url: holds a user or a password",
        "destination[2].host: missing",
        "line 19: destination[2].auth: unknown key: only a DICOMweb destination, one with a url, has it",
    ):
        assert expected in faults
    assert "word@" not in faults


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"url": "http://pacs/rs?a=1"}, "must end with a path"),
        ({"url": "http://pacs/rs", "tls": {"ca": "ca.pem"}}, "results would leave in the clear"),
        ({"auth": {"scheme": "none", "secret_env": "A"}}, "secret_env is given, but scheme = 'none'"),
        ({"auth": {"scheme": "basic", "secret_env": "A"}}, "basic needs user"),
        ({"auth": {"scheme": "bearer"}}, "bearer needs either secret_file or secret_env"),
    ],
)
def test_half_a_dicomweb_destination_is_refused(more: dict[str, Any], says: str) -> None:
    one = {"name": "web", "url": "https://pacs/rs", **more}
    with pytest.raises(ConfigError, match=says):
        parse_config({"destination": [one]}, serving=False, environment={})


def test_a_good_file_loads_and_names_its_destinations(tmp_path: Path) -> None:
    config = load_config(write(tmp_path, GOOD.format(data=tmp_path)), environment={})
    assert [d.name for d in config.destinations_of(config.protocol[0])] == ["pacs"]
    assert config.database_url == f"sqlite:///{tmp_path}/node.db"


def test_every_fault_is_named_at_once_with_its_line_failure_mode_19(tmp_path: Path) -> None:
    blocked = tmp_path / "a-file"
    blocked.write_text("")
    path = write(
        tmp_path,
        f"""[node]
port = 70000
colour = "red"
data_dir = "{blocked}/data"

[[protocol]]
name = "head"
match = {{ Modalty = "CT", Modality = "CT(", SliceThickness = {{ min = 9, max = 8 }} }}
models = ["hemorrhage"]
destinations = ["elsewhere"]
""",
    )
    text = "\n".join(faults_of(path))
    for expected in (
        "line 2: node.port",
        "line 3: node.colour: unknown key",
        f"line 4: node.data_dir: {blocked} is a file, not a folder",
        "line 8: protocol[0].match.Modalty: 'Modalty' is no DICOM keyword",
        "line 8: protocol[0].match.Modality: 'CT(' is no regular expression",
        "line 8: protocol[0].match.SliceThickness: min is above max",
        "line 10: protocol[0].destinations: no [[destination]] is named 'elsewhere'",
    ):
        assert expected in text


def test_a_node_without_protocol_is_refused(tmp_path: Path) -> None:
    assert any("nothing would ever be processed" in fault for fault in faults_of(write(tmp_path, "[node]\n")))


def test_a_name_used_twice_is_refused(tmp_path: Path) -> None:
    text = GOOD.format(data=tmp_path)
    twice = text + text[text.index("[[protocol]]") :]
    assert any("'head' is used twice" in fault for fault in faults_of(write(tmp_path, twice)))


def test_broken_toml_is_a_sentence_not_a_traceback(tmp_path: Path) -> None:
    assert "not valid TOML" in faults_of(write(tmp_path, "[node\n"))[0]
    assert "cannot be read" in faults_of(tmp_path / "absent.toml")[0]


def test_the_environment_overrides_a_scalar(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD.format(data=tmp_path))
    config = load_config(path, environment={"DICOMNODE_NODE__PORT": "11113", "DICOMNODE_TEST_DATA": "/x"})
    assert config.node.port == 11113


def test_a_misspelt_override_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD.format(data=tmp_path))
    with pytest.raises(ConfigError, match="DICOMNODE_NODE__PROT overrides no key"):
        load_config(path, environment={"DICOMNODE_NODE__PROT": "11113"})


def test_a_configuration_is_frozen() -> None:
    config = parse_config({}, serving=False, environment={})
    with pytest.raises(ValueError, match="frozen"):
        config.node.port = 1  # type: ignore[misc]


@pytest.mark.parametrize("url", ["mysql://x", "node.db", "postgresql://x"])
def test_an_unsupported_database_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="must begin with"):
        parse_config({"database": {"url": url}}, serving=False, environment={})
