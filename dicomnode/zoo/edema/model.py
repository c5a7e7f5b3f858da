"""The model of a bundle: a head CT and what is known of the patient in, the calibrated probability and why out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch

from dicomnode.language import told
from dicomnode.records import Contribution, Inputs, Volume
from dicomnode.zoo.bundle import load_manifest
from dicomnode.zoo.deterioration.variables import VARIABLES, numbers_of_context
from dicomnode.zoo.edema.beside import beside
from dicomnode.zoo.edema.network import EdemaNetwork
from dicomnode.zoo.networks.head_grid import grid_of, image_on
from dicomnode.zoo.networks.lighter import lighter
from dicomnode.zoo.reading.contract import Explained

IMAGE_ALONE = "Imaging only: nothing of the patient's record was known."


class Edema:
    """Brain oedema by one bundle.

    Parameters
    ----------
    network : with its weights loaded.
    bundle : its folder; the manifest has the labels of the variables.
    slope, intercept : from the network's log odds to those of what readers see.

    Raises
    ------
    BundleError : the manifest is at fault.
    """

    def __init__(self, network: EdemaNetwork, bundle: str, slope: float = 1.0, intercept: float = 0.0) -> None:
        self.network, self.slope, self.intercept = network, slope, intercept
        manifest = load_manifest(Path(bundle))
        self.name = manifest.scores[0].name
        self.labels = {variable.name: variable.label for variable in manifest.needs.variables}

    def __call__(self, inputs: Inputs) -> dict[str, Explained]:
        """The probability, what each variable does to it, were it alone not known, and what the head shows beside.

        Raises
        ------
        SeriesError : ``NOT_A_HEAD``, ``NOT_AXIAL``.
        """
        assert isinstance(inputs.volume, Volume)  # the manifest demands an image
        volume = lighter(inputs.volume)
        grid = grid_of(volume)
        image = image_on(grid, volume)
        device = next(self.network.parameters()).device
        features = self.network.heads(image[None, None].to(device))
        variables = numbers_of_context(inputs.context)
        cases = torch.stack([variables, *_without_each(variables)]).to(device)
        values = self.probabilities(features.expand(len(cases), -1), cases).tolist()
        changes = self._contributions(values, self.network.attention(features, cases[:1])[0], variables)
        warnings = () if changes else (IMAGE_ALONE,)
        seen = beside(volume)
        answer = Explained(value=values[0], contributions=changes, warnings=warnings, reference=seen)
        return {self.name: answer}

    def probabilities(self, features: torch.Tensor, variables: torch.Tensor) -> torch.Tensor:
        """(patients,) calibrated, from (patients, features) and (patients, variables)."""
        return torch.sigmoid(self.slope * self.network(features, variables) + self.intercept)

    def _contributions(
        self, values: list[float], attention: torch.Tensor, variables: torch.Tensor
    ) -> tuple[Contribution, ...]:
        """Of the variables that are known, each with its share of the attention."""
        known = torch.isfinite(variables).nonzero()[:, 0].tolist()
        names = list(VARIABLES)
        return tuple(
            Contribution(
                told(
                    "{label} (attention {share:.0f} %)",
                    label=self.labels[names[place]],
                    share=100.0 * float(attention[place]),
                ),
                values[0] - value,
            )
            for place, value in zip(known, values[1:], strict=True)
        )


def _without_each(variables: torch.Tensor) -> Iterator[torch.Tensor]:
    """The variables without each one that is known, in their order."""
    for place in torch.isfinite(variables).nonzero()[:, 0].tolist():
        without = variables.clone()
        without[place] = torch.nan
        yield without
