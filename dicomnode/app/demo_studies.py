"""The studies that the demonstration can send: the models that each is for, and what the hospital tells of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pydicom.dataset import Dataset

from dicomnode.app.demo_hl7 import Message, demo_messages
from dicomnode.app.demo_name import StudyName
from dicomnode.cohort.make import DemoStudy, make_demo_study, make_thrombectomy_study


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoOrder:
    """One study of the demonstration.

    Attributes
    ----------
    says : what is made, for a person.
    models : that the node runs on it.
    make : (folder, seed) -> the study. seed : where none is asked for.
    messages : what is told of the patient by HL7, from a header of the study.
    """

    says: str
    models: tuple[str, ...]
    make: Callable[[Path, int], DemoStudy]
    seed: int
    messages: Callable[[Dataset], list[Message]]


STUDIES = {
    StudyName.ICH: DemoOrder(
        says="a synthetic head with a bleed",
        models=("hemorrhage", "prognosis", "edema"),
        make=make_demo_study,
        seed=7,
        messages=demo_messages,
    ),
    StudyName.POST_THROMBECTOMY: DemoOrder(
        says="a synthetic head after thrombectomy, and the same head a day later",
        models=("hemorrhage", "followup", "edema"),
        make=make_thrombectomy_study,
        seed=24,
        messages=partial(demo_messages, thrombectomy=True),
    ),
}
