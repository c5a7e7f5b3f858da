"""Who imports whom, read off the source: the rule of the architecture, and what each process may load."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

import dicomnode

PACKAGE = Path(dicomnode.__file__).parent

RANKS = {
    **dict.fromkeys(("errors", "records", "config"), 0),
    "dicom": 1,
    **dict.fromkeys(("images", "measure", "store"), 2),
    **dict.fromkeys(("receive", "assemble", "zoo", "encode", "deliver", "cohort"), 3),
    **dict.fromkeys(("execute", "ops", "train"), 4),
    "app": 5,
    "cli": 6,
    "__main__": 7,
}
"""A part imports what ranks below it, and itself; the three at the bottom may know each other."""

ONLY_IN = {
    "torch": ("zoo", "train", "execute.worker"),
    "monai": ("zoo", "train"),
    "highdicom": ("encode",),
    "pynetdicom": ("receive", "deliver", "app.demo_pacs"),
    "sqlalchemy": ("store", "receive", "assemble", "deliver", "ops", "execute", "app", "cli"),
    "httpx": ("deliver",),
    "apscheduler": ("ops",),
    "typer": ("cli",),
}


@dataclass(frozen=True)
class Import:
    """One import statement. ``local``: inside a function."""

    importer: str
    imported: str
    local: bool
    line: int

    def __str__(self) -> str:
        return f"{self.importer} line {self.line}: {self.imported}"


@cache
def modules() -> dict[str, Path]:
    """All modules by name below the package; migrations are run by Alembic, not imported."""
    paths = [path for path in PACKAGE.rglob("*.py") if "migrations" not in path.parts]
    return {name_of(path): path for path in sorted(paths)}


def name_of(path: Path) -> str:
    """``store/jobs.py`` -> ``store.jobs``; a package's ``__init__`` is the package."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def imports() -> tuple[Import, ...]:
    """Every import in the package, but those for type checkers alone."""
    return tuple(found for name, path in modules().items() for found in imports_of(name, ast.parse(path.read_text())))


def imports_of(importer: str, tree: ast.AST, local: bool = False) -> Iterator[Import]:
    """Import statements below a node."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        inside = local or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        for imported in imported_by(node):
            yield Import(importer, imported, local, node.lineno)  # type: ignore[attr-defined]
        yield from imports_of(importer, node, inside)


def imported_by(node: ast.AST) -> list[str]:
    """Modules that a statement names; ``from dicomnode.dicom import codes`` names ``dicomnode.dicom.codes``."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if not isinstance(node, ast.ImportFrom):
        return []
    assert node.level == 0, f"relative import in line {node.lineno}"
    submodules = [f"{node.module}.{alias.name}" for alias in node.names]
    ours = [name for name in submodules if name.removeprefix("dicomnode.") in modules()]
    return ours or [str(node.module)]


def own(found: Import) -> str:
    """The imported module of this package, or ``""``."""
    return found.imported.removeprefix("dicomnode.") if found.imported.startswith("dicomnode.") else ""


def part_of(module: str) -> str:
    """``store.jobs`` -> ``store``."""
    return module.partition(".")[0]


def test_every_part_of_the_package_has_its_place() -> None:
    assert {part_of(name) for name in modules() if name} == set(RANKS)


def test_a_part_imports_only_what_ranks_below_it() -> None:
    wrong = []
    for found in imports():
        importer, imported = part_of(found.importer), part_of(own(found))
        if not imported or importer == imported:
            continue
        at_bottom = RANKS[importer] == RANKS[imported] == 0
        if RANKS[imported] >= RANKS[importer] and not at_bottom:
            wrong.append(str(found))
    assert wrong == []


@pytest.mark.parametrize("library", sorted(ONLY_IN))
def test_a_library_is_imported_only_where_it_belongs(library: str) -> None:
    importers = {found.importer for found in imports() if found.imported.partition(".")[0] == library}
    assert importers, f"nothing imports {library}: the rule is out of date"
    allowed = ONLY_IN[library]
    assert {name for name in importers if not any(f"{name}.".startswith(f"{place}.") for place in allowed)} == set()


def test_no_modules_import_each_other_in_a_circle() -> None:
    graph = {
        name: {own(found) for found in imports() if found.importer == name} & modules().keys() for name in modules()
    }
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, " -> ".join((*path[path.index(name) :], name))
        if name not in done:
            for imported in sorted(graph[name]):
                visit(imported, (*path, name))
            done.add(name)

    for name in graph:
        visit(name, ())
    assert len(done) == len(graph) > 50


def test_only_the_command_line_imports_parts_of_the_package_inside_functions() -> None:
    # What is not this package may wait for its use: nibabel, say, is installed with an extra only.
    local = [found for found in imports() if found.local and own(found)]
    assert {part_of(found.importer) for found in local} == {"cli"}


def loaded_by(statement: str) -> set[str]:
    """Top-level packages that a fresh interpreter has loaded after a statement."""
    code = f"{statement}; import sys; print(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    return set(done.stdout.split())


def test_the_node_process_loads_neither_torch_nor_monai_nor_highdicom() -> None:
    loaded = loaded_by("import dicomnode.app.node")
    assert {"pynetdicom", "sqlalchemy", "apscheduler"} <= loaded
    assert loaded & {"torch", "monai", "highdicom", "matplotlib", "safetensors"} == set()


def test_asking_for_help_loads_nothing_heavy() -> None:
    heavy = {"torch", "monai", "highdicom", "pynetdicom", "sqlalchemy", "scipy", "httpx"}
    assert loaded_by("import dicomnode.cli.main") & heavy == set()
