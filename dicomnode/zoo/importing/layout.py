"""In which form foreign models come, and what a person says about weights alone."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Layout(StrEnum):
    """What an import is given.

    ``MONAI``: a bundle, in a folder or a zip file. ``BLAST_CT``: files of weights of the network of that tool.
    """

    MONAI = "monai"
    BLAST_CT = "blast-ct"


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightsOptions:
    """What a person says about weights.

    Attributes
    ----------
    name, title : of the model; empty: those of the layout.
    trained_on : goes into every result; empty: what the authors say of their weights.
    """

    name: str = ""
    title: str = ""
    trained_on: str = ""
