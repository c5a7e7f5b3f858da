"""Which series a node runs: the same answer for a folder and for what came over the network."""

from __future__ import annotations

from pathlib import Path

import pytest

from dicomnode.app.folder import choose_series
from dicomnode.assemble.choice import best_series, protocols_for, protocols_in_turn
from dicomnode.config.protocols import Protocol, Range
from dicomnode.errors import Refusal, SeriesError
from dicomnode.records import Header
from tests.tools.series import EVEN, ct_headers, ct_series

HEAD = Protocol(name="head", match={"BodyPartExamined": "HEAD"}, models=("any",))
CHEST = Protocol(name="chest", match={"BodyPartExamined": "CHEST", "Modality": "CT"}, models=("any",))


def series(**attributes: object) -> list[Header]:
    return ct_headers(**{"BodyPartExamined": "HEAD", **attributes})


def test_a_series_runs_by_every_protocol_that_matches_it() -> None:
    assert protocols_for(series(), [HEAD, CHEST]) == [HEAD]
    assert protocols_for(series(), [HEAD, HEAD.model_copy(update={"name": "other"})])[1].name == "other"


def test_a_series_that_no_protocol_matches_is_refused_with_the_condition_that_failed() -> None:
    with pytest.raises(SeriesError) as caught:
        protocols_for(series(BodyPartExamined="ABDOMEN"), [HEAD, CHEST])
    assert caught.value.refusal is Refusal.NO_PROTOCOL
    assert "head: BodyPartExamined does not match /HEAD/: ABDOMEN" in caught.value.detail
    assert "chest: BodyPartExamined does not match /CHEST/: ABDOMEN" in caught.value.detail
    assert "Modality" not in caught.value.detail


def test_without_any_protocol_nothing_runs() -> None:
    with pytest.raises(SeriesError):
        protocols_for(series(), [])


def test_a_localizer_among_the_slices_neither_spoils_the_volume_nor_the_match() -> None:
    headers = series()
    scout = {**headers[0], "ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"], "BodyPartExamined": "CHEST"}
    assert protocols_for([scout, *headers], [HEAD]) == [HEAD]


def test_of_two_reconstructions_the_soft_one_is_better_and_of_equal_ones_the_first() -> None:
    soft = series(ConvolutionKernel="STANDARD", Manufacturer="GE MEDICAL SYSTEMS")
    bone = series(ConvolutionKernel="BONEPLUS", Manufacturer="GE MEDICAL SYSTEMS")
    protocol = HEAD.model_copy(update={"preferred_thickness_mm": Range(min=10, max=13)})
    assert best_series([bone, soft], protocol) == 1
    assert best_series([soft, bone], protocol) == 0
    assert best_series([soft, soft], protocol) == 0


def test_a_folder_names_the_condition_that_no_series_of_it_fulfils(tmp_path: Path) -> None:
    for number, ds in enumerate(ct_series(EVEN, name="abdomen", BodyPartExamined="ABDOMEN")):
        ds.save_as(tmp_path / f"{number}.dcm", enforce_file_format=True)
    with pytest.raises(SeriesError) as caught:
        choose_series(tmp_path, HEAD)
    assert "BodyPartExamined does not match /HEAD/: ABDOMEN" in caught.value.detail


CANARY = HEAD.model_copy(update={"name": "new", "canary_of": HEAD.name, "share": 0.5})


def test_of_a_canary_and_its_protocol_a_study_goes_by_one_and_by_the_same_whenever_it_is_asked() -> None:
    head = series()
    went = [protocols_in_turn(head, [HEAD, CANARY, CHEST], f"1.2.{number}") for number in range(200)]
    assert went == [protocols_in_turn(head, [CHEST, CANARY, HEAD], f"1.2.{number}") for number in range(200)]
    assert all(len(chosen) == 1 for chosen in went)
    by_canary = sum(chosen == [CANARY] for chosen in went)
    assert 70 < by_canary < 130


def test_a_raised_share_keeps_its_studies_and_a_share_of_nothing_rolls_back() -> None:
    head = series()

    def by_canary(share: float) -> set[int]:
        canary = CANARY.model_copy(update={"share": share})
        return {n for n in range(200) if protocols_in_turn(head, [HEAD, canary], f"1.2.{n}") == [canary]}

    assert by_canary(0.0) == set()
    assert by_canary(0.2) < by_canary(0.6)
    assert by_canary(1.0) == set(range(200))


def test_a_canary_takes_nothing_where_its_protocol_does_not_match() -> None:
    of_chest = CANARY.model_copy(update={"canary_of": CHEST.name, "share": 1.0})
    with pytest.raises(SeriesError) as refused:
        protocols_in_turn(series(), [CHEST, of_chest], "1.2.3")
    assert refused.value.refusal is Refusal.NO_PROTOCOL
    assert protocols_in_turn(series(), [HEAD, CHEST, of_chest], "1.2.3") == [HEAD]
