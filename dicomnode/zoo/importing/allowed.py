"""What the configuration of a foreign bundle may build and compute: read off its text, nothing is executed.

A configuration of MONAI is a program: ``_target_`` names any callable, a string that begins with ``$`` is evaluated,
one that begins with ``%`` is replaced by text of another file. Here only networks, transforms and inferers may be
built, and expressions may only compute with them; what a name stands for is looked up in the trial
(:mod:`dicomnode.zoo.importing.components`), where nothing is built before.

Reference: MONAI bundle, ``config_syntax``.
"""

from __future__ import annotations

import ast
import importlib.metadata
import importlib.util
import re
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from dicomnode.errors import BundleRefused, ImportRefusal
from dicomnode.zoo.file_steps import without_file_steps

ROOTS = (
    *("network_def", "preprocessing", "inferer", "postprocessing", "model_def"),
    *("calibration", "plane_size", "plane_pixel_mm"),
)
"""What the node asks a configuration for; nothing else of it is ever built, but import statements always run."""
PARTS_OF_MONAI = ("monai.networks.", "monai.transforms.", "monai.inferers.")
PARTS_OF_TORCH = ("torch.nn.",)
PARTS_OF_THIS_PACKAGE = ("dicomnode.zoo.",)
_NOT_PARTS = ("monai.transforms.io.", "dicomnode.zoo.importing.", "dicomnode.zoo.bundle_run.")


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_TORCH = _words("""
    device cuda.is_available cuda.device_count tensor as_tensor zeros ones full arange linspace where clamp softmax
    sigmoid argmax stack cat sum mean max min abs exp log float16 float32 float64 bfloat16 half float double int8 int16
    int32 int64 uint8 int long bool inf pi nan Tensor Size
""")
_NUMPY = _words("""
    array asarray zeros ones full arange linspace where clip stack concatenate sum mean max min abs exp log prod
    float16 float32 float64 int8 int16 int32 int64 uint8 uint16 bool_ inf pi nan ndarray
""")
_BUILTINS = _words("""
    abs all any bool dict enumerate float int len list max min range reversed round set sorted str sum tuple zip
""")
_METHODS = _words("""
    to eval float half double long int bool cpu cuda shape dtype device ndim size sum mean max min amax amin any all
    argmax softmax sigmoid clamp clip unsqueeze squeeze permute transpose reshape view flatten astype copy clone detach
    numpy items keys values get lower upper array
""")
"""Of tensors, arrays, networks and dictionaries: none of them reads or writes a file, or leads to one that does."""
_NODES: tuple[type[ast.AST], ...] = (
    *(ast.Expression, ast.Constant, ast.Name, ast.Load, ast.Store, ast.Attribute, ast.Call, ast.keyword, ast.Starred),
    *(ast.List, ast.Tuple, ast.Dict, ast.Set, ast.Subscript, ast.Slice, ast.IfExp, ast.Lambda, ast.arguments, ast.arg),
    *(ast.BinOp, ast.UnaryOp, ast.BoolOp, ast.Compare, ast.operator, ast.unaryop, ast.boolop, ast.cmpop),
    *(ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp, ast.comprehension),
)
_IMPORTED = frozenset({"torch", "monai", "numpy", "safetensors"})
_ODD_MODULES = frozenset({"antigravity", "this", "idlelib", "turtle", "turtledemo", "test", "lib2to3"})
"""Of Python's own: importing them does something."""

_REFERENCE = re.compile(r"@\w*(?:(?:::|#)+\w+)*")
_NAMED = re.compile(r"[@%][\w:#]*")
_OTHER_FILE = re.compile(r"(?i)\.(json|ya?ml)")
_DOTTED = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
_REF = "ref"
PRETRAINED = re.compile(r"(?i)pretrain")
"""Arguments that would fetch weights."""
MAX_EXPRESSION = 2000


def require_allowed(config: Mapping[str, Any], metadata: Mapping[str, Any]) -> None:
    """Whether a configuration says nothing but what may be built.

    Raises
    ------
    BundleRefused : ``OTHER_FILE``, ``FORBIDDEN``.
    """
    for where, _, text in strings_of([config, metadata]):
        if text.startswith("%") and _OTHER_FILE.search(text):
            raise BundleRefused(ImportRefusal.OTHER_FILE, _shown(where, text))
    libraries = _imports(config)
    for where, key, text in strings_of(reachable(config, metadata)):
        if key == "_target_":
            _require_target(where, text)
        elif text.startswith("$") and not _is_import(text):
            _require_expression(where, text, libraries)


def as_it_is_built(config: Mapping[str, Any], metadata: Mapping[str, Any]) -> Mapping[str, Any]:
    """The configuration as the node builds it: what reads volumes of others without its own reading and writing."""
    section = metadata.get("dicomnode")
    reads_volumes = not isinstance(section, dict) or section.get("volume") is not None
    return dict(without_file_steps(dict(config))) if reads_volumes else config


def reachable(config: Mapping[str, Any], metadata: Mapping[str, Any]) -> dict[str, Any]:
    """The top-level entries that the node asks for, and those that they refer to."""
    everything = {**config, "_meta_": metadata}
    found: dict[str, Any] = {}
    waiting = [name for name in ROOTS if name in everything]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found[name] = everything[name]
            waiting += [other for other in _referred(everything[name]) if other in everything]
    return found


def targets_of(config: Mapping[str, Any], metadata: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every component among what is reachable: where it stands, and its entry."""
    yield from _components(reachable(config, metadata), "")


def names_in(config: Mapping[str, Any], metadata: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The full name of everything of MONAI that a reachable expression takes: where, and what."""
    libraries = _imports(config)
    for where, key, text in strings_of(reachable(config, metadata)):
        if key != "_target_" and text.startswith("$") and not _is_import(text):
            for name in sorted(_Expression(_parsed(where, text), libraries).names()):
                if name.startswith("monai."):
                    yield where, name


def strings_of(value: Any, where: str = "", key: str = "") -> Iterator[tuple[str, str, str]]:
    """Every text of a configuration: where it stands, its key, itself."""
    if isinstance(value, Mapping):
        for name, item in value.items():
            if name == "_target_" and not isinstance(item, str):
                raise BundleRefused(ImportRefusal.FORBIDDEN, f"{where}: _target_ is no name.")
            yield from strings_of(item, f"{where}/{name}", str(name))
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from strings_of(item, where, key)
    elif isinstance(value, str):
        yield where, key, value


def is_part(name: str) -> bool:
    """Whether a full name lies where networks, transforms, inferers and layers are."""
    parts = (*PARTS_OF_MONAI, *PARTS_OF_TORCH, *PARTS_OF_THIS_PACKAGE)
    return name == "torch.device" or (name.startswith(parts) and not f"{name}.".startswith(_NOT_PARTS))


def _components(value: Any, where: str) -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(value, dict):
        if "_target_" in value:
            yield where, value
        for name, item in value.items():
            yield from _components(item, f"{where}/{name}")
    elif isinstance(value, list):
        for item in value:
            yield from _components(item, where)


def _referred(value: Any) -> set[str]:
    names: set[str] = set()
    for _, _, text in strings_of(value):
        for token in _NAMED.findall(text):
            names |= {part for part in re.split(r"[@%:#]+", token) if part}
    return names


def _require_target(where: str, target: str) -> None:
    if not _DOTTED.fullmatch(target):
        raise BundleRefused(ImportRefusal.FORBIDDEN, _shown(where, target))
    # A short name is one of MONAI's, by its own table: what it stands for is judged where MONAI is loaded.
    if "." in target and not is_part(target) and not _is_code_of_its_own(target):
        raise BundleRefused(ImportRefusal.FORBIDDEN, _shown(where, target))


def _is_code_of_its_own(target: str) -> bool:
    """Whether a name lies in a package that somebody installed for this model, and not in a library."""
    top = target.partition(".")[0]
    return top not in sys.stdlib_module_names and top not in _libraries() and top != "dicomnode"


@cache
def _libraries() -> frozenset[str]:
    """Top-level modules of all that this package needs, of what installs it, and of what they need."""
    by_distribution: dict[str, set[str]] = {}
    for module, distributions in importlib.metadata.packages_distributions().items():
        for name in distributions:
            by_distribution.setdefault(_normal(name), set()).add(module)
    waiting, seen = ["dicomnode", "pip", "setuptools", "wheel", "torch", "monai", "numpy"], set[str]()
    while waiting:
        name = _normal(waiting.pop())
        if name not in seen:
            seen.add(name)
            waiting += _required_by(name)
    seen.discard("dicomnode")
    return frozenset({"torch", "monai", "numpy"}.union(*(by_distribution.get(name, set()) for name in seen)))


def _required_by(distribution: str) -> list[str]:
    try:
        required = importlib.metadata.requires(distribution) or []
    except importlib.metadata.PackageNotFoundError:
        return []
    return [found.group() for text in required if (found := re.match(r"[\w.-]+", text))]


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _is_import(text: str) -> bool:
    return re.match(r"\$\s*(import|from)\s", text) is not None


def _imports(config: Mapping[str, Any]) -> dict[str, str]:
    """Name -> what it stands for, of the import statements: they run wherever they stand."""
    names = {"torch": "torch", "monai": "monai", "np": "numpy", "numpy": "numpy"}
    for where, _, text in strings_of(config):
        if not _is_import(text):
            continue
        for module, name, alias in _imported(where, text):
            top = module.partition(".")[0]
            if not (top in _IMPORTED or (top in sys.stdlib_module_names and top not in _ODD_MODULES)):
                raise BundleRefused(ImportRefusal.FORBIDDEN, _shown(where, text))
            names[alias or name or top] = f"{module}.{name}" if name else module if alias else top
    return names


def _imported(where: str, text: str) -> Iterator[tuple[str, str, str]]:
    try:
        (statement,) = ast.parse(text[1:].strip()).body
    except (SyntaxError, ValueError) as error:
        raise BundleRefused(ImportRefusal.FORBIDDEN, _shown(where, text)) from error
    if isinstance(statement, ast.Import):
        yield from ((one.name, "", one.asname or "") for one in statement.names)
    elif isinstance(statement, ast.ImportFrom) and statement.module and not statement.level:
        yield from ((statement.module, one.name, one.asname or "") for one in statement.names)
    else:
        raise BundleRefused(ImportRefusal.FORBIDDEN, _shown(where, text))


def _require_expression(where: str, text: str, libraries: Mapping[str, str]) -> None:
    if len(text) > MAX_EXPRESSION:
        raise BundleRefused(ImportRefusal.FORBIDDEN, f"{where}: an expression of {len(text)} characters.")
    if not _Expression(_parsed(where, text), libraries).is_allowed():
        raise BundleRefused(ImportRefusal.FORBIDDEN, _shown(where, text))


def _parsed(where: str, text: str) -> ast.Expression:
    try:
        return ast.parse(_REFERENCE.sub(_REF, text[1:].strip()), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise BundleRefused(ImportRefusal.FORBIDDEN, _shown(where, text)) from error


class _Expression:
    """One expression, with every ``@reference`` as the name ``ref``."""

    def __init__(self, tree: ast.Expression, libraries: Mapping[str, str]) -> None:
        self.tree, self.libraries = tree, libraries
        nodes = list(ast.walk(tree))
        self.own = {node.arg for node in nodes if isinstance(node, ast.arg)}
        self.own |= {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
        inner = [node.value for node in nodes if isinstance(node, ast.Attribute)]
        self.outermost = [node for node in nodes if isinstance(node, ast.Attribute) and node not in inner]
        self.below = {id(node) for attribute in self.outermost for node in ast.walk(attribute.value)}

    def is_allowed(self) -> bool:
        """Whether it only computes with layers, numbers and references."""
        # Names of its own must not take the place of what is judged by its name.
        if self.own & {*self.libraries, *_BUILTINS, _REF} or any(name.startswith("_") for name in self.own):
            return False
        return all(isinstance(node, _NODES) and self._is_fine(node) for node in ast.walk(self.tree))

    def names(self) -> set[str]:
        """The full names of all that it takes of a library."""
        chains = {dotted for node in self.outermost if (dotted := self._dotted(node)) is not None}
        alone = (node for node in ast.walk(self.tree) if isinstance(node, ast.Name) and id(node) not in self.below)
        return chains | {self.libraries[node.id] for node in alone if node.id in self.libraries}

    def _is_fine(self, node: ast.AST) -> bool:
        if isinstance(node, ast.Attribute):
            dotted = self._dotted(node)
            if dotted is None:
                return node.attr in _METHODS
            return _is_known(dotted) or any(_is_known(more) for more in self._longer(node))
        if isinstance(node, ast.keyword):
            return PRETRAINED.search(node.arg or "") is None or _is_off(node.value)
        if isinstance(node, ast.Name):
            known = {*self.own, *self.libraries, *_BUILTINS, _REF}
            return node.id in known and (node.id not in self.libraries or self._is_used_well(node))
        return True

    def _is_used_well(self, node: ast.Name) -> bool:
        """A library is only a step to what is in it; what was imported from one is judged as if written in full."""
        return id(node) in self.below or _is_known(self.libraries[node.id])

    def _dotted(self, node: ast.expr) -> str | None:
        """``torch.nn.Conv3d``; None where the chain does not begin with a library."""
        steps: list[str] = []
        while isinstance(node, ast.Attribute):
            steps.append(node.attr)
            node = node.value
        if not isinstance(node, ast.Name) or node.id not in self.libraries:
            return None
        return ".".join([self.libraries[node.id], *reversed(steps)])

    def _longer(self, node: ast.Attribute) -> Iterator[str]:
        """The full names of the chains that this one is a step of."""
        for outermost in self.outermost:
            if any(inner is node for inner in ast.walk(outermost.value)):
                dotted = self._dotted(outermost)
                if dotted is not None:
                    yield dotted


def _is_known(dotted: str) -> bool:
    if any(step.startswith("_") for step in dotted.split(".")):
        return False
    library, _, name = dotted.partition(".")
    if library == "torch":
        return name in _TORCH or re.fullmatch(r"nn(\.functional)?\.\w+", name) is not None
    if library == "numpy":
        return name in _NUMPY
    return library == "monai" and is_part(dotted) and _is_of_monai(dotted)


def _is_of_monai(dotted: str) -> bool:
    """Whether a name is one that MONAI's module defines, as far as its files tell: modules give out what they import.

    ``monai.networks.nets.hovernet.os`` is Python's own. A class may be followed by one name: ``Norm.BATCH``.
    """
    rest, folder = dotted.split(".")[1:], _folder_of_monai()
    while rest and (folder / rest[0]).is_dir():
        folder /= rest.pop(0)
    if rest and (folder / f"{rest[0]}.py").is_file():
        rest.pop(0)
    foreign = {*sys.stdlib_module_names, *_libraries(), "np"}
    return not foreign & {*rest} and (len(rest) < 2 or (len(rest) == 2 and rest[0][0].isupper()))


@cache
def _folder_of_monai() -> Path:
    found = importlib.util.find_spec("monai")  # of a top-level package: nothing of it runs
    return Path(next(iter((found and found.submodule_search_locations) or [""])))


def _is_off(value: ast.expr) -> bool:
    return isinstance(value, ast.Constant) and not value.value


def _shown(where: str, text: str) -> str:
    return f"{where.strip('/')}: {text[:160]!r}."
