"""What has a goal, one after the other, in about half an hour on two quiet cores; at the end goals against figures.

    python -m benchmarks.goals

What a benchmark says of its goal is every line that begins with "goal". Left out are what takes longer by itself: 16
series of 600 slices at once (``benchmarks.memory --node``, half an hour) and 10,000 images (``benchmarks.endurance``).
"""

from __future__ import annotations

import subprocess
import sys
import time

from rich.console import Console
from rich.table import Table

RUNS = (
    "image_to_result --repeats 5",
    "reception --rivals",
    "segment",
    "encode",
    "database",
    "database --postgres",
    "priority --jobs 60 --repeats 2",
    "inference --repeats 2 --ways bfloat16",
    "ray_scaling --runs 4 --workers 1 2",
    "memory --slices 40",
)
"""Modules beside this one, and with what they are called."""


def main() -> int:
    """Run, print; 1 where a goal is missed, or something could not be measured."""
    table = Table(title="goals against figures", width=118)
    for column in ("python -m benchmarks.", "seconds", "says"):
        table.add_column(column, justify="right" if column == "seconds" else "left")
    every = []
    for run in RUNS:
        print(f"\n{run}", flush=True)
        began = time.monotonic()
        goals = goals_of(run.split())
        table.add_row(run, f"{time.monotonic() - began:.0f}", "\n".join(goals) or "no goal")
        every += goals
    Console(width=118).print(table)
    return int(any("NOT" in goal for goal in every))


def goals_of(run: list[str]) -> list[str]:
    """What one of them says of its goals; it is printed as it comes."""
    module, *options = run
    command = [sys.executable, "-m", f"benchmarks.{module}", *options]
    said = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
            said += [line.strip()] if line.startswith("goal") else []
    return said if said or not process.returncode else ["NOT MEASURED"]


if __name__ == "__main__":
    raise SystemExit(main())
