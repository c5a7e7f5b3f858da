"""The table of the kinds of result, and that all which reads it knows every row."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydicom.uid import UID

from dicomnode.config.destinations import Destination
from dicomnode.encode.case import ENCODERS
from dicomnode.kinds import (
    BY_DEFAULT,
    COMPREHENSIVE_3D_SR,
    COMPREHENSIVE_SR,
    KINDS,
    Kind,
    Made,
    first_choice,
    kind_to_send,
    stand_ins,
)

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("kind", Kind)
def test_every_kind_has_a_row_with_a_storage_class_and_a_series_number_of_its_own(kind: Kind) -> None:
    row = KINDS[kind]
    assert UID(row.sop_class_uid).name.endswith("Storage")
    assert [other for other in Kind if KINDS[other].series_number == row.series_number] == [kind]
    assert row.series_number % 1000 == 0
    assert row.title


def test_the_rows_are_in_the_order_of_encoding() -> None:
    assert list(KINDS) == list(Kind)


@pytest.mark.parametrize("kind", Kind)
def test_a_kind_never_stands_in_for_itself_and_the_last_stand_in_is_sent_where_all_are_refused(kind: Kind) -> None:
    following = stand_ins(kind)
    assert kind not in following
    assert len({*following}) == len(following)
    everything = {row.sop_class_uid for row in KINDS.values()}
    assert kind_to_send(kind, everything) is ([kind, *following][-1])
    assert kind_to_send(kind, set()) is kind
    assert all(first_choice(one) is first_choice(kind) for one in following)


def test_measurements_go_as_the_best_class_that_is_not_refused() -> None:
    assert kind_to_send(Kind.SR, {COMPREHENSIVE_3D_SR, COMPREHENSIVE_SR}) is Kind.SR_ENHANCED


def test_a_stand_in_is_made_on_request_only() -> None:
    assert {KINDS[one].made for kind in Kind for one in stand_ins(kind)} == {Made.ON_REQUEST}


@pytest.mark.parametrize("kind", [kind for kind, row in KINDS.items() if row.made is not Made.ALONE])
def test_every_kind_that_a_case_may_give_has_an_encoder(kind: Kind) -> None:
    assert kind in ENCODERS or first_choice(kind) in ENCODERS


def test_a_destination_gets_by_default_what_the_table_says() -> None:
    assert Destination(name="pacs", ae_title="PACS", host="pacs", port=104).results == BY_DEFAULT
    example = re.search(r"^results = \[(.*)\]", (ROOT / "config.example.toml").read_text(encoding="utf-8"), re.M)
    assert example is not None
    assert {*re.findall(r'"(\w+)"', example[1])} == {*BY_DEFAULT}


@pytest.mark.parametrize("kind", Kind)
def test_the_guide_to_results_lists_every_kind_with_its_series_number(kind: Kind) -> None:
    rows = [
        line for line in (ROOT / "docs/results.md").read_text(encoding="utf-8").splitlines() if line.startswith("|")
    ]
    (row,) = [line for line in rows if f"`{kind}`" in line.split("|")[2]]
    assert str(KINDS[kind].series_number // 1000) in row.split("|")[1]
