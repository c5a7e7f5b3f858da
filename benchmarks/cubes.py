"""How long imported networks take to judge a head, in seconds of the processor and of the clock.

    dicomnode zoo import --layout blast-ct model_1.pt --into models
    python -m benchmarks.cubes models/blast_ct HEAD [HEAD ...] [--threads 2]

Seconds of the processor count all threads together, and hardly change where a machine is busy; seconds of the clock do.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from dicomnode.dicom.libraries import set_up_pydicom
from dicomnode.images.files import read_image
from dicomnode.records import Inputs
from dicomnode.zoo.registry import open_bundle
from dicomnode.zoo.runner import Runner


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("heads", type=Path, nargs="+")
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    set_up_pydicom()
    runner = Runner(open_bundle(given.bundle), threads=given.threads)
    print(f"{'head':<20} slices  processor s  clock s  marked mL", flush=True)
    for folder in given.heads:
        volume = read_image(folder)
        used, began = time.process_time(), time.monotonic()
        outputs = runner.outputs(Inputs(volume=volume))
        used, took = time.process_time() - used, time.monotonic() - began
        marked = [volume.stack.volume_ml(output > 0.5) for output in outputs.values()]
        said = ", ".join(f"{ml:.2f}" for ml in marked)
        print(f"{folder.name:<20} {len(volume.hu):>6} {used:>12.1f} {took:>8.1f}  {said}", flush=True)


if __name__ == "__main__":
    main()
