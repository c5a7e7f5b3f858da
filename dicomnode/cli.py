"""The command line: parse, load, call. Exit codes: 0 done, 1 the work failed, 2 the call or the configuration is wrong.

Everything heavy is imported by the command that needs it, so that ``--help`` and ``jobs`` answer at once.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import dicomnode
from dicomnode.config import Config, load_config
from dicomnode.errors import BundleError, ConfigError, NodeError

if TYPE_CHECKING:
    from dicomnode.store.engine import Store

FAILED = 1
WRONG_CALL = 2

app = typer.Typer(
    help="A DICOM node: head CT in from scanners and PACS, SEG, SR and SC out. Research, not for diagnosis.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
jobs_app = typer.Typer(help="See, retry and cancel jobs.", no_args_is_help=True)
destinations_app = typer.Typer(help="What is known of the destinations.", no_args_is_help=True)
zoo_app = typer.Typer(help="The models: list them, read their cards, verify their digests.", no_args_is_help=True)
cohort_app = typer.Typer(help="Synthetic heads for demonstration, tests and training.", no_args_is_help=True)
manifest_app = typer.Typer(help="The table of exams that training and evaluation read.", no_args_is_help=True)
app.add_typer(jobs_app, name="jobs")
app.add_typer(destinations_app, name="destinations")
app.add_typer(zoo_app, name="zoo")
app.add_typer(cohort_app, name="cohort")
app.add_typer(manifest_app, name="manifest")

ConfigFile = Annotated[
    Path, typer.Option("--config", "-c", help="The TOML file; see config.example.toml.", envvar="DICOMNODE_CONFIG")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs instead of a table.")]


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


@app.command()
def serve(
    config: ConfigFile = Path("config.toml"),
    role: Annotated[str, typer.Option(help="all, receive, work or deliver: start one part alone.")] = "all",
) -> None:
    """Run the node until SIGTERM or Ctrl-C.

    Example: `dicomnode serve --config config.toml`
    """
    from dicomnode.app.node import Role, serve
    from dicomnode.ops.logging import configure_logging

    with _exit_codes():
        if role not in list(Role):
            raise ConfigError([f"--role {role}: use {', '.join(Role)}"])
        loaded = load_config(config)
        configure_logging(loaded.operations)
        raise typer.Exit(serve(loaded, Role(role)))


@app.command()
def check(
    config: ConfigFile = Path("config.toml"),
    json: AsJson = False,
    models: Annotated[bool, typer.Option(help="Also load every model on its device.")] = True,
) -> None:
    """Say in plain words what would go wrong: configuration, disk, clock, database, models, destinations.

    Exit code 0 when the node would work, 2 when not. Example: `dicomnode check --config config.toml`
    """
    from dataclasses import asdict

    from rich.markup import escape

    from dicomnode.app import show
    from dicomnode.app.checkup import checkup

    with _exit_codes():
        loaded = load_config(config)
        findings = []
        for finding in checkup(loaded, load_models=models):
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
            show.as_json([asdict(finding) for finding in findings])
        raise typer.Exit(WRONG_CALL if any(not f.ok and f.fatal for f in findings) else 0)


@app.command()
def demo(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the results and the pictures.")] = Path(
        "demo-output"
    ),
    seed: Annotated[int, typer.Option(help="Which synthetic head is sent.")] = 7,
) -> None:
    """The whole loop on this machine: a node, a small receiving PACS, a synthetic study; prints what came back.

    Nothing else is needed. Example: `dicomnode demo --out demo-output`
    """
    from dicomnode.app.demo import run_demo

    with _exit_codes():
        raise typer.Exit(run_demo(out, seed))


@app.command()
def process(
    folder: Annotated[Path, typer.Argument(help="Folder with one CT series (others in it are passed over).")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the result files.")],
    protocol: Annotated[
        str, typer.Option("--protocol", "-p", help="Name of a protocol of the configuration.")
    ] = "head-ct",
    config: Annotated[
        Path | None,
        typer.Option("--config", "-c", help="The TOML file; without it the built-in head-ct protocol is used."),
    ] = None,
    json: AsJson = False,
) -> None:
    """Run the same pipeline without a network: a folder with a series in, SEG, SR and SC files out.

    Example: `dicomnode process ./head --out ./results`
    """
    from dicomnode.app import show
    from dicomnode.app.folder import process_folder, processed_as_dict, processed_table
    from dicomnode.config import built_in_config

    with _exit_codes():
        loaded = load_config(config, serving=False) if config else built_in_config()
        chosen = loaded.protocol_named(protocol)
        if chosen is None:
            names = ", ".join(item.name for item in loaded.protocol) or "none"
            raise ConfigError([f"--protocol {protocol}: there is no such protocol; there are: {names}"])
        if not folder.is_dir():
            raise ConfigError([f"{folder} is no folder"])
        done = process_folder(folder, out, loaded, chosen, lambda line: show.err.print(f"[dim]{line}[/dim]"))
        show.as_json(processed_as_dict(done)) if json else processed_table(done)


@app.command()
def why(
    identifier: Annotated[str, typer.Argument(help="Accession number, study, series or SOP instance UID, or job id.")],
    config: ConfigFile = Path("config.toml"),
    json: AsJson = False,
) -> None:
    """Everything that happened to a case, in order, with the reasons.

    Example: `dicomnode why ACC1234`
    """
    from dataclasses import asdict

    from dicomnode.app import show
    from dicomnode.store.history import events_of

    with _exit_codes(), _store(config) as (loaded, store):
        with store.read() as session:
            events = events_of(session, identifier)
        if not events:
            raise NodeError(f"nothing is known of {identifier!r}")
        if json:
            show.as_json([asdict(event) for event in events])
        else:
            show.events_table(identifier, events, loaded.node.timezone)


@jobs_app.command("list")
def jobs_list(
    config: ConfigFile = Path("config.toml"),
    status: Annotated[str, typer.Option(help="Only jobs in this state, such as failed.")] = "",
    limit: Annotated[int, typer.Option(help="How many at most, newest first.")] = 50,
    json: AsJson = False,
) -> None:
    """Jobs, newest first, and the series that have none, with the reason.

    Example: `dicomnode jobs list --status failed`
    """
    from dataclasses import asdict

    from dicomnode.app import show
    from dicomnode.store.history import list_jobs, list_series_without_job

    with _exit_codes(), _store(config) as (loaded, store), store.read() as session:
        jobs = list_jobs(session, status=status, limit=limit)
        series = [] if status else list_series_without_job(session, limit=limit)
        if json:
            show.as_json(
                {"jobs": [job.as_dict() for job in jobs], "series_without_job": [asdict(line) for line in series]}
            )
            return
        show.jobs_table(jobs, loaded.node.timezone)
        if not status:
            show.series_table(series, loaded.node.timezone)


@jobs_app.command("show")
def jobs_show(
    job_id: Annotated[int, typer.Argument(help="As in jobs list.")],
    config: ConfigFile = Path("config.toml"),
    json: AsJson = False,
) -> None:
    """One job with its runs and deliveries."""
    from dicomnode.app import show
    from dicomnode.store.history import show_job

    with _exit_codes(), _store(config) as (loaded, store), store.read() as session:
        job = show_job(session, job_id)
        if job is None:
            raise NodeError(f"there is no job {job_id}")
        show.as_json(job.as_dict()) if json else show.job_page(job, loaded.node.timezone)


@jobs_app.command("retry")
def jobs_retry(
    job_id: Annotated[int, typer.Argument(help="As in jobs list.")],
    config: ConfigFile = Path("config.toml"),
    json: AsJson = False,
) -> None:
    """Run a failed, refused, quarantined or cancelled job again, or send what was not delivered."""
    from dicomnode.app import show
    from dicomnode.store.jobs import requeue_job

    with _exit_codes(), _store(config) as (_, store), store.write() as session:
        status = requeue_job(session, job_id)
    show.as_json({"job_id": job_id, "status": status}) if json else show.out.print(f"job {job_id} is {status}")


@jobs_app.command("cancel")
def jobs_cancel(
    job_id: Annotated[int, typer.Argument(help="As in jobs list.")],
    config: ConfigFile = Path("config.toml"),
    json: AsJson = False,
) -> None:
    """Stop a job; what it has not sent yet is withdrawn."""
    from dicomnode.app import show
    from dicomnode.store.jobs import cancel_job

    with _exit_codes(), _store(config) as (_, store), store.write() as session:
        status = cancel_job(session, job_id)
    show.as_json({"job_id": job_id, "status": status}) if json else show.out.print(f"job {job_id} is {status}")


@jobs_app.command("held")
def jobs_held(config: ConfigFile = Path("config.toml"), json: AsJson = False) -> None:
    """Results that are held because a destination has their study under another identity, with the reason.

    Look at both, then `dicomnode jobs release` or `dicomnode jobs discard`.
    """
    from dataclasses import asdict

    from dicomnode.app import show
    from dicomnode.store.history import list_held

    with _exit_codes(), _store(config) as (_, store), store.read() as session:
        held = list_held(session)
        show.as_json([asdict(line) for line in held]) if json else show.held_table(held)


@jobs_app.command("release")
def jobs_release(
    job_id: Annotated[int, typer.Argument(help="As in jobs held.")],
    identity: Annotated[
        str, typer.Option(help="pacs: as the destination has it; own: as the images had it. Look before you choose.")
    ],
    destination: Annotated[str, typer.Option(help="Only what is held for this one.")] = "",
    config: ConfigFile = Path("config.toml"),
    json: AsJson = False,
) -> None:
    """Send what is held of a job, under the identity that you found to be right.

    Example: `dicomnode jobs release 12 --identity pacs`
    """
    from dicomnode.app import show
    from dicomnode.store.holding import OWN, PACS, release_held

    with _exit_codes():
        if identity not in (OWN, PACS):
            raise ConfigError([f"--identity {identity}: use {PACS} or {OWN}"])
        with _store(config) as (_, store), store.write() as session:
            count = release_held(session, job_id, identity=identity, destination=destination)
    said = f"{count} results are released"
    show.as_json({"job_id": job_id, "released": count}) if json else show.out.print(said)


@jobs_app.command("discard")
def jobs_discard(
    job_id: Annotated[int, typer.Argument(help="As in jobs held.")],
    destination: Annotated[str, typer.Option(help="Only what is held for this one.")] = "",
    config: ConfigFile = Path("config.toml"),
    json: AsJson = False,
) -> None:
    """Withdraw what is held of a job: none of it is sent there."""
    from dicomnode.app import show
    from dicomnode.store.holding import discard_held

    with _exit_codes(), _store(config) as (_, store), store.write() as session:
        count = discard_held(session, job_id, destination=destination)
    said = f"{count} results are withdrawn"
    show.as_json({"job_id": job_id, "withdrawn": count}) if json else show.out.print(said)


@jobs_app.command("withdraw")
def jobs_withdraw(
    destination: Annotated[str, typer.Argument(help="Name of a destination that is not configured any more.")],
    config: ConfigFile = Path("config.toml"),
    json: AsJson = False,
) -> None:
    """Withdraw what still waits for a destination that was removed from the configuration, and finish its jobs."""
    from dicomnode.app import show
    from dicomnode.store.outbox import forget_destination

    with _exit_codes(), _store(config) as (loaded, store), store.write() as session:
        if any(known.name == destination for known in loaded.destination):
            raise NodeError(f"{destination} is configured: cancel single jobs instead")
        count = forget_destination(session, destination)
    said = f"{count} results are withdrawn"
    show.as_json({"destination": destination, "withdrawn": count}) if json else show.out.print(said)


@destinations_app.command("refusals")
def destinations_refusals(config: ConfigFile = Path("config.toml"), json: AsJson = False) -> None:
    """SOP classes that destinations refuse, since when, and what they said: something else is sent in their place."""
    from dataclasses import asdict

    from dicomnode.app import show
    from dicomnode.store.fallback import list_refusals

    with _exit_codes(), _store(config) as (loaded, store), store.read() as session:
        refusals = list_refusals(session)
        if json:
            show.as_json([asdict(line) for line in refusals])
        else:
            show.refusals_table(refusals, loaded.node.timezone)


@destinations_app.command("forget")
def destinations_forget(
    destination: Annotated[str, typer.Argument(help="As in destinations refusals.")],
    config: ConfigFile = Path("config.toml"),
    json: AsJson = False,
) -> None:
    """Forget what a destination refused: the next results are offered to it in their first choice again.

    `dicomnode check` does so by itself for what it finds accepted. Example: `dicomnode destinations forget pacs`
    """
    from dicomnode.app import show
    from dicomnode.store.fallback import forget_refusals

    with _exit_codes(), _store(config) as (_, store), store.write() as session:
        count = forget_refusals(session, destination)
    said = f"{count} refused classes are forgotten"
    show.as_json({"destination": destination, "forgotten": count}) if json else show.out.print(said)


@zoo_app.command("list")
def zoo_list(
    config: Annotated[
        Path | None, typer.Option("--config", "-c", help="Also the bundles of this configuration.")
    ] = None,
    json: AsJson = False,
) -> None:
    """The models this node can run."""
    from dicomnode.app.models import bundles_table, registry_of

    with _exit_codes():
        bundles_table(registry_of(config), as_json=json)


@zoo_app.command("show")
def zoo_show(
    name: Annotated[str, typer.Argument(help="As in zoo list.")],
    config: Annotated[
        Path | None, typer.Option("--config", "-c", help="Also the bundles of this configuration.")
    ] = None,
    json: AsJson = False,
) -> None:
    """The card of a model: what it does, on what it was trained, its figures and limits."""
    from dicomnode.app.models import bundle_card, registry_of

    with _exit_codes():
        bundle_card(registry_of(config), name, as_json=json)


@zoo_app.command("verify")
def zoo_verify(
    config: Annotated[
        Path | None, typer.Option("--config", "-c", help="Also the bundles of this configuration.")
    ] = None,
    json: AsJson = False,
) -> None:
    """Compare every bundle with its pinned digest and read its weights' header."""
    from dicomnode.app.models import registry_of, verify_table

    with _exit_codes():
        verify_table(registry_of(config), as_json=json)


@zoo_app.command("selftest")
def zoo_selftest(
    name: Annotated[str, typer.Argument(help="As in zoo list; without it, all models.")] = "",
    config: Annotated[
        Path | None, typer.Option("--config", "-c", help="Also the bundles of this configuration, on its device.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda:0; default: the first of the configuration.")] = "",
    record: Annotated[bool, typer.Option("--record", help="Keep what it answers now as the known answer.")] = False,
    json: AsJson = False,
) -> None:
    """Let the models read a head with a known answer; exit code 1 when an answer differs.

    Example: `dicomnode zoo selftest hemorrhage`
    """
    from dicomnode.app.models import selftest_page

    with _exit_codes():
        raise typer.Exit(0 if selftest_page(name, config, device, keep=record, as_json=json) else FAILED)


@zoo_app.command("import")
def zoo_import(
    source: Annotated[Path, typer.Argument(help="Folder or zip file of a MONAI bundle for CT segmentation.")],
    config: Annotated[
        Path | None,
        typer.Option("--config", "-c", help="Import into the models folder of this node (data_dir/models)."),
    ] = None,
    into: Annotated[Path | None, typer.Option(help="Import into this folder instead.")] = None,
    name: Annotated[str, typer.Option(help="How the configuration calls it; default: from its metadata.")] = "",
    title: Annotated[str, typer.Option(help="What results call it; default: from its metadata.")] = "",
    finding: Annotated[
        list[str] | None,
        typer.Option(
            help="CHANNEL=CODE, a word such as hemorrhage, or VALUE,SCHEME,MEANING; may be given again. Where given, "
            "these channels alone are reported."
        ),
    ] = None,
    label: Annotated[
        list[str] | None, typer.Option(help="CHANNEL=TEXT that the radiologist reads; may be given again.")
    ] = None,
    trained_on: Annotated[str, typer.Option(help="Stands in every result; default: data_source of its metadata.")] = "",
    cleared: Annotated[bool, typer.Option("--cleared", help="Do not mark its results as research.")] = False,
    any_body_part: Annotated[
        bool, typer.Option("--any-body-part", help="Run it on series without a brain within a skull, too.")
    ] = False,
    trust: Annotated[bool, typer.Option("--trust", help="Its configuration may run as code on this machine.")] = False,
    json: AsJson = False,
) -> None:
    """Bring in a MONAI bundle of others; without --trust it says what code it would run and stops.

    Example: `dicomnode zoo import ./spleen.zip --config config.toml --finding 1=78961009,SCT,Spleen --trust`
    """
    from dicomnode.app.models import by_channel, imported_page, known_names, models_folder
    from dicomnode.zoo.foreign import ImportOptions
    from dicomnode.zoo.importer import import_bundle

    with _exit_codes():
        folder = models_folder(config, into)
        options = ImportOptions(
            trusted=trust,
            name=name,
            title=title,
            findings=by_channel("--finding", finding or []),
            labels=by_channel("--label", label or []),
            trained_on=trained_on,
            research=not cleared,
            require_head=not any_body_part,
        )
        imported = import_bundle(source, folder, options, known_names(config, folder))
        imported_page(imported, named_folder=into, as_json=json)


@cohort_app.command("make")
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
) -> None:
    """Make synthetic patients: head CT at baseline and follow-up, masks, reports, variables, outcomes.

    NIfTI files are written where nibabel is installed. Example: `dicomnode cohort make ./cohort --patients 8 --arm ich`
    """
    from dicomnode.cohort.make import make_cohort
    from dicomnode.cohort.patient_files import FORMATS
    from dicomnode.cohort.patients import Arm, Site

    with _exit_codes():
        for option, given, known in (
            ("--arm", [arm], list(Arm)),
            ("--site", [site], list(Site)),
            ("--format", format_ or [], list(FORMATS)),
        ):
            if unknown := [value for value in given if value not in known]:
                raise ConfigError([f"{option} {unknown[0]}: use {', '.join(known)}"])
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
        )
        typer.echo(str(manifest))


@app.command()
def train(
    model: Annotated[str, typer.Argument(help="hemorrhage or hemorrhage-paper.")],
    manifest: Annotated[Path, typer.Option("--manifest", "-m", help="CSV file; see docs/training.md.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder; the same call again goes on where it stopped.")],
    epochs: Annotated[int, typer.Option(min=1, help="At most; it stops early.")] = 30,
    steps: Annotated[int, typer.Option(min=1, help="Batches of an epoch.")] = 100,
    batch: Annotated[int, typer.Option(min=2, help="Slices of a batch; even.")] = 16,
    rate: Annotated[float, typer.Option(help="Peak learning rate.")] = 1e-3,
    patience: Annotated[int, typer.Option(min=0, help="Epochs without a better validation score; 0: never stop.")] = 8,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same training.")] = 1,
    folds: Annotated[int, typer.Option(min=0, help="5: five-fold cross-validation by patient.")] = 0,
    teacher: Annotated[
        Path | None, typer.Option(help="Weights of a teacher: train its noisy student on the unlabelled exams too.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda:0, ...")] = "auto",
    workers: Annotated[int, typer.Option(min=0, help="Processes that prepare batches.")] = 0,
    skip_unusable: Annotated[bool, typer.Option(help="Leave out exams that cannot be used, and say which.")] = False,
) -> None:
    """Train a model on the exams of a manifest; weights and one report folder come out.

    Example: `dicomnode train hemorrhage --manifest manifest.csv --out training`
    """
    with _exit_codes(), _training_extra():
        from dicomnode.train.engine import FitSettings
        from dicomnode.train.run import TrainSettings, train_model

        fit = FitSettings(epochs, rate, patience=patience, seed=seed, device=device)
        settings = TrainSettings(
            model, fit, steps, batch, folds, teacher, workers, skip_unusable, progress=sys.stderr.isatty()
        )
        typer.echo(str(train_model(manifest, out, settings)))


@app.command()
def evaluate(
    model: Annotated[str, typer.Argument(help="hemorrhage or hemorrhage-paper.")],
    manifest: Annotated[Path, typer.Option("--manifest", "-m", help="CSV file; see docs/training.md.")],
    weights: Annotated[Path, typer.Option("--weights", "-w", help="A safetensors file, such as best.safetensors.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the report.")],
    split: Annotated[str, typer.Option(help="train, validation, test, unlabelled or all.")] = "test",
    compare: Annotated[
        Path | None, typer.Option(help="results.csv of another model's report, to compare with exam by exam.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the bootstrap.")] = 1,
    skip_unusable: Annotated[bool, typer.Option(help="Leave out exams that cannot be used, and say which.")] = False,
) -> None:
    """Score the exams of a manifest with given weights; one report folder comes out.

    Example: `dicomnode evaluate hemorrhage -m manifest.csv -w training/best.safetensors -o report`
    """
    with _exit_codes(), _training_extra():
        from dicomnode.train.manifest import Split
        from dicomnode.train.run import evaluate_model

        if split not in [*Split, "all"]:
            raise ConfigError([f"--split {split}: use {', '.join(Split)} or all"])
        report = evaluate_model(
            model,
            manifest,
            weights,
            out,
            split=None if split == "all" else Split(split),
            compare=compare,
            seed=seed,
            skip_unusable=skip_unusable,
            progress=sys.stderr.isatty(),
        )
        typer.echo(str(report))


@manifest_app.command("check")
def manifest_check(
    manifest: Annotated[Path, typer.Argument(help="CSV file; see docs/training.md.")],
) -> None:
    """List every fault of a manifest, or say how many exams stand in each split.

    Example: `dicomnode manifest check manifest.csv`
    """
    from collections import Counter

    from dicomnode.train.manifest import read_manifest

    with _exit_codes():
        read = read_manifest(manifest)
        count = Counter(case.split.value if case.split else "not drawn yet" for case in read.cases)
        parts = ", ".join(f"{name} {number}" for name, number in sorted(count.items()))
        patients = len({case.patient for case in read.cases})
        typer.echo(f"{len(read.cases)} exams of {patients} patients ({parts}){', synthetic' if read.synthetic else ''}")


@manifest_app.command("import")
def manifest_import(
    layout: Annotated[str, typer.Argument(help="rsna2019, cq500, ct-ich, bhsd or cohort.")],
    folder: Annotated[Path, typer.Argument(help="Where the data set lies, as its owners give it out.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The manifest to write.")] = Path("manifest.csv"),
) -> None:
    """Write the manifest of a public data set and show its licence. Nothing is downloaded.

    Example: `dicomnode manifest import ct-ich ./ct-ich-1.3.1 --out manifest.csv`
    """
    with _exit_codes(), _training_extra():
        from dicomnode.train.importers import import_layout

        typer.echo(import_layout(layout, folder, out).licence)
        typer.echo(str(out))


@contextmanager
def _training_extra() -> Iterator[None]:
    """Say in a sentence that the extra is missing, before anything is imported from it."""
    from importlib.util import find_spec

    missing = [name for name in ("ignite", "tensorboard", "matplotlib", "nibabel") if find_spec(name) is None]
    if missing:
        raise ConfigError([f"{', '.join(missing)} not installed: training needs pip install 'dicomnode[train]'"])
    yield


@contextmanager
def _store(config: Path) -> Iterator[tuple[Config, Store]]:
    from sqlalchemy.exc import SQLAlchemyError

    from dicomnode.store.engine import Store

    loaded = load_config(config, serving=False)
    store = Store(loaded.database_url)
    try:
        try:
            store.migrate()
        except SQLAlchemyError as fault:
            raise NodeError(f"the database cannot be used: {str(fault).splitlines()[0]}") from fault
        yield loaded, store
    finally:
        store.close()


@contextmanager
def _exit_codes() -> Iterator[None]:
    """Errors raised on purpose become a sentence and an exit code; anything else is a bug and shows its traceback."""
    try:
        yield
    except (ConfigError, BundleError) as fault:
        typer.echo(str(fault), err=True)
        raise typer.Exit(WRONG_CALL) from fault
    except NodeError as fault:
        typer.echo(str(fault), err=True)
        raise typer.Exit(FAILED) from fault


def main() -> None:
    """Entry point of the ``dicomnode`` command."""
    app()
