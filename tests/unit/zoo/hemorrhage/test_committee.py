"""Networks that mark together."""

from __future__ import annotations

import torch

from dicomnode.zoo.hemorrhage.committee import Committee, seated

IMAGE = torch.tensor([[[[1.0, 2.0, 4.0]]]])


class _TakesLeftNeighbour(torch.nn.Module):
    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return image.roll(1, dims=-1)


def test_the_second_member_reads_mirrored_and_answers_in_the_slices_own_direction() -> None:
    both = Committee([_TakesLeftNeighbour(), _TakesLeftNeighbour()])
    left, right = torch.tensor([4.0, 1.0, 2.0]), torch.tensor([2.0, 4.0, 1.0])
    torch.testing.assert_close(both(IMAGE)[0, 0, 0], (left + right) / 2)


def test_the_answer_is_the_mean_of_the_members_logits() -> None:
    members = [torch.nn.Conv2d(1, 1, 1, bias=False) for _ in range(2)]
    for member, weight in zip(members, (2.0, -1.0), strict=True):
        torch.nn.init.constant_(member.weight, weight)
    torch.testing.assert_close(Committee(members)(IMAGE), 0.5 * IMAGE)


def test_weights_of_the_members_fit_the_seats_in_their_order() -> None:
    members = [torch.nn.Conv2d(1, 1, 1) for _ in range(2)]
    committee = Committee([torch.nn.Conv2d(1, 1, 1) for _ in range(2)])
    committee.load_state_dict(seated([member.state_dict() for member in members]))
    for seat, member in zip(committee.members, members, strict=True):
        assert torch.equal(seat.state_dict()["weight"], member.weight)


def test_a_network_in_both_seats_treats_both_sides_alike() -> None:
    torch.manual_seed(1)
    member = torch.nn.Conv2d(1, 1, 3, padding=1)
    both = Committee([member, member])
    image = torch.rand(1, 1, 4, 5)
    torch.testing.assert_close(both(image.flip(-1)).flip(-1), both(image))
