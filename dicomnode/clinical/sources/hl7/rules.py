"""What the configuration says of HL7 messages, made ready and checked against what the node knows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from dicomnode.clinical.sources.hl7.charsets import codec_of
from dicomnode.clinical.units import plain
from dicomnode.clinical.variables import SECTIONS, VARIABLES
from dicomnode.config.known import did_you_mean
from dicomnode.config.whole import Config
from dicomnode.errors import ConfigError, MessageRefused

WHERE = "clinical.hl7"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """How messages are read.

    Attributes
    ----------
    issuer : of patient IDs that name nobody.
    zone : of times in messages that state no offset.
    charset : of messages that name none, by table 0211.
    codes : local code -> variable or section; empty: passed over.
    units : local code -> unit.
    """

    issuer: str
    zone: ZoneInfo
    charset: str
    processing_ids: frozenset[str]
    codes: Mapping[str, str]
    units: Mapping[str, str]


def rules_of(config: Config) -> Rules:
    """The rules of a configuration.

    Raises
    ------
    ConfigError : a character set, variable, section or unit that the node does not know.
    """
    hl7 = config.clinical.hl7
    if faults := list(_faults(config)):
        raise ConfigError(faults)
    return Rules(
        issuer=config.clinical.issuer,
        zone=ZoneInfo(config.node.timezone),
        charset=hl7.charset,
        processing_ids=frozenset(hl7.processing_ids),
        codes=dict(hl7.codes),
        units=dict(hl7.units),
    )


def _faults(config: Config) -> Iterator[str]:
    hl7 = config.clinical.hl7
    try:
        codec_of([], hl7.charset)
    except MessageRefused:
        yield f"{WHERE}.charset: {hl7.charset!r} is no character set of HL7 table 0211 that the node reads"
    known = (*VARIABLES, *SECTIONS, "")
    for code, name in hl7.codes.items():
        if name not in known:
            yield f"{WHERE}.codes: {code!r} means {name!r}, no variable or section{did_you_mean(name, known)}"
    for code, unit in hl7.units.items():
        variable = VARIABLES.get(hl7.codes.get(code, ""))
        if variable is None:
            yield f"{WHERE}.units: {code!r} is not in codes as a variable"
        elif plain(unit) not in variable.units:
            yield f"{WHERE}.units: {code!r} has the unit {unit!r}, which its variable does not know"
