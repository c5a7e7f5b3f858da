"""``jobs``: see, retry, cancel, release and withdraw."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from dicomnode.cli.common import (
    AsJson,
    ConfigFile,
    exit_codes,
    opened_store,
    require_destination,
    require_known,
    user_here,
)
from dicomnode.errors import NodeError

app = typer.Typer(help="See, retry and cancel jobs.", no_args_is_help=True)


@app.command("list")
def jobs_list(
    config: ConfigFile = Path("config.toml"),
    status: Annotated[str, typer.Option(help="Only jobs in this state, such as failed.")] = "",
    protocol: Annotated[str, typer.Option(help="Only jobs of this protocol.")] = "",
    accession: Annotated[str, typer.Option(help="Only jobs of this accession number.")] = "",
    limit: Annotated[
        int | None,
        typer.Option(min=0, help="How many at most, newest first; 0: all. Default: 50, with --json all."),
    ] = None,
    json: AsJson = False,
) -> None:
    """Jobs, newest first, and the series that have none, with the reason.

    States: waiting, queued, running, delivering; done, sent_unproven; undelivered, failed, refused, quarantined,
    cancelled, superseded. Series are shown where no filter is given.

    Examples:

    `dicomnode jobs list`

    `dicomnode jobs list --status failed --limit 0`

    `dicomnode jobs list --accession ACC1234 --json`
    """
    from dicomnode.app import show
    from dicomnode.app.documents import print_document
    from dicomnode.store.history.jobs import JobFilter, protocols_known
    from dicomnode.store.history.listing import list_all
    from dicomnode.store.states import JobStatus

    with exit_codes():
        if status:
            require_known("--status", status, JobStatus)
        most = (None if json else 50) if limit is None else limit or None
        wanted = JobFilter(status=status, protocol=protocol, accession_number=accession)
        with opened_store(config) as (loaded, store), store.read() as session:
            if protocol:
                configured = [known.name for known in loaded.protocol]
                require_known("--protocol", protocol, sorted({*configured, *protocols_known(session)}))
            listed = list_all(session, wanted, limit=most, in_full=json)
            if json:
                print_document(asdict(listed), timezone=loaded.node.timezone)
            else:
                show.listing(listed, loaded.node.timezone)


@app.command("show")
def jobs_show(
    job_id: Annotated[int, typer.Argument(help="As in jobs list.")],
    config: ConfigFile = Path("config.toml"),
    json: AsJson = False,
) -> None:
    """One job with its runs and deliveries.

    Example: `dicomnode jobs show 12`
    """
    from dicomnode.app import show
    from dicomnode.app.documents import print_document
    from dicomnode.store.history.jobs import show_job

    with exit_codes(), opened_store(config) as (loaded, store), store.read() as session:
        job = show_job(session, job_id)
        if job is None:
            says = "'dicomnode jobs list' shows all ids, 'dicomnode why ACCESSION' those of one case"
            raise NodeError(f"there is no job {job_id}; {says}")
        timezone = loaded.node.timezone
        print_document(asdict(job), timezone=timezone) if json else show.job_page(job, timezone)


@app.command("retry")
def jobs_retry(
    job_id: Annotated[int, typer.Argument(help="As in jobs list.")],
    config: ConfigFile = Path("config.toml"),
    json: AsJson = False,
) -> None:
    """Run a failed, refused, quarantined or cancelled job again, or send what was not delivered.

    Example: `dicomnode jobs retry 12`
    """
    from dicomnode.app import show
    from dicomnode.app.documents import print_document
    from dicomnode.store.ops.studies import note_deed
    from dicomnode.store.queue.jobs import requeue_job

    with exit_codes(), opened_store(config) as (_, store), store.write() as session:
        status = requeue_job(session, job_id)
        note_deed(session, "retry", user_here(), job_id=job_id)
    print_document({"job_id": job_id, "status": status}) if json else show.out.print(f"job {job_id} is {status}")


@app.command("cancel")
def jobs_cancel(
    job_id: Annotated[int, typer.Argument(help="As in jobs list.")],
    config: ConfigFile = Path("config.toml"),
    json: AsJson = False,
) -> None:
    """Stop a job; what it has not sent yet is withdrawn.

    Example: `dicomnode jobs cancel 12`
    """
    from dicomnode.app import show
    from dicomnode.app.documents import print_document
    from dicomnode.store.ops.studies import note_deed
    from dicomnode.store.queue.jobs import cancel_job

    with exit_codes(), opened_store(config) as (_, store), store.write() as session:
        status = cancel_job(session, job_id)
        note_deed(session, "cancel", user_here(), job_id=job_id)
    print_document({"job_id": job_id, "status": status}) if json else show.out.print(f"job {job_id} is {status}")


@app.command("held")
def jobs_held(config: ConfigFile = Path("config.toml"), json: AsJson = False) -> None:
    """Results that are held, since a destination has their study under another identity or does not show what it took.

    Look at both, then `dicomnode jobs release` or `dicomnode jobs discard`. Example: `dicomnode jobs held`
    """
    from dicomnode.app import show
    from dicomnode.app.documents import print_document
    from dicomnode.store.history.held import list_held

    with exit_codes(), opened_store(config) as (_, store), store.read() as session:
        held = list_held(session)
        print_document({"held": held}) if json else show.held_table(held)


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
    from dicomnode.app.documents import print_document
    from dicomnode.store.deliver.holding import OWN, PACS, release_held
    from dicomnode.store.ops.studies import note_deed

    with exit_codes():
        require_known("--identity", identity, (PACS, OWN))
        with opened_store(config) as (loaded, store), store.write() as session:
            require_destination("--destination", destination, loaded, session)
            count = release_held(session, job_id, identity=identity, destination=destination)
            note_deed(session, "release", user_here(), job_id=job_id)
    said = f"{count} results are released"
    print_document({"job_id": job_id, "released": count}) if json else show.out.print(said)


@app.command("discard")
def jobs_discard(
    job_id: Annotated[int, typer.Argument(help="As in jobs held.")],
    destination: Annotated[str, typer.Option(help="Only what is held for this one.")] = "",
    config: ConfigFile = Path("config.toml"),
    json: AsJson = False,
) -> None:
    """Withdraw what is held of a job: none of it is sent there.

    Example: `dicomnode jobs discard 12`
    """
    from dicomnode.app import show
    from dicomnode.app.documents import print_document
    from dicomnode.store.deliver.holding import discard_held
    from dicomnode.store.ops.studies import note_deed

    with exit_codes(), opened_store(config) as (loaded, store), store.write() as session:
        require_destination("--destination", destination, loaded, session)
        count = discard_held(session, job_id, destination=destination)
        note_deed(session, "discard", user_here(), job_id=job_id)
    said = f"{count} results are withdrawn"
    print_document({"job_id": job_id, "withdrawn": count}) if json else show.out.print(said)


@app.command("pause")
def jobs_pause(config: ConfigFile = Path("config.toml")) -> None:
    """Let no job begin until `dicomnode jobs resume`; what runs is finished, and reception and delivery go on.

    Example: `dicomnode jobs pause`
    """
    from dicomnode.store.pausing import Part, pause

    with exit_codes(), opened_store(config) as (_, store), store.write() as session:
        changed = pause(session, Part.QUEUE, by=user_here())
    typer.echo("the queue is paused" if changed else "the queue is paused already")


@app.command("resume")
def jobs_resume(config: ConfigFile = Path("config.toml")) -> None:
    """Let the jobs of a paused queue begin again.

    Example: `dicomnode jobs resume`
    """
    from dicomnode.store.pausing import Part, resume

    with exit_codes(), opened_store(config) as (_, store), store.write() as session:
        changed = resume(session, Part.QUEUE, by=user_here())
    typer.echo("the queue goes on" if changed else "the queue is not paused")


@app.command("withdraw")
def jobs_withdraw(
    destination: Annotated[str, typer.Argument(help="Name of a destination that is not configured any more.")],
    config: ConfigFile = Path("config.toml"),
    json: AsJson = False,
) -> None:
    """Withdraw what still waits for a destination that was removed from the configuration, and finish its jobs.

    Example: `dicomnode jobs withdraw old-pacs`
    """
    from dicomnode.app import show
    from dicomnode.app.documents import print_document
    from dicomnode.store.deliver.outbox import forget_destination
    from dicomnode.store.ops.studies import note_deed

    with exit_codes(), opened_store(config) as (loaded, store), store.write() as session:
        if any(known.name == destination for known in loaded.destination):
            raise NodeError(f"{destination} is configured: cancel single jobs instead")
        require_destination("destination", destination, loaded, session)
        count = forget_destination(session, destination)
        note_deed(session, "withdraw", user_here(), name=destination)
    said = f"{count} results are withdrawn"
    print_document({"destination": destination, "withdrawn": count}) if json else show.out.print(said)
