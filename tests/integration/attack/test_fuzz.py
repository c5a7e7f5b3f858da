"""A few of the spoiled sessions, data sets and HL7 messages, as ``make fuzz`` sends by the thousand."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.attack import fuzz
from tests.integration.attack.hl7_messages import Expected
from tests.integration.attack.target import Target

SEED = "suite"


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    with Target(tmp_path_factory.mktemp("target")) as running:
        yield running


@pytest.mark.parametrize(("what", "count"), [(fuzz.session(SEED), 100), (fuzz.data_set(SEED), 60)])
def test_a_node_that_is_sent_rubbish_answers_leaks_nothing_and_keeps_what_it_acknowledged(
    target: Target, what: fuzz.Attack, count: int, tmp_path: Path
) -> None:
    endings = fuzz.attack(target, what, range(count), reports=tmp_path)
    assert target.verdict.faults == []
    assert not list(tmp_path.iterdir())
    assert endings["images acknowledged"] > 0


def test_of_spoiled_hl7_messages_none_is_acknowledged_and_lost(target: Target, tmp_path: Path) -> None:
    endings = fuzz.attack(target, fuzz.hl7_message(SEED), range(300), reports=tmp_path)
    assert target.verdict.faults == []
    assert {"AA", "AE", "AR", "hung up on"} <= set(endings)
    assert sum(len(one.values) for one in target.told) > 100


def test_a_value_that_was_acknowledged_and_is_not_there_is_found(target: Target) -> None:
    faults, told = [*target.verdict.faults], [*target.told]
    target.told = [Expected(1, "NOBODY", (("inr", 2.4),), "ANYBODY")]
    target.judge([])
    assert target.verdict.faults == [*faults, "message 1 was acknowledged, and inr, merge lost"]
    target.verdict.faults, target.told = faults, told


def test_an_image_that_was_acknowledged_and_is_gone_is_found(target: Target) -> None:
    faults = [*target.verdict.faults]
    target.judge(["1.2.3.4.5"])
    assert target.verdict.faults == [*faults, "acknowledged and lost: 1.2.3.4.5"]
    target.verdict.faults = faults


def test_a_run_that_finds_something_leaves_a_report_with_seed_number_bytes_and_the_nodes_last_lines(
    target: Target, tmp_path: Path
) -> None:
    lost = fuzz.Attack("lies", "seed", lambda _, number: ("lied", [f"1.2.3.{number}"]), lambda _: [b"\x07", b"\x08"])
    fuzz.attack(target, lost, range(41, 43), reports=tmp_path)
    target.verdict.faults.clear()
    (folder,) = tmp_path.iterdir()
    report = json.loads((folder / "report.json").read_text())
    assert (report["kind"], report["seed"]) == ("lies", "seed")
    assert report["faults"] == ["acknowledged and lost: 1.2.3.41", "acknowledged and lost: 1.2.3.42"]
    assert [played["number"] for played in report["batch"]] == [41, 42]
    assert (folder / "42.hex").read_text() == "07\n08"
    assert "listening" in (folder / "node.log").read_text()
    assert "run_forever" in (folder / "stacks.txt").read_text()


def test_a_run_that_is_broken_off_leaves_a_report_too(target: Target, tmp_path: Path) -> None:
    def interrupted(_: Target, number: int) -> tuple[str, list[str]]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fuzz.attack(target, fuzz.Attack("stopped", "1", interrupted, lambda _: []), range(1), reports=tmp_path)
    target.verdict.faults.clear()
    (folder,) = tmp_path.iterdir()
    assert "KeyboardInterrupt" in json.loads((folder / "report.json").read_text())["faults"][0]


def test_a_node_that_does_not_stop_leaves_a_report_before_it_is_killed(
    target: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.integration.attack.target.STOP_S", 0.5)
    fuzz.attack(target, fuzz.session(SEED), range(1), reports=tmp_path)
    os.kill(target.process.pid, signal.SIGSTOP)
    target.stop()  # the last test of this file: nobody else needs it
    (folder,) = tmp_path.iterdir()
    assert "did not stop" in json.loads((folder / "report.json").read_text())["faults"][0]
