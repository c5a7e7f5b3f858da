"""``python -m dicomnode.train.hemorrhage.seats``: what the node's networks know, for another training to begin with."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from dicomnode.train.hemorrhage.recipes import BUNDLE, SEATS

WEIGHTS = BUNDLE / "models" / "model.safetensors"
EXAMPLES = """
examples:
  python -m dicomnode.train.hemorrhage.seats --out starts
  python -m dicomnode.train.hemorrhage.detector --out training --seeds 1 2 --start starts/seat-*.safetensors
"""


def starts(weights: Path, out: Path) -> Sequence[Path]:
    """Write the weights of each network of the committee.

    Parameters
    ----------
    weights : of the bundle, float16.

    Returns
    -------
    A file for each seat, float32.
    """
    state = load_file(weights)
    out.mkdir(parents=True, exist_ok=True)
    return [_write(state, seat, out / f"seat-{seat + 1}.safetensors") for seat in range(SEATS)]


def _write(state: dict[str, torch.Tensor], seat: int, file: Path) -> Path:
    own = f"members.{seat}."
    save_file({name.removeprefix(own): _single(state[name]) for name in state if name.startswith(own)}, file)
    return file


def _single(value: torch.Tensor) -> torch.Tensor:
    return value.float() if value.is_floating_point() else value


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for the files")
    for file in starts(WEIGHTS, parser.parse_args().out):
        print(file)


if __name__ == "__main__":
    main()
