"""``cohort``: synthetic patients."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Annotated

import typer

from dicomnode.cli.common import AsJson, exit_codes, require_folder, require_known
from dicomnode.errors import ConfigError

app = typer.Typer(help="Synthetic heads for demonstration, tests and training.", no_args_is_help=True)


@app.command("make")
def cohort_make(
    out: Annotated[Path, typer.Argument(help="Folder for the patients, the manifest and the contact sheet.")],
    patients: Annotated[int, typer.Option("--patients", "-n", min=1, help="How many.")] = 8,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same patients.")] = 1,
    arm: Annotated[
        str, typer.Option(help="Population: ich, post_evt, stroke_no_evt, trauma, normal or mixed.")
    ] = "mixed",
    site: Annotated[str, typer.Option(help="A, B or C: they differ in scanner, protocol and case mix.")] = "A",
    anatomy: Annotated[
        Path | None,
        typer.Option(exists=True, file_okay=False, help="Folder with a CT template (scct.nii) to warp heads from."),
    ] = None,
    matrix: Annotated[
        int, typer.Option(min=64, max=1024, help="Rows and columns; 300 or fewer paint coarser heads, quickly.")
    ] = 512,
    format_: Annotated[
        list[str] | None,
        typer.Option(
            "--format", help="dicom, nifti or array; may be given again. Default: dicom, and nifti if it can."
        ),
    ] = None,
    processes: Annotated[int, typer.Option("--processes", "-j", min=1, help="Work in so many processes.")] = 1,
    cohort_version: Annotated[
        str, typer.Option(help="2, or 1: that which the shipped haemorrhage model has learned from.")
    ] = "2",
    followup: Annotated[
        bool, typer.Option("--followup/--baseline-only", help="Make the second scan too, or the first one alone.")
    ] = True,
) -> None:
    """Make synthetic patients: head CT at baseline and follow-up, masks, reports, variables, outcomes.

    NIfTI files are written where nibabel is installed. Examples:
    `dicomnode cohort make ./cohort --patients 8 --arm ich` and, thousands of coarse heads in minutes,
    `dicomnode cohort make ./coarse -n 2000 --matrix 96 --format array --baseline-only -j 2`
    """
    from dicomnode.cohort.edition import Version
    from dicomnode.cohort.make import make_cohort
    from dicomnode.cohort.patient_files import FORMATS
    from dicomnode.cohort.patients import Arm, Site

    with exit_codes():
        for option, given, known in (
            ("--arm", [arm], list(Arm)),
            ("--site", [site], list(Site)),
            ("--format", format_ or [], list(FORMATS)),
            ("--cohort-version", [cohort_version], list(Version)),
        ):
            for value in given:
                require_known(option, value, known)
        require_folder("OUT", out)
        if anatomy and not any(anatomy.rglob("scct.nii")):
            raise ConfigError([f"--anatomy {anatomy}: there is no scct.nii in it"])
        manifest = make_cohort(
            out,
            patients,
            seed,
            progress=sys.stderr.isatty(),
            arm=arm,
            site=site,
            anatomy=anatomy,
            matrix=matrix,
            formats=format_,
            processes=processes,
            version=cohort_version,
            followup=followup,
        )
        typer.echo(str(manifest))


@app.command("report")
def cohort_report(
    cohort_version: Annotated[str, typer.Option(help="Version to measure, 1 or 2.")] = "2",
    patients: Annotated[int, typer.Option("--patients", "-n", min=500, help="Drawn for each outcome.")] = 12_000,
    out: Annotated[Path | None, typer.Option(help="Write the tables into this Markdown file as well.")] = None,
    json: AsJson = False,
) -> None:
    """Measure what can be known of the cohort's outcomes, from which channels, and what a model could cheat by.

    Draws facts, no pictures; some minutes. Needs scikit-learn (`pip install "dicomnode[train]"`).
    Example: `dicomnode cohort report --cohort-version 1 -n 12000 --out report.md`
    """
    from rich.console import Console
    from rich.progress import Progress

    from dicomnode.app.documents import print_document
    from dicomnode.cohort.audit_report import measured, steps
    from dicomnode.cohort.edition import Version

    with exit_codes():
        require_known("--cohort-version", cohort_version, list(Version))
        if importlib.util.find_spec("sklearn") is None:
            raise ConfigError(['the report needs scikit-learn: pip install "dicomnode[train]"'])
        version = Version(cohort_version)
        # the bar goes where it does not mix with the tables
        with Progress(console=Console(stderr=True), disable=not sys.stderr.isatty()) as progress:
            task = progress.add_task("measuring", total=steps(version))
            found = measured(version, patients, lambda: progress.advance(task))
        print_document(found.content()) if json else typer.echo(found.text())
        if out is not None:
            out.write_text(found.text(), encoding="utf-8")
