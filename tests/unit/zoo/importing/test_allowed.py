"""What a foreign configuration may say: judged by its text, before MONAI is loaded and before anything is built."""

from __future__ import annotations

from typing import Any

import pytest

from dicomnode.errors import BundleRefused, ImportRefusal
from dicomnode.zoo.importing.allowed import as_it_is_built, reachable, require_allowed
from tests.tools.foreign_bundle import inference, metadata

OWN = {"dicomnode": {"reads": "inputs"}}


def refusal(config: dict[str, Any], described: dict[str, Any] | None = None) -> ImportRefusal | None:
    try:
        require_allowed(as_it_is_built(config, described or {}), described or {})
    except BundleRefused as fault:
        return fault.refusal
    return None


def test_what_foreign_bundles_say_is_allowed() -> None:
    assert refusal(inference(), metadata()) is None
    assert refusal(inference(1, [{"_target_": "Activationsd", "keys": "pred", "sigmoid": True}]), metadata()) is None


@pytest.mark.parametrize(
    "expression",
    [
        "$torch.nn.Sequential(torch.nn.Conv3d(1, 2, 1), torch.nn.ReLU())",
        "$@core.to(@device)",
        "$torch.device('cuda:0' if torch.cuda.is_available() else 'cpu')",
        "$monai.networks.nets.UNet(spatial_dims=3, in_channels=1, out_channels=2, channels=(4, 8), strides=(2,))",
        "$lambda x: torch.where(x > 0, x, 0).float()",
        "$[2 * n for n in (1, 2, 3)]",
        "$np.array([1.0, 2.0])[@core::x]",
        "$Conv3d(1, 2, 1)",
        "$monai.networks.layers.Norm.BATCH",
        "$monai.networks.layers.factories.Act['prelu']",
        "$monai.transforms.signal.array.SignalRandScale(0.1)",
        "$monai.networks.nets.resnet50(pretrained=False)",
    ],
)
def test_expressions_that_compute_with_layers_numbers_and_references_are_allowed(expression: str) -> None:
    config = {"imports": ["$from torch.nn import Conv3d", "$import glob"], "core": {"x": 0}, "network_def": expression}
    assert refusal({**config, "device": "$torch.device('cpu')"}) is None


@pytest.mark.parametrize(
    "expression",
    [
        "$__import__('os').system('true')",
        "$os._exit(3)",
        "$os.system('true')",
        "$system('true')",
        "$torch.hub.load('a', 'b')",
        "$torch.load('x')",
        "$torch.nn.functional.torch.load('x')",
        "$torch.ops.load_library('x')",
        "$torch.nn.Module.__subclasses__()",
        "$monai.utils.run_cmd(['true'])",
        "$monai.bundle.run()",
        "$monai.apps.download_url('http://x')",
        "$np.load('x', allow_pickle=True)",
        "$np.fromfile('x')",
        "$getattr(torch, 'load')('x')",
        "$eval('1')",
        "$open('x')",
        "$().__class__.__bases__",
        "$(lambda torch: torch.hub)(1)",
        "$[os for os in (1,)][0].system",
        "$'{0.__class__}'.format(1)",
        "$f'{torch.hub}'",
        "$(x := 1)",
        "$@core.tofile('x')",
        "$@core.__init__.__globals__",
        "$monai.networks.nets.hovernet.os.system('true')",
        "$monai.networks.nets.hovernet.os",
        "$[monai.networks.utils.tempfile][0]",
        "$monai.networks.nets.UNet.__init__.__globals__",
        "$monai.networks.nets.UNet.forward.x",
        "$hovernet.os.system('true')",
        "$sh('true')",
        "$monai.networks.nets.resnet50(pretrained=torch.cuda.is_available())",
        "$torch",
        "$__local_refs",
        "$import x; y",
        "$1 +",
    ],
)
def test_expressions_that_reach_further_are_refused(expression: str) -> None:
    imports = ["$import os", "$from os import system", "$from monai.networks.nets import hovernet"]
    imports.append("$from monai.networks.nets.hovernet import os as sh")
    config = {"imports": imports, "core": {"x": 0}, "network_def": expression}
    assert refusal(config) is ImportRefusal.FORBIDDEN


FOREIGN_TARGETS = """
    os.system subprocess.run builtins.eval monai.utils.run_cmd monai.utils.misc.run_cmd pip.main monai.bundle.run
    monai.apps.download_url monai.transforms.io.dictionary.SaveImaged torch.load torch.hub.load numpy.load
    pydicom.dcmread dicomnode.app.node.serve dicomnode.zoo.importing.trial.main $os.system @other monai.networks..x
    setuptools.setup sqlalchemy.create_engine
"""


@pytest.mark.parametrize("target", ["", *FOREIGN_TARGETS.split()])
def test_targets_that_are_no_network_transform_or_inferer_are_refused(target: str) -> None:
    assert refusal({"network_def": {"_target_": target}}) is ImportRefusal.FORBIDDEN
    assert refusal({"network_def": "@deep", "deep": [{"x": {"_target_": target}}]}) is ImportRefusal.FORBIDDEN


def test_a_target_that_is_no_text_is_refused() -> None:
    assert refusal({"network_def": {"_target_": ["os", "system"]}}) is ImportRefusal.FORBIDDEN


@pytest.mark.parametrize("target", ["UNet", "monai.networks.nets.UNet", "torch.nn.Conv3d", "tests.tools.tiny_models.X"])
def test_parts_and_code_that_was_installed_for_a_model_are_allowed(target: str) -> None:
    assert refusal({"network_def": {"_target_": target}}) is None


@pytest.mark.parametrize("text", ["%hidden.json::network", "%/data/other.YAML#x", "%./configs/train.yml"])
def test_text_of_another_file_is_refused_wherever_it_stands(text: str) -> None:
    assert refusal({"network_def": "UNet", "nobody_asks": {"deep": [text]}}) is ImportRefusal.OTHER_FILE
    assert refusal({"network_def": "UNet"}, {"version": text}) is ImportRefusal.OTHER_FILE


def test_text_of_the_same_file_is_judged_where_it_comes_from() -> None:
    core = {"_target_": "torch.nn.Conv3d"}
    assert refusal({"core": core, "network_def": "%core"}) is None
    assert refusal({"core": {"_target_": "os.system"}, "network_def": "%core"}) is ImportRefusal.FORBIDDEN


@pytest.mark.parametrize(
    "statement", ["$import antigravity", "$from pip import main", "$import requests", "$from . import x"]
)
def test_import_statements_run_wherever_they_stand_and_are_judged_there(statement: str) -> None:
    assert refusal({"network_def": "UNet", "nobody_asks": [statement]}) is ImportRefusal.FORBIDDEN


def test_what_nobody_asks_for_is_not_built_and_not_judged() -> None:
    config = {**inference(), "evaluator": {"_target_": "SupervisedEvaluator"}, "run": ["$os.system('true')"]}
    assert refusal(config, metadata()) is None
    assert {"evaluator", "run"} & {*reachable(config, {})} == set()


def test_metadata_that_a_configuration_refers_to_is_judged_with_it() -> None:
    config = {"network_def": "$@_meta_::x"}
    assert refusal(config, {"x": "$__import__('os')"}) is ImportRefusal.FORBIDDEN
    assert refusal({"network_def": "UNet"}, {"x": "$5 for a coffee"}) is None
