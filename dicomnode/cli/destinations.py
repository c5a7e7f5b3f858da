"""``destinations``: what was learned of them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dicomnode.cli.common import (
    AsJson,
    ConfigFile,
    exit_codes,
    opened_store,
    require_destination,
    require_known,
    user_here,
)

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


@app.command("pause")
def destinations_pause(
    destination: Annotated[str, typer.Argument(help="Name of a destination.")],
    config: ConfigFile = Path("config.toml"),
) -> None:
    """Send nothing more to a destination until `dicomnode destinations resume`; results wait, and their age counts.

    Example: `dicomnode destinations pause pacs`
    """
    from dicomnode.store.pausing import Part, pause

    with exit_codes(), opened_store(config) as (loaded, store), store.write() as session:
        require_known("destination", destination, [known.name for known in loaded.destination])
        changed = pause(session, Part.DESTINATION, destination, by=user_here())
    typer.echo(f"{destination} is paused{'' if changed else ' already'}")


@app.command("resume")
def destinations_resume(
    destination: Annotated[str, typer.Argument(help="Name of a destination that is paused.")],
    config: ConfigFile = Path("config.toml"),
) -> None:
    """Send to a paused destination again.

    Example: `dicomnode destinations resume pacs`
    """
    from dicomnode.store.pausing import Part, resume

    with exit_codes(), opened_store(config) as (_, store), store.write() as session:
        changed = resume(session, Part.DESTINATION, destination, by=user_here())
    typer.echo(f"{destination} gets its results again" if changed else f"{destination} is not paused")


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
