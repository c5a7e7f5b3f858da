"""The character sets of HL7 v2 messages: MSH-18 by HL7 table 0211."""

from __future__ import annotations

import re
from collections.abc import Sequence

from dicomnode.errors import MessageRefusal, MessageRefused

MSH_18 = "MSH-18"
_PARTS = {
    "ascii": "ascii",
    "iso ir6": "ascii",
    "unicode utf 8": "utf-8",
    "unicode": "utf-8",
    "utf 8": "utf-8",
    "8859/1": "iso8859-1",
    "8859/2": "iso8859-2",
    "8859/3": "iso8859-3",
    "8859/4": "iso8859-4",
    "8859/5": "iso8859-5",
    "8859/6": "iso8859-6",
    "8859/7": "iso8859-7",
    "8859/8": "iso8859-8",
    "8859/9": "iso8859-9",
    "8859/15": "iso8859-15",
    "gb 18030 2000": "gb18030",
    "big 5": "big5",
    "ks x 1001": "euc_kr",
    "iso ir87": "iso2022_jp",
    "iso ir159": "iso2022_jp_2",
}
"""Name as :func:`_plain` makes it -> codec of Python. UTF-16 and UTF-32 hold bytes that MLLP and MSH need otherwise."""


def _plain(name: str) -> str:
    """Upper and lower case, and how a name's parts are joined, make no difference.

    >>> _plain("GB18030-2000"), _plain("UNICODE UTF-8"), _plain("ISO IR 87"), _plain("8859/15")
    ('gb 18030 2000', 'unicode utf 8', 'iso ir87', '8859/15')
    """
    parts = re.findall(r"[a-z]+|[0-9/]+", name.casefold())
    joined = " ".join(parts).replace("iso ir ", "iso ir").replace("iso 8859", "8859").replace("iso ir8859", "8859")
    return re.sub(r"^8859 ", "8859/", joined).replace("utf8", "utf 8")


def codec_of(names: Sequence[str], default: str) -> str:
    """The codec of a message.

    Parameters
    ----------
    names : the repetitions of MSH-18; the first is the set that the message begins in, others are switched to.
    default : as table 0211 names it, for a message that names none.

    Raises
    ------
    MessageRefused : a character set that is not read, or several that are not sets of one stream.
    """
    named = [name for name in names if name.strip()] or [default]
    codecs = [_PARTS.get(_plain(name)) for name in named]
    if None in codecs:
        raise MessageRefused(MessageRefusal.UNKNOWN_CHARSET, MSH_18)
    others = {str(codec) for codec in codecs} - {"ascii"}
    if len(others) <= 1:
        return others.pop() if others else "ascii"
    # ISO 2022 switches between its sets within the text; the largest reads them all
    if others == {"iso2022_jp", "iso2022_jp_2"}:
        return "iso2022_jp_2"
    raise MessageRefused(MessageRefusal.UNKNOWN_CHARSET, MSH_18)


def decoded(content: bytes, codec: str) -> str:
    """The text of a message.

    Raises
    ------
    MessageRefused : its bytes are not in that set.
    """
    try:
        return content.decode(codec)
    except UnicodeDecodeError as fault:
        raise MessageRefused(MessageRefusal.NOT_IN_CHARSET, MSH_18) from fault
