"""What the network that finds the septum pellucidum looks at: slabs about the frontal horns."""

from __future__ import annotations

import numpy as np

from dicomnode.measure.anatomy.looking import Look

SEPTUM = Look(
    name="septum",
    across_mm=np.arange(-39.5, 40.0),
    back_mm=np.arange(-47.0, 23.0, 3.0),
    up_mm=np.arange(-4.0, 37.0, 4.0),
    windows_hu=((-30.0, 30.0), (-8.0, 24.0), (8.0, 30.0)),
)
"""Fluid, brain, blood."""
