"""The selftests of a running node: once it works, when models change, every night; a failure is told."""

from __future__ import annotations

import doctest
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dicomnode.app import selftests
from dicomnode.app.known_answer import ANSWER
from dicomnode.app.selftests import SelfTests
from dicomnode.cli.main import app
from dicomnode.config.whole import Config
from dicomnode.ops.notify.faults import faults_of_node
from dicomnode.ops.readiness import Readiness
from dicomnode.store.engine import Store
from dicomnode.store.storage import Storage
from tests.integration.ops.site import UP
from tests.tools.bundle import write_threshold_bundle

pytestmark = pytest.mark.timeout(900)


def config_of(folder: Path, **zoo: object) -> Config:
    """A node with the bundle of a folder."""
    protocol = {"name": "head-ct", "match": {"Modality": "^CT$"}, "models": ["threshold"]}
    return Config.model_validate(
        {
            "node": {"data_dir": folder / "data"},
            "reception": {"min_free_gb": 0},
            "zoo": {"paths": [folder / "bundle"], **zoo},
            "execution": {"devices": ["cpu"], "start_timeout_s": 600.0},
            "protocol": [protocol],
        }
    )


def another_hour() -> int:
    """An hour that it is not."""
    return (datetime.now(UTC).hour + 12) % 24


def test_a_model_is_asked_once_the_node_works_and_a_wrong_answer_is_a_fault_that_is_told(
    store: Store, tmp_path: Path
) -> None:
    bundle = write_threshold_bundle(tmp_path / "bundle")
    file = tmp_path / "config.toml"
    file.write_text(f'[zoo]\npaths = ["{bundle}"]\n[execution]\ndevices = ["cpu"]\nstart_timeout_s = 600.0\n')
    recorded = CliRunner().invoke(app, ["zoo", "selftest", "threshold", "--record", "--config", str(file)])
    assert recorded.exit_code == 0, recorded.output
    works = False
    config = config_of(tmp_path, selftest_hour=another_hour())
    tests = SelfTests(config, is_working=lambda: works, is_stopping=lambda: False)
    tests.look()
    assert tests.told() == {}
    works = True
    tests.look()
    assert [ok for ok, _ in tests.told().values()] == [True]
    answer = json.loads((bundle / ANSWER).read_text())
    answer["outputs"]["hemorrhage"]["volume_ml"] += 5.0
    (bundle / ANSWER).write_text(json.dumps(answer))
    tests.look()
    assert [ok for ok, _ in tests.told().values()] == [True]
    longer = config.execution.model_copy(update={"run_timeout_s": 200.0})
    tests.reload(config.model_copy(update={"execution": longer}))
    tests.look()
    ((ok, says),) = tests.told().values()
    assert not ok
    assert "the answer differs" in says
    Storage(store, config.spool_dir).bind()
    state = type(UP)(**{name: getattr(UP, name) for name in UP.__slots__} | {"selftests": tests.told()})
    assert faults_of_node(Readiness(config, store), state) == {"selftest threshold": says}


def test_models_are_asked_again_when_they_change_and_never_where_it_is_switched_off(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    write_threshold_bundle(tmp_path / "bundle")
    config = config_of(tmp_path, selftest_hour=another_hour())
    tests = SelfTests(config, is_working=lambda: True, is_stopping=lambda: False)

    def asked_after(changed: Config) -> int:
        tests.reload(changed)
        tests.look()
        tests.look()
        return sum(record.message == "models tested" for record in caplog.records)

    assert asked_after(config) == 1
    assert asked_after(config.model_copy(update={"node": config.node.model_copy(update={"language": "de"})})) == 1
    longer = config.execution.model_copy(update={"run_timeout_s": 200.0})
    assert asked_after(config.model_copy(update={"execution": longer})) == 2
    assert asked_after(config_of(tmp_path, selftest=False)) == 2


def test_nights_are_told_apart() -> None:
    assert doctest.testmod(selftests).failed == 0


def test_a_node_that_stops_does_not_wait_for_its_selftests(tmp_path: Path) -> None:
    write_threshold_bundle(tmp_path / "bundle")
    assert selftests.test_models(config_of(tmp_path), ["threshold"], lambda: True) == []
