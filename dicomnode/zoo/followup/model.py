"""The model of a bundle: a head CT after thrombectomy in, the scan to come and its chance of blood out."""

from __future__ import annotations

import numpy as np
import torch

from dicomnode.language import told
from dicomnode.records import Inputs, Volume
from dicomnode.zoo.followup.grid import head_of
from dicomnode.zoo.followup.network import FollowUpNetwork
from dicomnode.zoo.reading.contract import Explained, Predicted

SCAN, BLOOD = "followup", "followup_blood"
"""Names of what the bundle gives."""
NOTE = "Blood on it: {share:.0f} %"


class FollowUp:
    """The predicted follow-up scan by one bundle.

    Parameters
    ----------
    network : with its weights loaded.
    horizon_h : how long after the scan at hand the predicted one is.
    slope, intercept : from the network's log odds of the exam to those of what came.
    """

    def __init__(
        self, network: FollowUpNetwork, horizon_h: float = 24.0, slope: float = 1.0, intercept: float = 0.0
    ) -> None:
        self.network, self.horizon_h, self.slope, self.intercept = network, horizon_h, slope, intercept

    def __call__(self, inputs: Inputs) -> dict[str, Predicted | Explained]:
        """The scan on the source's own slices, and the probability that it shows blood.

        Outside of the space within the skull, at its rim, and where the grid of the network does not reach, the
        source's voxels stay to the last bit.

        Raises
        ------
        SeriesError : ``NOT_A_HEAD``, ``NOT_AXIAL``.
        """
        volume = inputs.volume
        assert isinstance(volume, Volume)  # the manifest demands an image
        head = head_of(volume)
        device = next(self.network.parameters()).device
        given = torch.tensor([[self.horizon_h]], device=device)
        said = self.network(head.image[None].to(device), given)
        brain = head.grid.planes.orientation.from_canonical(head.grid.brain)
        # bone is mixed into the rim: no pair has taught what comes of it
        taught = head.inner.float()
        change, blood = (
            np.where(brain, head.grid.on_slices(taught * values[0].float().cpu(), volume.hu.shape), np.float32(0.0))
            for values in (said.change_hu, torch.sigmoid(said.blood_logit))
        )
        exam = float(torch.sigmoid(self.slope * said.exam_logit[0] + self.intercept))
        scan = Predicted(np.asarray(volume.hu + change, np.float32), blood, told(NOTE, share=100.0 * exam))
        return {SCAN: scan, BLOOD: Explained(value=exam)}
