"""How the reader of heads learns to tell facts from what it marks, and how far off it is in heads of other patients.

Most patients of an experiment have no image: painting one takes a second. What the reader would have told of them is
drawn: what is true, with the errors that it made in a head like theirs that it had not learned from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from dicomnode.cohort.streams import stream
from dicomnode.train.head_reader.painted import PAINTED, Heads
from dicomnode.train.manifest import Case
from dicomnode.train.tabular import numbers_of
from dicomnode.train.tellers import deviation_of, out_of_fold, taught
from dicomnode.zoo.networks.head_reader import READ, FactsTeller, HeadReader, SlabNet

TOLD = tuple(f"read_{name}" for name in READ)
"""What a reader tells of a head, in a manifest, among the variables."""
NEAR, CHUNK = 12, 4


def reading_of(case: Case) -> torch.Tensor | None:
    """(facts,) what a manifest says was read of a head; None where it says nothing."""
    return numbers_of(case.variables, TOLD) if TOLD[0] in case.variables else None


def summaries_of(network: SlabNet, heads: Heads) -> torch.Tensor:
    """(heads, SUMMARY) what a network marks, added up."""
    reader = HeadReader()
    reader.slabs = network.eval()
    with torch.inference_mode():
        return torch.cat([reader.summary(part) for part in torch.split(heads.image, CHUNK)])


def taught_to_tell(summaries: torch.Tensor, facts: torch.Tensor, seed: int = 0) -> FactsTeller:
    """A teller of facts.

    Parameters
    ----------
    summaries : (heads, SUMMARY). facts : (heads, facts) that are true.
    """
    torch.manual_seed(seed)
    return taught(FactsTeller(), summaries, facts, deviation_of(facts), seed)


def told_of_others(summaries: torch.Tensor, facts: torch.Tensor) -> torch.Tensor:
    """(heads, facts) what is told of each head by a teller that has not learned from it."""
    return out_of_fold(taught_to_tell, summaries, facts)[1]


def explained(facts: torch.Tensor, told: torch.Tensor) -> Mapping[str, float]:
    """Share of the variance of each fact that what is told explains; NaN where nothing varies."""
    wrong = (facts - told).square().mean(dim=0)
    shares = 1.0 - wrong / facts.var(dim=0, correction=0)
    return dict(zip(READ, shares.tolist(), strict=True))


@dataclass(frozen=True, slots=True)
class Errors:
    """What was told of heads that nothing was learned from.

    Attributes
    ----------
    facts, told : (heads, facts). arms : of the cohort, of each head.
    """

    facts: torch.Tensor
    told: torch.Tensor
    arms: Sequence[str]

    def drawn(self, painted: Mapping[str, float], arm: str, seed: int) -> dict[str, float]:
        """What a reader would tell of a patient, by the names of a manifest; the same for the same seed.

        Parameters
        ----------
        painted : facts, by the names of :data:`~dicomnode.train.head_reader.painted.PAINTED`.
        """
        facts = torch.tensor([painted[name] for name in PAINTED])
        own = torch.tensor([one == arm for one in self.arms])
        scale = deviation_of(self.facts)
        away = ((self.facts - facts) / scale).square().sum(dim=1)
        nearest = torch.where(own, away, torch.inf).topk(min(NEAR, int(own.sum())), largest=False).indices
        chosen = nearest[int(stream(seed, "reading").integers(len(nearest)))]
        told = (facts + self.told[chosen] - self.facts[chosen]).clamp(min=0.0)
        return dict(zip(TOLD, told.tolist(), strict=True))
