"""Judges audit messages by the schema of the standard (DICOM PS3.15 A.5.1.1), read by libxml2."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from lxml import etree

SCHEMA = Path(__file__).parent / "audit_message.rnc"


@cache
def _schema() -> etree.RelaxNG:
    return etree.RelaxNG.from_rnc_string(SCHEMA.read_text(encoding="utf-8"))


def judged(xml: str) -> etree._Element:
    """A message, once the schema has nothing against it; fails the test where it has."""
    root = etree.fromstring(xml.encode("utf-8"))
    assert _schema().validate(root), f"{_schema().error_log}\n{xml}"
    return root
