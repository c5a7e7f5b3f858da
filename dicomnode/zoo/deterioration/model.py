"""The model of a bundle: what is known of a patient in, the calibrated probability and what made it so out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from dicomnode.language import told
from dicomnode.records import Contribution, Inputs
from dicomnode.zoo.bundle import load_manifest
from dicomnode.zoo.deterioration.network import DeteriorationNetwork
from dicomnode.zoo.deterioration.reader import FEATURES, SYMPTOMS, Said, put_together
from dicomnode.zoo.deterioration.variables import VARIABLES, numbers_of_context
from dicomnode.zoo.deterioration.words import encoded, statements_of, words_of
from dicomnode.zoo.reading.contract import Explained

SECTION = "indication"
MOST_STATEMENTS = 200
"""Of a request; what comes after them is not read."""
WORDS = Path("models/words.txt")
KNOWN_WORDS = 0.35
"""Share of a request's words that the model must know; of a text in another language it knows far fewer."""
FEWEST_WORDS = 3
"""A shorter request is read whatever its words are."""
LONGEST_QUOTE = 40
NOT_READ = "The request was not used: it is not in a language that the model knows."


@dataclass(frozen=True, slots=True)
class Request:
    """What was read of a request.

    Attributes
    ----------
    features : (FEATURES,) NaN where there is none, or it could not be read.
    quotes : symptom -> the statement that tells most of it.
    is_foreign : its words are not those of the model's language.
    """

    features: torch.Tensor
    quotes: Mapping[str, str]
    is_foreign: bool = False


class Deterioration:
    """Early neurological deterioration by one bundle.

    Parameters
    ----------
    network : with its weights loaded.
    bundle : its folder; the manifest has the labels of the variables, ``models/words.txt`` the words that it knows.
    slope, intercept : from the network's log odds to those of what happens.

    Raises
    ------
    OSError : the list of words is missing.
    BundleError : the manifest is at fault.
    """

    def __init__(self, network: DeteriorationNetwork, bundle: str, slope: float = 1.0, intercept: float = 0.0) -> None:
        self.network, self.slope, self.intercept = network, slope, intercept
        self.words = frozenset((Path(bundle) / WORDS).read_text(encoding="utf-8").split())
        manifest = load_manifest(Path(bundle))
        self.name = manifest.scores[0].name
        self.labels = {variable.name: variable.label for variable in manifest.needs.variables}

    def __call__(self, inputs: Inputs) -> dict[str, Explained]:
        """The probability, with what each input does to it, were it alone not known."""
        variables, text = numbers_of_context(inputs.context), inputs.context.text(SECTION)
        request = self.read(None if text is None else text.text)
        cases = [(variables, request.features), *self._without(variables, request)]
        values = self.probabilities(*map(torch.stack, zip(*cases, strict=True))).tolist()
        labels = [*self._variables_of(variables), *self._symptoms_of(request)]
        changes = [Contribution(label, values[0] - value) for label, value in zip(labels, values[1:], strict=True)]
        warnings = (NOT_READ,) * request.is_foreign
        return {self.name: Explained(value=values[0], contributions=tuple(changes), warnings=warnings)}

    def probabilities(self, variables: torch.Tensor, text: torch.Tensor) -> torch.Tensor:
        """(patients,) calibrated, from (patients, variables) and (patients, FEATURES)."""
        return torch.sigmoid(self.slope * self.network(variables, text) + self.intercept)

    def read(self, text: str | None) -> Request:
        """What a request says; None: there is none."""
        statements = statements_of(text or "")[:MOST_STATEMENTS]
        nothing = torch.full((FEATURES,), torch.nan)
        if not statements:
            return Request(nothing, {})
        if self.is_foreign(statements):
            return Request(nothing, {}, is_foreign=True)
        said = self.network.reader(encoded([words_of(statement) for statement in statements])).softmax(dim=-1)
        quotes = {
            symptom: statements[int(said[:, place, 1:].sum(dim=-1).argmax())] for place, symptom in enumerate(SYMPTOMS)
        }
        return Request(put_together(said)[:, 1:].reshape(-1), quotes)

    def is_foreign(self, statements: list[str]) -> bool:
        """Whether the words of a request are those of another language."""
        words = [word for statement in statements for word in words_of(statement) if word[0].isalpha()]
        known = sum(word in self.words for word in words)
        return len(words) >= FEWEST_WORDS and known < KNOWN_WORDS * len(words)

    def _variables_of(self, variables: torch.Tensor) -> Iterator[str]:
        """Labels of those that are known."""
        for name, value in zip(VARIABLES, variables, strict=True):
            if torch.isfinite(value):
                yield self.labels[name]

    def _symptoms_of(self, request: Request) -> Iterator[str]:
        """What the request says of each symptom that it mentions, with the words that say it."""
        for place, (symptom, label) in enumerate(SYMPTOMS.items()):
            shares = request.features.view(len(SYMPTOMS), -1)[place]
            if _is_mentioned(shares):
                state, quote = list(Said)[1 + int(shares.argmax())], request.quotes[symptom]
                shown = quote if len(quote) <= LONGEST_QUOTE else f"{quote[: LONGEST_QUOTE - 3]}..."
                yield told('{symptom} {state} ("{quote}")', symptom=label, state=str(state), quote=shown)

    def _without(self, variables: torch.Tensor, request: Request) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """The inputs without each variable that is known, and without each symptom that is mentioned, in this order."""
        for place in torch.isfinite(variables).nonzero()[:, 0].tolist():
            without = variables.clone()
            without[place] = torch.nan
            yield without, request.features
        for place in range(len(SYMPTOMS)):
            features = request.features.clone().view(len(SYMPTOMS), -1)
            if _is_mentioned(features[place]):
                features[place] = 0.0
                yield variables, features.reshape(-1)


def _is_mentioned(shares: torch.Tensor) -> bool:
    """Whether a request says something of a symptom rather than nothing; NaN: it could not be read."""
    return bool(shares.sum() > 0.5)
