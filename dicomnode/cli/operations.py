"""``operations``: who may use the status page, and whether messages arrive."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from dicomnode.cli.common import AsJson, ConfigFile, exit_codes, require_known, require_operations_extra
from dicomnode.config.load import load_config

app = typer.Typer(help="Accounts of the status page; a trial of the messages.", no_args_is_help=True)


@app.command("password")
def operations_password(
    name: Annotated[str, typer.Argument(help="Name of the account; made where there is none.")],
    role: Annotated[str, typer.Option(help="viewer: sees all; admin: may also act.")] = "viewer",
    config: ConfigFile = Path("config.toml"),
) -> None:
    """Make an account, or give one a new password and role; it is asked for twice, or read from standard input.

    A node that runs knows it at once. Run this as the node's user.

    Example: `dicomnode operations password anna --role admin`
    """
    with exit_codes():
        require_operations_extra()
        from dicomnode.ops.http.accounts import Accounts, Role

        require_known("--role", role, Role)
        accounts = Accounts(load_config(config, serving=False).accounts_file)
        if sys.stdin.isatty():
            password = typer.prompt("Password", hide_input=True, confirmation_prompt=True)
        else:
            password = sys.stdin.readline().rstrip("\r\n")
        accounts.put(name, Role(role), password)
        typer.echo(f"{name} may log in as {role}")


@app.command("message")
def operations_message(config: ConfigFile = Path("config.toml")) -> None:
    """Send a message by every way of [operations.notify], to see whether it arrives.

    Example: `dicomnode operations message`
    """
    import time

    from dicomnode.errors import ConfigError
    from dicomnode.ops.notify.channels import Message, channels_of, moment

    with exit_codes():
        loaded = load_config(config, serving=False)
        ways = channels_of(loaded.operations.notify)
        if loaded.operations.notify.hl7.host:
            typer.echo("hl7: not tried: a system would take a trial for a finding", err=True)
        if not ways:
            raise ConfigError(["operations.notify: neither a webhook nor a mail server is configured"])
        says, now = "This is a trial: nothing is wrong.", moment(time.time())
        message = Message(node=loaded.node.ae_title, event="start", what="trial", says=says, since_at=now)
        for way in ways:
            way.send(message)
            typer.echo(f"{way.name}: sent")


@app.command("accounts")
def operations_accounts(config: ConfigFile = Path("config.toml"), json: AsJson = False) -> None:
    """Who may log in to the status page, and as what.

    Example: `dicomnode operations accounts`
    """
    with exit_codes():
        require_operations_extra()
        from dicomnode.app import show
        from dicomnode.app.documents import print_document
        from dicomnode.ops.http.accounts import Accounts

        known = Accounts(load_config(config, serving=False).accounts_file).all().values()
        if json:
            print_document({"accounts": [{"name": one.name, "role": one.role} for one in known]})
        else:
            show.table("Accounts", ["name", "role"], [[one.name, one.role] for one in known])


@app.command("remove")
def operations_remove(
    name: Annotated[str, typer.Argument(help="As in operations accounts.")],
    config: ConfigFile = Path("config.toml"),
) -> None:
    """Remove an account of the status page; whoever is logged in with it is logged out.

    Example: `dicomnode operations remove anna`
    """
    with exit_codes():
        require_operations_extra()
        from dicomnode.ops.http.accounts import Accounts

        Accounts(load_config(config, serving=False).accounts_file).remove(name)
        typer.echo(f"{name} may not log in any more")
