"""``outcomes``: what models foretold, and what a later CT of the patient showed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dicomnode.cli.common import AsJson, ConfigFile, exit_codes, opened_store

app = typer.Typer()


@app.command()
def outcomes(
    config: ConfigFile = Path("config.toml"),
    finding: Annotated[str, typer.Option(help="Mask whose growth from one CT to the next is shown.")] = "hemorrhage",
    within_h: Annotated[float, typer.Option(min=0.1, help="The next CT comes within so many hours.")] = 72.0,
    json: AsJson = False,
) -> None:
    """Forecasts against what a later CT of the same patient showed, with calibration; predicted scans; growth.

    Read from what models said of each CT, for audit; nothing of it is sent. Example: `dicomnode outcomes --within-h 36`
    """
    from dicomnode.app import outcomes_shown
    from dicomnode.app.documents import print_document
    from dicomnode.zoo.registry import Registry

    with exit_codes(), opened_store(config) as (loaded, store):
        registry = Registry(loaded.bundle_paths, loaded.zoo.digests, loaded.zoo.thresholds, loaded.zoo.horizons_h)
        with store.read() as session:
            came = outcomes_shown.what_came(session, registry, finding, within_h)
        if json:
            told = [line for of_score in came.lines.values() for line in of_score]
            print_document({"accounts": came.accounts, "forecasts": told, "growth": came.growth, "scans": came.scans})
        else:
            outcomes_shown.tables(came, loaded.node.timezone)
