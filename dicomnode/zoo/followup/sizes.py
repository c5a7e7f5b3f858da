"""How large the network of the predicted follow-up is, and which of its parts it has."""

from __future__ import annotations

from dataclasses import dataclass

from dicomnode.zoo.networks.windows import Sizes


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowUpSize:
    """Sizes of encoder and decoders.

    Attributes
    ----------
    patch : voxels (slabs, rows, columns) of a token. width : of the tokens of the first level, doubled at each further.
    depths, heads : blocks, and heads of their attention, of each level; the last one is the bottleneck.
    window : tokens of a window.
    """

    patch: Sizes
    width: int
    depths: tuple[int, ...]
    heads: tuple[int, ...]
    window: Sizes

    @property
    def widths(self) -> tuple[int, ...]:
        """Of the tokens of each level."""
        return tuple(self.width * 2**level for level in range(len(self.depths)))


PAPER = FollowUpSize(patch=(4, 4, 4), width=96, depths=(2, 2, 2, 1), heads=(3, 6, 12, 24), window=(7, 7, 7))
"""Of the published code's defaults."""
FAST = FollowUpSize(patch=(2, 4, 4), width=24, depths=(1, 1, 1), heads=(2, 4, 8), window=(4, 6, 6))
SIZES = {"paper": PAPER, "fast": FAST}


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowUpParts:
    """What of the whole there is; with less it is there for comparison.

    Attributes
    ----------
    generates, classifies : has it the decoder of the scan, and that of the outcome?
    shares : do both use one map of attention? Else each has its own.
    variables : of the patient, beside the hours; 0 for none.
    """

    generates: bool = True
    classifies: bool = True
    shares: bool = True
    variables: int = 0
