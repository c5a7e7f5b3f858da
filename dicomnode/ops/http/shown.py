"""Templates, and how moments, ages and sizes are written. Every value is escaped; there is no script."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.responses import HTMLResponse

from dicomnode import __version__
from dicomnode.config.sections import Node
from dicomnode.errors import Refusal
from dicomnode.ops.http.guard import Visit
from dicomnode.store.history.facts import fact, told


class Templates:
    """The pages of a node.

    Parameters
    ----------
    node_of : what names the node on every page, and the zone that moments are shown in; asked for each page.
    """

    def __init__(self, node_of: Callable[[], Node]) -> None:
        self._node_of = node_of
        self._pages = Environment(
            loader=PackageLoader("dicomnode.ops.http"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
        )
        self._pages.filters |= {"moment": self._moment, "since": since, "age": age, "size": size, "words": words}
        self._pages.filters |= {"fact": fact, "reason": reason, "told": told}
        self._pages.globals |= {"version": __version__}

    def page(self, name: str, *, status: int = 200, visit: Visit | None = None, **values: Any) -> HTMLResponse:
        """One page; what is to be said once is said on it."""
        said = ""
        if visit is not None:
            said, visit.session.said = visit.session.said, ""
        node = self._node_of()
        values = {"refresh_s": 0, "ae_title": node.ae_title, "timezone": node.timezone, **values}
        text = self._pages.get_template(name).render(visit=visit, said=said, **values)
        return HTMLResponse(text, status_code=status)

    def _moment(self, at: float | None) -> str:
        return (
            "-"
            if at is None
            else datetime.fromtimestamp(at, ZoneInfo(self._node_of().timezone)).strftime("%Y-%m-%d %H:%M:%S")
        )


def since(at: float | None) -> str:
    """How long ago a moment was."""
    return "-" if at is None else age(time.time() - at)


def age(seconds: float) -> str:
    """A length of time in its largest unit.

    >>> age(0.4), age(75), age(7300), age(200_000)
    ('0 s', '75 s', '2 h', '56 h')
    """
    seconds = max(0.0, seconds)
    for unit, length in (("d", 86400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * length and not (unit == "d" and seconds < 3 * length):
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"


def size(count: float) -> str:
    """Bytes in GB."""
    return f"{count / 1e9:.1f} GB"


def words(name: str) -> str:
    """A state as words: ``sent_unproven`` -> ``sent unproven``."""
    return name.replace("_", " ")


def reason(code: str) -> str:
    """A coded refusal with its sentence; a code that this version does not know as words.

    >>> reason("localizer"), reason("of_a_later_version")
    ('localizer: A localizer (scout) image, not an axial slice.', 'of a later version')
    """
    return f"{words(code)}: {Refusal(code).sentence()}" if code in list(Refusal) else words(code)
