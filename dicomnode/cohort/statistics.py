"""Volumes and attenuation of intracranial bleeds, fitted to published per-scan statistics.

Source: the CC0 tables of bleed characteristics published with the in-silico ICH data set of the FDA's DIDSR
(``BHSD_hemorrhage_characteristics.csv``, 1,873 fragments of the BHSD data set, and
``Hssayeni_unique_hemorrhage_characteristics.csv``, 80 fragments of PhysioNet CT-ICH). Fragments were summed per scan
and type (228 scans) before a lognormal was fitted to the volumes; ``n`` is the number of scans with that type. The
sample median of the IPH volume is 7.7 mL over both tables (9.4 mL in BHSD alone).

The HU figures are those of clotted blood itself: acute extravasated blood measures 50 to 80 HU. The medians of the
tables are lower (IPH 49.7, SD 8.6) because the published masks include the rim where blood and brain share a voxel;
here that mixing is done by the synthetic scanner.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class BleedKind(StrEnum):
    """Type of a bleed by compartment."""

    INTRAPARENCHYMAL = "intraparenchymal"
    INTRAVENTRICULAR = "intraventricular"
    SUBDURAL = "subdural"
    EPIDURAL = "epidural"
    SUBARACHNOID = "subarachnoid"


@dataclass(frozen=True, slots=True)
class BleedStatistics:
    """Distribution of one type of bleed over scans.

    Attributes
    ----------
    log_mean, log_sd : of the lognormal of the volume in mL per scan (from the sample median; SD of the logarithms).
    volume_limits_ml : draws are repeated until they lie within (5th percentile to what a head can hold).
    hu_mean, hu_sd, hu_limits : attenuation of the clot.
    scans : number of scans with this type, of 228.
    """

    log_mean: float
    log_sd: float
    volume_limits_ml: tuple[float, float]
    hu_mean: float
    hu_sd: float
    hu_limits: tuple[float, float]
    scans: int


BLEED_STATISTICS: dict[BleedKind, BleedStatistics] = {
    BleedKind.INTRAPARENCHYMAL: BleedStatistics(2.035, 1.797, (0.2, 150.0), 61.0, 7.0, (50.0, 80.0), 141),
    BleedKind.INTRAVENTRICULAR: BleedStatistics(0.811, 1.745, (0.1, 60.0), 57.0, 6.0, (50.0, 75.0), 109),
    BleedKind.SUBDURAL: BleedStatistics(1.802, 1.522, (0.5, 120.0), 60.0, 7.0, (50.0, 78.0), 73),
    BleedKind.EPIDURAL: BleedStatistics(1.744, 1.364, (0.5, 120.0), 63.0, 7.0, (50.0, 80.0), 45),
    BleedKind.SUBARACHNOID: BleedStatistics(0.693, 1.637, (0.2, 60.0), 57.0, 5.0, (50.0, 72.0), 116),
}
