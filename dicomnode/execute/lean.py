"""A worker's imports without what no model of the node asks for.

The first import of MONAI loads each of its modules, and with them every optional package that they can use: what
trains, what reads text, what draws. Where those are installed each worker would start with them, seconds of a core.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

OPTIONAL_OF_MONAI = ("ignite", "jsonschema", "matplotlib", "transformers")


@contextmanager
def lean_imports() -> Iterator[None]:
    """Until it is left, :data:`OPTIONAL_OF_MONAI` seem not to be installed, unless they are loaded already."""
    hidden = {name: None for name in OPTIONAL_OF_MONAI if name not in sys.modules}
    sys.modules.update(hidden)  # type: ignore[arg-type]  # None is what the import system takes for "not there"
    try:
        yield
    finally:
        for name in hidden:
            sys.modules.pop(name, None)
