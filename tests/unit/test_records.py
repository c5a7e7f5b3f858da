"""Records of many fields are built by keyword: a field that is inserted shifts no other."""

from __future__ import annotations

import ast

import pytest

from tests.unit.test_structure import PACKAGE

MANY = 5


def fields_of(node: ast.ClassDef) -> int:
    return sum(isinstance(item, ast.AnnAssign) and "ClassVar" not in ast.unparse(item.annotation) for item in node.body)


def is_positional_record(node: ast.ClassDef) -> bool:
    """A dataclass of its own fields only, built by position."""
    decorators = [ast.unparse(one) for one in node.decorator_list]
    return any(one.startswith("dataclass") and "kw_only=True" not in one for one in decorators)


def faults(source: str) -> list[str]:
    classes = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ClassDef)]
    return [
        f"{node.name}: {fields_of(node)}" for node in classes if fields_of(node) > MANY and is_positional_record(node)
    ]


def test_records_of_more_than_five_fields_are_built_by_keyword() -> None:
    found = {name: faults(path.read_text(encoding="utf-8")) for name, path in PACKAGE.modules.items()}
    assert {name: classes for name, classes in found.items() if classes} == {}


@pytest.mark.parametrize(
    ("decorator", "is_fault"), [("dataclass(frozen=True)", True), ("dataclass(kw_only=True)", False)]
)
def test_such_a_record_is_seen(decorator: str, is_fault: bool) -> None:
    body = "\n".join(f"    field_{k}: int" for k in range(6))
    assert bool(faults(f"@{decorator}\nclass Record:\n{body}")) is is_fault
    assert not faults(f"@{decorator}\nclass Record:\n" + "\n".join(body.splitlines()[:5]))
