"""``python -m tests.integration.attack.fuzz``: bombs and spoiled sessions, data sets and HL7 messages.

Prints a table, and exits with 1 where the node died, hung, leaked, lost an acknowledged image or said something raw.
The same seed sends the same bytes.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from tests.integration.attack import data_sets, hl7_messages, sessions
from tests.integration.attack.bombs import all_bombs
from tests.integration.attack.target import Target
from tests.integration.receive.peers import Aborted, Closed

BATCH = 200
AT_ONCE = 8

console = Console()
Play = Callable[[Target, int], tuple[str, list[str]]]


def session(seed: str) -> Play:
    """Plays spoiled sessions; says how each ended."""

    def play(target: Target, number: int) -> tuple[str, list[str]]:
        pdus, falls_silent = sessions.spoiled(seed, number)
        heard = sessions.play(target.port, pdus, falls_silent=falls_silent)
        if heard.held is not None:
            target.held.append(heard.held)
        return _ending(heard.types), heard.acknowledged

    return play


def _ending(types: Sequence[int]) -> str:
    names = {3: "rejected", 6: "released", 7: "aborted"}
    return next((names[kind] for kind in reversed(types) if kind in names), "left open" if types else "no word")


def data_set(seed: str) -> Play:
    """Sends spoiled data sets; says the status of each."""

    def play(target: Target, number: int) -> tuple[str, list[str]]:
        syntax, uid, data = data_sets.spoiled(seed, number)
        try:
            status = data_sets.send(target.port, syntax, uid, data)
        except (Aborted, Closed, OSError, AssertionError) as fault:
            return f"association lost ({type(fault).__name__})", []
        return f"0x{status:04X}", [uid] if status == 0 else []

    return play


def hl7_message(seed: str) -> Play:
    """Sends spoiled HL7 messages; says how each was answered. What must then be stored is the target's to look at."""

    def play(target: Target, number: int) -> tuple[str, list[str]]:
        ending, must_be_there, faults = hl7_messages.play(target.hl7_port, hl7_messages.made(seed, number))
        target.verdict.faults += faults
        if must_be_there is not None:
            target.told.append(must_be_there)
        return ending, []

    return play


BOMBS = all_bombs()


def bomb(target: Target, number: int) -> tuple[str, list[str]]:
    """Sends a bomb."""
    one = BOMBS[number]
    try:
        status = data_sets.send(target.port, one.syntax, one.sop_instance_uid, one.data_set)
    except (Aborted, Closed, OSError, AssertionError) as fault:
        return f"association lost ({type(fault).__name__})", []
    return f"0x{status:04X}", [one.sop_instance_uid] if status == 0 else []


def attack(target: Target, play: Play, count: int, advance: Callable[[int], None]) -> Counter[str]:
    """Play ``count`` times in batches, and judge the node after each."""
    endings: Counter[str] = Counter()
    acknowledged: list[str] = []
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for start in range(0, count, BATCH):
            numbers = range(start, min(start + BATCH, count))
            for ending, uids in pool.map(lambda number: play(target, number), numbers):
                endings[ending] += 1
                acknowledged += uids
            target.let_go()
            target.judge(acknowledged)
            advance(len(numbers))
            if target.verdict.faults:
                break
    endings["images acknowledged"] = len(set(acknowledged))
    return endings


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code: 0 where nothing was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sessions", type=int, default=100_000)
    parser.add_argument("--datasets", type=int, default=20_000)
    parser.add_argument("--messages", type=int, default=10_000)
    parser.add_argument("--seed", default="1")
    asked = parser.parse_args(arguments)
    kinds: list[tuple[str, Play, int]] = [
        ("bombs", bomb, len(BOMBS)),
        ("sessions", session(asked.seed), asked.sessions),
        ("data sets", data_set(asked.seed), asked.datasets),
        ("HL7 messages", hl7_message(asked.seed), asked.messages),
    ]
    table = Table(title=f"Attack with seed {asked.seed}", title_justify="left")
    for column in ("what", "how often", "how it ended", "acknowledged", "slowest C-ECHO", "memory", "found"):
        table.add_column(column)
    bars = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    found: list[str] = []
    warnings.simplefilter("ignore")  # of pydicom, about what the harness itself reads
    began = time.monotonic()
    with Progress(*bars, console=console) as progress:
        for name, play, count in (kind for kind in kinds if kind[2]):
            task = progress.add_task(name, total=count)
            with tempfile.TemporaryDirectory(prefix="dicomnode-fuzz-") as folder, Target(Path(folder)) as target:
                endings = attack(target, play, count, lambda done, task=task: progress.advance(task, done))
            known = endings.pop("images acknowledged") + len(target.told)
            verdict = target.verdict
            found += verdict.faults
            told = ", ".join(f"{count} {ending}" for ending, count in endings.most_common())
            echo, memory = f"{verdict.slowest_echo_s:.2f} s", f"+{verdict.growth_mib:.0f} MiB"
            played = str(sum(endings.values()))
            table.add_row(name, played, told, str(known), echo, memory, "\n".join(verdict.faults) or "nothing")
    console.print(table)
    console.print(f"{time.monotonic() - began:.0f} s; again with --seed {asked.seed}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
