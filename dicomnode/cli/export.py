"""``export-case``: a job as a file that may leave the hospital."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dicomnode.cli.common import AsJson, ConfigFile, exit_codes, opened_store, require_folder, user_here

app = typer.Typer()


@app.command("export-case")
def export_case(
    job_id: Annotated[int, typer.Argument(help="As in jobs list.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The zip file to write.")],
    keep_intervals: Annotated[
        bool, typer.Option("--keep-intervals", help="Move all dates by the same days in place of removing them.")
    ] = False,
    config: ConfigFile = Path("config.toml"),
    json: AsJson = False,
) -> None:
    """Write a job as one de-identified file: images, results, models and events (DICOM PS3.15, Basic Profile).

    Refused where an image has text burned in, or where anything still names the patient. Run it again with
    `dicomnode process`. A head shows a face to whoever renders it: look at docs/life-cycle.md before you give it away.

    Example: `dicomnode export-case 12 --out case.zip`
    """
    from dicomnode.app import show
    from dicomnode.app.documents import print_document
    from dicomnode.app.export.case import export_case
    from dicomnode.store.ops.studies import note_deed

    with exit_codes():
        require_folder("--out", out.absolute().parent)
        with opened_store(config) as (loaded, store):
            done = export_case(loaded, store, job_id, out, keep_intervals=keep_intervals)
            with store.write() as session:
                note_deed(session, "export", user_here(), job_id=job_id, images=done.images, results=done.results)
        if json:
            print_document({"path": str(done.path), "images": done.images, "results": done.results})
        else:
            show.out.print(f"{done.path}: {done.images} images, {done.results} results")
            show.out.print(f"left out: {', '.join(done.left_out) or 'nothing'}")
