"""What ``benchmarks/rivals.py`` counts, and weights that are judged without being installed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from benchmarks.rival_exams import Exam, Sort
from benchmarks.rival_figures import Read, _false_at_sensitivity, _stained, groups_table, summary_table
from benchmarks.rival_weights import bundle_of
from benchmarks.rivals import Kept
from dicomnode.decision import Decision
from dicomnode.train.hemorrhage.recipes import detector_network, student_recipe
from dicomnode.zoo.hemorrhage.committee import Committee, seated
from dicomnode.zoo.parts import load_parts, load_weights
from dicomnode.zoo.registry import open_bundle

PLANE = torch.rand(1, 6, 32, 32, generator=torch.Generator().manual_seed(1))


def network_in(bundle: Path) -> torch.nn.Module:
    network = load_parts(bundle).network
    load_weights(network, bundle)
    return network.eval()


def test_one_network_of_a_training_is_judged_as_it_is(tmp_path: Path) -> None:
    torch.manual_seed(1)
    network = detector_network().eval()
    save_file(network.state_dict(), tmp_path / "best.safetensors")
    bundle = bundle_of(tmp_path / "best.safetensors", tmp_path / "bundle")
    torch.testing.assert_close(network_in(bundle)(PLANE), network(PLANE))
    assert open_bundle(bundle).manifest.masks[0].exam_threshold is None


def test_two_networks_that_mark_together_are_judged_together_and_as_they_are_calibrated(tmp_path: Path) -> None:
    torch.manual_seed(2)
    members = [detector_network().eval() for _ in range(2)]
    save_file(seated([member.state_dict() for member in members]), tmp_path / "detectors.safetensors")
    told = {"exam": {"slope": 0.5, "intercept": -1.0, "threshold": 0.7}, "dice": 0.8}
    (tmp_path / "figures.json").write_text(json.dumps(told))
    bundle = bundle_of(tmp_path / "detectors.safetensors", tmp_path / "bundle")
    torch.testing.assert_close(network_in(bundle)(PLANE), Committee(members)(PLANE))
    mask = open_bundle(bundle).manifest.masks[0]
    assert (mask.exam_slope, mask.exam_intercept, mask.exam_threshold) == (0.5, -1.0, 0.7)


def test_a_network_of_the_kind_that_the_node_runs_takes_every_seat(tmp_path: Path) -> None:
    torch.manual_seed(3)
    network = student_recipe().build().eval()
    save_file(network.state_dict(), tmp_path / "best.safetensors")
    bundle = bundle_of(tmp_path / "best.safetensors", tmp_path / "bundle")
    torch.testing.assert_close(network_in(bundle)(PLANE), Committee([network, network])(PLANE))


def read(name: str, true_ml: float, marked_ml: float, score: float) -> Read:
    return Read(
        sort=Sort.SYNTHETIC,
        group="made",
        name=name,
        true_ml=true_ml,
        marked_ml=marked_ml,
        told_ml=marked_ml,
        hit_ml=min(true_ml, marked_ml),
        stained_ml=0.0,
        taken_ml=0.0,
        score=score,
        decision=Decision.POSITIVE if marked_ml else Decision.NEGATIVE,
        seconds=1.0,
    )


def test_false_positives_are_counted_where_nine_bleeds_of_ten_are_found() -> None:
    bleeds = [read(f"bleed {k}", 2.0, 1.0, score=k / 10) for k in range(1, 11)]
    clean = [read(f"clean {k}", 0.0, 0.0, score) for k, score in enumerate((0.05, 0.15, 0.2, 0.9))]
    assert _false_at_sensitivity([*bleeds, *clean]) == "2 of 4"  # from 0.2 on, which nine of the bleeds reach
    assert _false_at_sensitivity(clean) == ""


def test_bundles_stand_side_by_side_also_where_one_has_left_an_exam_out() -> None:
    one, other = [read("a", 10.0, 5.0, 0.9), read("b", 0.0, 3.0, 0.4)], [read("a", 10.0, 10.0, 0.9)]
    tables = groups_table({"one": one, "other": other}), summary_table({"one": one, "other": other})
    rows = [list(zip(*(column.cells for column in table.columns), strict=True)) for table in tables]
    assert ("made (2)", "Dice from 1 mL", "0.67", "1.00") in rows[0]
    assert ("", "false mL", "1.50", "0.00") in rows[0]
    assert ("synthetic heads without blood or stain (1)", "false mL", "3.00", "") in rows[1]


def test_stain_that_is_marked_is_told_in_millilitres_and_as_a_share() -> None:
    stained = replace(read("a", 0.0, 4.0, 0.9), stained_ml=16.0, taken_ml=4.0)
    assert _stained([stained, read("b", 0.0, 0.0, 0.1)]) == "4.0 of 16.0 (25%)"


def test_what_was_found_is_found_again_by_the_digests_of_bundle_and_exam(tmp_path: Path) -> None:
    def never() -> None:
        raise AssertionError("read again")

    torch.manual_seed(1)
    save_file(detector_network().state_dict(), tmp_path / "best.safetensors")
    bundle = open_bundle(bundle_of(tmp_path / "best.safetensors", tmp_path / "bundle"))
    exam = Exam(sort=Sort.SYNTHETIC, group="made", name="a", digest="1", read=never)
    Kept(tmp_path / "kept.jsonl").add(bundle, exam, [read("a", 1.0, 1.0, 0.5)])
    again = Kept(tmp_path / "kept.jsonl")
    assert again.of(bundle, exam) == [read("a", 1.0, 1.0, 0.5)]
    assert again.of(bundle, replace(exam, group="called otherwise"))[0].group == "called otherwise"  # type: ignore[index]
    assert again.of(bundle, replace(exam, digest="2")) is None
    assert again.of(replace(bundle, digest="sha256:other"), exam) is None


@pytest.mark.parametrize("name", ["subdural painted into ge", "epidural painted into ge"])
def test_thin_bleeds_outside_the_brain_have_a_row_of_their_own(name: str) -> None:
    painted = replace(read("10 mL", 10.0, 5.0, 0.9), sort=Sort.PAINTED, group=name)
    table = summary_table({"one": [painted]})
    rows = list(zip(*(column.cells for column in table.columns), strict=True))
    assert ("", "least Dice, subdural and epidural", "0.67") in rows
