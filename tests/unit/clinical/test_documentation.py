"""The table of variables in the documentation is that of the code."""

from __future__ import annotations

import re

from dicomnode.clinical.sources.layout import PatientPage
from dicomnode.clinical.variables import SECTIONS, VARIABLES, Nature, Variable
from tests.conftest import REPOSITORY

TEXT = (REPOSITORY / "docs/context.md").read_text(encoding="utf-8")


def what_it_may_be(variable: Variable) -> str:
    if variable.nature is Nature.NUMBER:
        return f"{variable.plausible[0]:g} to {variable.plausible[1]:g}"
    return ", ".join(variable.words) if variable.nature is Nature.WORD else str(variable.nature)


def test_every_variable_stands_in_the_table_with_unit_range_and_codes() -> None:
    rows = {
        row[0].strip("`"): row[1:] for row in re.findall(r"^\| (`\w+`) \|(.*)\|(.*)\|(.*)\|(.*)\|(.*)\|$", TEXT, re.M)
    }
    assert list(rows) == list(VARIABLES)
    for name, variable in VARIABLES.items():
        label, unit, may_be, loinc, lasts = (cell.strip() for cell in rows[name])
        assert label == variable.label
        assert unit.strip("`") == ("" if variable.unit == "{score}" else variable.unit)
        assert (may_be, loinc) == (what_it_may_be(variable), ", ".join(variable.loinc))
        assert lasts == ("yes" if variable.lasts else f"{variable.lasts_h:g} h" if variable.lasts_h else "")


def test_the_document_shown_is_the_example_and_every_section_is_named() -> None:
    for name in ("context.json", "context.csv"):
        assert (REPOSITORY / "docs/examples" / name).read_text(encoding="utf-8") in TEXT
    assert all(f"`{section}`" in TEXT for section in SECTIONS)
    assert all(f"`{field}`" in TEXT for field in PatientPage.model_fields)
