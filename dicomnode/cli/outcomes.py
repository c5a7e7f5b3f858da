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
    """Forecasts against what a later CT of the same patient showed, with calibration; and bleeds that grew.

    Read from what models said of each CT, for audit; nothing of it is sent. Example: `dicomnode outcomes --within-h 36`
    """
    from dicomnode.app import outcomes_shown
    from dicomnode.app.documents import print_document
    from dicomnode.ops.outcomes import account
    from dicomnode.store.ops.outcomes import exams_by_patient, forecast_lines, growth_lines
    from dicomnode.zoo.registry import Registry

    with exit_codes(), opened_store(config) as (loaded, store):
        known = outcomes_shown.forecasts_of(Registry(loaded.bundle_paths, loaded.zoo.digests, loaded.zoo.thresholds))
        with store.read() as session:
            exams = exams_by_patient(session)
        lines = {one.score: forecast_lines(exams, one) for one in known}
        accounts = [account(score, of_score) for score, of_score in lines.items()]
        growth = growth_lines(exams, finding=finding, until_h=within_h)
        if json:
            told = [line for of_score in lines.values() for line in of_score]
            print_document({"accounts": accounts, "forecasts": told, "growth": growth})
        else:
            outcomes_shown.tables(accounts, lines, growth, loaded.node.timezone)
