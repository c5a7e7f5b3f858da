"""Learn the anatomical frame anew: ``python -m dicomnode.train.anatomy --out FOLDER --templates FOLDER --install``.

``--only midline`` leaves the frame as it is and learns to find plane and septum in it; ``--only frame`` the other way
round: then the others rest on a frame that is no longer there.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from dicomnode.measure import anatomy
from dicomnode.measure.anatomy.falx import NAME
from dicomnode.measure.anatomy.falx import fitted as plane_mm_of
from dicomnode.measure.anatomy.frame import Cascade, refined
from dicomnode.measure.anatomy.looking import Layers, likelihood, placed
from dicomnode.measure.anatomy.septum import SEPTUM
from dicomnode.train.anatomy import falx
from dicomnode.train.anatomy.fit import Sample, errors_mm, fitted, samples_of
from dicomnode.train.anatomy.heads import paint_heads
from dicomnode.train.anatomy.looking import example, layers_of, trained
from dicomnode.train.anatomy.shifted import LEAST_SHIFT_MM
from dicomnode.train.anatomy.shown import Kept, kept_heads

HEADS, SCANS, SHIFTED_HEADS, EPOCHS, HELD_BACK = 1500, 2, 500, 24, 0.1
FRAME, MIDLINE, NEAR_MM = "frame", "midline", 1.5


def main() -> None:
    """Paint heads, learn on most of them, say how far off the others are, and write the weights."""
    options = _parser().parse_args()
    out = Path(str(anatomy.__file__)).parent if options.install else options.out
    if options.only != MIDLINE:
        _learn_frame(options, out / "cascade.npz")
    if options.only != FRAME:
        _learn_midline(options, out)


def _learn_frame(options: argparse.Namespace, path: Path) -> None:
    painting = track(paint_heads(options.out / "heads", options.heads, options.templates), "painting", options.heads)
    paths = list(painting)
    held = max(1, round(HELD_BACK * len(paths)))
    test, train = list(samples_of(paths[:held], 1, seed=1)), list(samples_of(paths[held:], options.scans, seed=0))
    cascade = fitted(train)
    _tell(test, cascade)
    save(path, cascade)
    Console().print(f"wrote {path}")


def _learn_midline(options: argparse.Namespace, out: Path) -> None:
    numbers = range(options.shifted_heads)
    by_head = track(kept_heads(options.out / "shown", numbers, options.templates), "scanning", options.shifted_heads)
    heads = list(by_head)
    held = max(1, round(HELD_BACK * len(heads)))
    test, train = ([one for head in part for one in head] for part in (heads[:held], heads[held:]))
    plane = layers_of(falx.trained([one.side for one in train], options.epochs))
    septum = layers_of(trained(SEPTUM, [one.septum for one in train], options.epochs))
    _tell_midline(test, plane, septum)
    for name, layers in ((NAME, plane), (SEPTUM.name, septum)):
        _save_layers(out / f"{name}.npz", layers)


def _save_layers(path: Path, layers: Layers) -> None:
    halved: dict[str, Any] = {name: values.astype(np.float16) for name, values in layers.items()}
    np.savez_compressed(path, **halved)
    Console().print(f"wrote {path}")


def _tell_midline(test: list[Kept], plane: Layers, septum: Layers) -> None:
    """How far plane, septum and shift are off in unseen scans."""
    rng, found = np.random.default_rng(0), list[tuple[float, float]]()
    for head in test:
        channels, place_mm = example(SEPTUM, head.septum, rng, plain=True)
        at_mm = placed(SEPTUM, likelihood(channels, septum)).x_mm
        view = falx.view_of(head.side, np.zeros(3))
        either = [plane_mm_of(one.hu, one.middles, plane) for one in (view, view.mirrored())]
        found.append((at_mm - float(place_mm[0]), (either[0] - either[1]) / 2.0 - view.plane_mm))
    off = np.array(found)
    shifted = np.abs([head.shift_mm for head in test]) >= LEAST_SHIFT_MM
    for says, errors in (("septum", off[:, 0]), ("plane", off[:, 1]), ("shift", off[:, 0] - off[:, 1])):
        _tell_errors(f"{says} in {len(errors)} unseen scans", errors)
        _tell_errors(f"{says} in {int(shifted.sum())} of them that are shifted", errors[shifted])


def _tell_errors(says: str, errors: NDArray[np.float64]) -> None:
    median, high = np.quantile(np.abs(errors), (0.5, 0.9))
    near = int((np.abs(errors) <= NEAR_MM).sum())
    Console().print(
        f"{says}: off by {median:.2f} mm, nine in ten by at most {high:.2f} mm, {near} within {NEAR_MM:g} mm"
    )


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
    parser.add_argument("--shifted-heads", type=int, default=SHIFTED_HEADS, help="that the midline is learned from")
    parser.add_argument("--epochs", type=int, default=EPOCHS, help="of the networks that find plane and septum")
    parser.add_argument("--only", choices=(FRAME, MIDLINE), help="learn only one of the two")
    parser.add_argument("--install", action="store_true", help="write it where the node reads it")
    return parser


if __name__ == "__main__":
    main()
