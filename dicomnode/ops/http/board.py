"""What the pages are made of: the database, what the node tells, and what only the composition root can look up."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session

from dicomnode.config.whole import Config
from dicomnode.ops.readiness import Readiness
from dicomnode.ops.state import StateOf
from dicomnode.store.engine import Store


@dataclass(frozen=True, slots=True)
class KnownValue:
    """One value or text of a patient. ``verdict``: ``used``, or why it is not."""

    name: str
    value: str
    source: str
    observed_at: float | None
    verdict: str


@dataclass(frozen=True, slots=True)
class StudyContext:
    """What is known of the patient of a study, and what its models ask for and nobody told."""

    known: Sequence[KnownValue]
    missing: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCard:
    """A model of the node. ``card``: its README, plain text. ``fault``: why it cannot be used."""

    name: str
    version: str = ""
    digest: str = ""
    pinned: bool = False
    research: bool = True
    trained_on: str = ""
    protocols: Sequence[str] = ()
    card: str = ""
    fault: str = ""


@dataclass(slots=True, kw_only=True)
class Board:
    """What the pages ask."""

    config: Config
    store: Store
    state_of: StateOf
    readiness: Readiness
    context_of: Callable[[Session, str], StudyContext]
    model_cards: Callable[[], Sequence[ModelCard]]

    def become(self, other: Board) -> None:
        """Show another configuration from now on; database and node stay."""
        self.config, self.readiness = other.config, other.readiness
        self.context_of, self.model_cards = other.context_of, other.model_cards
