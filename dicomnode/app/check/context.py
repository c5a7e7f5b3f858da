"""Where the context of patients comes from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from dicomnode.app.check.finding import Finding
from dicomnode.app.check.host import cannot_write
from dicomnode.clinical.sources.drop_folder import FAILED, REASON
from dicomnode.config.whole import Config


def check_context(config: Config) -> Iterator[Finding]:
    """Check the drop folder, where there is one; nothing is made."""
    if not config.clinical.drop_folder:
        return
    folder = Path(config.clinical.drop_folder)
    existing = next(one for one in (folder, *folder.absolute().parents) if one.exists())
    if fault := cannot_write(existing):
        says = f"{existing} cannot be written to by this user ({fault}): nothing is taken from {folder}"
        yield Finding("drop folder", False, says)
        return
    if existing != folder:
        yield Finding("drop folder", True, f"none yet: the node makes {folder} when it starts")
        return
    failed = sum(not path.name.endswith(REASON) for path in (folder / FAILED).glob("*"))
    says = f"{folder} can be written to; {failed} refused documents lie in {FAILED}/, each with its reasons"
    yield Finding("drop folder", failed == 0, says, fatal=False)
