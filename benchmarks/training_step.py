"""CPU milliseconds of a training by sample: its way into a batch, and the network's step.

    python benchmarks/training_step.py

Each is measured two ways in one run, in turns, on noise in place of exams: the transforms with and without MONAI's
metadata (teacher and student differ by RandAugment), the network with channels first and last.
"""

from __future__ import annotations

import json
import os
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.transforms import Compose

from dicomnode.train.engine import FitSettings, channels_last
from dicomnode.train.hemorrhage.recipes import detector_recipe
from dicomnode.train.manifest import Case
from dicomnode.train.slices.data import Source, WithoutMetadata, transforms
from dicomnode.train.slices.exams import Exam
from dicomnode.train.slices.losses import segmentation_loss
from dicomnode.train.slices.recipes import Recipe

SAMPLES, BATCH, ROUNDS = 48, 16, 5
SLICES = 12


def noise_exam(recipe: Recipe) -> Exam:
    """An exam of the right size: its content costs nothing and changes no time."""
    rng, size = np.random.default_rng(1), recipe.planes.size
    hu = rng.normal(32.0, 4.0, (SLICES, size, size)).astype(np.int16)
    truth = np.zeros((SLICES, len(recipe.planes.findings), size, size), np.int8)
    truth[::2, :, 60:90, 60:90] = 1
    inside = np.ones(hu.shape, np.bool_)
    return Exam(
        case=Case(id="noise", patient="noise", image=Path("noise")),
        hu=hu,
        truth=truth,
        offsets_mm=np.arange(SLICES) * 5.0,
        pixel_ml=np.full(SLICES, 0.005),
        inside=inside,
    )


def sample_ms(chain: Compose, items: list[dict[str, Any]], *, plain: bool) -> float:
    """CPU milliseconds a sample."""
    call = WithoutMetadata(chain.transforms) if plain else chain
    start = time.process_time()
    for item in items:
        call(item)
    return 1000.0 * (time.process_time() - start) / len(items)


Trained = tuple[torch.nn.Module, torch.optim.Optimizer, torch.Tensor]
"""Network, optimiser, image."""


def step_ms(trained: Trained, truth: torch.Tensor) -> float:
    """CPU milliseconds a sample of one step: forward, backward and update, as a training computes them."""
    (network, optimizer, image), bfloat16 = trained, FitSettings().bfloat16()
    start = time.process_time()
    optimizer.zero_grad()
    with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
        output = network(image)
    segmentation_loss(output, truth).backward()
    optimizer.step()
    return 1000.0 * (time.process_time() - start) / len(image)


def samples(recipe: Recipe) -> None:
    """Print what the transforms cost."""
    source = Source.of([noise_exam(recipe)])
    items = [{"exam": source.exams[e], "slice": k} for e, k in source.draw(SAMPLES, np.random.default_rng(2))]
    for name, student in (("teacher", False), ("student", True)):
        chain = transforms(recipe, student=student)
        sample_ms(chain, items, plain=True)
        rounds = [(sample_ms(chain, items, plain=False), sample_ms(chain, items, plain=True)) for _ in range(ROUNDS)]
        tracked, plain = (round(statistics.median(times), 2) for times in zip(*rounds, strict=True))
        print(json.dumps({"sample of": name, "with metadata, ms": tracked, "without, ms": plain}))


def steps(recipe: Recipe) -> None:
    """Print what the network costs."""
    hu = torch.rand(3, BATCH, recipe.window, recipe.window) * 80.0
    image = torch.as_tensor(WithoutMetadata([recipe.prepare])(hu)).transpose(0, 1).contiguous()
    truth = torch.zeros(BATCH, len(recipe.planes.findings), recipe.window, recipe.window)
    truth[:, :, 40:60, 40:60] = 1.0
    ways: list[Trained] = []
    for layout, seen in ((torch.contiguous_format, image), (torch.channels_last, channels_last(image))):
        network = recipe.build().train().to(memory_format=layout)
        ways.append((network, torch.optim.AdamW(network.parameters()), seen))
    rounds = [(step_ms(ways[0], truth), step_ms(ways[1], truth)) for _ in range(3 * ROUNDS)]
    before, after = (round(statistics.median(times), 2) for times in zip(*rounds, strict=True))
    print(json.dumps({"network's step a sample": BATCH, "channels first, ms": before, "channels last, ms": after}))


def main() -> None:
    """Measure and print one line of JSON each."""
    torch.set_num_threads(1)
    recipe = detector_recipe()
    samples(recipe)
    steps(recipe)
    print(json.dumps({"load of the machine": os.getloadavg()[0]}))


if __name__ == "__main__":
    main()
