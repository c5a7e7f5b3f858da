"""What an encoder of heads is taught to tell, and in which order."""

from __future__ import annotations

TOKENS = (4, 6, 6)
"""Of the grid of a head, in patches of 8 x 16 x 16 voxels."""
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
"""Findings whose volume is told, in each token and in the whole head."""
SHIFT = "midline_shift_mm"
FACTS = (*KINDS, "blood_z", "blood_y", "blood_x", "dark_z", "dark_y", "dark_x", "darkness", SHIFT)
"""Of a whole head: logarithms of 1 + mL, places from the middle of the grid in mm, HU below the brain, mm."""
