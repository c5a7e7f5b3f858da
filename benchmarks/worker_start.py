"""How long a worker needs until it is ready, with and without the optional packages of MONAI that are installed here.

    python -m benchmarks.worker_start --models hemorrhage --repeats 3

Each starts a process of its own, in turn.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time

LEAN = "from dicomnode.execute.lean import lean_imports as how"
WHOLE = "from contextlib import nullcontext as how"
BODY = """
with how():
    from dicomnode.execute import model_worker
from dicomnode.execute.backends.local import ModelWorkerSettings
settings = ModelWorkerSettings(device="cpu", models={models}, zoo_paths=(), zoo_digests={{}})
model_worker.ModelWorker(settings).ready()
"""


def seconds_of(how: str, models: tuple[str, ...]) -> float:
    """Until a worker is ready, from nothing."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", how + BODY.format(models=models)], check=True)
    return time.perf_counter() - began


def main() -> None:
    """Print both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="*", default=["hemorrhage"])
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    models = tuple(given.models)
    pairs = [(seconds_of(WHOLE, models), seconds_of(LEAN, models)) for _ in range(given.repeats)]
    print(f"ready after {min(whole for whole, _ in pairs):.1f} s with all packages,", end=" ")
    print(f"after {min(lean for _, lean in pairs):.1f} s without those that no model asks for")


if __name__ == "__main__":
    main()
