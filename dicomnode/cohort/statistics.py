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


@dataclass(frozen=True, slots=True, kw_only=True)
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
    BleedKind.INTRAPARENCHYMAL: BleedStatistics(
        log_mean=2.035,
        log_sd=1.797,
        volume_limits_ml=(0.2, 150.0),
        hu_mean=61.0,
        hu_sd=7.0,
        hu_limits=(50.0, 80.0),
        scans=141,
    ),
    BleedKind.INTRAVENTRICULAR: BleedStatistics(
        log_mean=0.811,
        log_sd=1.745,
        volume_limits_ml=(0.1, 60.0),
        hu_mean=57.0,
        hu_sd=6.0,
        hu_limits=(50.0, 75.0),
        scans=109,
    ),
    BleedKind.SUBDURAL: BleedStatistics(
        log_mean=1.802,
        log_sd=1.522,
        volume_limits_ml=(0.5, 120.0),
        hu_mean=60.0,
        hu_sd=7.0,
        hu_limits=(50.0, 78.0),
        scans=73,
    ),
    BleedKind.EPIDURAL: BleedStatistics(
        log_mean=1.744,
        log_sd=1.364,
        volume_limits_ml=(0.5, 120.0),
        hu_mean=63.0,
        hu_sd=7.0,
        hu_limits=(50.0, 80.0),
        scans=45,
    ),
    BleedKind.SUBARACHNOID: BleedStatistics(
        log_mean=0.693,
        log_sd=1.637,
        volume_limits_ml=(0.2, 60.0),
        hu_mean=57.0,
        hu_sd=5.0,
        hu_limits=(50.0, 72.0),
        scans=116,
    ),
}
