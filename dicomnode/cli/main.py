"""The command line: parse, load, call. Exit codes: 0 done, 1 the work failed, 2 the call or the configuration is wrong.

Everything heavy is imported by the command that needs it, so that ``--help`` and ``jobs`` answer at once.
"""

from __future__ import annotations

from typing import Annotated

import typer

import dicomnode
from dicomnode.cli import (
    alarms,
    backup,
    cohort,
    context,
    destinations,
    drain,
    drift,
    export,
    init,
    jobs,
    node,
    operations,
    outcomes,
    protocols,
    training,
    zoo,
)

app = typer.Typer(
    help="A DICOM node: head CT in from scanners and PACS, SEG, SR and SC out. Research, not for diagnosis.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(init.app)
app.add_typer(node.app)
app.add_typer(backup.app)
app.add_typer(drain.app)
app.add_typer(export.app)
app.add_typer(drift.app)
app.add_typer(outcomes.app)
app.add_typer(jobs.app, name="jobs")
app.add_typer(alarms.app, name="alarms")
app.add_typer(destinations.app, name="destinations")
app.add_typer(context.app, name="context")
app.add_typer(operations.app, name="operations")
app.add_typer(protocols.app, name="protocols")
app.add_typer(zoo.app, name="zoo")
app.add_typer(cohort.app, name="cohort")
app.add_typer(training.app)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"dicomnode {dicomnode.__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    """Options that stand before any command."""
    from dicomnode.dicom.libraries import set_up_pydicom

    set_up_pydicom()


def main() -> None:
    """Entry point of the ``dicomnode`` command."""
    app()
