"""The error tree: its drawing is the code."""

from __future__ import annotations

import ast
import re
from itertools import pairwise

import dicomnode.errors
from tests.unit.test_structure import PACKAGE


def drawn() -> dict[str, str]:
    """Error -> the one that it hangs below in the drawing."""
    assert dicomnode.errors.__doc__ is not None
    lines = [re.match(r"^ {4}([│├└─ ]*)(\w+)", line) for line in dicomnode.errors.__doc__.splitlines()]
    depths = [(len(line[1]), line[2]) for line in lines if line]
    return {name: next(above for d, above in depths[k::-1] if d < depth) for k, (depth, name) in enumerate(depths) if k}


def declared() -> dict[str, str]:
    """Every error of the package -> its base."""
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in PACKAGE.modules.values()]
    classes = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    bases = {node.name: ast.unparse(node.bases[0]).rpartition(".")[2] for node in classes if node.bases}
    found: dict[str, str] = {}
    while new := {name: base for name, base in bases.items() if base in ("NodeError", *found) and name not in found}:
        found |= new
    return found


def test_every_error_of_the_package_is_in_the_drawing_below_its_base() -> None:
    assert drawn() == declared()


def test_no_line_of_the_drawing_comes_twice() -> None:
    names = [*drawn()]
    assert names
    assert all(first != second for first, second in pairwise(sorted(names)))
