"""On the path of a served node: hides what the extras bring, so that it runs as ``pip install dicomnode`` leaves it.

MONAI imports whatever it finds of these; in a hospital there is nothing to find, and a worker starts a third sooner.
"""

import sys
from importlib.abc import MetaPathFinder

EXTRAS = frozenset(
    {"fire", "ignite", "jsonschema", "matplotlib", "nibabel", "pandas", "requests", "skimage", "sklearn", "tensorboard", "transformers"}
)


class _Hidden(MetaPathFinder):
    def find_spec(self, fullname: str, path: object = None, target: object = None) -> None:
        if fullname.partition(".")[0] in EXTRAS:
            raise ModuleNotFoundError(f"No module named {fullname!r}", name=fullname)


sys.meta_path.insert(0, _Hidden())
