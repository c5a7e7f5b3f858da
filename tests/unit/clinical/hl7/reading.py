"""Messages read without a port or a database."""

from __future__ import annotations

from typing import Any

from dicomnode.clinical.sources.hl7.header import header_of
from dicomnode.clinical.sources.hl7.reading import Reading, read_message
from dicomnode.clinical.sources.hl7.rules import Rules, rules_of
from dicomnode.config.whole import Config
from dicomnode.records import Observation, ReportSection


def rules(timezone: str = "UTC", issuer: str = "HOSPITAL", **hl7: Any) -> Rules:
    """Rules as a configuration gives them."""
    raw = {"node": {"timezone": timezone}, "clinical": {"issuer": issuer, "hl7": hl7}}
    return rules_of(Config.model_validate(raw))


def read(text: str | bytes, by: Rules | None = None) -> Reading:
    """Read a message."""
    by = by or rules()
    content = text if isinstance(text, bytes) else text.encode()
    return read_message(content, header_of(content, by.charset), by)


def values(reading: Reading) -> dict[str, object]:
    """Name -> value of what is told."""
    return {one.known.name: one.known.value for one in reading.told if isinstance(one.known, Observation)}


def texts(reading: Reading) -> dict[str, str]:
    """Section -> text of what is told."""
    return {one.known.section: one.known.text for one in reading.told if isinstance(one.known, ReportSection)}


def reasons(reading: Reading) -> list[str]:
    """Why parts are not used."""
    return [fault.why.value for fault in reading.faults]
