"""How long the histograms of heads take, beside counting each value into the two bins that it lies between.

    python -m benchmarks.head_histograms --heads 8

Both in one run on the same heads, one thread; the largest difference is printed too.
"""

from __future__ import annotations

import argparse

import torch
from torch import nn

from benchmarks.exam_score import seconds_of
from dicomnode.zoo.networks.head_encoder import BLOCK, Histograms
from dicomnode.zoo.networks.head_grid import as_floats

SHAPE = (1, 32, 96, 96)


def counted(histograms: Histograms, image: torch.Tensor) -> torch.Tensor:
    """Bin by bin, as the encoder did at first."""
    smooth = nn.functional.avg_pool3d(as_floats(image), 3, stride=1, padding=1, count_include_pad=False)
    centres = histograms.centres
    place = torch.bucketize(smooth.contiguous(), centres).clamp(1, len(centres) - 1)
    below, above = centres[place - 1], centres[place]
    share = ((smooth - below) / (above - below)).clamp(0.0, 1.0)
    bins = [
        nn.functional.avg_pool3d(torch.where(place - 1 == k, 1.0 - share, torch.where(place == k, share, 0.0)), BLOCK)
        for k in range(len(centres))
    ]
    return torch.cat(bins, dim=1)


def main() -> None:
    """Print both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--heads", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    torch.set_num_threads(1)
    histograms = Histograms()
    image = torch.randint(0, 256, (given.heads, *SHAPE), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    apart = float((histograms(image) - counted(histograms, image)).abs().max())
    slow = seconds_of(lambda: counted(histograms, image), given.repeats) / given.heads
    quick = seconds_of(lambda: histograms(image), given.repeats) / given.heads
    print(f"ms a head: counted {1e3 * slow:.1f}, by ramps {1e3 * quick:.1f}; largest difference {apart:.1e}")


if __name__ == "__main__":
    main()
