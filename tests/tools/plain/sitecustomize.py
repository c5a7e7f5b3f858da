"""On the path of a served node: hides what the extras bring, so that it runs as ``pip install dicomnode`` leaves it.

MONAI imports whatever it finds of these; in a hospital there is nothing to find, and a worker starts a third sooner.
``tests/tools/plain_with_bundle`` leaves what the extra ``bundle`` brings.
"""

import sys
from importlib.abc import MetaPathFinder
from pathlib import Path

OF_TRAINING = frozenset(
    {"ignite", "jsonschema", "matplotlib", "pandas", "requests", "skimage", "sklearn", "tensorboard", "transformers"}
)
OF_BUNDLES = frozenset({"fire", "nibabel"})
HIDDEN = OF_TRAINING if Path(__file__).parent.name == "plain_with_bundle" else OF_TRAINING | OF_BUNDLES


class _Hidden(MetaPathFinder):
    def find_spec(self, fullname: str, path: object = None, target: object = None) -> None:
        if fullname.partition(".")[0] in HIDDEN:
            raise ModuleNotFoundError(f"No module named {fullname!r}", name=fullname)


sys.meta_path.insert(0, _Hidden())
