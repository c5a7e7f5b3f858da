"""``backup`` and ``restore``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dicomnode.cli.common import AsJson, ConfigFile, exit_codes, opened_store, require_folder, user_here
from dicomnode.config.load import load_config

app = typer.Typer()


@app.command()
def backup(
    out: Annotated[Path, typer.Option("--out", "-o", help="The tar file to write.")],
    images: Annotated[bool, typer.Option(help="With the images that were received and are still kept.")] = True,
    config: ConfigFile = Path("config.toml"),
    json: AsJson = False,
) -> None:
    """Save database, results, accounts, keys and images to one file; the node may run meanwhile.

    Of PostgreSQL it needs pg_dump. The file holds patients: keep it as safe as the node. Run this as the node's user.

    Example: `dicomnode backup --out /backup/node.tar`
    """
    from dicomnode.app import show
    from dicomnode.app.backup.making import make_backup
    from dicomnode.app.documents import print_document
    from dicomnode.store.ops.studies import note_deed

    with exit_codes():
        require_folder("--out", out.absolute().parent)
        with opened_store(config) as (loaded, store):
            made = make_backup(loaded, store, out, config_file=config, with_images=images)
            with store.write() as session:
                note_deed(session, "backup", user_here(), name="node", files=made.files, images=images)
        if json:
            print_document({"path": str(made.path), "files": made.files, "size_bytes": made.size_bytes})
        else:
            show.out.print(f"{made.path}: database and {made.files} files, {made.size_bytes / 1e6:.1f} MB")


@app.command()
def restore(
    file: Annotated[Path, typer.Argument(help="A file of dicomnode backup.")],
    config: ConfigFile = Path("config.toml"),
    json: AsJson = False,
) -> None:
    """Bring a backup back into the empty data folder and database of a configuration; then start the node.

    The node that the backup was made of must not run any more. A destination is asked what it has before it is sent.

    Example: `dicomnode restore /backup/node.tar --config config.toml`
    """
    from dicomnode.app import show
    from dicomnode.app.backup.restoring import restore_backup
    from dicomnode.app.documents import print_document
    from dicomnode.store.ops.studies import note_deed

    with exit_codes():
        done = restore_backup(load_config(config, serving=False), file)
        with opened_store(config) as (_, store), store.write() as session:
            note_deed(session, "restore", user_here(), name="node", made_at=done.manifest.made_at)
        facts = {"made_at": done.manifest.made_at, "doubtful": done.found.doubtful, "missing": done.found.missing}
        if json:
            print_document(facts)
            return
        show.out.print(f"brought back as of {done.manifest.made_at}")
        show.out.print(f"{done.found.doubtful} deliveries: the destination is asked before they are sent")
        if done.found.missing:
            show.out.print(f"{done.found.missing} images are not in the backup; jobs that need them are refused")
