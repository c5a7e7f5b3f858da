"""Person names of two systems compared: what is a difference, and what may be another person (DICOM PS3.5 6.2.1).

A name is up to three groups (alphabetic, ideographic, phonetic) of up to five components (family, given, middle,
prefix, suffix). Systems pad, fold case, drop trailing carets, or keep one group only: none of that makes another name.
Some answer in a character set that has no place for a letter, and put a question mark or nothing there: what such a
name says cannot be known.
"""

from __future__ import annotations

import re
import unicodedata
from itertools import zip_longest

Group = tuple[str, ...]

_LOST = re.compile(r"[?\N{REPLACEMENT CHARACTER}]")
_GERMAN = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss"})


def same_name(one: str, other: str) -> bool:
    """Whether two names are the same but for case, padding, empty components, and groups that one of them lacks.

    >>> same_name("MUELLER^EVA^^^", "Mueller^Eva"), same_name("Yamada^Tarou=山田^太郎", "=山田^太郎")
    (True, True)
    >>> same_name("Müller^Eva", "Müller^Ida")
    False
    """
    mine, theirs = _groups(one), _groups(other)
    shared = [(a, b) for a, b in zip(mine, theirs, strict=False) if a and b]
    if any(a == b for a, b in shared):
        return all(a == b for a, b in shared)
    # Some systems put the only group that they keep in the first place.
    return bool({*filter(None, mine)} & {*filter(None, theirs)}) or not any(mine + theirs)


def same_person(one: str, other: str) -> bool:
    """Whether two names may be those of one person: in a group that both have, family and given name agree.

    Diacritics, German umlauts spelled out, a missing given name, and components run together do not tell persons apart.

    >>> same_person("Müller^Eva", "MUELLER^EVA^^Dr."), same_person("Smith^John", "SMITH JOHN")
    (True, True)
    >>> same_person("Smith^John", "Smith^Joan")
    False
    """
    if same_name(one, other):
        return True
    return any(_agree(a, b) for a in _groups(one) if a for b in _groups(other) if b)


def is_mangled(whole: str, other: str) -> bool:
    """Whether ``other`` may be what a poorer character set left of ``whole``: letters beyond ASCII are gone.

    >>> is_mangled("Müller^Jörg", "M?ller^J?rg"), is_mangled("Müller^Jörg", "Mller^Jrg")
    (True, True)
    >>> is_mangled("Müller^Jörg", "Miller^Jrg"), is_mangled("Yamada^Tarou=山田^太郎", "Yamada^Tarou=??^??")
    (False, True)
    """
    shared = [(a, b) for a, b in zip(_groups(whole), _groups(other), strict=False) if a and b]
    return bool(shared) and any(a != b for a, b in shared) and all(_is_left_of(a, b) for a, b in shared)


def has_lost_letters(name: str) -> bool:
    """Whether a character set says that it had no place for a letter of the name."""
    return _LOST.search(name) is not None


def _groups(name: str) -> list[Group]:
    """Component groups, folded: case, width of Japanese letters, padding and trailing empty components are gone."""
    folded = unicodedata.normalize("NFKC", name).casefold()
    return [_components(group) for group in folded.split("=")]


def _components(group: str) -> Group:
    components = [" ".join(component.split()) for component in group.split("^")]
    while components and not components[-1]:
        components.pop()
    return tuple(components)


def _is_left_of(whole: Group, other: Group) -> bool:
    pairs = zip_longest(whole, other, fillvalue="")
    return all(_is_left(component, _LOST.sub("", rest)) for component, rest in pairs)


def _is_left(whole: str, rest: str) -> bool:
    """Whether ``rest`` is ``whole`` without some of its letters beyond ASCII."""
    ahead = list(rest)
    for letter in whole:
        if ahead and ahead[0] == letter:
            ahead.pop(0)
        elif letter.isascii() and letter != "?":
            return False
    return not ahead


def _agree(one: Group, other: Group) -> bool:
    if _spellings(" ".join(one)) & _spellings(" ".join(other)):
        return True
    (family, given), (other_family, other_given) = ((*group, "", "")[:2] for group in (one, other))
    if not family or not _spellings(family) & _spellings(other_family):
        return False
    return not given or not other_given or bool(_spellings(given) & _spellings(other_given))


def _spellings(text: str) -> set[str]:
    """A folded text without its diacritics, and with umlauts spelled out; spaces and punctuation are one."""
    plain = (_without_diacritics(text), _without_diacritics(text.translate(_GERMAN)))
    return {" ".join(re.split(r"[\W_]+", spelling)).strip() for spelling in plain}


def _without_diacritics(text: str) -> str:
    return "".join(letter for letter in unicodedata.normalize("NFD", text) if not unicodedata.combining(letter))
