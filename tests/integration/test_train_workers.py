"""Batches that other processes prepare."""

from __future__ import annotations

from dataclasses import replace

import torch

from tests.unit.train.test_data import batches


def test_worker_processes_change_only_who_prepares_a_batch() -> None:
    made = replace(batches(), workers=1)
    found, again = ([batch["image"] for batch in made(1)] for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(found, again, strict=True))
    assert [place[1] for place in made.places(1)] == [place[1] for place in batches().places(1)]
