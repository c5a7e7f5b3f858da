from __future__ import annotations

import numpy as np
import pytest
import torch

from dicomnode.train.slices import noisy_student as student
from dicomnode.zoo.hemorrhage.patchfcn import PatchFCN

IGNORE = student.IGNORE


def test_the_ranker_takes_exactly_the_top_tenth_of_a_hundred_slices() -> None:
    scores = np.random.default_rng(1).permutation(100) / 100.0
    chosen = student.rank_images(scores)
    assert int(chosen.sum()) == 10
    assert scores[chosen].min() == 0.90
    assert int(student.rank_images(np.zeros(100)).sum()) == 10


def test_pixels_of_a_positive_slice_follow_the_golden_values() -> None:
    p = torch.tensor([[0.72, 0.70, 0.50, 0.30, 0.20]])
    assert student.pseudo_labels(p, torch.tensor([True])).tolist() == [[1.0, IGNORE, IGNORE, IGNORE, 0.0]]


def test_a_slice_below_the_rank_has_no_positive_pixel_and_is_negative_only_where_sure() -> None:
    p = torch.tensor([[0.99, 0.72, 0.70, 0.50, 0.30, 0.20]])
    found = student.pseudo_labels(p, torch.tensor([False]))
    assert found.tolist() == [[IGNORE, IGNORE, IGNORE, IGNORE, IGNORE, 0.0]]


def test_labels_of_whole_images_follow_their_own_rank() -> None:
    p = torch.full((2, 1, 3, 3), 0.9)
    found = student.pseudo_labels(p, torch.tensor([True, False]))
    assert found[0].unique().tolist() == [1.0]
    assert found[1].unique().tolist() == [IGNORE]


def test_the_loss_is_the_mean_over_what_is_not_ignored() -> None:
    logits = torch.tensor([0.0, 2.0, -3.0, 50.0], requires_grad=True)
    loss = student.masked_bce(logits, torch.tensor([1.0, 0.0, IGNORE, IGNORE]))
    expected = (np.log(2.0) + np.log1p(np.exp(2.0))) / 2
    assert float(loss.detach()) == pytest.approx(expected, rel=1e-6)
    loss.backward()
    assert logits.grad is not None
    assert logits.grad[2:].tolist() == [0.0, 0.0]
    assert float(logits.grad[:2].abs().min()) > 0.0


def test_a_slice_that_is_wholly_ignored_costs_nothing() -> None:
    logits = torch.tensor([1.0, 2.0], requires_grad=True)
    loss = student.masked_bce(logits, torch.full((2,), IGNORE))
    loss.backward()
    assert float(loss.detach()) == 0.0
    assert logits.grad is not None
    assert logits.grad.tolist() == [0.0, 0.0]


def test_batches_are_half_labelled_however_unequal_the_sources() -> None:
    batches = list(student.mixed_batches(5, 100, 8, seed=1))
    assert len(batches) == 25
    assert all(sum(is_labelled for is_labelled, _ in batch) == 4 for batch in batches)
    seen = [index for batch in batches for is_labelled, index in batch if not is_labelled]
    assert sorted(seen) == list(range(100))
    drawn = np.bincount([index for batch in batches for is_labelled, index in batch if is_labelled])
    assert drawn.tolist() == [20] * 5
    assert batches == list(student.mixed_batches(5, 100, 8, seed=1))
    assert batches != list(student.mixed_batches(5, 100, 8, seed=2))


@pytest.mark.parametrize(("labelled", "pseudo", "batch"), [(5, 5, 7), (0, 5, 4), (5, 0, 4)])
def test_batches_that_cannot_be_mixed_are_refused(labelled: int, pseudo: int, batch: int) -> None:
    with pytest.raises(ValueError, match="a batch of"):
        next(student.mixed_batches(labelled, pseudo, batch, seed=1))


def sample() -> dict[str, torch.Tensor]:
    image = torch.full((3, 64, 64), 0.3)
    mask = torch.zeros(1, 64, 64)
    image[:, 20:36, 30:50], mask[:, 20:36, 30:50] = 0.8, 1.0
    mask[:, 36:40] = IGNORE
    return {"image": image, "mask": mask}


def test_randaugment_moves_the_mask_with_the_image_and_keeps_its_values() -> None:
    transform = student.RandAugmentd(magnitude=9).set_random_state(seed=3)
    changed, moved = 0, 0
    for _ in range(40):
        out = transform(sample())
        image, mask = out["image"], out["mask"]
        assert set(mask.unique().tolist()) <= {IGNORE, 0.0, 1.0}
        assert float(image.min()) >= 0.0
        assert float(image.max()) <= 1.0
        # blood is brighter than brain, whatever was done to both
        assert float(image[0][mask[0] == 1].median()) > float(image[0][mask[0] == 0].median())
        changed += int(not torch.equal(torch.as_tensor(image), sample()["image"]))
        moved += int(not torch.equal(torch.as_tensor(mask), sample()["mask"]))
    assert changed >= 35
    assert 5 <= moved <= 36


def test_randaugment_repeats_itself_from_a_seed() -> None:
    def three(seed: int) -> torch.Tensor:
        transform = student.RandAugmentd().set_random_state(seed=seed)
        return torch.stack([torch.as_tensor(transform(sample())["image"]) for _ in range(3)])

    assert torch.equal(three(5), three(5))
    assert not torch.equal(three(5), three(6))


def test_randaugment_at_magnitude_zero_changes_nothing_but_the_side() -> None:
    transform = student.RandAugmentd(magnitude=0).set_random_state(seed=1)
    for _ in range(10):
        image = torch.as_tensor(transform(sample())["image"])
        same = torch.allclose(image, sample()["image"], atol=1e-4)
        assert same or torch.allclose(image, sample()["image"].flip(-1), atol=1e-4)


def test_the_noise_of_the_student_is_set_and_taken_away() -> None:
    network = PatchFCN()
    assert student.set_stochastic_depth(network, 0.2) == 16
    assert student.set_dropout(network, 0.5) == 2
    assert network.slice_head[0].p == 0.5
    x = torch.rand(2, 3, 16, 16)
    network.train()
    assert not torch.equal(network(x).slices, network(x).slices)
    assert student.set_stochastic_depth(torch.nn.Conv2d(1, 1, 1), 0.2) == 0
