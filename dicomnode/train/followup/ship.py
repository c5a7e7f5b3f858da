"""From a finished training to a bundle that a node can run.

python -m dicomnode.train.followup.ship --training FOLDER --bundle OUT
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

import torch

import dicomnode.zoo
from dicomnode.train.bundle_files import write_calibration
from dicomnode.train.calibrate import CALIBRATION, read_calibration
from dicomnode.train.checkpoint import load_weights_file, save_weights
from dicomnode.train.followup.learner import Balanced, fast_learner
from dicomnode.train.run import BEST
from dicomnode.zoo.followup.sizes import FollowUpParts

BUNDLE = Path(dicomnode.zoo.__file__).parent / "followup" / "bundle"
OWN = "own_followup"
"""What a model of one's own is called, unless another name is given."""
CARD = """# Predicted follow-up scan after thrombectomy

**Research, not for diagnosis. Never validated on patients.** A re-implementation after Jiang et al. (arXiv
2408.00940); no figure here is theirs. How it learns and what it is worth: `report/` of the training
that these weights are of.
"""


def kept(weights: Path, out: Path) -> Balanced:
    """The network of a training, with its weights as they ship: float16 on disk, without what only a training needs.

    Raises
    ------
    TrainingError : the weights are of another network.
    """
    network = Balanced("fast", FollowUpParts())
    load_weights_file(network, weights)
    state = network.network.state_dict()
    save_weights({name: value.half() if value.is_floating_point() else value for name, value in state.items()}, out)
    load_weights_file(network.network, out)
    return network


def assembled(training: Path, bundle: Path, name: str = OWN) -> Path:
    """A bundle of a training of the learner ``followup``.

    Parameters
    ----------
    training : its folder; where it has no calibration, the exam's log odds stay as they are.
    name : of the model; that of the shipped one is taken.

    Returns
    -------
    The folder of the bundle, for ``[zoo] paths``.

    Raises
    ------
    TrainingError : weights or calibration cannot be read, or are of another network.
    """
    shutil.copytree(BUNDLE / "configs", bundle / "configs", dirs_exist_ok=True)
    for part in ("models", "docs"):
        (bundle / part).mkdir(parents=True, exist_ok=True)
    kept(training / BEST, bundle / "models" / "model.safetensors")
    learner = fast_learner()
    if (training / CALIBRATION).exists():
        corrections = read_calibration(training / CALIBRATION, learner.outputs)
        write_calibration(bundle, corrections[learner.outputs[0].name])
    (bundle / "docs" / "README.md").write_text(CARD, encoding="utf-8")
    metadata = bundle / "configs" / "metadata.json"
    told = json.loads(metadata.read_text(encoding="utf-8"))
    told["dicomnode"]["name"] = name
    metadata.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
    return bundle


def main() -> None:
    """Write the bundle and say where it is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--training", type=Path, required=True, help="folder of dicomnode train followup")
    parser.add_argument("--bundle", type=Path, required=True, help="folder to be written")
    parser.add_argument("--name", default=OWN, help=f"of the model in protocols (default: {OWN})")
    given = parser.parse_args()
    torch.set_num_threads(1)
    print(assembled(given.training, given.bundle, given.name))


if __name__ == "__main__":
    main()
