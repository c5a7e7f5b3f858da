"""Texts from DiagnosticReport resources of FHIR R4: what was written for people, by section."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import Message
from html.parser import HTMLParser
from zoneinfo import ZoneInfo

from dicomnode.clinical.sources.fhir.moments import written_at
from dicomnode.clinical.sources.fhir.shapes import Json, codes_of, codings, part, parts, resource_id, words
from dicomnode.clinical.sources.header import storable
from dicomnode.clinical.sources.layout import MAX_TEXT
from dicomnode.clinical.sources.structured_report import SECTION_OF
from dicomnode.clinical.values import refused
from dicomnode.errors import ContextError, ContextRefusal
from dicomnode.records import ContextSource, Patient, ReportSection

COUNTING = frozenset({"final", "amended", "corrected", "appended", "preliminary", "partial"})
LABORATORY = frozenset({"LAB", "HM", "CH", "MB", "BLB", "IMM", "SR", "TX", "VR"})
"""Categories (HL7 table 0074) whose texts repeat numbers that Observations give."""
MOST_ENCODED = 4 * MAX_TEXT
WHOLE = "report"


@dataclass(frozen=True, slots=True)
class TextReader:
    """Reads resources about one patient.

    Attributes
    ----------
    skipped : why single reports were not taken.
    """

    patient: Patient
    zone: ZoneInfo
    skipped: list[ContextRefusal]

    def read(self, resource: Json) -> list[ReportSection]:
        """Its texts; none where it does not count, or is one of a laboratory."""
        categories = {code for concept in parts(resource, "category") for code in codes_of(concept)}
        if words(resource, "status") not in COUNTING or categories & LABORATORY:
            return []
        try:
            moment = written_at(resource, self.zone)
            texts = dict(self._texts(resource))
            if not texts:
                raise refused(ContextRefusal.NO_TEXT)
        except ContextError as fault:
            self.skipped.extend(why for _, why in fault.faults)
            return []
        return [
            ReportSection(
                patient=self.patient,
                section=section,
                text=text,
                author=_author(resource),
                source=ContextSource.FHIR,
                written_at=moment,
                provenance=resource_id(resource),
            )
            for section, text in texts.items()
        ]

    def _texts(self, resource: Json) -> Iterator[tuple[str, str]]:
        """The whole in the words of its author, else as the server shows it; and the conclusion."""
        section = next(
            (SECTION_OF[code] for _, code, _ in codings(part(resource, "code")) if code in SECTION_OF), WHOLE
        )
        conclusion = _kept(words(resource, "conclusion", MAX_TEXT))
        whole = "\n".join(filter(None, map(_attached, parts(resource, "presentedForm"))))
        if not whole and not conclusion and words(part(resource, "text"), "status") != "empty":
            whole = plain_text(words(part(resource, "text"), "div", MOST_ENCODED))
        if _kept(whole):
            yield section, _kept(whole)
        if conclusion:
            yield "impression", conclusion


def _kept(text: str) -> str:
    return storable(text).strip()[:MAX_TEXT]


def _attached(attachment: Json) -> str:
    """The text of an Attachment; empty where it is none, or only a link: a link leads to wherever it likes.

    Raises
    ------
    ContextError : it is damaged.
    """
    kind = Message()
    kind["Content-Type"] = words(attachment, "contentType")
    data = words(attachment, "data", MOST_ENCODED)
    if kind.get_content_type() not in ("text/plain", "text/html") or not data:
        return ""
    try:
        charset = kind.get_param("charset") or "utf-8"
        text = base64.b64decode("".join(data.split()), validate=True).decode(str(charset))
    except (binascii.Error, UnicodeDecodeError, LookupError, ValueError) as fault:
        raise refused(ContextRefusal.NOT_READABLE) from fault
    return plain_text(text) if kind.get_content_type() == "text/html" else text


def _author(resource: Json) -> str:
    named = [*parts(resource, "resultsInterpreter"), *parts(resource, "performer")]
    return storable(next(filter(None, (words(one, "display") for one in named)), ""))


class _Words(HTMLParser):
    """Collects what people read; block elements end a line."""

    BLOCKS = frozenset({"p", "div", "br", "tr", "li", "table", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "hr"})
    UNSEEN = frozenset({"script", "style", "head"})

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.pieces: list[str] = []
        self._unseen = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._unseen += tag in self.UNSEEN
        self.pieces.append("\n" if tag in self.BLOCKS else " " if tag in ("td", "th") else "")

    def handle_endtag(self, tag: str) -> None:
        self._unseen -= tag in self.UNSEEN and self._unseen > 0
        self.pieces.append("\n" if tag in self.BLOCKS else "")

    def handle_data(self, data: str) -> None:
        if not self._unseen:
            self.pieces.append(data)


def plain_text(html: str) -> str:
    """What people read of HTML.

    >>> plain_text("<div><p>Bleed, <b>left</b>.</p><ul><li>no &lt;shift&gt;</li></ul></div>")
    'Bleed, left.\\nno <shift>'
    """
    parser = _Words()
    parser.feed(html)
    parser.close()
    lines = (" ".join(line.split()) for line in "".join(parser.pieces).splitlines())
    return "\n".join(line for line in lines if line)
