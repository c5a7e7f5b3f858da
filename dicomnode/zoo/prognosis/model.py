"""The model of a bundle: CT, marked bleed, record and request in; probability of a poor outcome and why out.

The paper's positive is a good prognosis. Here the positive is the poor one, as in the scores that stand beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from dicomnode.language import told
from dicomnode.records import Contribution, Inputs, MaskFinding, Volume
from dicomnode.zoo.bundle import load_manifest
from dicomnode.zoo.deterioration.variables import VARIABLES, numbers_of_context
from dicomnode.zoo.networks.head_grid import SHAPE, HeadGrid, grid_of, image_on
from dicomnode.zoo.networks.head_reader import marks_of
from dicomnode.zoo.networks.lighter import lighter
from dicomnode.zoo.prognosis.bleed import LEAST_ML, Bleed, bleed_of
from dicomnode.zoo.prognosis.looking import PLAIN_BRAIN, Looked, looked
from dicomnode.zoo.prognosis.network import PrognosisNetwork
from dicomnode.zoo.prognosis.text import text_of
from dicomnode.zoo.prognosis.words import LENGTH, Vocabulary
from dicomnode.zoo.reading.contract import Explained, NotFor

FINDING, SECTION = "hemorrhage", "indication"
VOCABULARY = Path("models/words.txt")
SURE = 0.95
TOO_SMALL = "bleed within the brain of at least {least:g} mL; here {volume:.1f} mL"
IMAGE_ALONE = "From the CT alone: nothing of the patient's record was known."
TEMPLATE = {"age": "age", "male": "sex", "gcs": "gcs", "onset_to_ct_h": "onset_to_ct"}
"""What the template lines tell, by the name in the context."""


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of one patient. ``indication``: as written; empty for none."""

    bleed: Bleed
    variables: torch.Tensor
    indication: str

    def text(self) -> str:
        """What the reader reads."""
        numbers = dict(zip(VARIABLES, self.variables.tolist(), strict=True))
        told_hours = numbers["onset_to_ct"]
        hours = float(torch.expm1(torch.tensor(told_hours)))
        values = {name: numbers[of] for name, of in TEMPLATE.items() if numbers[of] == numbers[of]}
        return text_of({**values, **({"onset_to_ct_h": hours} if hours == hours else {})}, self.bleed, self.indication)


class Prognosis:
    """Outcome after intracerebral haemorrhage by one bundle.

    Parameters
    ----------
    network : with its weights loaded.
    bundle : its folder; the manifest has the labels of the variables, ``models/words.txt`` the pieces of words.
    slope, intercept : from the network's log odds to those of what happens.

    Raises
    ------
    OSError : the list of pieces is missing.
    BundleError : the manifest is at fault.
    """

    def __init__(self, network: PrognosisNetwork, bundle: str, slope: float = 1.0, intercept: float = 0.0) -> None:
        self.network, self.slope, self.intercept = network, slope, intercept
        self.vocabulary = Vocabulary((Path(bundle) / VOCABULARY).read_text(encoding="utf-8").split("\n")[:-1])
        manifest = load_manifest(Path(bundle))
        self.name = manifest.scores[0].name
        self.labels = {variable.name: variable.label for variable in manifest.needs.variables}

    def __call__(self, inputs: Inputs) -> dict[str, Explained | NotFor]:
        """The probability with its interval, what each input does to it, and where of the head it comes from.

        Raises
        ------
        SeriesError : ``NOT_A_HEAD``, ``NOT_AXIAL``.
        """
        mask = inputs.mask(FINDING)
        assert isinstance(inputs.volume, Volume)  # the manifest demands both
        assert mask is not None
        known = _known(inputs, mask)
        if (known.bleed.volume_ml or 0.0) < LEAST_ML:
            detail = told(TOO_SMALL, least=LEAST_ML, volume=known.bleed.volume_ml or 0.0)
            return {self.name: NotFor(detail)}
        volume = lighter(inputs.volume)
        grid = grid_of(volume)
        return {self.name: self._explained(known, grid, image_on(grid, volume), inputs.volume, mask)}

    def _explained(
        self, known: Known, grid: HeadGrid, image: torch.Tensor, volume: Volume, mask: MaskFinding
    ) -> Explained:
        reader, heads = self.network.heads, image[None, None].to(self.device)
        marked = reader.look(heads)
        features = reader.told(marked, heads)
        labels, cases = zip(*self._cases(known), strict=True)
        values, interval = self._answers(features, known, cases)
        names = [*labels[1:], "CT, beside the measured bleed"]
        changes = tuple(Contribution(name, values[0] - value) for name, value in zip(names, values[1:], strict=True))
        seen = Looked()
        if self.network.ships == "council":
            seen = looked(marks_of(marked)[0], self._score_of(known), grid, heads[0, 0], volume, mask)
        warnings = () if bool(torch.isfinite(known.variables).any()) or known.indication else (IMAGE_ALONE,)
        return Explained(
            value=values[0],
            contributions=changes,
            warnings=warnings,
            reference=seen.beside,
            interval=interval,
            attention=seen.attention,
        )

    def _answers(
        self, features: torch.Tensor, known: Known, cases: Sequence[Known]
    ) -> tuple[list[float], tuple[float, float]]:
        """Probability of each case and of the patient without the CT; the patient's interval. All in one pass."""
        filled, count = self._filled(known), len(cases) + 1
        shown = features.repeat(count + len(filled), 1)
        shown[count - 1] = torch.nan
        log_odds = self.log_odds(shown, [*cases, known, *filled])
        values = torch.sigmoid(log_odds[:, :count].mean(dim=0)).tolist()
        return values, _interval(log_odds[:, count:], values[0])

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return next(self.network.parameters()).device

    def read(self, texts: list[str]) -> torch.Tensor:
        """(texts, QUESTIONS + LENGTH, width)"""
        read: torch.Tensor = self.network.reader(self.vocabulary.encoded(texts, LENGTH).to(self.device))
        return read

    def log_odds(self, features: torch.Tensor, cases: Sequence[Known]) -> torch.Tensor:
        """(members, cases) calibrated; a text that several share is read once."""
        facts = torch.stack([case.bleed.numbers() for case in cases]).to(self.device)
        variables = torch.stack([case.variables for case in cases]).to(self.device)
        texts = [case.text() for case in cases]
        once = list(dict.fromkeys(texts))
        read = self.read(once)[[once.index(text) for text in texts]]
        return self.slope * self.network.each(features, facts, variables, read) + self.intercept

    def probabilities(self, features: torch.Tensor, cases: Sequence[Known]) -> torch.Tensor:
        """(cases,) of a poor outcome, from (cases, features)."""
        return torch.sigmoid(self.log_odds(features, cases).mean(dim=0))

    def interval(self, features: torch.Tensor, known: Known, value: float) -> tuple[float, float]:
        """Where 95 % of the answers lie that members give with what is missing borrowed from training patients."""
        filled = self._filled(known)
        return _interval(self.log_odds(features.expand(len(filled), -1), filled), value)

    def _filled(self, known: Known) -> list[Known]:
        """The patient once for each of the others, with what is missing borrowed from it."""
        own, there = known.variables, torch.isfinite(known.variables)
        return [replace(known, variables=torch.where(there, own, other)) for other in self.network.others.cpu()]

    def _cases(self, known: Known) -> Iterator[tuple[str, Known]]:
        """The patient, then without each thing that is known."""
        yield "", known
        names = list(VARIABLES)
        for place in torch.isfinite(known.variables).nonzero()[:, 0].tolist():
            without = known.variables.clone()
            without[place] = torch.nan
            yield self.labels[names[place]], replace(known, variables=without)
        yield "Measured volume and place of the bleed", replace(known, bleed=Bleed())
        if known.indication:
            yield "Indication", replace(known, indication="")

    def _score_of(self, known: Known) -> Callable[[torch.Tensor], torch.Tensor]:
        """Heads -> (heads,) log odds, with all else that is known of a patient."""
        facts, variables = known.bleed.numbers()[None].to(self.device), known.variables[None].to(self.device)
        read, reader = self.read([known.text()]), self.network.heads
        nothing = torch.full((1, 1, *SHAPE), PLAIN_BRAIN, device=self.device)
        of_nothing = reader.look(nothing)

        def score(heads: torch.Tensor) -> torch.Tensor:
            shown = (heads != nothing).flatten(3).any(dim=3)[:, 0]
            marked = reader.look_again(heads, of_nothing, shown)
            shared = (one.expand(len(heads), *one.shape[1:]) for one in (facts, variables, read))
            logits: torch.Tensor = self.network(reader.told(marked, heads), *shared)
            return logits

        return score


def _interval(log_odds: torch.Tensor, value: float) -> tuple[float, float]:
    """Where ``SURE`` of some answers lie; it holds the value itself."""
    answers = torch.sigmoid(log_odds).flatten()
    low, high = torch.quantile(answers, torch.tensor([(1 - SURE) / 2, (1 + SURE) / 2]).to(answers)).tolist()
    return min(low, value), max(high, value)


def _known(inputs: Inputs, mask: MaskFinding) -> Known:
    text = inputs.context.text(SECTION)
    return Known(bleed_of(mask), numbers_of_context(inputs.context), "" if text is None else text.text)
