"""``alarms``: what is wrong now and what was found, and who has seen it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dicomnode.cli.common import AsJson, ConfigFile, exit_codes, opened_store, user_here
from dicomnode.errors import NodeError

app = typer.Typer(help="Faults that last and urgent findings; acknowledging them.", no_args_is_help=True)


@app.command("list")
def alarms_list(config: ConfigFile = Path("config.toml"), json: AsJson = False) -> None:
    """Faults that last, and urgent findings of the last two days, with who has acknowledged them.

    Example: `dicomnode alarms list`
    """
    from dicomnode.app import show
    from dicomnode.app.documents import print_document
    from dicomnode.store.ops.alarms import all_alarms

    with exit_codes(), opened_store(config) as (loaded, store), store.read() as session:
        alarms = all_alarms(session)
        if json:
            print_document({"alarms": alarms}, timezone=loaded.node.timezone)
        else:
            show.alarms_table(alarms, loaded.node.timezone)


@app.command("acknowledge")
def alarms_acknowledge(
    alarm: Annotated[int, typer.Argument(help="Number of the alarm, as in alarms list.")],
    config: ConfigFile = Path("config.toml"),
) -> None:
    """Somebody has seen it: nobody is told of it any more until it ends.

    Example: `dicomnode alarms acknowledge 3`
    """
    from dicomnode.store.ops.alarms import acknowledge
    from dicomnode.store.ops.studies import note_deed

    with exit_codes(), opened_store(config) as (_, store), store.write() as session:
        name = acknowledge(session, alarm, by=user_here())
        if name is None:
            raise NodeError(f"alarm {alarm}: there is none, or it is over: dicomnode alarms list")
        note_deed(session, "acknowledge", user_here(), alarm=name)
    typer.echo(f"acknowledged: {name}")
