"""One section of a report that comes as one text."""

from __future__ import annotations

import pytest

from dicomnode.clinical.sections import section

REPORT = "CT head.\nIndication: fall, ?bleed\nFINDINGS:\nNo bleed.\nTechnique: 5 mm\nIndication: as above"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("indication", "fall, ?bleed\nas above"),
        ("findings", "No bleed."),
        ("report", "CT head.\nTechnique: 5 mm"),
        ("impression", ""),
    ],
)
def test_a_section_is_all_that_stands_under_its_headings(name: str, text: str) -> None:
    assert section(REPORT, name) == text
