"""Who imports whom below a folder of sources, read off the syntax and off strings that name code."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path


@dataclass(frozen=True)
class Import:
    """One import. ``local``: inside a function. ``named``: by a string, such as the ``_target_`` of a bundle."""

    importer: str
    imported: str
    line: int
    local: bool = False
    named: bool = False

    def __str__(self) -> str:
        return f"{self.importer} line {self.line}: {self.imported}"


@dataclass(frozen=True)
class Sources:
    """The modules of one package; names of modules are given without the package: ``store.engine``, ``""`` its face.

    Attributes
    ----------
    root : folder of the package; its name is the package's.
    left_out : folders whose modules are run by others, not imported.
    """

    root: Path
    left_out: frozenset[str] = field(default=frozenset())

    @cached_property
    def modules(self) -> dict[str, Path]:
        """All modules by name; a package's ``__init__`` is the package."""
        paths = [path for path in self.root.rglob("*.py") if not self.left_out & set(path.parts)]
        return {self._name_of(path): path for path in sorted(paths)}

    @cached_property
    def imports(self) -> tuple[Import, ...]:
        """Every import, but those for type checkers alone."""
        found = [one for name, path in self.modules.items() for one in self._imports_of(name, _tree(path))]
        return (*found, *self._of_json_files())

    @cached_property
    def graph(self) -> dict[str, set[str]]:
        """Module -> those that its import runs, the faces of packages among them.

        Importing ``a.b.c`` runs ``a`` and ``a.b`` first. Texts that name a module are no edges: it is run later, or by
        another process.
        """
        graph: dict[str, set[str]] = {name: set() for name in self.modules}
        for one in self.imports:
            if not one.named and self.is_own(one.imported):
                graph[one.importer] |= {name for name in self._run_by(one.imported) if name != one.importer}
        return graph

    def is_own(self, imported: str) -> bool:
        """Whether a dotted name lies in this package."""
        return imported.partition(".")[0] == self.root.name

    def own(self, imported: str) -> str:
        """``package.store.engine.Store`` -> ``store.engine``: the module that a dotted name of this package lies in."""
        parts = imported.split(".")[1:]
        while ".".join(parts) not in self.modules:
            parts = parts[:-1]
        return ".".join(parts)

    def circles(self) -> list[str]:
        """Modules that import each other in a circle, each circle found as ``a -> b -> a``."""
        found: list[str] = []
        done: set[str] = set()

        def visit(name: str, path: tuple[str, ...]) -> None:
            if name in path:
                found.append(" -> ".join((*path[path.index(name) :], name)))
            elif name not in done:
                for imported in sorted(self.graph[name]):
                    visit(imported, (*path, name))
                done.add(name)

        for name in self.graph:
            visit(name, ())
        return found

    def upward(self, ranks: Mapping[str, int]) -> list[str]:
        """Imports of a part that ranks as high or higher; parts of the lowest rank may know each other."""
        wrong = []
        for one in self.imports:
            importer, imported = (
                part_of(one.importer),
                part_of(self.own(one.imported)) if self.is_own(one.imported) else "",
            )
            if imported and importer != imported and ranks[imported] >= max(ranks[importer], 1):
                wrong.append(str(one))
        return wrong

    def _name_of(self, path: Path) -> str:
        parts = path.relative_to(self.root).with_suffix("").parts
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)

    def _run_by(self, imported: str) -> set[str]:
        parts = self.own(imported).split(".")
        names = {"", *(".".join(parts[: k + 1]) for k in range(len(parts)))}
        return names & self.modules.keys()

    def _imports_of(self, importer: str, tree: ast.AST, local: bool = False) -> Iterator[Import]:
        for node in ast.iter_child_nodes(tree):
            if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
                continue
            inside = local or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            line = getattr(node, "lineno", 0)
            yield from (Import(importer, name, line, local) for name in self._imported_by(node))
            yield from (Import(importer, name, line, named=True) for name in _named_by(node, self.root.name))
            yield from self._imports_of(importer, node, inside)

    def _imported_by(self, node: ast.AST) -> list[str]:
        """``from dicomnode.dicom import codes`` names ``dicomnode.dicom.codes``."""
        if isinstance(node, ast.Import):
            return [alias.name for alias in node.names]
        if not isinstance(node, ast.ImportFrom):
            return []
        assert node.level == 0, f"relative import in line {node.lineno}"
        return [f"{node.module}.{alias.name}" for alias in node.names]

    def _of_json_files(self) -> Iterator[Import]:
        for path in sorted(self.root.rglob("*.json")):
            importer = ".".join(path.relative_to(self.root).parts)
            for line, text in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
                yield from (Import(importer, name, line, named=True) for name in self._in_text(text))

    def _in_text(self, text: str) -> list[str]:
        """Dotted names of this package, wherever they stand: ``_target_``, ``$import`` or an expression."""
        return re.findall(rf"(?<![\w.]){self.root.name}(?:\.\w+)+", text)


def part_of(module: str) -> str:
    """``store.engine`` -> ``store``."""
    return module.partition(".")[0]


def _tree(path: Path) -> ast.AST:
    return ast.parse(path.read_text(encoding="utf-8"))


def _named_by(node: ast.AST, package: str) -> list[str]:
    """A text that is the dotted name of a module, for ``import_module`` or ``python -m``, wherever it stands."""
    is_text = isinstance(node, ast.Constant) and isinstance(node.value, str)
    return [node.value] if is_text and re.fullmatch(rf"{package}(\.\w+)+", node.value) else []  # type: ignore[attr-defined]
