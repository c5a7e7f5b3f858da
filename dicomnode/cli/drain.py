"""``drain``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dicomnode.cli.common import FAILED, ConfigFile, exit_codes
from dicomnode.config.load import load_config
from dicomnode.errors import NodeError

app = typer.Typer()


@app.command()
def drain(
    config: ConfigFile = Path("config.toml"),
    timeout_s: Annotated[
        float, typer.Option("--timeout-s", min=0, help="After this long the node is stopped all the same.")
    ] = 600.0,
) -> None:
    """Let the running node take nothing new, finish and send what it has begun, and end.

    What waits in the queue is taken up at the next start. Exit code 1 where time was over, or no node runs.
    Run it as the node's user.

    Example: `dicomnode drain --timeout-s 120`
    """
    from dicomnode.app.draining import drain, running_nodes

    with exit_codes():
        loaded = load_config(config, serving=False)
        if not any(running_nodes(loaded.node.data_dir)):
            raise NodeError(f"no node runs on {loaded.node.data_dir}")
        if not drain(loaded.node.data_dir, timeout_s, typer.echo):
            raise typer.Exit(FAILED)
        typer.echo("drained")
