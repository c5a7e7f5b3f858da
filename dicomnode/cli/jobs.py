"""``jobs``: see, retry, cancel, release and withdraw."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dicomnode.cli.common import AsJson, ConfigFile, exit_codes, opened_store
from dicomnode.errors import ConfigError, NodeError

app = typer.Typer(help="See, retry and cancel jobs.", no_args_is_help=True)


@app.command("list")
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

    with exit_codes(), opened_store(config) as (loaded, store), store.read() as session:
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


@app.command("show")
def jobs_show(
    job_id: Annotated[int, typer.Argument(help="As in jobs list.")],
    config: ConfigFile = Path("config.toml"),
    json: AsJson = False,
) -> None:
    """One job with its runs and deliveries."""
    from dicomnode.app import show
    from dicomnode.store.history import show_job

    with exit_codes(), opened_store(config) as (loaded, store), store.read() as session:
        job = show_job(session, job_id)
        if job is None:
            raise NodeError(f"there is no job {job_id}")
        show.as_json(job.as_dict()) if json else show.job_page(job, loaded.node.timezone)


@app.command("retry")
def jobs_retry(
    job_id: Annotated[int, typer.Argument(help="As in jobs list.")],
    config: ConfigFile = Path("config.toml"),
    json: AsJson = False,
) -> None:
    """Run a failed, refused, quarantined or cancelled job again, or send what was not delivered."""
    from dicomnode.app import show
    from dicomnode.store.queue.jobs import requeue_job

    with exit_codes(), opened_store(config) as (_, store), store.write() as session:
        status = requeue_job(session, job_id)
    show.as_json({"job_id": job_id, "status": status}) if json else show.out.print(f"job {job_id} is {status}")


@app.command("cancel")
def jobs_cancel(
    job_id: Annotated[int, typer.Argument(help="As in jobs list.")],
    config: ConfigFile = Path("config.toml"),
    json: AsJson = False,
) -> None:
    """Stop a job; what it has not sent yet is withdrawn."""
    from dicomnode.app import show
    from dicomnode.store.queue.jobs import cancel_job

    with exit_codes(), opened_store(config) as (_, store), store.write() as session:
        status = cancel_job(session, job_id)
    show.as_json({"job_id": job_id, "status": status}) if json else show.out.print(f"job {job_id} is {status}")


@app.command("held")
def jobs_held(config: ConfigFile = Path("config.toml"), json: AsJson = False) -> None:
    """Results that are held, since a destination has their study under another identity or does not show what it took.

    Look at both, then `dicomnode jobs release` or `dicomnode jobs discard`.
    """
    from dataclasses import asdict

    from dicomnode.app import show
    from dicomnode.store.history import list_held

    with exit_codes(), opened_store(config) as (_, store), store.read() as session:
        held = list_held(session)
        show.as_json([asdict(line) for line in held]) if json else show.held_table(held)


@app.command("release")
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
    from dicomnode.store.deliver.holding import OWN, PACS, release_held

    with exit_codes():
        if identity not in (OWN, PACS):
            raise ConfigError([f"--identity {identity}: use {PACS} or {OWN}"])
        with opened_store(config) as (_, store), store.write() as session:
            count = release_held(session, job_id, identity=identity, destination=destination)
    said = f"{count} results are released"
    show.as_json({"job_id": job_id, "released": count}) if json else show.out.print(said)


@app.command("discard")
def jobs_discard(
    job_id: Annotated[int, typer.Argument(help="As in jobs held.")],
    destination: Annotated[str, typer.Option(help="Only what is held for this one.")] = "",
    config: ConfigFile = Path("config.toml"),
    json: AsJson = False,
) -> None:
    """Withdraw what is held of a job: none of it is sent there."""
    from dicomnode.app import show
    from dicomnode.store.deliver.holding import discard_held

    with exit_codes(), opened_store(config) as (_, store), store.write() as session:
        count = discard_held(session, job_id, destination=destination)
    said = f"{count} results are withdrawn"
    show.as_json({"job_id": job_id, "withdrawn": count}) if json else show.out.print(said)


@app.command("withdraw")
def jobs_withdraw(
    destination: Annotated[str, typer.Argument(help="Name of a destination that is not configured any more.")],
    config: ConfigFile = Path("config.toml"),
    json: AsJson = False,
) -> None:
    """Withdraw what still waits for a destination that was removed from the configuration, and finish its jobs."""
    from dicomnode.app import show
    from dicomnode.store.deliver.outbox import forget_destination

    with exit_codes(), opened_store(config) as (loaded, store), store.write() as session:
        if any(known.name == destination for known in loaded.destination):
            raise NodeError(f"{destination} is configured: cancel single jobs instead")
        count = forget_destination(session, destination)
    said = f"{count} results are withdrawn"
    show.as_json({"destination": destination, "withdrawn": count}) if json else show.out.print(said)
