"""What an answer to a query says and what it leaves open, for C-FIND (DICOM PS3.4 C.4.1) and QIDO-RS alike.

An element that an answer leaves out or empty says nothing: the answer belongs to what was asked. An answer that cannot
be attributed at all counts neither as "it is there" nor as "it is not there".
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

Series = tuple[str, str]
"""Study Instance UID and Series Instance UID."""

Studies = frozenset[str] | None
"""Study Instance UIDs under which an instance is shown, empty where none is told; no member: it is shown nowhere. None:
it cannot be told."""


@dataclass(frozen=True, slots=True)
class Match:
    """The UIDs of one answer at IMAGE level: empty where it says nothing, None where what it says cannot be read."""

    study_uid: str | None = None
    series_uid: str | None = None
    sop_instance_uid: str | None = None

    def is_about(self, series: Series) -> bool:
        """Whether nothing in it says that it is about another study or series."""
        pairs = zip((self.study_uid, self.series_uid), series, strict=True)
        return all(said in ("", None, asked) for said, asked in pairs)

    @property
    def is_readable(self) -> bool:
        """Whether it names an instance, and what it says of study and series can be read."""
        return bool(self.sop_instance_uid) and None not in (self.study_uid, self.series_uid)


class Shown(set[str]):
    """SOP Instance UIDs that a destination shows of one series.

    Attributes
    ----------
    is_whole : every answer could be attributed and none was kept back: what is not in the set is not there.
    """

    is_whole = True


def uid_of(values: Iterable[Any]) -> str | None:
    """The one UID among the values of an element; empty where there is none, None where it cannot be read.

    >>> uid_of(["1.2.3 "]), uid_of([]), uid_of([None, ""]), uid_of(["1.2", "1.3"]), uid_of([{"a": 1}])
    ('1.2.3', '', '', None, None)
    """
    said = [value for value in values if value is not None]
    if not all(isinstance(value, str) for value in said):
        return None
    uids = [uid for uid in (value.strip(" \0") for value in said) if uid]
    if len(uids) > 1:
        return None
    return uids[0] if uids else ""


def shown_of(matches: Iterable[Match], series: Series) -> Shown:
    """What the answers to a query for all instances of a series show."""
    shown = Shown()
    for match in matches:
        if not match.is_about(series):
            continue
        if match.is_readable:
            shown.add(str(match.sop_instance_uid))
        else:
            shown.is_whole = False
    return shown


def studies_of(matches: Sequence[Match], sop_instance_uid: str) -> Studies:
    """In which studies the answers to a query for one instance show it, whatever study it was sent for.

    An answer that names no instance belongs to the one that was asked for, as long as it is the only answer.
    """
    named = [match for match in matches if match.sop_instance_uid == sop_instance_uid]
    nameless = [match for match in matches if not match.sop_instance_uid]
    if not named and nameless:
        if len(matches) > 1 or nameless[0].sop_instance_uid is None:
            return None
        named = nameless
    return frozenset(match.study_uid or "" for match in named)
