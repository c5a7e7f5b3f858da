from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.data import get_track_meta

from dicomnode.train.learners import learner_named
from dicomnode.train.manifest import Case
from dicomnode.train.slices.data import IMAGE, TRUTH, RandDenseSpotsd, SliceBatches, Source, pseudo_exam
from dicomnode.train.slices.exams import UNKNOWN, Exam, Planes
from dicomnode.train.slices.learner import SliceLearner
from dicomnode.train.slices.losses import masked_overlap_loss, segmentation_loss, slice_truth
from dicomnode.train.slices.recipes import Recipe
from dicomnode.zoo.networks.branches import PixelsAndSlices

RECIPE = Recipe(
    name="tiny",
    planes=Planes(64, 1.0, ("hemorrhage",)),
    window=32,
    build=lambda: torch.nn.Conv2d(3, 1, 1),
    bundled=lambda: torch.nn.Conv2d(3, 1, 1),
    prepare=lambda hu: (hu / 100.0).clamp(0.0, 1.0),
    finish=lambda logits, hu: logits.sigmoid(),
)


def exam(name: str, bleeding: tuple[int, ...], slices: int = 12) -> Exam:
    """Brain of 30 HU with a square of 70 HU on some slices."""
    hu = np.full((slices, 64, 64), 30, np.int16)
    truth = np.zeros((slices, 1, 64, 64), np.int8)
    for k in bleeding:
        hu[k, 5:12, 40:50], truth[k, 0, 5:12, 40:50] = 70, 1
    return Exam(
        case=Case(id=name, patient=name, image=Path("x")),
        hu=hu,
        truth=truth,
        offsets_mm=np.arange(slices) * 5.0,
        pixel_ml=np.full(slices, 0.005),
    )


def batches(seed: int = 1, pseudo: Source | None = None) -> SliceBatches:
    return SliceBatches(
        recipe=RECIPE,
        labelled=Source.of([exam("a", (3, 4)), exam("b", ())]),
        steps=4,
        batch=8,
        seed=seed,
        pseudo=pseudo,
    )


def test_a_training_that_is_broken_off_leaves_monais_metadata_to_whoever_is_next() -> None:
    before = get_track_meta()
    broken_off = batches()(1)
    next(iter(broken_off))  # held, neither read to its end nor closed
    assert get_track_meta() == before is True


def test_slices_with_the_finding_come_as_often_as_said() -> None:
    source = Source.of([exam("a", (3, 4)), exam("b", ())])
    assert (source.positive, len(source.negative)) == (((0, 3), (0, 4)), 22)
    drawn = source.draw(100, np.random.default_rng(1))
    assert sum(place in source.positive for place in drawn) == 45


def test_an_exam_with_one_bleeding_slice_is_drawn_as_often_as_one_with_six() -> None:
    exams = [exam("small", (3,)), exam("large", (2, 3, 4, 5, 6, 7)), exam("none", ())]
    source = Source.of(exams, exams_evenly=True)
    assert source.shares() == pytest.approx([1 / 2, *[1 / 12] * 6])
    drawn = [place for place in source.draw(2000, np.random.default_rng(1)) if place in source.positive]
    assert len(drawn) == 900
    assert sum(e == 0 for e, _ in drawn) == pytest.approx(450, abs=45)  # three standard deviations
    assert Source.of(exams).shares() == pytest.approx([1 / 7] * 7)


def test_slices_of_which_nothing_is_known_are_not_drawn() -> None:
    made = exam("a", (3,))
    made.truth[5:] = UNKNOWN
    source = Source.of([made])
    assert len(source.positive) + len(source.negative) == 5


def test_an_epoch_repeats_itself_and_another_differs() -> None:
    def images(seed: int, epoch: int) -> torch.Tensor:
        return torch.cat([batch["image"] for batch in batches(seed)(epoch)])

    assert torch.equal(images(1, 2), images(1, 2))
    assert not torch.equal(images(1, 2), images(1, 3))
    assert not torch.equal(images(1, 2), images(2, 2))


def test_a_window_of_a_bleeding_slice_holds_the_bleed_where_it_is_bright() -> None:
    found = list(batches()(1))
    assert [batch["image"].shape for batch in found] == [(8, 3, 32, 32)] * 4
    image = torch.cat([batch["image"] for batch in found])
    truth = torch.cat([batch["truth"] for batch in found])
    assert set(truth.unique().tolist()) == {0.0, 1.0}
    sick = (truth[:, 0] == 1).flatten(1).any(dim=1)
    assert int(sick.sum()) == round(32 * 0.45)
    for picture, mask in zip(image[sick], truth[sick], strict=True):
        assert picture[1][mask[0] == 1].median() > picture[1][mask[0] == 0].median() + 0.15
    assert float(image.min()) >= 0.0
    assert float(image.max()) <= 1.0


def test_half_of_a_students_batch_is_pseudo_labelled() -> None:
    target = torch.zeros(12, 1, 64, 64)
    target[:, :, :, 32:] = -1.0
    pseudo = pseudo_exam(exam("u", ()), target)
    assert set(np.unique(pseudo.truth)) == {UNKNOWN, 0}
    made = batches(pseudo=Source.of([pseudo]))
    names = [place[0].case.id for place in made.places(1)]
    assert [names[k : k + 8].count("u") for k in range(0, 32, 8)] == [4, 4, 4, 4]
    assert all(-1.0 in batch["truth"] for batch in made(1))


def test_what_is_not_known_has_no_part_in_the_loss() -> None:
    truth = torch.tensor([[[[1.0, 0.0], [UNKNOWN, UNKNOWN]]]])
    logits = torch.tensor([[[[2.0, -1.0], [9.0, -9.0]]]], requires_grad=True)
    segmentation_loss(logits, truth).backward()
    assert logits.grad is not None
    assert logits.grad[0, 0, 1].tolist() == [0.0, 0.0]
    assert float(logits.grad[0, 0, 0].abs().min()) > 0.0


def test_the_soft_dice_of_a_hand_made_case() -> None:
    logits = torch.logit(torch.tensor([[[[0.8, 0.4]]]]))
    assert float(masked_overlap_loss(logits, torch.tensor([[[[1.0, 0.0]]]]))) == pytest.approx(1 - 1.6 / 2.2)
    assert float(masked_overlap_loss(logits, torch.zeros(1, 1, 1, 2))) == 0.0


def test_a_rare_finding_weighs_as_much_in_the_dice_loss_as_a_common_one() -> None:
    probability = torch.tensor([[[[0.8, 0.8, 0.8, 0.2]], [[0.2, 0.2, 0.2, 0.2]], [[0.9, 0.9, 0.9, 0.9]]]])
    truth = torch.tensor([[[[1.0, 1.0, 1.0, 0.0]], [[0.0, 0.0, 0.0, 1.0]], [[0.0, 0.0, 0.0, 0.0]]]])
    common, rare = 1 - 2 * 2.4 / (2.6 + 3), 1 - 2 * 0.2 / (0.8 + 1)  # the third is not shown by any pixel
    assert float(masked_overlap_loss(probability.logit(), truth)) == pytest.approx((common + rare) / 2, abs=1e-6)


def test_a_slice_is_negative_only_when_all_of_it_is_known() -> None:
    target = torch.tensor([[[[1.0, -1.0]]], [[[0.0, 0.0]]], [[[0.0, -1.0]]]])
    assert slice_truth(target).tolist() == [[1.0], [0.0], [-1.0]]
    with_branch = PixelsAndSlices(torch.zeros(3, 1, 1, 2), torch.tensor([[9.0], [-9.0], [0.0]]))
    against = PixelsAndSlices(torch.zeros(3, 1, 1, 2), torch.tensor([[-9.0], [9.0], [0.0]]))
    assert segmentation_loss(with_branch, target) < segmentation_loss(against, target)


@pytest.mark.parametrize(("name", "channels"), [("hemorrhage", 6), ("hemorrhage-student", 6), ("hemorrhage-paper", 3)])
def test_every_recipe_prepares_what_its_network_reads(name: str, channels: int) -> None:
    learner = learner_named(name)
    assert isinstance(learner, SliceLearner)
    recipe = learner.recipe
    prepared = recipe.prepare(torch.full((3, 32, 32), 60.0))
    assert prepared.shape == (channels, 32, 32)
    assert 0.0 <= float(prepared.min()) <= float(prepared.max()) <= 1.0
    assert recipe.finding == "hemorrhage"


def with_calcium(name: str, shown: tuple[int, ...]) -> Exam:
    """Two findings: no blood anywhere, calcium on some slices."""
    made = exam(name, ())
    truth = np.zeros((len(made.hu), 2, 64, 64), np.int8)
    truth[list(shown), 1, 20:24, 20:24] = 1
    return replace(made, truth=truth)


def test_slices_that_show_what_blood_is_mistaken_for_are_drawn_more_often() -> None:
    source = Source.of([with_calcium("a", (2,))])
    assert source.alike == ((0, 2),)
    drawn = source.draw(1000, np.random.default_rng(1))
    assert sum(place == (0, 2) for place in drawn) / 1000 == pytest.approx(0.35 + 0.65 / 12, abs=0.05)


def test_a_dense_spot_is_no_blood_but_what_is_dense_and_none() -> None:
    spots = RandDenseSpotsd(dense=1)
    spots.set_random_state(seed=3)
    data = {IMAGE: torch.full((3, 48, 48), 30.0), TRUTH: torch.tensor([1.0, -1.0])[:, None, None].expand(2, 48, 48)}
    for _ in range(8):
        changed = spots(data)
        covered = changed[TRUTH][1] == 1
        assert ((changed[TRUTH][0] == 0) == covered).all()
        assert (changed[TRUTH][1][~covered] == -1).all()
        assert (changed[IMAGE][1][covered] > 55.0).all()


def test_a_missed_pixel_may_cost_more_than_a_false_one() -> None:
    target = torch.tensor([[[[1.0, 1.0, 0.0, 0.0]]]])
    half_missed = torch.tensor([[[[20.0, -20.0, -20.0, -20.0]]]])
    assert float(masked_overlap_loss(half_missed, target, (0.7,))) == pytest.approx(1 - 1 / (1 + 0.7))
    as_many_false = torch.tensor([[[[20.0, 20.0, 20.0, -20.0]]]])
    assert float(masked_overlap_loss(as_many_false, target, (0.7,))) == pytest.approx(1 - 2 / (2 + 0.3), rel=1e-5)
