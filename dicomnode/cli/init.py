"""``init``: the first configuration, and the files of a deployment."""

from __future__ import annotations

import shutil
import tomllib
from pathlib import Path
from typing import Annotated

import typer

from dicomnode.cli.common import exit_codes
from dicomnode.config.first import SHIPPED, Key, Value, deployment_files, first_config
from dicomnode.config.load import parse_config
from dicomnode.config.secrets import holds_password
from dicomnode.errors import ConfigError

SERVICE_DATA = "/var/lib/dicomnode/data"
"""Where the shipped unit and image keep what the node stores."""

app = typer.Typer()


@app.command()
def init(
    path: Annotated[Path, typer.Argument(help="The file to write.")] = Path("config.toml"),
    ae_title: Annotated[str | None, typer.Option(help="AE title of this node.")] = None,
    port: Annotated[int | None, typer.Option(help="Port that this node listens on.")] = None,
    host: Annotated[str | None, typer.Option(help="Address that this node listens on; default: every one.")] = None,
    data_dir: Annotated[str | None, typer.Option(help="Where it keeps its data; relative: beside the file.")] = None,
    database_url: Annotated[
        str | None, typer.Option(help="PostgreSQL in place of SQLite: postgresql+psycopg://node@host/dicomnode.")
    ] = None,
    timezone: Annotated[str | None, typer.Option(help="IANA name, such as Europe/Berlin.")] = None,
    pacs_ae: Annotated[str | None, typer.Option(help="AE title of the PACS that gets the results.")] = None,
    pacs_host: Annotated[str | None, typer.Option(help="Its host name or address.")] = None,
    pacs_port: Annotated[int | None, typer.Option(help="Its DICOM port.")] = None,
    sender: Annotated[
        list[str] | None, typer.Option(help="AE_TITLE@HOST that may send; may be given again. None: anyone may.")
    ] = None,
    accept_research: Annotated[
        bool, typer.Option("--accept-research", help="The PACS takes results that are marked research.")
    ] = False,
    deploy: Annotated[
        Path | None, typer.Option(help="Also write systemd unit, Dockerfile, compose and Kubernetes files there.")
    ] = None,
    http_port: Annotated[
        int | None, typer.Option(help="Port for probes, metrics and the status page, on this machine alone.")
    ] = None,
    ask: Annotated[bool, typer.Option("--ask", help="Ask for what a node cannot do without: four questions.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Overwrite what is there.")] = False,
) -> None:
    """Write a first configuration: every key with its default, commented, and what you give put in.

    Examples:

    `dicomnode init`

    `dicomnode init --ask`

    `dicomnode init config.toml --pacs-ae PACS --pacs-host 10.1.2.3 --pacs-port 104 --accept-research`

    `dicomnode init /etc/dicomnode/config.toml --sender CT1@10.1.2.20 --deploy ./deploy`
    """
    if ask:
        ae_title = ae_title or typer.prompt("AE title of this node", default="DICOMNODE")
        pacs_ae = pacs_ae or typer.prompt("AE title of the PACS that gets the results")
        pacs_host = pacs_host or typer.prompt("Its host name or address")
        pacs_port = pacs_port or typer.prompt("Its DICOM port", default=104, type=int)
    given: dict[Key, Value | None] = {
        ("node", "ae_title"): ae_title,
        ("node", "host"): host,
        ("node", "port"): port,
        ("node", "data_dir"): data_dir or (SERVICE_DATA if deploy else None),
        ("database", "url"): database_url,
        ("node", "timezone"): timezone,
        ("destination", "ae_title"): pacs_ae,
        ("destination", "host"): pacs_host,
        ("destination", "port"): pacs_port,
        ("operations", "port"): http_port,
        ("destination", "accept_research"): accept_research or None,
    }
    with exit_codes():
        text = first_config({key: value for key, value in given.items() if value is not None}, sender or [])
        raw, base = tomllib.loads(text), path.parent.resolve()
        parsed = parse_config(raw, source=str(path), text=text, base=base, serving=False, environment={})
        shipped = [(SHIPPED / name, deploy / name) for name in deployment_files()] if deploy else []
        _require_new([path, *[target for _, target in shipped]], force=force)
        path.parent.mkdir(parents=True, exist_ok=True)
        if holds_password(text):
            path.touch(mode=0o600)
            path.chmod(0o600)
        path.write_text(text, encoding="utf-8")
        for source, target in shipped:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
            typer.echo(f"written: {target}")
        typer.echo(f"written: {path}. Look through it, then: dicomnode check --config {path}")
        typer.echo(f"Enter in scanner and PACS: AE title {parsed.node.ae_title}, this host, port {parsed.node.port}")


def _require_new(paths: list[Path], *, force: bool) -> None:
    there = [path for path in paths if path.exists()]
    if there and not force:
        raise ConfigError([f"{path} is there already; --force overwrites it" for path in there])
