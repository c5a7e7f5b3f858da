"""Learn the anatomical frame anew: ``python -m dicomnode.train.anatomy --out FOLDER --templates FOLDER --install``."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track

from dicomnode.measure import anatomy
from dicomnode.measure.anatomy.frame import Cascade, refined
from dicomnode.train.anatomy.fit import Sample, errors_mm, fitted, samples_of
from dicomnode.train.anatomy.heads import paint_heads

HEADS, SCANS, HELD_BACK = 1500, 2, 0.1


def main() -> None:
    """Paint heads, learn on most of them, say how far frames of the others are off, and write ``cascade.npz``."""
    options = _parser().parse_args()
    painting = track(paint_heads(options.out / "heads", options.heads, options.templates), "painting", options.heads)
    paths = list(painting)
    held = max(1, round(HELD_BACK * len(paths)))
    test, train = list(samples_of(paths[:held], 1, seed=1)), list(samples_of(paths[held:], options.scans, seed=0))
    cascade = fitted(train)
    _tell(test, cascade)
    path = Path(str(anatomy.__file__)).parent / "cascade.npz" if options.install else options.out / "cascade.npz"
    save(path, cascade)
    Console().print(f"wrote {path}")


def save(path: Path, cascade: Cascade) -> None:
    """Write a cascade as :func:`dicomnode.measure.anatomy.frame.learned` reads it, in half precision."""
    mean, weights = cascade.mean.astype(np.float16), cascade.weights.astype(np.float16)
    np.savez_compressed(path, mean=mean, weights=weights, bias=cascade.bias.astype(np.float32))


def _tell(test: list[Sample], cascade: Cascade) -> None:
    found = [(refined(sample.seen, sample.matrix, cascade), sample.truth) for sample in test]
    off = [errors_mm(frame.matrix, truth) for frame, truth in found if frame is not None]
    errors = np.array([np.sqrt((one**2).mean(axis=0)) for one in off])
    x_mm, y_mm, z_mm = np.sqrt((errors**2).mean(axis=0))
    worst_mm = float(np.sqrt((errors**2).sum(axis=1)).max())
    off_by = f"off by {x_mm:.2f}, {y_mm:.2f}, {z_mm:.2f} mm (x, y, z), at worst {worst_mm:.1f} mm"
    Console().print(f"{len(errors)} unseen heads: {off_by}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder of the painted heads; what is there is kept")
    parser.add_argument("--templates", type=Path, help="folder with a CT template; without it all heads are painted")
    parser.add_argument("--heads", type=int, default=HEADS)
    parser.add_argument("--scans", type=int, default=SCANS, help="coarse scans of each head")
    parser.add_argument("--install", action="store_true", help="write it where the node reads it")
    return parser


if __name__ == "__main__":
    main()
