"""What the standard demands to be present, from the tables that highdicom carries (DICOM PS3.3 annex A and C).

The tables say type 1, 1C, 2, 2C and 3 by module and path. Conditions (1C, 2C) are not in them: those are left to the
independent validators of the tests.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from highdicom._standard_utils import get_iod_module_map, get_module_attribute_map, get_sop_class_iod_map
from pydicom.dataset import Dataset

FUNCTIONAL_GROUPS = frozenset({"SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"})
"""Their macros may stand in either of the two, which a table of paths cannot say."""
CONTENT_TREE = "sr-document-content"
"""What a content item needs depends on its value type (PS3.3 C.17.3), which the table does not say either."""


def mandatory_modules(sop_class_uid: str) -> list[str]:
    """Keys of the modules that every instance of a SOP class has (usage M).

    Raises
    ------
    KeyError : the tables do not know the SOP class.
    """
    iod = get_sop_class_iod_map()[sop_class_uid]
    keys = [str(module["key"]) for module in get_iod_module_map()[iod] if module["usage"] == "M"]
    return [key for key in keys if key != CONTENT_TREE]


def faults(ds: Dataset, modules: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Required attributes that are not there (PS3.5 7.4).

    Returns
    -------
    Iterator of (keyword at the top level, sentence): type 1 missing or empty, type 2 missing.
    """
    attributes = get_module_attribute_map()
    for module in modules:
        for attribute in attributes[module]:
            keyword, path, kind = attribute["keyword"], attribute["path"], attribute["type"]
            if kind not in ("1", "2") or FUNCTIONAL_GROUPS & {keyword, *path}:
                continue
            top = path[0] if path else keyword
            for item in _items_at(ds, path):
                if keyword not in item:
                    yield top, f"{keyword} (type {kind}) is missing"
                elif kind == "1" and item[keyword].VM == 0:
                    yield top, f"{keyword} (type 1) is empty"


def _items_at(ds: Dataset, path: list[str]) -> Iterator[Dataset]:
    """All items that the sequences of ``path`` lead to; none where one of them is absent."""
    if not path:
        yield ds
    elif path[0] in ds:
        for item in ds[path[0]].value or ():
            yield from _items_at(item, path[1:])


_STRENGTH = {"1": 1, "1C": 1, "2": 2, "2C": 2, "3": 3}


def requirements(sop_class_uid: str) -> Callable[[tuple[str, ...], str], int]:
    """What a SOP class demands of an attribute, wherever its modules name it: the strictest of them.

    Returns
    -------
    (keywords of the sequences above it, keyword) -> 1, 2 or 3; conditions count as met. Below a content tree, which the
    tables do not describe, everything is of type 1; what no module names is of type 3.

    Raises
    ------
    KeyError : the tables do not know the SOP class.
    """
    iod = get_sop_class_iod_map()[sop_class_uid]
    attributes = get_module_attribute_map()
    known: dict[tuple[tuple[str, ...], str], int] = {}
    for module in get_iod_module_map()[iod]:
        for attribute in attributes[str(module["key"])]:
            where = (tuple(attribute["path"]), attribute["keyword"])
            known[where] = min(known.get(where, 3), _STRENGTH.get(attribute["type"], 3))
    return lambda path, keyword: 1 if "ContentSequence" in path else known.get((path, keyword), 3)
