"""The default backend: one worker process per device on this machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dicomnode.execute.backends.in_child import ChildBackend

PROGRAM = "dicomnode.execute.model_worker"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelWorkerSettings:
    """What the process needs to start.

    Attributes
    ----------
    device : ``auto``, ``cpu`` or ``cuda:N``.
    zoo_paths, zoo_digests : further bundles, pinned digests by name.
    zoo_thresholds, zoo_horizons_h : thresholds of scores, and hours to what models foretell, by name.
    cpu_threads : 0: all cores.
    precision : see :class:`dicomnode.zoo.precision.Precision`.
    """

    device: str
    models: tuple[str, ...]
    zoo_paths: tuple[Path, ...]
    zoo_digests: Mapping[str, str]
    zoo_thresholds: Mapping[str, float] = field(default_factory=dict)
    zoo_horizons_h: Mapping[str, float] = field(default_factory=dict)
    cpu_threads: int = 0
    precision: str = "auto"


class LocalBackend(ChildBackend):
    """The process with the models itself."""

    def __init__(self, settings: ModelWorkerSettings, *, start_timeout_s: float) -> None:
        super().__init__(PROGRAM, settings, start_timeout_s=start_timeout_s)
