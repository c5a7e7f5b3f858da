"""QIDO-RS (DICOM PS3.18 10.6): which instances a DICOMweb server shows, and whose study it says a study is."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from pydicom.datadict import tag_for_keyword

from dicomnode.config.destinations import WebDestination
from dicomnode.deliver.answers import Match, Series, Shown, Studies, shown_of, studies_of, uid_of
from dicomnode.deliver.stow import NOT_OFFERED, values
from dicomnode.deliver.web_client import WebClient
from dicomnode.dicom.identity import KEYWORDS
from dicomnode.errors import DeliveryError
from dicomnode.web.client import Answer

SOP_INSTANCE_UID, STUDY_INSTANCE_UID, SERIES_INSTANCE_UID = "00080018", "0020000D", "0020000E"

PAGE = 100
"""A page of at least this many may have been cut off by a limit of the server: the next one is asked for."""

_MAX_PAGES = 1000


def find_instances(client: WebClient, destination: WebDestination, series: Iterable[Series]) -> dict[Series, Shown]:
    """SOP Instance UIDs that the server says it has, per series; the counterpart of a C-FIND at IMAGE level.

    Raises
    ------
    AssociationRejected : no whole answer in time.
    DestinationUnavailable : no connection, the server answers no query now, or not with these credentials.
    DeliveryError : an answer that is none.
    """
    return {one: _found(client, destination, one) for one in dict.fromkeys(series)}


def find_anywhere(
    client: WebClient, destination: WebDestination, sop_instance_uids: Iterable[str]
) -> dict[str, Studies]:
    """In which studies the server shows each instance, whatever study it was sent for (PS3.18 table 10.6.1-2).

    The counterpart of :func:`dicomnode.deliver.query.find_anywhere`.

    Raises
    ------
    AssociationRejected : no whole answer in time.
    DestinationUnavailable : no connection, the server answers no query now, or not with these credentials.
    DeliveryError : an answer that is none, or no query for instances alone at this path.
    """
    return {uid: _studies(client, destination, uid) for uid in dict.fromkeys(sop_instance_uids)}


def _studies(client: WebClient, destination: WebDestination, uid: str) -> Studies:
    url = f"{destination.query_url or destination.url}/instances"
    answer = client.request("GET", f"{url}?SOPInstanceUID={uid}&includefield=StudyInstanceUID,SeriesInstanceUID")
    if answer.status in NOT_OFFERED:
        raise DeliveryError(_no_query(url, answer))
    return studies_of([_match_of(row) for row in rows_of(answer, url)], uid)


def find_identities(
    client: WebClient, destination: WebDestination, study_uids: Iterable[str]
) -> dict[str, list[dict[str, str]]]:
    """Whose study each is, as the server says: keyword -> value, once for each study it has under the UID.

    The counterpart of :func:`dicomnode.deliver.query.find_identities`; but a server without QIDO-RS is no reason to go
    on unasked, since 404 may as well be a mistyped path: ``identity = "trust"`` says that it need not be asked.

    Raises
    ------
    AssociationRejected : no whole answer in time.
    DestinationUnavailable : no connection, the server answers no query now, or not with these credentials.
    DeliveryError : an answer that is none, or no QIDO-RS at this path.
    """
    return {uid: _identities(client, destination, uid) for uid in dict.fromkeys(study_uids)}


def _identities(client: WebClient, destination: WebDestination, study_uid: str) -> list[dict[str, str]]:
    url = f"{destination.query_url or destination.url}/studies"
    answer = client.request("GET", f"{url}?StudyInstanceUID={study_uid}&includefield={','.join(KEYWORDS)}")
    if answer.status in NOT_OFFERED:
        raise DeliveryError(f"{_no_query(url, answer)}, or set identity = 'trust'")
    rows = rows_of(answer, url)
    if any(_match_of(row).study_uid is None for row in rows):
        raise DeliveryError(f"{url}: QIDO-RS was answered with something of which it cannot be told what it is about")
    own = [row for row in rows if _match_of(row).study_uid in ("", study_uid)]
    if rows and not own and (len(rows) >= PAGE or "warning" in answer.headers):
        raise DeliveryError(f"{url}: QIDO-RS was answered with other studies, and not with all that the server has")
    return [identity_of(row) for row in own]


def identity_of(row: Any) -> dict[str, str]:
    """What one match says; a keyword that is not in it: nothing was said about it."""
    tags = {keyword: f"{tag_for_keyword(keyword):08X}" for keyword in KEYWORDS}
    return {keyword: text_in(values(row, tag)) for keyword, tag in tags.items() if tag in row}


def text_in(found: list[Any]) -> str:
    """The first value; the groups of a person name are joined as in a data set (PS3.18 F.2.2, PS3.5 6.2.1.2)."""
    value = found[0] if found else ""
    if isinstance(value, dict):
        groups = [str(value.get(group) or "") for group in ("Alphabetic", "Ideographic", "Phonetic")]
        value = "=".join(groups).rstrip("=")
    return "" if value is None else str(value).strip(" \0")


def _no_query(url: str, answer: Answer) -> str:
    return f"{url}: the server does not offer QIDO-RS here (HTTP {answer.status}); check url and query_url"


def _found(client: WebClient, destination: WebDestination, series: Series) -> Shown:
    base = destination.query_url or destination.url
    url = f"{base}/studies/{series[0]}/series/{series[1]}/instances"
    found, rows = Shown(), 0
    for _ in range(_MAX_PAGES):
        answer = client.request("GET", f"{url}?offset={rows}" if rows else url)
        if answer.status == 404:
            _check_path(client, base, series[0])
        page = rows_of(answer, url)
        shown = shown_of(map(_match_of, page), series)
        is_news, is_cut = not shown <= found, "warning" in answer.headers
        found |= shown
        rows += len(page)
        # A server that knows no offset answers with the same again: where it kept some back, they stay unknown.
        found.is_whole = found.is_whole and shown.is_whole and (is_news or not page or not is_cut)
        if not is_news or (len(page) < PAGE and not is_cut):
            return found
    found.is_whole = False
    return found


def _check_path(client: WebClient, base: str, study_uid: str) -> None:
    """404 says that there is no such series, or no QIDO-RS at all; only the first means that a result was lost."""
    url = f"{base}/studies"
    answer = client.request("GET", f"{url}?StudyInstanceUID={study_uid}&limit=1")
    if answer.status not in (200, 204):
        raise DeliveryError(_no_query(url, answer))


def rows_of(answer: Answer, url: str) -> list[Any]:
    """The matches of one answer, which need not be JSON objects.

    204 and 404 say that there are none (PS3.18 table 10.6.3-1), and so do 200 with no body, and the ``null`` of servers
    to which an empty list is nothing.
    """
    if answer.status in (204, 404) or (answer.status == 200 and not answer.content.strip()):
        return []
    if answer.status != 200:
        raise DeliveryError(f"{url}: QIDO-RS was answered with HTTP {answer.status}")
    try:
        said: Any = json.loads(answer.content)
    except (ValueError, RecursionError) as fault:
        raise DeliveryError(f"{url}: QIDO-RS was answered with something that is no JSON") from fault
    if said is not None and not isinstance(said, list):
        raise DeliveryError(f"{url}: QIDO-RS was answered with something that is no list of matches")
    return said or []


def _match_of(row: Any) -> Match:
    """The UIDs of one match; what is no JSON object cannot be read."""
    if not isinstance(row, dict):
        return Match()
    tags = (STUDY_INSTANCE_UID, SERIES_INSTANCE_UID, SOP_INSTANCE_UID)
    return Match(*(uid_of(values(row, tag)) for tag in tags))
