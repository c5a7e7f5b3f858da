"""Labels of a lesion's voxels."""

from __future__ import annotations

from enum import IntEnum


class Finding(IntEnum):
    """Label of a lesion's voxel; each voxel has one. From ``CALCIUM`` on in the second edition of the cohort alone."""

    NONE = 0
    INTRAPARENCHYMAL = 1
    INTRAVENTRICULAR = 2
    SUBARACHNOID = 3
    SUBDURAL = 4
    EPIDURAL = 5
    OEDEMA = 6
    STAINING = 7
    INFARCT = 8
    CALCIUM = 9
    SUBDURAL_ISODENSE = 10
    SUBDURAL_CHRONIC = 11


BLOOD = tuple(finding for finding in Finding if Finding.NONE < finding <= Finding.EPIDURAL)
DENSE_NOT_BLOOD = (Finding.STAINING, Finding.CALCIUM)
"""What shows as bright as blood, and is none."""
