"""The pictures of the documents, made anew from one run of the shipped model on the demonstration study.

    python -m benchmarks.pictures docs/images

What OHIF shows (``ohif-*.png``) comes from the acceptance tests of the viewer: ``make test-full`` leaves them in
``artifacts/viewer``. The contact sheet of the cohort is that of ``dicomnode cohort make``.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dicomnode.cohort.make import make_demo_study
from dicomnode.dicom import codes
from dicomnode.encode.kinds.predicted import INTERCEPT_HU, stored_frames
from dicomnode.encode.kinds.probability import probabilities
from dicomnode.encode.kinds.seg_sc import overlay_pixels
from dicomnode.encode.pictures.overview import mask_over_ct, overview_image
from dicomnode.encode.pictures.slices import widest_slice, windowed
from dicomnode.encode.wording import Wording
from dicomnode.language import Language
from dicomnode.records import Case
from tests.acceptance.runs import case_of_run, followed_up, with_every_finding
from tests.unit.encode.cases import score_of

SIDE = 512


def beside(left: NDArray[np.uint8], right: NDArray[np.uint8]) -> Image.Image:
    """Two slices side by side, each (rows, columns, 3)."""
    pair = [Image.fromarray(pixels).resize((SIDE, SIDE), Image.Resampling.BICUBIC) for pixels in (left, right)]
    whole = Image.new("RGB", (2 * SIDE + 8, SIDE))
    whole.paste(pair[0], (0, 0))
    whole.paste(pair[1], (SIDE + 8, 0))
    return whole


def grey(hu: NDArray[np.float32]) -> NDArray[np.uint8]:
    """(rows, columns, 3) in the brain window."""
    return np.repeat(windowed(hu)[..., None], 3, axis=2)


def predicted_beside_baseline(case: Case) -> Image.Image:
    """The widest slice as scanned, and as a generated prediction shows it, with its banner."""
    image, index = followed_up(case), widest_slice(case)
    stored = stored_frames(image, Wording())[index].astype(np.float32) + INTERCEPT_HU
    return beside(grey(case.volume.hu[index]), grey(stored))


def probability_beside_ct(case: Case) -> Image.Image:
    """The widest slice, and the probability of every voxel over it."""
    index, finding = widest_slice(case), case.masks[0]
    assert finding.probability is not None
    share = probabilities(finding.probability)[index][..., None]
    plain = grey(case.volume.hu[index])
    colour = np.array(codes.concepts_of(finding).rgb, np.float32)
    over = ((1 - 0.8 * share) * plain + 0.8 * share * colour).astype(np.uint8)
    return beside(plain, over)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    out = parser.parse_args().out
    with tempfile.TemporaryDirectory() as scratch:
        make_demo_study(Path(scratch) / "ct")
        case = case_of_run(Path(scratch) / "ct", Path(scratch) / "run")
    scored = with_every_finding(case)
    german = Wording(Language.GERMAN)
    in_german = german.localised(replace(case, language=Language.GERMAN))
    pictures = {
        "overview": overview_image(case),
        "overview-german": overview_image(in_german),
        "overview-with-scores": overview_image(replace(case, findings=(*case.findings, score_of()))),
        "mask-over-ct": mask_over_ct(case),
        "overlay": Image.fromarray(overlay_pixels(case, widest_slice(case))),
        "predicted": predicted_beside_baseline(scored),
        "probability": probability_beside_ct(case),
    }
    for name, picture in pictures.items():
        picture.save(out / f"{name}.png", optimize=True)
        print(out / f"{name}.png")


if __name__ == "__main__":
    main()
