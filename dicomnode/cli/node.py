"""``serve``, ``check``, ``demo``, ``process`` and ``why``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dicomnode.app.demo_name import StudyName
from dicomnode.cli.common import (
    WRONG_CALL,
    AsJson,
    ConfigFile,
    exit_codes,
    opened_store,
    protocol_of,
    require_folder,
    require_known,
    require_operations_extra,
)
from dicomnode.config.load import load_config
from dicomnode.errors import ConfigError, EnvironmentFault, NodeError

app = typer.Typer()


@app.command()
def serve(
    config: ConfigFile = Path("config.toml"),
    role: Annotated[str, typer.Option(help="all, receive, work or deliver: start one part alone.")] = "all",
) -> None:
    """Run the node until SIGTERM or Ctrl-C; SIGHUP has it read its configuration again.

    Example: `dicomnode serve --config config.toml`
    """
    from dicomnode.app.role import Role
    from dicomnode.app.serving import serve
    from dicomnode.logs import configure_logging

    with exit_codes():
        require_known("--role", role, Role)
        loaded = load_config(config)
        configure_logging(loaded.operations)
        if loaded.operations.has_http:
            require_operations_extra()
            from dicomnode.app.operations import http_server

            raise typer.Exit(serve(loaded, Role(role), http_server, file=config))
        raise typer.Exit(serve(loaded, Role(role), file=config))


@app.command()
def check(
    config: ConfigFile = Path("config.toml"),
    json: AsJson = False,
    models: Annotated[bool, typer.Option(help="Also load every model on its device.")] = True,
    only_configuration: Annotated[
        bool, typer.Option("--only-configuration", help="Nothing that may be away for a while: for a service's start.")
    ] = False,
) -> None:
    """Say in plain words what would go wrong: configuration, disk, clock, database, models, destinations.

    Exit code 0 when the node would work, 2 when not. Example: `dicomnode check --config config.toml`
    """
    from rich.markup import escape

    from dicomnode.app import show
    from dicomnode.app.checkup import checkup
    from dicomnode.app.documents import print_document

    with exit_codes():
        try:
            loaded = load_config(config)
        except EnvironmentFault as fault:
            raise ConfigError([str(fault)]) from fault
        findings = []
        asked = checkup(loaded, load_models=models, only_configuration=only_configuration, file=config)
        for finding in asked:
            findings.append(finding)
            if not json:
                mark = (
                    "[green]ok  [/green]"
                    if finding.ok
                    else "[red]bad [/red]"
                    if finding.fatal
                    else "[yellow]note[/yellow]"
                )
                show.out.print(f"{mark}  {escape(f'{finding.what}: {finding.says}')}")
        if json:
            print_document({"findings": findings})
        raise typer.Exit(WRONG_CALL if any(not f.ok and f.fatal for f in findings) else 0)


@app.command()
def demo(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the results and the pictures.")] = Path(
        "demo-output"
    ),
    study: Annotated[
        StudyName, typer.Option(help="A bleed; or a head after thrombectomy, and the same head a day later.")
    ] = StudyName.ICH,
    seed: Annotated[int | None, typer.Option(help="Which synthetic head is sent; none: the usual one.")] = None,
) -> None:
    """The whole loop on this machine: a node, a small receiving PACS, a synthetic study; prints what came back.

    Nothing else is needed. Examples: `dicomnode demo --out demo-output`, `dicomnode demo --study post-thrombectomy`
    """
    from dicomnode.app.demo import run_demo

    with exit_codes():
        require_folder("--out", out)
        raise typer.Exit(run_demo(out, study, seed))


@app.command()
def process(
    folder: Annotated[Path, typer.Argument(help="Folder with one CT series (others in it are passed over).")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the result files.")],
    protocol: Annotated[
        str | None,
        typer.Option(
            "--protocol",
            "-p",
            help="Name of a protocol of the configuration; default: the only one, of several head-ct.",
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option("--config", "-c", help="The TOML file; without it the built-in head-ct protocol is used."),
    ] = None,
    context: Annotated[
        Path | None,
        typer.Option(help="JSON or CSV with values and texts of the patient (docs/context.md)."),
    ] = None,
    json: AsJson = False,
) -> None:
    """Run the same pipeline without a network: a folder with a series in, SEG, SR and SC files out.

    Example: `dicomnode process ./head --out ./results`
    """
    from dicomnode.app import show
    from dicomnode.app.documents import print_document
    from dicomnode.app.process import process_folder
    from dicomnode.app.processed import processed_as_dict, processed_table
    from dicomnode.config.operations import Operations
    from dicomnode.config.whole import built_in_config
    from dicomnode.logs import configure_logging

    with exit_codes():
        configure_logging(Operations(log_format="text", log_level="INFO"))
        loaded = load_config(config, serving=False) if config else built_in_config()
        chosen = protocol_of(loaded, protocol)
        if not folder.is_dir():
            raise ConfigError([f"{folder} is no folder"])
        require_folder("--out", out)
        done = process_folder(folder, out, loaded, chosen, lambda line: show.err.print(f"[dim]{line}[/dim]"), context)
        print_document(processed_as_dict(done)) if json else processed_table(done)


@app.command()
def conformance(
    config: ConfigFile = Path("config.toml"),
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Write it here in place of printing it.")] = None,
) -> None:
    """The DICOM conformance statement (PS3.2) of this configuration, as Markdown.

    Example: `dicomnode conformance --out conformance.md`
    """
    from dicomnode.app.conformance.statement import statement

    with exit_codes():
        text = statement(load_config(config, serving=False))
        if out is None:
            typer.echo(text, nl=False)
        else:
            out.write_text(text, encoding="utf-8")
            typer.echo(f"written: {out}")


@app.command()
def why(
    identifier: Annotated[str, typer.Argument(help="Accession number, study, series or SOP instance UID, or job id.")],
    config: ConfigFile = Path("config.toml"),
    json: AsJson = False,
) -> None:
    """Everything that happened to a case, in order, with the reasons.

    Example: `dicomnode why ACC1234`
    """
    from dicomnode.app import show
    from dicomnode.app.documents import print_document
    from dicomnode.store.history.events import events_of

    with exit_codes(), opened_store(config) as (loaded, store):
        with store.read() as session:
            events = events_of(session, identifier)
        if not events:
            says = "it is no accession number, UID or job id that came here; 'dicomnode jobs list' shows those that did"
            raise NodeError(f"nothing is known of {identifier!r}: {says}")
        if json:
            print_document({"identifier": identifier, "events": events}, timezone=loaded.node.timezone)
        else:
            show.events_table(identifier, events, loaded.node.timezone)
