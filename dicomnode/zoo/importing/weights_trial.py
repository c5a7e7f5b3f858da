"""The part of an import of weights that reads them: a process of its own.

``python -m dicomnode.zoo.importing.weights_trial FILE... BUNDLE REPLY``: reads each FILE without unpickling anything
but tensors, writes them together as safetensors into BUNDLE, runs every network once on a small volume, and writes
their form to REPLY (JSON), or the coded reason of a refusal. A crash costs the import, nothing else.
"""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from dicomnode.errors import BundleError, BundleRefused, ImportRefusal
from dicomnode.zoo.importing.archive import is_torchscript
from dicomnode.zoo.importing.confined import confine, limit_resources
from dicomnode.zoo.networks.deepmedic import DeepMedic
from dicomnode.zoo.networks.dense import class_probabilities
from dicomnode.zoo.networks.members import Members
from dicomnode.zoo.networks.published import PUBLISHED, Form, form_of, network_of, read_state
from dicomnode.zoo.registry import WEIGHTS

TRIAL_EDGE = 15


def main(files: Sequence[Path], bundle: Path, reply: Path) -> None:
    """Do it, and say what came of it."""
    warnings.simplefilter("ignore")
    limit_resources()
    confine(bundle, reply)
    try:
        said = convert(files, bundle / WEIGHTS)
    except BundleRefused as fault:
        said = {"refusal": fault.refusal.value, "detail": fault.detail}
    reply.write_text(json.dumps(said), encoding="utf-8")


def convert(files: Sequence[Path], target: Path) -> dict[str, Any]:
    """Write the networks of some files together as safetensors, tried.

    Returns
    -------
    ``form``: arguments of :class:`~dicomnode.zoo.networks.members.Members` beside their count; ``published``: whether
    it is that of the published networks.

    Raises
    ------
    BundleRefused : ``TORCHSCRIPT``, ``UNSAFE_WEIGHTS``, ``OTHER_NETWORK``, ``MIXED_MEMBERS``, ``CANNOT_RUN``.
    """
    forms, networks = zip(*(_read(file) for file in files), strict=True)
    for file, form in zip(files, forms, strict=True):
        if form != forms[0]:
            raise BundleRefused(ImportRefusal.MIXED_MEMBERS, f"{file.name} has other maps than {files[0].name}.")
    members = Members(len(files), **forms[0].as_arguments())
    for member, network in zip(members, networks, strict=True):
        member.load_state_dict(network.state_dict())
    for file, network in zip(files, members.networks, strict=True):
        _try_out(file, network)
    target.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: value.contiguous() for name, value in members.state_dict().items()}, target)
    return {"form": forms[0].as_arguments(), "published": forms[0] == PUBLISHED}


def _read(file: Path) -> tuple[Form, DeepMedic]:
    if is_torchscript(file):
        raise BundleRefused(ImportRefusal.TORCHSCRIPT, file.name)
    try:
        state = read_state(file)
    except BundleError as fault:
        raise BundleRefused(ImportRefusal.UNSAFE_WEIGHTS, f"{fault}.") from fault
    try:
        return form_of(state), network_of(state, file.name)
    except (BundleError, ValueError) as fault:
        raise BundleRefused(ImportRefusal.OTHER_NETWORK, f"{file.name}: {str(fault).rstrip('.')}.") from fault


def _try_out(file: Path, network: DeepMedic) -> None:
    """Run a network on a cube of brain with blood in it."""
    image, box = torch.zeros((TRIAL_EDGE,) * 3), (slice(0, TRIAL_EDGE),) * 3
    image[TRIAL_EDGE // 3 : -(TRIAL_EDGE // 3)] = 0.5
    try:
        found = class_probabilities([network], image, box)
    except (RuntimeError, ValueError) as fault:
        raise BundleRefused(ImportRefusal.CANNOT_RUN, f"{file.name}: {str(fault)[:300]}") from fault
    if not bool(torch.isfinite(found).all()):
        raise BundleRefused(ImportRefusal.CANNOT_RUN, f"{file.name}: its answer is not finite.")


if __name__ == "__main__":
    *given, folder, answer = (Path(argument) for argument in sys.argv[1:])
    main(given, folder, answer)
