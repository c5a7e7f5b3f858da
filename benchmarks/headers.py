"""What a header costs the process that receives: ``python -m benchmarks.headers [FILE ...]`` (decision 078).

Reads the header of each file (generated: one with few elements, one as a scanner writes it) in this process, and has
the process of the receiver read it. Printed in microseconds of processor time a header: here, all in one; here, where
another process reads; and there. The best of ten rounds: the rest is the machine's.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import psutil
from rich.console import Console
from rich.table import Table

from benchmarks.reception import make_series
from dicomnode.dicom.libraries import set_up_pydicom
from dicomnode.receive.header_process import HeaderProcess
from dicomnode.receive.reading import read

ROUNDS, HEADERS = 10, 200


def best_us(spent_s: Callable[[], float], work: Callable[[], object]) -> float:
    """Microseconds that one call of ``work`` costs by the clock ``spent_s``, at best."""
    rounds = []
    for _ in range(ROUNDS):
        began = spent_s()
        for _ in range(HEADERS):
            work()
        rounds.append(1e6 * (spent_s() - began) / HEADERS)
    return min(rounds)


def row_of(path: Path, process: HeaderProcess) -> tuple[str, ...]:
    """Of the table."""

    def ask() -> None:
        process.send(path)
        process.receive()

    ask()
    other = psutil.Process(process.pid)
    alone = best_us(time.process_time, lambda: read(path))
    asking = best_us(time.process_time, ask)
    answering = best_us(lambda: sum(other.cpu_times()[:2]), ask)
    memory = f"{other.memory_info().rss / 1e6:.0f}"
    return path.parent.name, str(len(read(path).header)), f"{alone:.0f}", f"{asking:.0f}", f"{answering:.0f}", memory


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", type=Path, help="DICOM files with file meta information")
    options = parser.parse_args()
    set_up_pydicom()
    table = Table("header of", "attributes kept", "all here µs", "here µs", "there µs", "MB resident there")
    process = HeaderProcess(lambda: False)
    process.launch()
    try:
        with tempfile.TemporaryDirectory() as folder:
            files = list(options.files)
            for name in () if files else ("few elements", "scanner"):
                (Path(folder) / name).mkdir()
                make_series(Path(folder) / name, 1, as_a_scanner=name == "scanner")
                files.append(Path(folder) / name / "000.dcm")
            for path in files:
                table.add_row(*row_of(path, process))
    finally:
        process.end()
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
