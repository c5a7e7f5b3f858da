from __future__ import annotations

import torch

from dicomnode.zoo.hemorrhage.full_view import FullView


class Blind(torch.nn.Module):
    """A core that answers 0 whatever it sees."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return image.new_zeros(len(image), self.channels, *image.shape[-2:])


def test_the_answer_has_the_size_of_the_image_and_one_channel_a_finding() -> None:
    core = torch.nn.Conv2d(24, 16, 3, padding=1)
    network = FullView(core, seen=[1, 4], coarse=4, hidden=8, outputs=5).eval()
    assert network(torch.rand(2, 6, 20, 28)).shape == (2, 5, 20, 28)


def test_two_pixels_of_one_coarse_pixel_can_be_told_apart() -> None:
    network = FullView(Blind(4), seen=[1], coarse=1, hidden=8, outputs=1).eval()
    image = torch.zeros(1, 6, 8, 8)
    image[0, 1, 4, 4] = 1.0
    answer = network(image)[0, 0]
    assert answer[4, 4] != answer[4, 7]
    # only the slice itself is seen again
    image[0, 0], image[0, 5] = 1.0, 1.0
    assert torch.equal(network(image)[0, 0], answer)


def test_what_the_core_says_reaches_every_pixel_of_its_own() -> None:
    network = FullView(torch.nn.Conv2d(24, 4, 1), seen=[1], coarse=1, hidden=8, outputs=1).eval()
    image = torch.rand(1, 6, 8, 8)
    before = network(image)
    image[0, 3, 0, 0] += 1.0  # a neighbour's pixel, which only the core sees
    changed = (network(image) != before)[0, 0]
    assert changed[:2, :2].any()
    assert not changed[4:, 4:].any()
