"""The configuration says every fault at once, and the example shows every key."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from dicomnode.config.destinations import Destination, WebDestination
from dicomnode.config.load import load_config, parse_config
from dicomnode.config.protocols import HEAD_CT, Protocol
from dicomnode.config.sections import Section
from dicomnode.config.whole import Config, built_in_config
from dicomnode.errors import ConfigError
from dicomnode.zoo.order import run_order
from dicomnode.zoo.registry import Registry
from tests.conftest import REPOSITORY
from tests.tools.bundle import write_threshold_bundle

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
    defaults = parse_config({}, base=EXAMPLE.parent, serving=False, environment={})
    raw = tomllib.loads(EXAMPLE.read_text())
    for name in Config.model_fields:
        section = getattr(loaded, name)
        if isinstance(section, tuple):
            continue
        assert set(raw[name]) == set(type(section).model_fields), f"[{name}] of the example lacks or invents a key"
        assert section == getattr(defaults, name), f"[{name}] of the example does not show the defaults"
        for key, inner in section:
            if isinstance(inner, Section):
                assert set(raw[name][key]) == set(type(inner).model_fields), f"[{name}.{key}] lacks or invents a key"
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


@pytest.mark.parametrize(
    ("name", "runs", "description"),
    [
        ("stroke", ("deterioration", "edema"), "CT head, acute ischaemic stroke"),
        ("ich", ("hemorrhage", "prognosis", "edema"), "CT Head ICH follow up"),
        ("post-thrombectomy", ("hemorrhage", "followup", "edema"), "CCT after thrombectomy"),
    ],
)
def test_the_protocols_that_the_example_shows_are_valid_and_run_their_models_in_order(
    name: str, runs: tuple[str, ...], description: str
) -> None:
    (protocol,) = [one for one in protocols_shown() if one.name == name]
    assert tuple(one.name for one in run_order([Registry().manifest(model) for model in protocol.models])) == runs
    assert re.search(str(protocol.match["StudyDescription"]), description)


def protocols_shown() -> tuple[Protocol, ...]:
    """Those that stand in the example as comments."""
    lines = EXAMPLE.read_text().splitlines()
    starts = [place for place, line in enumerate(lines) if line == "# [[protocol]]"]
    blocks = [line.removeprefix("# ") for start in starts for line in lines[start : lines.index("", start)]]
    destination = '[[destination]]\nname = "pacs"\nae_title = "PACS"\nhost = "pacs"\nport = 104'
    raw = tomllib.loads("\n".join([destination, *blocks]))
    return parse_config(raw, serving=False, environment={}).protocol


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


def test_a_file_from_windows_is_read_and_one_that_is_no_utf_8_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_bytes(b"\xef\xbb\xbf" + GOOD.format(data=tmp_path).encode())
    assert load_config(path, environment={}).destination[0].name == "pacs"
    path.write_bytes("[node]\ntimezone = 'Zürich'".encode("latin-1"))
    assert faults_of(path) == [f"{path} line 2: not valid TOML: save it as UTF-8 (invalid start byte)"]
    assert faults_of(tmp_path) == [f"{tmp_path}: cannot be read (Is a directory)"]


RELATIVE = """
[node]
data_dir = "here"
[database]
url = "sqlite:///rows.db"
[reception]
tls = { cert = "tls/a.pem", key = "tls/b.pem", ca = "/etc/ca.pem" }
[clinical]
drop_folder = "drop"
[[destination]]
name = "pacs"
ae_title = "PACS"
host = "pacs"
port = 104
tls = { enabled = true, ca = "pacs.pem" }
[[destination]]
name = "web"
url = "https://pacs/rs"
auth = { scheme = "bearer", secret_file = "secret" }
tls = { ca = "web.pem" }
"""


def test_every_relative_path_is_relative_to_the_folder_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, RELATIVE)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    for path in (tmp_path / "config.toml", Path("../config.toml")):
        config = load_config(path, serving=False, environment={})
        pacs, web = config.destination
        assert isinstance(pacs, Destination)
        assert isinstance(web, WebDestination)
        named = [config.reception.tls.cert, config.reception.tls.ca]
        named += [pacs.tls.ca, web.tls.ca, web.auth.secret_file, config.clinical.drop_folder]
        assert [str(Path(one).resolve()) for one in named] == [
            str(tmp_path / "tls/a.pem"),
            "/etc/ca.pem",
            *[str(tmp_path / name) for name in ("pacs.pem", "web.pem", "secret", "drop")],
        ]
        assert config.node.data_dir.resolve() == tmp_path / "here"
        assert Path(config.database_url.removeprefix("sqlite:///")).resolve() == tmp_path / "rows.db"


def test_a_data_folder_that_nobody_named_is_beside_the_file_and_so_is_one_of_the_environment(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD[GOOD.index("[[dest") :].format())
    assert load_config(path, environment={}).node.data_dir == tmp_path / "data"
    overridden = load_config(path, environment={"DICOMNODE_NODE__DATA_DIR": "other"})
    assert overridden.node.data_dir == tmp_path / "other"


def test_a_tilde_is_the_home_of_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    path = write(tmp_path, "[node]\ndata_dir = '~/data'\n[database]\nurl = 'sqlite:///~/node.db'")
    config = load_config(path, serving=False, environment={})
    assert config.node.data_dir == tmp_path / "home/data"
    assert config.database_url == f"sqlite:///{tmp_path}/home/node.db"


def test_paths_of_bundles_are_relative_to_the_file_too(tmp_path: Path) -> None:
    write_threshold_bundle(tmp_path / "bundle")
    path = write(tmp_path, "[zoo]\npaths = ['bundle', 'absent']")
    with pytest.raises(ConfigError) as caught:
        load_config(path, serving=False, environment={})
    (fault,) = caught.value.faults
    assert f"{tmp_path}/absent is no readable bundle" in fault


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[recieption]", "recieption: unknown section; did you mean 'reception'?"),
        ("[node]\nae_titel = 'A'", "node.ae_titel: unknown key; did you mean 'ae_title'?"),
        ("[[destination]]\nname='p'\nae_title='A'\nport=1\nhots='h'", ".hots: unknown key; did you mean 'host'?"),
        ("[[destination]]\nname='w'\nurl='http://p'\nauth={ schema='none' }", "did you mean 'scheme'?"),
        ("[[destination]]\nname='w'\nurl='http://p'\nresults=['sc','text','segm']", "did you mean 'seg'?"),
        ("[operations]\nlog_level = 'info'", "did you mean 'INFO'?"),
        ("[[protocol]]\nname='p'\nmodels=['m']\nmatch={ Modalty='CT' }", "no DICOM keyword; did you mean 'Modality'?"),
        ("[[protocol]]\nname='p'\nmodels=['m']\nmatch={ SliceThickness={ mni=1 } }", "did you mean 'min'?"),
        (GOOD.replace('destinations = ["pacs"]', 'destinations = ["pasc"]'), "named 'pasc'; did you mean 'pacs'?"),
        ("[[protocol]]\nname='a head'\nmodels=['m']\nmatch={}", "protocol[0].name: letters, digits, '.', '_' and '-'"),
        ("[node]\nae_title='A TITLE THAT IS TOO LONG'", "node.ae_title: 1 to 16 characters of ASCII"),
        ("[destination]\nname='p'", "destination: write it as [[destination]]"),
        ("[[node]]\nport=1", "node: write it as [node], once"),
    ],
)
def test_a_slip_is_answered_with_what_was_meant(tmp_path: Path, text: str, says: str) -> None:
    faults = faults_of(write(tmp_path, text.replace("{data}", str(tmp_path)).replace("{{", "{").replace("}}", "}")))
    assert says in "\n".join(faults)


def test_a_wrong_value_of_the_environment_is_said_of_its_variable(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD.format(data=tmp_path))
    with pytest.raises(ConfigError, match=r"^environment DICOMNODE_NODE__PORT: node.port: "):
        load_config(path, environment={"DICOMNODE_NODE__PORT": "eleven"})
    with pytest.raises(ConfigError, match="did you mean 'DICOMNODE_NODE__PORT'"):
        load_config(path, environment={"DICOMNODE_NODE__PROT": "1"})


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


@pytest.mark.parametrize("password", ["S3cret/x", "x@S3cret", "S3cret#x", "S3cret?x", "[S3cret", "S3cret:x/@"])
def test_a_password_that_makes_no_url_is_not_shown(password: str) -> None:
    for section, values in (
        ("database", {"url": f"postgresql+psycopg://node:{password}@host/db"}),
        ("destination", [{"name": "web", "url": f"https://node:{password}@host/dicom-web"}]),
    ):
        with pytest.raises(ConfigError) as refused:
            parse_config({section: values}, serving=False, environment={})
        assert "url" in str(refused.value)
        assert "S3cret" not in str(refused.value)


@pytest.mark.parametrize("url", ["mysql://x", "node.db", "postgresql://x"])
def test_an_unsupported_database_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="must begin with"):
        parse_config({"database": {"url": url}}, serving=False, environment={})


@pytest.mark.parametrize(("written", "is_known"), [("en-GB", True), ("en-US", True), ("de", True), ("fr", False)])
def test_results_are_written_in_a_language_that_the_node_knows(tmp_path: Path, written: str, is_known: bool) -> None:
    path = write(tmp_path, GOOD.format(data=tmp_path).replace("[node]", f'[node]\nlanguage = "{written}"'))
    if is_known:
        assert load_config(path, environment={}).node.language == written
    else:
        assert "'en-GB', 'en-US' or 'de'" in faults_of(path)[0]


def test_both_spellings_of_a_model_are_one_and_the_same_protocol(tmp_path: Path) -> None:
    american = load_config(write(tmp_path, GOOD.format(data=tmp_path)), environment={})
    text = GOOD.format(data=tmp_path).replace('models = ["hemorrhage"]', 'models = ["haemorrhage"]')
    british = load_config(write(tmp_path, text), environment={})
    assert british.protocol == american.protocol


def test_without_a_file_no_folder_of_another_program_is_taken_for_models(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    foreign = tmp_path / "data" / "models" / "resnet" / "configs"
    foreign.mkdir(parents=True)
    (foreign / "metadata.json").write_text("not of ours")
    monkeypatch.chdir(tmp_path)
    assert built_in_config().bundle_paths == ()


FHIR = 'identifier_system = "urn:oid:1.2"\n'


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ('base_url = "https://fhir.example/r4"\n', "identifier_system is missing"),
        (f'base_url = "http://fhir.example/r4"\n{FHIR}', "base_url begins with http://"),
        (
            f'base_url = "https://f.example"\n{FHIR}auth = {{ scheme = "oauth", token_url = "http://t.example", '
            'client_id = "a", secret_env = "S" }\n',
            "auth.token_url begins with http://",
        ),
        (f'base_url = "https://f.example"\n{FHIR}auth = {{ scheme = "bearer" }}\n', "bearer needs either secret_file"),
        (f'base_url = "http://127.0.0.1:1/f"\n{FHIR}tls = {{ ca = "x" }}\n', "tls is given"),
        (f'base_url = "https://u:p@f.example"\n{FHIR}', "holds a user or a password"),
    ],
)
def test_a_fhir_server_that_would_get_data_in_the_clear_or_cannot_be_asked_is_a_fault(
    tmp_path: Path, keys: str, says: str
) -> None:
    (fault,) = faults_of(write(tmp_path, GOOD.format(data=tmp_path) + f"[clinical.fhir]\n{keys}"))
    assert says in fault


@pytest.mark.parametrize("url", ["http://127.0.0.1:8080/fhir", "http://localhost/fhir", "http://[::1]/fhir"])
def test_a_fhir_server_on_this_machine_may_be_asked_without_tls_and_another_where_it_is_allowed(
    tmp_path: Path, url: str
) -> None:
    text = GOOD.format(data=tmp_path) + f'[clinical.fhir]\nbase_url = "{url}"\n{FHIR}'
    assert load_config(write(tmp_path, text), environment={}).clinical.fhir.base_url == url
    other = text.replace(url, "http://fhir.example") + "allow_http = true\n"
    assert load_config(write(tmp_path, other), environment={}).clinical.fhir.allow_http


def test_the_example_shows_every_key_of_the_fhir_server() -> None:
    raw = tomllib.loads(EXAMPLE.read_text())["clinical"]["fhir"]
    fhir = Config().clinical.fhir
    assert set(raw) == set(type(fhir).model_fields)
    assert set(raw["auth"]) == set(type(fhir.auth).model_fields)
    assert set(raw["tls"]) == set(type(fhir.tls).model_fields)


PRIORS = """
[priors]
destination = "{destination}"
protocol = "{protocol}"
hours_before = {hours}

[[protocol]]
name = "earlier"
match = {{ Modality = "CT" }}
models = ["hemorrhage"]
shadow = true
"""


def test_an_archive_for_earlier_cts_is_a_destination_and_what_comes_goes_through_a_shadow_protocol(
    tmp_path: Path,
) -> None:
    good = GOOD.format(data=tmp_path)
    told = write(tmp_path, good + PRIORS.format(destination="pacs", protocol="earlier", hours=12.0))
    assert load_config(told, environment={}).priors.is_on
    wrong = write(tmp_path, good + PRIORS.format(destination="pax", protocol="head", hours=48.0))
    faults = faults_of(wrong)
    assert len(faults) == 3
    for says in ("no [[destination]] is named 'pax'", "no [[protocol]] with shadow = true", "lets nothing count"):
        assert any(says in fault for fault in faults), says


def test_a_protocol_for_earlier_cts_without_an_archive_is_a_fault(tmp_path: Path) -> None:
    text = GOOD.format(data=tmp_path) + PRIORS.format(destination="", protocol="earlier", hours=12.0)
    assert "belong together" in faults_of(write(tmp_path, text))[0]
