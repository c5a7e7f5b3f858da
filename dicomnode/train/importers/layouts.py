"""Public data sets -> manifests. Nothing is downloaded: each reads the layout in which its owners give it out.

The licence of a data set binds whoever uses it; it is shown whenever one is imported.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from dicomnode.config.known import there_are
from dicomnode.errors import ConfigError, ManifestError
from dicomnode.train.importers import bhsd, cohort, cq500, physionet, rsna
from dicomnode.train.manifest import Case, write_manifest


@dataclass(frozen=True, slots=True)
class Layout:
    """One data set.

    Attributes
    ----------
    licence : to be shown.
    read : (folder of the data set, folder of the manifest to be written) -> its exams.
    """

    title: str
    licence: str
    read: Callable[[Path, Path], list[Case]]


LAYOUTS: dict[str, Layout] = {
    "rsna2019": Layout("RSNA Intracranial Hemorrhage Detection 2019", rsna.LICENCE, rsna.read),
    "cq500": Layout("CQ500", cq500.LICENCE, cq500.read),
    "ct-ich": Layout("PhysioNet CT-ICH 1.3.1", physionet.LICENCE, physionet.read),
    "bhsd": Layout("BHSD", bhsd.LICENCE, bhsd.read),
    "cohort": Layout("dicomnode cohort", cohort.LICENCE, cohort.read),
}


def import_layout(name: str, folder: Path, manifest: Path) -> Layout:
    """Write the manifest of a data set.

    Raises
    ------
    ConfigError : there is no such layout.
    ManifestError : the folder is not laid out as expected; all that is missing is listed.
    """
    if name not in LAYOUTS:
        raise ConfigError([f"there is no layout {name!r}{there_are(name, LAYOUTS)}"])
    layout = LAYOUTS[name]
    cases = layout.read(folder, manifest.parent)
    if not cases:
        raise ManifestError([f"{folder}: no exam of {layout.title} in it"])
    write_manifest(manifest, cases)
    return layout
