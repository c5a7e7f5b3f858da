"""Text and colours of the pictures, with the font that comes with Pillow."""

from __future__ import annotations

import unicodedata
from functools import lru_cache

from PIL import ImageDraw, ImageFont

Colour = tuple[int, int, int]
Box = tuple[int, int, int, int]
"""(left, top, right, bottom) in pixels."""

BACKGROUND: Colour = (14, 17, 22)
PANEL: Colour = (24, 29, 37)
LINE: Colour = (52, 60, 72)
INK: Colour = (236, 240, 245)
DIM: Colour = (176, 186, 198)
FAINT: Colour = (128, 138, 150)
BANNER: Colour = (255, 196, 0)
BANNER_INK: Colour = (30, 24, 0)
MAX_LINES = 6
DIAERESIS = "\N{COMBINING DIAERESIS}"


@lru_cache(maxsize=32)
def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """The bundled font; no file of the system is needed, so a picture is the same everywhere."""
    return ImageFont.load_default(size)


def plain(text: str) -> tuple[str, list[int]]:
    """Text in letters that the bundled font has, and which of them carry an umlaut's dots: it has no letter with any.

    >>> plain("Größe")
    ('Grosse', [2])
    """
    letters, dotted = "", []
    for sign in unicodedata.normalize("NFD", text.replace("ß", "ss").replace("ẞ", "SS")):
        if sign == DIAERESIS:
            dotted.append(len(letters) - 1)
        elif not unicodedata.combining(sign):
            letters += sign
    return letters, dotted


class Pen:
    """Writes on one picture."""

    def __init__(self, draw: ImageDraw.ImageDraw) -> None:
        self.draw = draw

    def text(
        self, at: tuple[float, float], text: str, size: int, colour: Colour, *, anchor: str = "la", halo: bool = False
    ) -> None:
        """One line. ``halo`` puts a dark rim around it, for text on images."""
        letters, dotted = plain(text)
        rim = 2 if halo else 0
        self.draw.text(
            at, letters, font=font(size), fill=colour, anchor=anchor, stroke_width=rim, stroke_fill=BACKGROUND
        )
        left = at[0] - {"l": 0.0, "m": 0.5, "r": 1.0}[anchor[0]] * self.width(letters, size)
        # where the line stands: the baseline is the same for all its letters
        base = self.draw.textbbox(at, "H", font=font(size), anchor=f"l{anchor[1]}")[3]
        for index in dotted:
            self._dots(left + self.width(letters[:index], size), base, letters[index], size, colour, rim)

    def _dots(self, left: float, base: float, letter: str, size: int, colour: Colour, rim: int) -> None:
        """The two dots of an umlaut, over a letter whose left edge and baseline are given."""
        over = self.draw.textbbox((left, base), letter, font=font(size), anchor="ls")
        radius, middle = max(0.8, size / 16), (over[0] + over[2]) / 2
        top = over[1] - 2.2 * radius
        for x in (middle - 2.2 * radius, middle + 2.2 * radius):
            for grown, fill in ((radius + rim, BACKGROUND), (radius, colour)) if rim else ((radius, colour),):
                self.draw.ellipse((x - grown, top - grown, x + grown, top + grown), fill=fill)

    def width(self, text: str, size: int) -> float:
        """Of one line, pixels."""
        return self.draw.textlength(plain(text)[0], font=font(size))

    def heading(self, at: tuple[int, int], text: str, width: int) -> int:
        """A small heading with a rule below it; returns the y below."""
        left, top = at
        self.text((left, top), self.shortened(text, width, 16), 16, INK)
        self.draw.line((left, top + 24, left + width, top + 24), fill=LINE, width=1)
        return top + 32

    def row(self, left: int, right: int, top: int, name: str, value: str, size: int = 15) -> int:
        """A name at the left, its value at the right; returns the y below."""
        room = int(right - left - self.width(value, size) - 12)
        self.text((left, top), self.shortened(name, room, size), size, DIM)
        self.text((right, top), value, size, INK, anchor="ra")
        return top + size + 8

    def paragraph(self, at: tuple[int, int], text: str, width: int, size: int, colour: Colour) -> int:
        """Text broken at blanks to fit ``width``, at most ``MAX_LINES`` of it; returns the y below."""
        left, top = at
        lines = self.lines(text, width, size)
        if len(lines) > MAX_LINES:
            lines[MAX_LINES - 1 :] = [self.shortened(" ".join(lines[MAX_LINES - 1 :]), width, size)]
        for line in lines:
            self.text((left, top), line, size, colour)
            top += size + 5
        return top

    def lines(self, text: str, width: int, size: int) -> list[str]:
        """``text`` in lines of at most ``width`` pixels; a longer word is cut short."""
        lines: list[str] = []
        for word in text.split():
            longer = f"{lines[-1]} {word}" if lines else word
            if lines and self.width(longer, size) <= width:
                lines[-1] = longer
            else:
                lines.append(self.shortened(word, width, size))
        return lines

    def shortened(self, text: str, width: int, size: int) -> str:
        """``text``, or as much of it as fits, with an ellipsis."""
        if self.width(text, size) <= width:
            return text
        while text and self.width(text + "…", size) > width:
            text = text[:-1]
        return text + "…"


def banner(pen: Pen, box: Box, text: str) -> None:
    """A coloured bar with one centred line."""
    left, top, right, bottom = box
    pen.draw.rectangle(box, fill=BANNER)
    pen.text(((left + right) / 2, (top + bottom) / 2), text, 22, BANNER_INK, anchor="mm")
