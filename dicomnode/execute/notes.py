"""A claimed note about results -> the task that has a worker write it, and where it goes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from dicomnode.config.destinations import BaseDestination
from dicomnode.config.whole import Config
from dicomnode.errors import JobError, Refusal
from dicomnode.execute.tasks import NotPerformedTask, RejectionTask
from dicomnode.kinds import Kind
from dicomnode.records import Withdrawal
from dicomnode.store.deliver.results import Delivery
from dicomnode.store.engine import Store
from dicomnode.store.queue.jobs import Claim
from dicomnode.store.queue.notes import about_of, header_files, image_files, rejection_of
from dicomnode.store.states import JobTask


@dataclass(frozen=True, slots=True)
class PreparedNote:
    """What the worker is asked for. ``unwanted``: why nothing is to be written after all; then there is no task."""

    task: RejectionTask | NotPerformedTask | None = None
    deliveries: tuple[Delivery, ...] = ()
    unwanted: str = ""


def delivery_to(destination: BaseDestination) -> Delivery:
    """What a destination takes, for the outbox."""
    return Delivery(destination.name, destination.results, destination.accept_research, destination.proof)


def prepare_note(config: Config, store: Store, claim: Claim, folder: Path, is_research: bool) -> PreparedNote:
    """Gather what a note needs, from the database and the configuration.

    Parameters
    ----------
    folder : gets the note.
    is_research : whether the models of the claim's protocol are.

    Raises
    ------
    JobError : it can never be written: the destination or all headers of the study are gone.
    """
    return (
        _rejection(config, store, claim, folder)
        if claim.task == JobTask.REJECTION
        else _not_performed(config, store, claim, folder, is_research)
    )


def _rejection(config: Config, store: Store, claim: Claim, folder: Path) -> PreparedNote:
    with store.read() as session:
        brief = rejection_of(session, claim)
        headers = header_files(session, claim)
    if not brief.results:
        return PreparedNote(unwanted="the destination has none of the results")
    destination = next((known for known in config.destination if known.name == brief.destination), None)
    if destination is None:
        raise JobError(f"destination {brief.destination} is not configured any more: its results cannot be rejected")
    if Kind.REJECTION not in destination.results:
        return PreparedNote(unwanted=f"{destination.name} takes no rejection notes: the outdated results stay there")
    data_dir = config.node.data_dir.absolute()
    # A header as it was received last; where retention has taken them all, the results say whose they are.
    candidates = [config.spool_dir.absolute() / path for path in headers]
    candidates += [data_dir / result.path for result in brief.results]
    found = [path for path in candidates if path.exists()]
    if not found:
        raise JobError("no header of the study is kept any more: nobody can tell whose results they are")
    task = RejectionTask(
        header=found[0],
        results=brief.results,
        why=Withdrawal.SOURCE_REJECTED if brief.source_rejected else Withdrawal.SUPERSEDED,
        folder=folder,
        timezone=config.node.timezone,
        station_ae_title=config.node.ae_title,
        language=config.node.language,
    )
    return PreparedNote(task, (delivery_to(destination),))


def _not_performed(config: Config, store: Store, claim: Claim, folder: Path, is_research: bool) -> PreparedNote:
    protocol = config.protocol_named(claim.protocol)
    if protocol is None:
        return PreparedNote(unwanted=f"the configuration has no protocol {claim.protocol!r} any more")
    with store.read() as session:
        about, images = about_of(session, claim), image_files(session, claim.series_id)
    if not images:
        raise JobError("the images are no longer kept: their retention is over")
    spool = config.spool_dir.absolute()
    task = NotPerformedTask(
        paths=tuple(spool / path for path in images),
        refusal=Refusal(str(about["refusal"])),
        detail=str(about["detail"]),
        protocol=protocol.name,
        research=is_research,
        generation=claim.generation,
        folder=folder,
        timezone=config.node.timezone,
        station_ae_title=config.node.ae_title,
        language=config.node.language,
    )
    return PreparedNote(task, tuple(map(delivery_to, config.destinations_of(protocol))))
