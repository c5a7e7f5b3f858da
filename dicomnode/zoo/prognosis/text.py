"""The text that the model reads: the template lines of the paper, then the indication; never findings of a report.

Hospital stay and treatment are lines of the paper's template too. They are known only after admission and are left out.
"""

from __future__ import annotations

from collections.abc import Mapping

from dicomnode.zoo.prognosis.bleed import Bleed

UNKNOWN = "unknown"
SEXES = {0.0: "female", 1.0: "male"}


def text_of(variables: Mapping[str, float], bleed: Bleed, indication: str = "") -> str:
    """What is known, as lines in the order of the paper's figure.

    Parameters
    ----------
    variables : by the names of training manifests: ``age``, ``male``, ``onset_to_ct_h``, ``gcs``; absent: not known.

    >>> text_of({"age": 71.0, "gcs": 9.0}, Bleed(volume_ml=0.4), "Headache")
    'age: 71. gender: unknown. onset to ct: unknown. gcs: 9. position: unknown. volume: less than 1 ml. Headache'
    """
    lines = {
        "age": _whole(variables.get("age")),
        "gender": SEXES.get(variables.get("male", -1.0), UNKNOWN),
        "onset to ct": _whole(variables.get("onset_to_ct_h"), " h"),
        "gcs": _whole(variables.get("gcs")),
        "position": bleed.position or UNKNOWN,
        "volume": _volume(bleed.volume_ml),
    }
    return " ".join([*(f"{name}: {says}." for name, says in lines.items()), indication]).strip()


def _whole(value: float | None, unit: str = "") -> str:
    return UNKNOWN if value is None or value != value else f"{value:.0f}{unit}"


def _volume(volume_ml: float | None) -> str:
    return "less than 1 ml" if volume_ml is not None and volume_ml < 1.0 else _whole(volume_ml, " ml")
