"""Networks with less memory than they want: a real limit, in a process of its own."""

from __future__ import annotations

import subprocess
import sys

import pytest

LIMITED = """
import resource, sys
from pathlib import Path
import torch
from monai.inferers import SliceInferer
from dicomnode.zoo.ladder import Ladder, is_out_of_memory

torch.set_num_threads(1)
torch.manual_seed(0)
network = torch.nn.Sequential(torch.nn.Conv2d(1, 256, 3, padding=1), torch.nn.ReLU(), torch.nn.Conv2d(256, 1, 1)).eval()
image = torch.rand(1, 1, 16, 128, 128)
ladder = Ladder(network, torch.device("cpu"), SliceInferer(roi_size=(128, 128), sw_batch_size=16, spatial_dim=0))
with torch.inference_mode():
    whole = ladder.infer(image)
    print(ladder.told or "enough")
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + int(sys.argv[1])
    resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
    try:
        print(float((ladder.infer(image) - whole).abs().max()) < 1e-5)
    except (RuntimeError, MemoryError) as error:
        print("too little" if is_out_of_memory(error) else repr(error))
    print(ladder.told or "enough")
"""
"""A window takes 17 MB for what lies between the layers, and as much again after the ReLU; all 16 at once 268 MB."""


@pytest.mark.parametrize(
    ("left", "said"),
    [
        (2_000_000_000, ["enough", "True", "enough"]),
        (260_000_000, ["enough", "True", "4 windows at once on cpu"]),
        (1_000_000, ["enough", "too little", "1 window at once on cpu"]),
    ],
)
def test_a_network_makes_do_with_the_memory_that_is_there_and_gives_the_same(left: int, said: list[str]) -> None:
    done = subprocess.run([sys.executable, "-c", LIMITED, str(left)], capture_output=True, text=True, timeout=300)
    assert done.stdout.splitlines() == said, done.stderr
