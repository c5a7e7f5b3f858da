"""Contact sheets of every kind that the second edition of the cohort shows, for the eye.

    python -m benchmarks.kinds OUT --real HEAD --heads 3

Writes ``OUT/<kind>.png``: slices on protocols of site A, each head in two rows, as scanned and with labels tinted; the
first row holds slices of a real head (a folder of CT files, such as one without blood) in the same window, where given.
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from rich.progress import track

from dicomnode.cohort import sheets
from dicomnode.cohort.edition import SECOND
from dicomnode.cohort.lesions import Lesions, Subdural, Surface
from dicomnode.cohort.patients import Site
from dicomnode.cohort.scanner import Scan, draw_protocol, scan_scene
from dicomnode.cohort.scene import Finding, make_anatomy, make_scene
from dicomnode.cohort.streams import derived_seed, stream
from dicomnode.images.volume import read_volume

DEEP, LOBAR = (26.0, -4.0, 6.0), (34.0, 26.0, 40.0)
KINDS: dict[str, Lesions] = {
    "subdural-acute": Lesions(sdh_ml=25.0),
    "subdural-thin": Lesions(sdh_ml=22.0, sdh_thickness_mm=3.5),
    "subdural-layered": Lesions(sdh_ml=30.0, sdh_old_ml=40.0, subdural=Subdural.LAYERED),
    "subdural-mixed": Lesions(sdh_ml=35.0, sdh_old_ml=20.0, subdural=Subdural.MIXED),
    "subdural-acute-on-chronic": Lesions(sdh_ml=15.0, sdh_old_ml=60.0, subdural=Subdural.ACUTE_ON_CHRONIC),
    "subdural-isodense": Lesions(sdh_old_ml=50.0, subdural=Subdural.ISODENSE),
    "subdural-chronic": Lesions(sdh_old_ml=80.0, subdural=Subdural.CHRONIC),
    "subdural-falx": Lesions(sdh_ml=5.0, sdh_thickness_mm=4.0, surface=Surface.FALX),
    "subdural-tentorium": Lesions(sdh_ml=4.0, sdh_thickness_mm=4.0, surface=Surface.TENTORIUM),
    "epidural": Lesions(edh_ml=35.0, heterogeneity=0.7),
    "subarachnoid-sulci": Lesions(sah_ml=6.0, clot_hu=58.0),
    "subarachnoid-basal": Lesions(sah_ml=20.0, ivh_ml=4.0, subarachnoid=Surface.BASAL, clot_hu=58.0),
    "haematoma": Lesions(iph_ml=25.0, ivh_ml=6.0, oedema_ml=20.0, oedema_hu=9.0, place_mm=DEEP, heterogeneity=0.4),
    "contusions": Lesions(iph_ml=14.0, oedema_ml=14.0, oedema_hu=9.0, contused=True, place_mm=(18.0, -52.0, -8.0)),
    "infarct": Lesions(infarct_ml=90.0, infarct_depth_hu=8.0, place_mm=LOBAR),
    "staining": Lesions(
        infarct_ml=40.0, infarct_depth_hu=5.0, place_mm=DEEP, stain_ml=8.0, stain_hu=95.0, hidden_ml=2.0
    ),
    "nothing": Lesions(),
}
SIDE, COLUMNS = 300, 7


def scanned(lesions: Lesions, seed: int) -> Scan:
    """One head with these lesions, on either side and of any age, on a protocol of site A."""
    rng = stream(seed, "kinds")
    side, atrophy = int(rng.choice([-1, 1])), float(rng.uniform(0.1, 0.9))
    x, y, z = lesions.place_mm
    shown = dataclasses.replace(lesions, side=side, atrophy=atrophy, place_mm=(side * x, y, z))
    scene = make_scene(make_anatomy(seed, shown, edition=SECOND), shown, SECOND)
    acquisition, artefacts = draw_protocol(Site.A, seed, "baseline")
    acquisition = dataclasses.replace(acquisition, pixel_mm=0.45, centre_mm=(0.0, 0.0))
    return scan_scene(scene, acquisition, artefacts, seed)


def chosen_slices(scan: Scan) -> list[int]:
    """Slices that show the lesion, or calcium, spread over where it is; over the brain where there is none."""
    lesion = (scan.findings > 0) & (scan.findings != Finding.CALCIUM)
    where = np.flatnonzero((lesion if lesion.any() else scan.findings > 0).any(axis=(1, 2)))
    low, high = (where[0], where[-1]) if lesion.any() else (len(scan.findings) // 4, int(0.85 * len(scan.findings)))
    return [int(k) for k in np.linspace(low, high, COLUMNS).round()]


def row(tiles: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(SIDE, COLUMNS * SIDE, 3) of tiles (slices, rows, columns, 3)."""
    return np.concatenate(
        [np.asarray(Image.fromarray(tile).resize((SIDE, SIDE), Image.Resampling.LANCZOS)) for tile in tiles], axis=1
    )


def windowed(hu: NDArray[np.float32]) -> NDArray[np.uint8]:
    """(..., 3) brain window, 0 to 80 HU."""
    return np.repeat((np.clip(hu / 80.0, 0.0, 1.0) * 255.0)[..., None], 3, axis=-1).astype(np.uint8)


def real_row(folder: Path) -> NDArray[np.uint8]:
    """Slices of a real head, from the skull base up."""
    hu = read_volume(sorted(path for path in folder.iterdir() if path.suffix == ".dcm")).hu
    return row(windowed(hu[np.linspace(0.3 * len(hu), 0.85 * len(hu), COLUMNS).astype(int)]))


def tinted(scan: Scan, chosen: list[int]) -> NDArray[np.uint8]:
    """(slices, rows, columns, 3) in the brain window, with labels tinted."""
    tiles, findings = windowed(scan.series.hu[chosen]), scan.findings[chosen]
    for finding, colour in sheets.COLOURS.items():
        here = findings == finding
        tiles[here] = (0.6 * tiles[here] + 0.4 * np.array(colour)).astype(np.uint8)
    return tiles


def sheet(name: str, heads: int, real: NDArray[np.uint8] | None) -> Image.Image:
    """The picture of one kind."""
    rows = [] if real is None else [real]
    for number in range(heads):
        scan = scanned(KINDS[name], derived_seed(7, name, number))
        chosen = chosen_slices(scan)
        rows += [row(windowed(scan.series.hu[chosen])), row(tinted(scan, chosen))]
    return Image.fromarray(np.concatenate(rows))


def main() -> None:
    """Draw the sheets."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--real", type=Path, help="folder with the CT files of a head")
    parser.add_argument("--heads", type=int, default=3)
    parser.add_argument("--kind", choices=tuple(KINDS), nargs="+", default=list(KINDS))
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    real = real_row(arguments.real) if arguments.real else None
    for name in track(arguments.kind, description="kinds"):
        sheet(name, arguments.heads, real).save(arguments.out / f"{name}.png")


if __name__ == "__main__":
    main()
