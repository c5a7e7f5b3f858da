"""``destinations``: what was learned of them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dicomnode.cli.common import AsJson, ConfigFile, exit_codes, opened_store, require_destination

app = typer.Typer(help="What is known of the destinations.", no_args_is_help=True)


@app.command("refusals")
def destinations_refusals(config: ConfigFile = Path("config.toml"), json: AsJson = False) -> None:
    """SOP classes that destinations refuse, since when, and what they said: something else is sent in their place.

    Example: `dicomnode destinations refusals`
    """
    from dicomnode.app import show
    from dicomnode.app.documents import print_document
    from dicomnode.store.deliver.fallback import list_refusals

    with exit_codes(), opened_store(config) as (loaded, store), store.read() as session:
        refusals = list_refusals(session)
        if json:
            print_document({"refusals": refusals}, timezone=loaded.node.timezone)
        else:
            show.refusals_table(refusals, loaded.node.timezone)


@app.command("forget")
def destinations_forget(
    destination: Annotated[str, typer.Argument(help="As in destinations refusals.")],
    config: ConfigFile = Path("config.toml"),
    json: AsJson = False,
) -> None:
    """Forget what a destination refused: the next results are offered to it in their first choice again.

    `dicomnode check` does so by itself for what it finds accepted. Example: `dicomnode destinations forget pacs`
    """
    from dicomnode.app import show
    from dicomnode.app.documents import print_document
    from dicomnode.store.deliver.fallback import forget_refusals

    with exit_codes(), opened_store(config) as (loaded, store), store.write() as session:
        require_destination("destination", destination, loaded, session)
        count = forget_refusals(session, destination)
    said = f"{count} refused classes are forgotten"
    print_document({"destination": destination, "forgotten": count}) if json else show.out.print(said)
