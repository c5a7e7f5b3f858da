"""What so many series an hour need, on paper: a day of a hospital, simulated with measured seconds of each stage.

    python -m benchmarks.simulate DATABASE [--workers 1 2 4 8] [--rates 250 500 1000 2000] [--picture FILE]

The stages are read from the job history of a node: its ``node.db``, or what ``benchmarks.priority --keep`` wrote. A job
holds a worker for reading, inference and encoding, then the one connection to the PACS for sending and proof, as in the
node; a stat job goes before routine ones and interrupts none. ``--connections`` and ``--encoders`` (which take encoding
from the workers) show what the node does not have.

Studies come by a rate that changes with the hour, one in ten of them with several series at once. Each figure is of one
day that begins with an empty node.
"""

from __future__ import annotations

import argparse
import random
import statistics
from bisect import bisect_left
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import simpy
from rich.console import Console
from rich.table import Table

from benchmarks.history import Course, busy_stretch, courses
from dicomnode.store.engine import Store

HOUR_S, DAY_H = 3600.0, 24
SHARE_BY_HOUR = (2, 2, 1, 1, 1, 2, 3, 5, 7, 8, 8, 7, 6, 7, 8, 7, 6, 5, 4, 3, 3, 2, 1, 1)
"""Percent of the day's head CTs in each hour: an assumption, in the form that a radiology department knows."""
BURST_SHARE, BURST_SERIES = 0.1, 5
STAT_SHARE = 0.15
PROMPT_S = 60.0
"""Where 95 % of the stat and of the routine series of a day have their result within this, the node keeps pace."""
LOST = 1000
"""Where so many wait for one thing, the day is broken off: the node falls ever further behind."""
WANTED = 1000
"""Series an hour, on average over a day."""
STAGES = ("read, infer", "encode", "send", "prove")
STAT, ROUTINE = 0, 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Plant:
    """What there is. ``encoders``: 0 where each worker encodes what it has run, as the node does."""

    workers: int
    connections: int = 1
    encoders: int = 0
    settle_s: float = 1.7


@dataclass
class Day:
    """One simulation.

    Attributes
    ----------
    stages : measured seconds of jobs, of which one is drawn for each job, all its stages together.
    waits_s : from the last image to the proven result, by priority.
    busy_s : of workers and connections.
    is_lost : so many waited that the day was broken off.
    """

    plant: Plant
    stages: Sequence[dict[str, float]]
    seed: int = 0
    env: simpy.Environment = field(default_factory=simpy.Environment)
    waits_s: dict[int, list[float]] = field(default_factory=lambda: {STAT: [], ROUTINE: []})
    busy_s: dict[str, float] = field(default_factory=lambda: {"worker": 0.0, "connection": 0.0})
    is_lost: bool = False

    def __post_init__(self) -> None:
        self.draw = random.Random(self.seed)
        self.workers = simpy.PriorityResource(self.env, self.plant.workers)
        self.connections = simpy.PriorityResource(self.env, self.plant.connections)
        self.encoders = simpy.PriorityResource(self.env, max(1, self.plant.encoders))

    def arrivals(self, per_hour: float) -> Generator[Any, Any, None]:
        """Studies of a day, ``per_hour`` series on average."""
        studies = per_hour * DAY_H / (1 + BURST_SHARE * (BURST_SERIES - 1))
        while self.env.now < DAY_H * HOUR_S and not self.is_lost:
            self.is_lost = max(len(self.workers.queue), len(self.connections.queue)) > LOST
            share = SHARE_BY_HOUR[int(self.env.now // HOUR_S) % DAY_H] / sum(SHARE_BY_HOUR)
            # of exponential pauses nothing is remembered: a new hour draws anew
            pause_s = self.draw.expovariate(studies * share / HOUR_S)
            left_s = HOUR_S - self.env.now % HOUR_S
            yield self.env.timeout(min(pause_s, left_s))
            if pause_s < left_s:
                for _ in range(BURST_SERIES if self.draw.random() < BURST_SHARE else 1):
                    self.env.process(self.job(STAT if self.draw.random() < STAT_SHARE else ROUTINE))

    def job(self, priority: int) -> Generator[Any, Any, None]:
        """A series from its last image to its proven result."""
        took, came = self.draw.choice(self.stages), self.env.now
        yield self.env.timeout(self.plant.settle_s)
        own_s = took["read, infer"] + (0.0 if self.plant.encoders else took["encode"])
        yield from self._held(self.workers, "worker", own_s, priority)
        if self.plant.encoders:
            yield from self._held(self.encoders, "", took["encode"], priority)
        yield from self._held(self.connections, "connection", took["send"] + took["prove"], priority)
        self.waits_s[priority].append(self.env.now - came)

    def _held(
        self, resource: simpy.PriorityResource, name: str, seconds: float, priority: int
    ) -> Generator[Any, Any, None]:
        with resource.request(priority=priority) as turn:
            yield turn
            yield self.env.timeout(seconds)
        if name:
            self.busy_s[name] += seconds


def a_day(plant: Plant, stages: Sequence[dict[str, float]], per_hour: float, seed: int = 0) -> Day:
    """A day, and the night after it until all is done."""
    day = Day(plant, stages, seed)
    day.env.process(day.arrivals(per_hour))
    day.env.run()
    return day


def backlog_s(plant: Plant, stages: Sequence[dict[str, float]], jobs: int) -> float:
    """Seconds until so many routine jobs are done that are queued at once."""
    day = Day(plant, stages)
    for _ in range(jobs):
        day.env.process(day.job(ROUTINE))
    day.env.run()
    return day.env.now - plant.settle_s


def read_courses(database: Path) -> list[Course]:
    """Of the jobs in the history of a node."""
    store = Store(f"sqlite:///{database}")
    try:
        with store.read() as session:
            return courses(session)
    finally:
        store.close()


def stages_of(found: Sequence[Course]) -> list[dict[str, float]]:
    """Seconds by stage of jobs that went through at once."""
    return [{stage: course.seconds(stage) for stage in STAGES} for course in found if not course.is_disturbed]


def p95(values: Sequence[float]) -> float:
    """95th percentile."""
    return statistics.quantiles(values, n=20)[-1] if len(values) > 1 else values[0]


def keeps_pace(day: Day) -> bool:
    """Whether nearly all have their result soon."""
    return not day.is_lost and max(p95(day.waits_s[STAT]), p95(day.waits_s[ROUTINE])) <= PROMPT_S


def check(found: list[Course]) -> str:
    """How far the simulation is off the node: the longest stretch without a pause, from every other job of it."""
    stretch = busy_stretch(found)
    took_s = stretch[-1].moments["proven"] - stretch[0].moments["claimed"]
    foretold_s = backlog_s(Plant(workers=1), stages_of(stretch[::2]), len(stretch))
    return (
        f"check: one worker, {len(stretch)} queued jobs: measured {took_s:.0f} s, simulated {foretold_s:.0f} s "
        f"({foretold_s / took_s - 1:+.0%})"
    )


def days(stages: Sequence[dict[str, float]], plants: Sequence[Plant], rates: Sequence[float]) -> dict[Plant, list[Day]]:
    """A day for each plant and rate."""
    return {plant: [a_day(plant, stages, rate) for rate in rates] for plant in plants}


def table_of(found: dict[Plant, list[Day]], rates: Sequence[float]) -> Table:
    """Waits and loads."""
    table = Table(title="seconds from the last image to the proven result")
    names = "workers", "connections", "series an hour", "stat median", "p95", "routine median", "p95", "keeps pace"
    for name in names:
        table.add_column(name, justify="right")
    for plant, row in found.items():
        for rate, day in zip(rates, row, strict=True):
            waits = [day.waits_s[STAT], day.waits_s[ROUTINE]]
            told = [f"{figure(wait):.0f}" for wait in waits for figure in (statistics.median, p95)]
            cells = ["ever more"] * len(told) if day.is_lost else told
            pace = "yes" if keeps_pace(day) else "NO"
            table.add_row(f"{plant.workers}", f"{plant.connections}", f"{rate:.0f}", *cells, pace)
    return table


def saturation(plant: Plant, stages: Sequence[dict[str, float]]) -> tuple[int, str]:
    """The most series an hour, in steps of 25, of a day with which a plant keeps pace, and what is the busiest then."""
    keeps, fails = 1, 1 + int(HOUR_S * max(plant.workers, plant.connections) / 25)
    while fails - keeps > 1:
        middle = (keeps + fails) // 2
        if keeps_pace(a_day(plant, stages, 25.0 * middle)):
            keeps = middle
        else:
            fails = middle
    rate = 25 * keeps
    day = a_day(plant, stages, rate)
    loads = {
        "workers": day.busy_s["worker"] / plant.workers,
        "connection": day.busy_s["connection"] / plant.connections,
    }
    return rate, max(loads, key=lambda name: loads[name])


def needed(stages: Sequence[dict[str, float]], per_hour: float) -> Plant:
    """The fewest workers, and then connections, with which a day of so many series an hour keeps pace."""
    most = max(1, int(per_hour))

    def fewest(plant_of: Callable[[int], Plant]) -> Plant:
        few = bisect_left(range(1, most), True, key=lambda count: keeps_pace(a_day(plant_of(count), stages, per_hour)))
        return plant_of(1 + few)

    workers = fewest(lambda count: Plant(workers=count, connections=most)).workers
    return fewest(lambda count: Plant(workers=workers, connections=count))


def draw(found: dict[Plant, list[Day]], rates: Sequence[float], path: Path) -> None:
    """95th percentile of routine and stat against the rate."""
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(9, 3.6), sharey=True, layout="constrained")
    for axis, priority, title in zip(axes, (STAT, ROUTINE), ("stat", "routine"), strict=True):
        for plant, row in found.items():
            label = f"{plant.workers} workers, {plant.connections} to the PACS"
            kept = [(rate, p95(day.waits_s[priority])) for rate, day in zip(rates, row, strict=True) if not day.is_lost]
            axis.plot(*zip(*kept, strict=True), marker="o", label=label)
        axis.axhline(PROMPT_S, color="grey", linewidth=0.8, linestyle=":")
        axis.set(title=title, xlabel="series an hour (mean of the day)", yscale="log")
    axes[0].set_ylabel("95 % have their result within, s")
    axes[0].legend(fontsize=8)
    figure.savefig(path, dpi=90)


def main() -> None:
    """Simulate, check, print, draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("database", type=Path)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--connections", type=int, default=1)
    parser.add_argument("--encoders", type=int, default=0)
    parser.add_argument("--rates", type=float, nargs="+", default=[100, 250, 500, 1000, 1500, 2000])
    parser.add_argument("--picture", type=Path)
    options = parser.parse_args()
    found = read_courses(options.database)
    stages = stages_of(busy_stretch(found))
    means = ", ".join(f"{stage} {statistics.mean(row[stage] for row in stages):.2f}" for stage in STAGES)
    print(f"{len(stages)} measured jobs, mean seconds: {means}")
    print(check(found))
    plants = [
        Plant(workers=workers, connections=options.connections, encoders=options.encoders)
        for workers in options.workers
    ]
    simulated = days(stages, plants, options.rates)
    Console(width=110).print(table_of(simulated, options.rates))
    for plant in plants:
        rate, busiest = saturation(plant, stages)
        print(f"{plant.workers} workers keep pace with {rate} series an hour; the busiest then: {busiest}")
    plant = needed(stages, WANTED)
    print(f"{WANTED} series an hour want {plant.workers} workers and {plant.connections} connections to the PACS")
    if options.picture:
        draw(simulated, options.rates, options.picture)


if __name__ == "__main__":
    main()
