"""Ways to run each bundle on this processor, side by side: seconds a case, and how far each answer is from the first's.

    python -m benchmarks.inference [--models hemorrhage followup] [--ways bfloat16] [--threads 1] [--repeats 5]
    python -m benchmarks.inference --workers      # threads and processes instead of ways

The case is the selftest's patient on 40 slices of 512 x 512. The ways take turns, so that what else the machine does
meets all of them alike. *Whole*: from inputs in memory to every output on the slices of the series; *networks*:
what of it is spent in the modules of the bundle. The first call of each is warm-up and stands in a column of its own:
there a way traces, or compiles. Where a way cannot be had the table says why.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing.synchronize import Barrier
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from benchmarks.segment import painted_head
from benchmarks.ways import AS_THE_NODE, WAYS, entrances
from dicomnode.app.known_answer import HeadFacts
from dicomnode.app.known_head import KnownHead, known_context, known_findings
from dicomnode.errors import InferenceError
from dicomnode.records import Inputs, Volume
from dicomnode.zoo.bundle import BundleManifest
from dicomnode.zoo.reading.contract import Explained, NotFor, Predicted, Raw
from dicomnode.zoo.registry import Registry
from dicomnode.zoo.runner import Runner

MODELS = ("hemorrhage", "followup", "prognosis", "edema", "deterioration")
Case = tuple[Volume, NDArray[np.bool_]]
"""A head, and where blood was painted in it."""
EAGER = "eager, float32"
ALLOWED = 0.002
"""Of Dice and of a probability, from eager float32."""


@dataclass
class Tried:
    """One way with one bundle. Seconds of wall and of all cores together; ``networks_s``: of those, in the networks."""

    runner: Runner
    whole_s: list[float] = field(default_factory=list)
    cores_s: list[float] = field(default_factory=list)
    networks_s: list[float] = field(default_factory=list)
    said: Mapping[str, Raw] = field(default_factory=dict)
    fault: str = ""


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", choices=MODELS, default=MODELS)
    parser.add_argument("--ways", nargs="+", choices=list(WAYS), default=list(WAYS))
    parser.add_argument("--threads", type=int, default=1, help="of torch")
    parser.add_argument("--repeats", type=int, default=5, help="counted calls of each")
    parser.add_argument("--workers", action="store_true", help="one and two processes with 1 and 2 threads each")
    options = parser.parse_args()
    case = painted_head()
    for name in options.models:
        if options.workers:
            compare_workers(name, case, options.repeats)
        else:
            torch.set_num_threads(options.threads)
            off = compare_ways(name, case, options.ways, options.repeats, options.threads)
            says = "met" if off <= ALLOWED else "NOT MET"
            print(f"goal: {name} as the node runs it is within {ALLOWED:g} of eager float32: {off:.4f}: {says}")
    return 0


def compare_ways(name: str, case: Case, ways: Sequence[str], repeats: int, threads: int) -> float:
    """All ways with one bundle, in turn; how far the node's answer is from eager float32."""
    inputs = inputs_of(Registry().get(name).manifest, case)
    tried = {way: Tried(runner_of(name, way)) for way in dict.fromkeys((EAGER, AS_THE_NODE, *ways))}
    for way, one in tried.items():
        prepare(one, way, inputs)
    for _ in range(repeats + 1):
        for one in tried.values():
            run(one, inputs)
    print_ways(name, tried, threads)
    return difference(tried[EAGER].said, tried[AS_THE_NODE].said)[0]


def runner_of(name: str, way: str, threads: int | None = None) -> Runner:
    """One bundle, with nothing laid over it yet but what the node itself does."""
    return Runner(Registry().get(name), threads=threads, precision="auto" if way == AS_THE_NODE else "float32")


def inputs_of(manifest: BundleManifest, case: Case) -> Inputs:
    """The context of the selftest's patient, with this head and the bleed that was painted in it."""
    volume, truth = case
    image = None if manifest.needs.image is None else volume
    facts = HeadFacts(seed=7, cohort_version="", truth_ml=0.0, mean_hu=0.0)
    earlier = known_findings(manifest, KnownHead(volume, truth, facts))
    return Inputs(volume=image, context=known_context(manifest), earlier=earlier)


def prepare(one: Tried, way: str, inputs: Inputs) -> None:
    """Lay a way over the modules that the bundle calls, and have the time in them told."""
    network = one.runner._loaded.ladder._network
    with entrances(network) as called:
        one.runner.outputs(inputs)
    for module in called:
        WAYS[way](module)
        module.register_forward_pre_hook(lambda *_: one.networks_s.append(-time.perf_counter()))
        module.register_forward_hook(lambda *_: one.networks_s.append(time.perf_counter()), always_call=True)


def run(one: Tried, inputs: Inputs) -> None:
    """One case; a way that fails is tried no more."""
    if one.fault:
        return
    one.networks_s.append(0.0)
    before = len(one.networks_s)
    begun, used = time.perf_counter(), time.process_time()
    try:
        one.said = one.runner.outputs(inputs)
    except (InferenceError, RuntimeError, TypeError, AttributeError) as fault:  # of tracers and compilers
        one.fault = f"{type(fault).__name__}: {fault}".splitlines()[0][:60]
    one.whole_s.append(time.perf_counter() - begun)
    one.cores_s.append(time.process_time() - used)
    spent = sum(one.networks_s[before:])
    one.networks_s[before - 1 :] = [spent]


def print_ways(name: str, tried: Mapping[str, Tried], threads: int) -> None:
    """The table of one bundle."""
    table = Table(title=f"{name}, {threads} thread{'s' * (threads > 1)}: seconds a case, median", width=118)
    for column in ("way", "first", "whole", "networks", "cores", "times eager", "answer differs by", "within"):
        table.add_column(column, justify="left" if column == "way" else "right")
    base = tried[EAGER]
    for way, one in tried.items():
        if one.fault:
            table.add_row(way, "-", "-", "-", "-", "-", one.fault, "-")
            continue
        whole, networks, cores = (statistics.median(row[1:]) for row in (one.whole_s, one.networks_s, one.cores_s))
        ratio = statistics.median(a / b for a, b in zip(one.whole_s[1:], base.whole_s[1:], strict=True))
        off, says = difference(base.said, one.said)
        times = [f"{value:.2f}" for value in (one.whole_s[0], whole, networks, cores, ratio)]
        table.add_row(way, *times, says, "yes" if off <= ALLOWED else "NO")
    Console(width=118).print(table)


def difference(known: Mapping[str, Raw], said: Mapping[str, Raw]) -> tuple[float, str]:
    """The largest of 1 - Dice and of the distance of a probability; and all of it in words."""
    told, worst = [], 0.0
    for name, then in known.items():
        off, words = _apart(then, said[name])
        worst = max(worst, off)
        told.append(f"{name} {words}")
    return worst, "; ".join(told)


def _apart(then: Raw, now: Raw) -> tuple[float, str]:
    if isinstance(then, Explained) and isinstance(now, Explained):
        off = abs(now.value - then.value)
        return off, f"{off:.1e}"
    if isinstance(then, Predicted) and isinstance(now, Predicted):
        return 0.0, f"{np.abs(now.hu - then.hu).max():.2f} HU"
    if isinstance(then, np.ndarray) and isinstance(now, np.ndarray):
        masks = then > 0.5, now > 0.5
        dice = 2.0 * float((masks[0] & masks[1]).sum()) / max(1.0, float(masks[0].sum() + masks[1].sum()))
        return 1.0 - dice, f"Dice {dice:.4f}"
    if isinstance(then, NotFor):
        return 0.0, "none"
    raise TypeError(type(then))


def compare_workers(name: str, case: Case, repeats: int) -> None:
    """Cases a minute of one and two processes with one and two threads each."""
    table = Table(title=f"{name}: processes and threads, {AS_THE_NODE}", width=80)
    for column in ("processes", "threads of each", "seconds a case", "cases a minute", "times one of one"):
        table.add_column(column, justify="right")
    base = 0.0
    for processes in (1, 2):
        for threads in (1, 2):
            seconds = at_once(name, case, processes, threads, repeats)
            a_minute = 60.0 * processes / seconds
            base = base or a_minute
            table.add_row(str(processes), str(threads), f"{seconds:.2f}", f"{a_minute:.0f}", f"{a_minute / base:.2f}")
    Console(width=80).print(table)


def at_once(name: str, case: Case, processes: int, threads: int, repeats: int) -> float:
    """Median seconds of a case while so many processes work."""
    context = multiprocessing.get_context("spawn")
    barrier, answers = context.Barrier(processes), context.Queue()
    arguments = (name, case, threads, repeats, barrier, answers)
    workers = [context.Process(target=work, args=arguments) for _ in range(processes)]
    for worker in workers:
        worker.start()
    seconds = [value for _ in workers for value in answers.get(timeout=600)]
    for worker in workers:
        worker.join()
    return statistics.median(seconds)


def work(name: str, case: Case, threads: int, repeats: int, barrier: Barrier, answers: Any) -> None:
    """One process: a warm-up, then all begin together."""
    runner = runner_of(name, AS_THE_NODE, threads)
    inputs = inputs_of(runner.manifest, case)
    runner.outputs(inputs)
    barrier.wait(timeout=600)
    seconds = []
    for _ in range(repeats):
        begun = time.perf_counter()
        runner.outputs(inputs)
        seconds.append(time.perf_counter() - begun)
    answers.put(seconds)


if __name__ == "__main__":
    raise SystemExit(main())
