"""``drift``: whether what comes from the scanners, or what the models say of it, has changed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dicomnode.cli.common import AsJson, ConfigFile, exit_codes, opened_store

app = typer.Typer()


@app.command()
def drift(
    config: ConfigFile = Path("config.toml"),
    days: Annotated[float, typer.Option(min=0.01, help="The recent window, until now.")] = 7.0,
    reference_days: Annotated[float, typer.Option(min=0.01, help="The window before it, to compare with.")] = 28.0,
    json: AsJson = False,
) -> None:
    """Per scanner: share of positive exams and of refused series, and where the brain lies in HU, lately and before.

    Example: `dicomnode drift --days 7 --reference-days 28`
    """
    import time

    from dicomnode.app import show
    from dicomnode.app.documents import print_document
    from dicomnode.store.ops.drift import drift
    from dicomnode.store.ops.levels import brain_levels

    now = time.time()
    with exit_codes(), opened_store(config) as (_, store), store.read() as session:
        lines = drift(session, now=now, days=days, reference_days=reference_days)
        levels = brain_levels(session, now=now, days=days, reference_days=reference_days)
        if json:
            print_document({"days": days, "reference_days": reference_days, "drift": lines, "brain_hu": levels})
        else:
            show.drift_table(lines, days, reference_days)
            show.levels_table(levels)
