"""Learn the anatomical frame anew: ``python -m dicomnode.train.anatomy --out FOLDER --templates FOLDER --install``.

``--only septum`` leaves the frame as it is and learns to find plane and septum in it; ``--only frame`` the other way
round: then the others rest on a frame that is no longer there.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track

from dicomnode.measure import anatomy
from dicomnode.measure.anatomy.frame import Cascade, refined
from dicomnode.measure.anatomy.looking import Layers, Look, likelihood, placed
from dicomnode.measure.anatomy.septum import SEPTUM
from dicomnode.train.anatomy import middle
from dicomnode.train.anatomy.fit import Sample, errors_mm, fitted, samples_of
from dicomnode.train.anatomy.heads import paint_heads
from dicomnode.train.anatomy.looking import Shown, example, layers_of, trained
from dicomnode.train.anatomy.middle import written_samples
from dicomnode.train.anatomy.shifted import scan_heads, septum_heads

HEADS, SCANS, MIDDLE_HEADS, SHIFTED_HEADS, EPOCHS, HELD_BACK = 1500, 2, 450, 90, 30, 0.1
FRAME, NEAR_MM = "frame", 1.5


def main() -> None:
    """Paint heads, learn on most of them, say how far off the others are, and write the weights."""
    options = _parser().parse_args()
    out = Path(str(anatomy.__file__)).parent if options.install else options.out
    if options.only != SEPTUM.name:
        _learn_frame(options, out / "cascade.npz")
    if options.only != FRAME:
        _learn_middle(options, out / "middle.npz")
        _learn_septum(options, out / f"{SEPTUM.name}.npz")


def _learn_frame(options: argparse.Namespace, path: Path) -> None:
    painting = track(paint_heads(options.out / "heads", options.heads, options.templates), "painting", options.heads)
    paths = list(painting)
    held = max(1, round(HELD_BACK * len(paths)))
    test, train = list(samples_of(paths[:held], 1, seed=1)), list(samples_of(paths[held:], options.scans, seed=0))
    cascade = fitted(train)
    _tell(test, cascade)
    save(path, cascade)
    Console().print(f"wrote {path}")


def _learn_septum(options: argparse.Namespace, path: Path) -> None:
    scanning = scan_heads(options.out / "shifted", options.shifted_heads, options.templates)
    heads = septum_heads(SEPTUM, track(scanning, "scanning"))
    held = max(1, round(HELD_BACK * len(heads)))
    layers = layers_of(trained(SEPTUM, heads[held:], options.epochs))
    _tell_septum(SEPTUM, heads[:held], layers)
    halved: dict[str, Any] = {name: values.astype(np.float16) for name, values in layers.items()}
    np.savez_compressed(path, **halved)
    Console().print(f"wrote {path}")


def _learn_middle(options: argparse.Namespace, path: Path) -> None:
    heads = list(track(written_samples(options.out / "middle", options.middle_heads, options.templates), "middle"))
    held = max(1, round(HELD_BACK * len(heads)))
    test, train = ([one for head in part for one in head] for part in (heads[:held], heads[held:]))
    weights = middle.fitted(train)
    before, after = (np.array([place - (seen @ weights) * used for seen, place in test]).std() for used in (0.0, 1.0))
    Console().print(
        f"mid-sagittal plane in {len(test)} unseen scans: off by {before:.2f} mm before, {after:.2f} mm after"
    )
    np.savez_compressed(path, weights=weights.astype(np.float16))
    Console().print(f"wrote {path}")


def _tell_septum(look: Look, test: list[Shown], layers: Layers) -> None:
    """How far the septum is off in the frame that was found, across."""
    rng, off = np.random.default_rng(0), list[float]()
    for head in test:
        channels, place_mm = example(look, head, rng, plain=True)
        off.append(abs(placed(look, likelihood(channels, layers)).x_mm - float(place_mm[0])))
    median, high = np.quantile(off, (0.5, 0.9))
    near = sum(one <= NEAR_MM for one in off)
    Console().print(f"septum in {len(off)} unseen scans: off by {median:.1f} mm, nine in ten by at most {high:.1f} mm")
    Console().print(f"within {NEAR_MM} mm: {near}")


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
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of the painted heads; what is there is kept")
    parser.add_argument("--templates", type=Path, help="folder with a CT template; without it all heads are painted")
    parser.add_argument("--heads", type=int, default=HEADS)
    parser.add_argument("--scans", type=int, default=SCANS, help="coarse scans of each head")
    parser.add_argument("--middle-heads", type=int, default=MIDDLE_HEADS, help="that the plane is learned from")
    parser.add_argument("--shifted-heads", type=int, default=SHIFTED_HEADS, help="that the septum is learned from")
    parser.add_argument("--epochs", type=int, default=EPOCHS, help="of the network that finds the septum")
    parser.add_argument("--only", choices=(FRAME, SEPTUM.name), help="learn only one of the two")
    parser.add_argument("--install", action="store_true", help="write it where the node reads it")
    return parser


if __name__ == "__main__":
    main()
