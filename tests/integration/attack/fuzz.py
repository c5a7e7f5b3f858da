"""``python -m tests.integration.attack.fuzz``: bombs and spoiled sessions, data sets and HL7 messages.

Prints a line for each 200 and a table at the end, and exits with 1 where the node died, hung, leaked, lost an
acknowledged image or said something raw; a folder in ``artifacts/fuzz`` then holds all that is known. The same seed
sends the same bytes.
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
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.integration.attack import data_sets, hl7_messages, sessions
from tests.integration.attack.bombs import all_bombs
from tests.integration.attack.report import REPORTS, Played, Report
from tests.integration.attack.target import Target
from tests.integration.receive.peers import Aborted, Closed

BATCH = 200
AT_ONCE = 8

console = Console()


@dataclass(frozen=True)
class Attack:
    """One kind of attack, by number.

    Attributes
    ----------
    play : does one to the node; how it ended, and the SOP instance UIDs that were acknowledged.
    sent : the bytes of one, in parts.
    """

    kind: str
    seed: str
    play: Callable[[Target, int], tuple[str, list[str]]]
    sent: Callable[[int], Sequence[bytes]]


def session(seed: str) -> Attack:
    """Spoiled sessions; said of each is how it ended."""

    def play(target: Target, number: int) -> tuple[str, list[str]]:
        pdus, falls_silent = sessions.spoiled(seed, number)
        heard = sessions.play(target.port, pdus, falls_silent=falls_silent)
        if heard.held is not None:
            target.held.append(heard.held)
        return _ending(heard.types), heard.acknowledged

    return Attack("sessions", seed, play, lambda number: sessions.spoiled(seed, number)[0])


def _ending(types: Sequence[int]) -> str:
    names = {3: "rejected", 6: "released", 7: "aborted"}
    return next((names[kind] for kind in reversed(types) if kind in names), "left open" if types else "no word")


def data_set(seed: str) -> Attack:
    """Spoiled data sets; said of each is its status."""

    def play(target: Target, number: int) -> tuple[str, list[str]]:
        return _store(target, *data_sets.spoiled(seed, number))

    return Attack("data sets", seed, play, lambda number: [data_sets.spoiled(seed, number)[2]])


def bomb() -> Attack:
    """All bombs."""

    def play(target: Target, number: int) -> tuple[str, list[str]]:
        one = BOMBS[number]
        return _store(target, one.syntax, one.sop_instance_uid, one.data_set)

    return Attack("bombs", "", play, lambda number: [BOMBS[number].data_set])


def _store(target: Target, syntax: str, uid: str, data: bytes) -> tuple[str, list[str]]:
    try:
        status = data_sets.send(target.port, syntax, uid, data)
    except (Aborted, Closed, OSError, AssertionError) as fault:
        return f"association lost ({type(fault).__name__})", []
    return f"0x{status:04X}", [uid] if status == 0 else []


def hl7_message(seed: str) -> Attack:
    """Sends spoiled HL7 messages; says how each was answered. What must then be stored is the target's to look at."""

    def play(target: Target, number: int) -> tuple[str, list[str]]:
        ending, must_be_there, faults = hl7_messages.play(target.hl7_port, hl7_messages.made(seed, number))
        target.verdict.faults += faults
        if must_be_there is not None:
            target.told.append(must_be_there)
        return ending, []

    return Attack("HL7 messages", seed, play, lambda number: [hl7_messages.made(seed, number).spoiled])


BOMBS = all_bombs()


def attack(target: Target, what: Attack, numbers: range, *, reports: Path) -> Counter[str]:
    """Play them in batches, and judge the node after each; what is found is written down at once.

    Parameters
    ----------
    reports : folder for the report, which is a folder in it.
    """
    endings: Counter[str] = Counter()
    acknowledged: list[str] = []
    report = Report(
        reports / f"{what.kind.replace(' ', '-')}-{what.seed}-{time.strftime('%H%M%S')}", what.kind, what.seed
    )
    target.on_hang = lambda: report.write(target, {})

    def play(number: int) -> Played:
        began = time.monotonic()
        return Played(number, *what.play(target, number), round(time.monotonic() - began, 3))

    with report.of_any_end(target), ThreadPoolExecutor(AT_ONCE) as pool:
        for start in range(numbers.start, numbers.stop, BATCH):
            batch = range(start, min(start + BATCH, numbers.stop))
            report.batch = []
            for played in pool.map(play, batch):
                report.batch.append(played)
                endings[played.ending] += 1
                acknowledged += played.acknowledged
            target.let_go()
            verdict = target.judge(acknowledged)
            if verdict.faults:
                report.write(target, {number: what.sent(number) for number in batch})
                console.print(f"found: {verdict.faults}; all that is known: {report.folder}", soft_wrap=True)
                break
            _tell_progress(what, batch.stop, numbers, target)
    endings["images acknowledged"] = len(set(acknowledged))
    return endings


def _tell_progress(what: Attack, done: int, numbers: range, target: Target) -> None:
    now, verdict = target.resources_now(), target.verdict
    told = f"{time.strftime('%H:%M:%S')} {what.kind} {done} of {numbers.stop}, C-ECHO {verdict.slowest_echo_s:.2f} s"
    told += f", +{verdict.growth_mib:.0f} MiB, {now.get('threads')} threads, {now.get('descriptors')} descriptors"
    console.print(told, soft_wrap=True, highlight=False)


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code: 0 where nothing was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sessions", type=int, default=100_000)
    parser.add_argument("--datasets", type=int, default=20_000)
    parser.add_argument("--messages", type=int, default=10_000)
    parser.add_argument("--seed", default="1")
    parser.add_argument("--first", type=int, default=0, help="number of the first session and of the first data set")
    parser.add_argument("--reports", type=Path, default=REPORTS, help="where what is found is written")
    asked = parser.parse_args(arguments)
    first = asked.first
    kinds: list[tuple[Attack, range]] = [
        (bomb(), range(len(BOMBS))),
        (session(asked.seed), range(first, first + asked.sessions)),
        (data_set(asked.seed), range(first, first + asked.datasets)),
        (hl7_message(asked.seed), range(first, first + asked.messages)),
    ]
    table = Table(title=f"Attack with seed {asked.seed}", title_justify="left")
    for column in ("what", "how often", "how it ended", "acknowledged", "slowest C-ECHO", "memory", "found"):
        table.add_column(column)
    found: list[str] = []
    warnings.simplefilter("ignore")  # of pydicom, about what the harness itself reads
    began = time.monotonic()
    for what, numbers in (kind for kind in kinds if kind[1]):
        with tempfile.TemporaryDirectory(prefix="dicomnode-fuzz-") as folder, Target(Path(folder)) as target:
            endings = attack(target, what, numbers, reports=asked.reports)
        known = endings.pop("images acknowledged") + len(target.told)
        verdict = target.verdict
        found += verdict.faults
        told = ", ".join(f"{count} {ending}" for ending, count in endings.most_common())
        told += "".join(f"; refused {count} times: {reason}" for reason, count in target.refusals.most_common())
        echo, memory = f"{verdict.slowest_echo_s:.2f} s", f"+{verdict.growth_mib:.0f} MiB"
        played = str(sum(endings.values()))
        table.add_row(what.kind, played, told, str(known), echo, memory, "\n".join(verdict.faults) or "nothing")
    console.print(table)
    console.print(f"{time.monotonic() - began:.0f} s; again with --seed {asked.seed}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
