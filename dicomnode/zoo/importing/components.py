"""What the names in a configuration stand for, as MONAI will look them up: only networks, transforms and inferers.

MONAI finds a short name in a table of everything that it has, from ``UNet`` to ``run_cmd``. So a name is looked up here
as MONAI does, and the object that it stands for is judged, before anything is built.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping
from pydoc import locate
from typing import Any

import torch
from monai.bundle.config_item import ConfigComponent
from monai.inferers import Inferer
from monai.networks.layers.factories import LayerFactory
from monai.transforms import Transform

from dicomnode.errors import BundleRefused, ImportRefusal
from dicomnode.zoo.importing.allowed import PRETRAINED, is_part, names_in, targets_of

_KINDS = (torch.nn.Module, Transform, Inferer)
_FACTORIES = "monai.networks.nets."
"""Functions here build networks (``resnet50``); all else must be a class."""
_LAYERS = ("monai.networks.layers.", "monai.networks.blocks.")
_NAMES_OTHERS = frozenset({"TorchVision", "TorchVisiond", "TorchIO", "TorchIOd", "RandTorchIO", "RandTorchIOd"}) | {
    "RandTorchVision",
    "RandTorchVisiond",
    "PatchInferer",
    "WriteFileMapping",
    "WriteFileMappingd",
}
"""They build what a text names, or write files."""


def require_components(config: Mapping[str, Any], metadata: Mapping[str, Any]) -> None:
    """Whether every component that would be built is a network, a transform, an inferer, or code of the bundle's own.

    Raises
    ------
    BundleRefused : ``FORBIDDEN``, ``CANNOT_BUILD`` a name that stands for nothing.
    """
    for where, component in targets_of(config, metadata):
        target = str(component["_target_"])
        _require_plain(where, component)
        full = _full_name(target)
        if not is_part(full):
            if "." in target:
                continue  # code of its own: it was named before it was trusted
            raise BundleRefused(ImportRefusal.FORBIDDEN, f"{where.strip('/')}: {target} is {full}.")
        _require_kind(where, target, locate(full))
    for where, name in names_in(config, metadata):
        _require_named(where, name, locate(name))


def _require_named(where: str, name: str, found: object) -> None:
    """What an expression may take of MONAI beside what a target may: the names of layers, and what builds them."""
    home = f"{getattr(found, '__module__', '')}.{getattr(found, '__qualname__', '')}"
    if isinstance(found, (str, tuple, LayerFactory)) or (inspect.isfunction(found) and home.startswith(_LAYERS)):
        return
    _require_kind(where, name, found)


def _require_plain(where: str, component: Mapping[str, Any]) -> None:
    if str(component.get("_mode_", "default")) not in ("default", "callable"):
        raise BundleRefused(ImportRefusal.FORBIDDEN, f"{where.strip('/')}: _mode_ {component['_mode_']!r}.")
    for key, value in component.items():
        if PRETRAINED.search(key) and value not in (False, None, "", "false", "False"):
            raise BundleRefused(
                ImportRefusal.FORBIDDEN, f"{where.strip('/')}: {key} would fetch weights from elsewhere."
            )


def _full_name(target: str) -> str:
    found = str(ConfigComponent({"_target_": target}).resolve_module_name())
    if "." not in found:
        raise BundleRefused(ImportRefusal.CANNOT_BUILD, f"MONAI has no {target[:100]!r}.")
    return found


def _require_kind(where: str, target: str, found: object) -> None:
    place = f"{where.strip('/')}: {target}"
    if found is None:
        raise BundleRefused(ImportRefusal.CANNOT_BUILD, f"{place} is not there.")
    if found is torch.device:
        return
    # Where it comes from, not under which name: a module gives out what it has imported, too.
    home = f"{getattr(found, '__module__', '')}.{getattr(found, '__qualname__', '')}"
    builds = inspect.isfunction(found) and home.startswith(_FACTORIES)
    is_kind = inspect.isclass(found) and (issubclass(found, _KINDS) or home.startswith("dicomnode.zoo."))
    name = str(getattr(found, "__name__", ""))
    if not is_part(home) or not (builds or is_kind) or name in _NAMES_OTHERS or PRETRAINED.search(name):
        raise BundleRefused(ImportRefusal.FORBIDDEN, f"{place} is {home}.")


def load_libraries() -> None:
    """Import what MONAI imports when it looks up its first name, so that nothing has to be imported afterwards."""
    ConfigComponent({"_target_": "UNet"}).resolve_module_name()
    importlib.import_module("monai.networks.nets")
