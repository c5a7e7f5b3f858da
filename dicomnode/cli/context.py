"""``context``: what is known of patients beside the images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dicomnode.cli.common import AsJson, ConfigFile, exit_codes, opened_store
from dicomnode.errors import ConfigError, NodeError

app = typer.Typer(help="What is known of patients beside the images.", no_args_is_help=True)


@app.command("show")
def context_show(
    identifier: Annotated[str, typer.Argument(help="Patient ID, accession number or study UID.")],
    config: ConfigFile = Path("config.toml"),
    json: AsJson = False,
) -> None:
    """Every value and text that is known, from where and since when, and whether a scan's results may use it.

    Age and sex of the images are not listed: they come with them. Example: `dicomnode context show ACC1234`
    """
    from dicomnode.app.context_shown import pages_of, pages_table
    from dicomnode.app.documents import print_document

    with exit_codes(), opened_store(config) as (loaded, store), store.read() as session:
        pages = pages_of(session, loaded, identifier)
        if not pages:
            raise NodeError("nothing is known of this patient or study")
        zone = loaded.node.timezone
        print_document({"patients": pages}, timezone=zone) if json else pages_table(pages, zone)


@app.command("merge")
def context_merge(
    prior: Annotated[str, typer.Argument(help="The patient ID that is not used any more.")],
    survivor: Annotated[str, typer.Argument(help="The patient ID that stays.")],
    issuer: Annotated[str, typer.Option(help="Who issued both; without it [clinical] issuer.")] = "",
    config: ConfigFile = Path("config.toml"),
    json: AsJson = False,
) -> None:
    """Tell that two patient IDs are one patient: what is known under either counts for both.

    Example: `dicomnode context merge EMERGENCY-17 0012345`
    """
    from dicomnode.app import show
    from dicomnode.app.documents import print_document
    from dicomnode.store.clinical.patients import merge_patients

    with exit_codes():
        if prior == survivor or not prior or not survivor:
            raise ConfigError(["give two different patient IDs"])
        with opened_store(config) as (loaded, store), store.write() as session:
            of = issuer or loaded.clinical.issuer
            merge_patients(session, (prior, of), (survivor, of))
    said = "the two patient IDs are one patient now"
    print_document({"merged": True}) if json else show.out.print(said)
