"""What is painted in heads and marked by their reader, and in which order."""

from __future__ import annotations

KINDS = (
    "intraparenchymal",
    "intraventricular",
    "subarachnoid",
    "extra_axial",
    "oedema",
    "infarct",
    "staining",
    "calcium",
)
