"""Contact sheets: what a cohort looks like at a glance."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dicomnode.cohort.acquire import AcquiredSeries
from dicomnode.cohort.findings import Finding
from dicomnode.cohort.scanner import Scan

TILE = 128
COLOURS: dict[Finding, tuple[int, int, int]] = {
    Finding.INTRAPARENCHYMAL: (255, 40, 40),
    Finding.INTRAVENTRICULAR: (255, 160, 0),
    Finding.SUBARACHNOID: (255, 255, 0),
    Finding.SUBDURAL: (255, 0, 255),
    Finding.EPIDURAL: (160, 0, 255),
    Finding.OEDEMA: (0, 255, 120),
    Finding.STAINING: (0, 200, 255),
    Finding.INFARCT: (70, 100, 255),
    Finding.CALCIUM: (255, 120, 200),
    Finding.SUBDURAL_ISODENSE: (190, 120, 255),
    Finding.SUBDURAL_CHRONIC: (110, 60, 200),
}
STRIP = 8
"""Slices of one scan on the sheet of the cohort."""

Tiles = NDArray[np.uint8]


def _grey(series: AcquiredSeries, chosen: Sequence[int]) -> tuple[Tiles, int]:
    """(slices, about TILE, about TILE, 3) brain window (0 to 80 HU), and the step that made it."""
    step = max(1, series.acquisition.matrix // TILE)
    grey = np.clip(series.hu[list(chosen), ::step, ::step] / 80.0, 0.0, 1.0) * 255.0
    return np.repeat(grey[..., None], 3, axis=-1).astype(np.uint8), step


def scan_tiles(scan: Scan, chosen: Sequence[int]) -> Tiles:
    """(slices, about TILE, about TILE, 3) chosen slices with findings tinted by type."""
    tiles, step = _grey(scan.series, chosen)
    findings = scan.findings[list(chosen), ::step, ::step]
    for finding, colour in COLOURS.items():
        here = findings == finding
        tiles[here] = (0.6 * tiles[here] + 0.4 * np.array(colour)).astype(np.uint8)
    return tiles


def all_slices(scan: Scan) -> Tiles:
    """One picture with every slice of a scan in a square arrangement."""
    tiles = scan_tiles(scan, range(len(scan.findings)))
    columns = int(np.ceil(np.sqrt(len(tiles))))
    blank = np.zeros((-len(tiles) % columns, *tiles.shape[1:]), np.uint8)
    grid = np.concatenate([tiles, blank]).reshape(-1, columns, *tiles.shape[1:])
    return np.asarray(grid.transpose(0, 2, 1, 3, 4).reshape(-1, columns * tiles.shape[2], 3))


def strip(scan: Scan) -> Tiles:
    """One row of the cohort's sheet: slices spread over the head, the fullest of blood or infarct among them."""
    count = len(scan.findings)
    chosen = np.linspace(0.12 * count, 0.92 * count, STRIP).astype(int).clip(0, count - 1)
    marked = (scan.findings > 0).sum(axis=(1, 2))
    if marked.any():
        chosen[int(np.argmin(np.abs(chosen - marked.argmax())))] = marked.argmax()
    return np.concatenate(list(_square(scan_tiles(scan, chosen.tolist()))), axis=1)


def _square(tiles: Tiles) -> Tiles:
    """(slices, TILE, TILE, 3) cut or filled, so that rows of scans with other matrices fit together."""
    result = np.zeros((len(tiles), TILE, TILE, 3), np.uint8)
    rows, columns = min(TILE, tiles.shape[1]), min(TILE, tiles.shape[2])
    result[:, :rows, :columns] = tiles[:, :rows, :columns]
    return result


def save(picture: Tiles, path: Path) -> None:
    """Write a PNG."""
    Image.fromarray(picture).save(path, compress_level=3)
