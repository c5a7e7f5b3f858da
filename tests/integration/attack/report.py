"""What a failing run leaves behind: written the moment something is found, before the node is asked to stop."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.conftest import REPOSITORY
from tests.integration.attack.target import Target

REPORTS = REPOSITORY / "artifacts" / "fuzz"
STACKS_S = 1.0
"""How long the node has for writing its stacks."""


@dataclass(frozen=True)
class Played:
    """One attack and how it ended."""

    number: int
    ending: str
    acknowledged: list[str]
    seconds: float


@dataclass
class Report:
    """A folder: ``report.json``, ``node.log`` (its last lines), ``stacks.txt`` (of its threads), and the bytes sent.

    Attributes
    ----------
    kind, seed : what is played; with the number of an attack they make its bytes.
    batch : what was played since the node was judged last.
    """

    folder: Path
    kind: str
    seed: str
    batch: list[Played] = field(default_factory=list)

    @contextmanager
    def of_any_end(self, target: Target) -> Iterator[None]:
        """Write the report for what breaks the harness itself off, an interruption by hand included."""
        try:
            yield
        except BaseException as fault:
            target.verdict.faults.append(f"the harness ended with {type(fault).__name__}: {fault}")
            self.write(target, {})
            raise

    def write(self, target: Target, sent: Mapping[int, Iterable[bytes]]) -> None:
        """Write all that is known now.

        Parameters
        ----------
        sent : the bytes of each attack of the batch, as parts (PDUs, or one data set).
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "report.json").write_text(json.dumps(self._facts(target), indent=1))
        (self.folder / "node.log").write_text("\n".join(target.last_lines))
        for number, parts in sent.items():
            (self.folder / f"{number}.hex").write_text("\n".join(part.hex() for part in parts))
        (self.folder / "stacks.txt").write_text(target.stacks(STACKS_S))

    def _facts(self, target: Target) -> dict[str, Any]:
        return {
            "at": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
            "kind": self.kind,
            "seed": self.seed,
            "faults": target.verdict.faults,
            "resources": target.resources_now(),
            "messages": target.messages,
            "raw_lines": target.raw,
            "batch": [asdict(played) for played in self.batch],
        }
