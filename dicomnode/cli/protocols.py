"""``protocols``: which of them a series would go through."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dicomnode.cli.common import FAILED, AsJson, ConfigFile, exit_codes
from dicomnode.config.load import load_config

app = typer.Typer(help="The protocols of the configuration.", no_args_is_help=True)


@app.command("test")
def protocols_test(
    files: Annotated[list[Path], typer.Argument(help="Files and folders; whole series, since a range holds for all.")],
    config: ConfigFile = Path("config.toml"),
    json: AsJson = False,
) -> None:
    """Which protocol the series of these files would go through, clause by clause, or why they would be refused.

    Nothing is run, and no node is needed. Exit code 1 where none would be run.

    Example: `dicomnode protocols test ./head`
    """
    from dicomnode.app.documents import print_document
    from dicomnode.app.protocols_tested import tested, tested_page

    with exit_codes():
        series = tested(files, load_config(config, serving=False).protocol)
        print_document({"series": series}) if json else tested_page(series)
        if not any(one.runs for one in series):
            raise typer.Exit(FAILED)
