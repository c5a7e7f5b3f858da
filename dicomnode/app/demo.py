"""``dicomnode demo``: a node, a small receiving PACS and a synthetic study, all on this machine, over real sockets.

Everything shown comes from what arrived in the PACS: the pictures are drawn from the SEG and SC received, not from what
the node had in memory.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset

from dicomnode.app import show
from dicomnode.app.context_shown import PatientPage, pages_of, pages_table
from dicomnode.app.demo_course import Course, came_of, show_course
from dicomnode.app.demo_hl7 import demo_clinical, free_port, report_of_context, tell
from dicomnode.app.demo_name import StudyName
from dicomnode.app.demo_pacs import ReceivingPacs
from dicomnode.app.demo_studies import STUDIES, DemoOrder
from dicomnode.app.node import Node
from dicomnode.app.pictures import mask_of_seg, overview_of_sc, picture_of_mask
from dicomnode.cohort.make import DemoStudy
from dicomnode.config.destinations import Destination
from dicomnode.config.operations import Operations
from dicomnode.config.sections import Database, Reception, Zoo
from dicomnode.config.sections import Node as NodeSection
from dicomnode.config.whole import Config, built_in_config
from dicomnode.deliver.outgoing import Outgoing
from dicomnode.deliver.scu import send
from dicomnode.errors import NodeError
from dicomnode.execute.comparing import ForecastComparisons
from dicomnode.images.volume import LoadedSeries, read_series
from dicomnode.kinds import SECONDARY_CAPTURE
from dicomnode.logs import configure_logging
from dicomnode.ops.permissions import private_files
from dicomnode.records import RESEARCH_NOTICE
from dicomnode.store.history.events import events_of
from dicomnode.store.history.jobs import list_jobs, show_job
from dicomnode.store.history.lines import EventLine, JobLine

PACS_AE = "DEMO-PACS"
SCANNER_AE = "DEMO-CT"
PATIENCE_S = 300.0
OVER = {"done", "sent_unproven", "undelivered", "failed", "refused", "quarantined"}


@dataclass(frozen=True, slots=True)
class Step:
    """One line of the timeline."""

    stage: str
    seconds: float
    says: str


def run_demo(out: Path, name: StudyName = StudyName.ICH, seed: int | None = None) -> int:
    """Run the loop once and show what came back; returns the exit code.

    Parameters
    ----------
    name : which study is sent. seed : of its head; None takes the one that the study is shown with.
    """
    order = STUDIES[name]
    with private_files():
        return _run_demo(out.absolute(), order, order.seed if seed is None else seed)


def _run_demo(out: Path, order: DemoOrder, seed: int) -> int:
    for name in ("node", "pacs", "study"):
        shutil.rmtree(out / name, ignore_errors=True)
    with show.err.status(f"making {order.says}"):
        study = order.make(out / "study", seed)
    with ReceivingPacs(out / "pacs", PACS_AE) as pacs:
        header = pydicom.dcmread(study.paths[0], stop_before_pixels=True)
        config = demo_config(out / "node", pacs.port, str(header.get("IssuerOfPatientID", "")), order.models)
        configure_logging(config.operations)
        with Node(config) as node:
            with show.err.status("loading the models"):
                wait_for_worker(node)
            with show.err.status("telling what is known of the patient by HL7"):
                told = tell(order.messages(header), node.hl7_port)
            sent_at = time.time()
            with show.err.status(f"sending {len(study.paths)} slices by C-STORE"):
                send_study(study.paths, node, config)
            with show.err.status("waiting for the results in the PACS"):
                job = wait_for_job(node)
            events = _events(node, job)
            known = _known(node, job)
            received = [pydicom.dcmread(item.path) for item in pacs.instances]
            course = _course(node, config, study, received) if study.later else None
    _report(out, study, job, timeline(events, sent_at), received)
    if course is not None:
        show_course(course, out, config.node.timezone)
    report_of_context(told, received)
    pages_table(known, config.node.timezone)
    show.out.print(f"[yellow]{RESEARCH_NOTICE}. Head, bleed, patient and training data are synthetic.[/yellow]")
    return 0 if job.status == "done" else 1


def demo_config(
    data_dir: Path, pacs_port: int, issuer: str = "", models: tuple[str, ...] = STUDIES[StudyName.ICH].models
) -> Config:
    """A node on free ports with one destination, the PACS beside it, which accepts research results."""
    plain = built_in_config()
    destination = Destination(
        name="demo-pacs", ae_title=PACS_AE, host="127.0.0.1", port=pacs_port, accept_research=True
    )
    return Config(
        node=NodeSection(host="127.0.0.1", port=0, data_dir=data_dir),
        database=Database(),
        reception=Reception(min_free_gb=0.2),
        destination=(destination,),
        protocol=tuple(
            protocol.model_copy(update={"destinations": (destination.name,), "models": models})
            for protocol in plain.protocol
        ),
        zoo=Zoo(selftest=False),
        clinical=demo_clinical(issuer, free_port()),
        operations=Operations(log_format="text", log_level="ERROR"),
    )


def wait_for_worker(node: Node) -> None:
    """Return when a worker has its models loaded.

    Raises
    ------
    NodeError : none can start; the message says why.
    """
    deadline = time.monotonic() + PATIENCE_S
    while not node.working and not node.failed.is_set() and time.monotonic() < deadline:
        if node.worker_fault:
            raise NodeError(node.worker_fault)
        time.sleep(0.05)


def send_study(paths: Sequence[Path], node: Node, config: Config) -> None:
    """Send files to the node as a scanner does.

    Raises
    ------
    DeliveryError : the node did not take one.
    """
    target = Destination(name="node", ae_title=config.node.ae_title, host="127.0.0.1", port=node.port)
    for outcome in send([Outgoing.from_file(path) for path in paths], target, SCANNER_AE):
        if outcome.error is not None:
            raise outcome.error


def wait_for_job(node: Node, study_uid: str = "") -> JobLine:
    """The newest job (of a study) once it is over.

    Raises
    ------
    NodeError : it took too long, or the node died.
    """
    assert node.store is not None
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline and not node.failed.is_set():
        with node.store.read() as session:
            jobs = [job for job in list_jobs(session, limit=5) if study_uid in ("", job.study_uid)]
            if jobs and jobs[0].status in OVER:
                return show_job(session, jobs[0].job_id) or jobs[0]
        time.sleep(0.1)
    raise NodeError("the study did not come through; 'dicomnode why' on its data folder shows where it stands")


def _course(node: Node, config: Config, study: DemoStudy, received: Sequence[Dataset]) -> Course:
    """Send the later scan, and read what had been foretold of it."""
    assert node.store is not None
    later_uid = str(pydicom.dcmread(study.later[0], stop_before_pixels=True).StudyInstanceUID)
    with show.err.status(f"a day later: sending {len(study.later)} slices"):
        send_study(study.later, node, config)
        wait_for_job(node, later_uid)
    with show.err.status("holding the predicted scan against what came"):
        ForecastComparisons(config, node.store, node.failed.is_set).look()
    return Course(
        first=read_series(study.paths),
        later=read_series(study.later),
        later_ml=study.later_ml,
        received=received,
        came=came_of(node.store, config),
    )


def _events(node: Node, job: JobLine) -> list[EventLine]:
    assert node.store is not None
    with node.store.read() as session:
        return events_of(session, job.study_uid)


def _known(node: Node, job: JobLine) -> list[PatientPage]:
    """As ``dicomnode context show`` tells it."""
    assert node.store is not None
    with node.store.read() as session:
        return pages_of(session, node.config, job.study_uid)


def timeline(events: Sequence[EventLine], sent_at: float) -> list[Step]:
    """Seconds per stage, from the first C-STORE to the proof that the last result is in the PACS."""
    marks = [
        ("receive and settle", "series", "complete", "the scanner released its association; the series is whole"),
        ("queue", "job", "claim", "a worker took the job"),
        ("read, infer, measure", "run", "succeed", "the model ran; lesions measured on the source grid"),
        ("encode and validate", "job", "encoded", "SEG, SR and SC written and checked"),
        ("deliver", "outbox", "sent", "every result acknowledged by the PACS"),
        ("prove", "job", "delivered", "every result found in the PACS by C-FIND"),
    ]
    steps, last = [], sent_at
    for stage, subject, name, says in marks:
        at = next((event.at for event in reversed(events) if (event.subject, event.name) == (subject, name)), None)
        if at is not None:
            steps.append(Step(stage, at - last, says))
            last = at
    return steps


def _report(out: Path, study: DemoStudy, job: JobLine, steps: Sequence[Step], received: Sequence[Dataset]) -> None:
    total = sum(step.seconds for step in steps)
    rows = [[step.stage, f"{step.seconds:.1f} s", step.says] for step in steps]
    show.table("Timeline", ["stage", "took", ""], [*rows, ["image to result", f"{total:.1f} s", ""]])
    show.out.print()
    show.table(
        f"What the PACS received in study {job.study_uid}",
        ["modality", "series", "SOP class"],
        [[ds.Modality, str(ds.get("SeriesDescription", "")), ds.SOPClassUID.name] for ds in received],
    )
    show.out.print()
    if job.result:
        show.out.print(f"What the node says of the exam: {job.result}.")
    series = read_series(study.paths)
    for line in _findings(series, study, received):
        show.out.print(line)
    for path in _pictures(out, series, received):
        show.out.print(f"picture: {path}")
    if job.status != "done":
        show.out.print(f"[red]The job ended {job.status}: {job.refusal or job.error}[/red]")


def _findings(series: LoadedSeries, study: DemoStudy, received: Sequence[Dataset]) -> list[str]:
    truth_ml = study.volume_ml
    segs = [ds for ds in received if ds.Modality == "SEG"]
    if not segs:
        return [_nothing_marked(study)]
    mask = mask_of_seg(segs[0], series.volume)
    volume_ml = series.volume.stack.volume_ml(mask)
    if study.staining_ml:
        return [
            f"Dense: {volume_ml:.1f} mL in the SEG received; {truth_ml:.1f} mL of blood and {study.staining_ml:.1f} mL "
            "of contrast medium were painted (synthetic). On a single-energy CT they cannot be told apart."
        ]
    return [
        f"Intracranial haemorrhage: {volume_ml:.1f} mL in the SEG received, {truth_ml:.1f} mL were painted "
        f"(Dice {_dice(mask, study.mask):.2f}, synthetic)."
    ]


def _nothing_marked(study: DemoStudy) -> str:
    painted = f"{study.volume_ml:.1f} mL of blood"
    if study.staining_ml:
        painted += f" and {study.staining_ml:.1f} mL of contrast medium"
    return f"No SEG came back, as nothing was marked; {painted} were painted (synthetic)."


def _dice(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    return float(2 * np.logical_and(a, b).sum() / max(a.sum() + b.sum(), 1))


def _pictures(out: Path, series: LoadedSeries, received: Sequence[Dataset]) -> list[Path]:
    pictures: list[tuple[str, Image.Image]] = []
    for ds in received:
        if ds.Modality == "SEG":
            pictures.append(("mask-over-ct.png", picture_of_mask(ds, series)))
        elif ds.SOPClassUID == SECONDARY_CAPTURE:
            pictures.append(("overview.png", overview_of_sc(ds)))
    paths = []
    for name, picture in pictures:
        picture.save(out / name)
        paths.append(out / name)
    return paths
