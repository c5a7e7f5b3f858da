"""The versions of the cohort: who is drawn, what becomes of them, and what their heads are painted with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dicomnode.cohort import course, edition, outcomes, patients, reports
from dicomnode.cohort.edition import Edition, Version
from dicomnode.cohort.outcomes import Channel, Outcomes
from dicomnode.cohort.patients import Arm, Patient, Site
from dicomnode.cohort.second import course as second_course
from dicomnode.cohort.second import features, people, tables
from dicomnode.cohort.second import outcomes as second_outcomes
from dicomnode.cohort.second.words.report import write_report as write_request

Facts = Mapping[Channel, Mapping[str, float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """One version of the cohort.

    Attributes
    ----------
    edition : how heads are bent and pushed.
    reference : arm that each outcome is calibrated in.
    draw_patient : (seed, arm, site) -> patient.
    draw_outcomes : what became of a patient.
    follow_up : what the two scans show.
    write_report : request and report in words.
    facts : what each channel of a patient shows.
    logit_sum : (outcome, facts, channels) -> what these channels add to the logit of an outcome.
    probabilities : (outcome, patients) -> probability of it given all that can be seen.
    defined : whether an outcome exists in an arm.
    """

    edition: Edition
    reference: Mapping[str, Arm]
    draw_patient: Callable[[int, Arm, Site], Patient]
    draw_outcomes: Callable[[Patient], Outcomes]
    follow_up: Callable[[Patient, Outcomes], course.FollowUp]
    write_report: Callable[[Patient], reports.Report]
    facts: Callable[[Patient], Facts]
    logit_sum: Callable[[str, Facts, Sequence[Channel]], float]
    probabilities: Callable[[str, Sequence[Patient]], NDArray[np.float64]]
    defined: Callable[[str, Arm], bool]


RECIPES: dict[Version, Recipe] = {
    Version.ONE: Recipe(
        edition=edition.FIRST,
        reference={name: model.reference for name, model in outcomes.OUTCOMES.items()},
        draw_patient=patients.draw_patient,
        draw_outcomes=outcomes.draw_outcomes,
        follow_up=course.follow_up,
        write_report=reports.write_report,
        facts=outcomes.facts,
        logit_sum=outcomes.logit_sum,
        probabilities=outcomes.probabilities,
        defined=outcomes.defined,
    ),
    Version.TWO: Recipe(
        edition=edition.SECOND,
        reference={name: model.reference for name, model in tables.OUTCOMES.items()},
        draw_patient=people.draw_patient,
        draw_outcomes=second_outcomes.draw_outcomes,
        follow_up=second_course.follow_up,
        write_report=write_request,
        facts=features.facts,
        logit_sum=second_outcomes.logit_sum,
        probabilities=second_outcomes.probabilities,
        defined=second_outcomes.defined,
    ),
}


def draw_patient(seed: int, arm: Arm = Arm.MIXED, site: Site = Site.A, version: Version = Version.ONE) -> Patient:
    """Draw one patient of one version."""
    return RECIPES[version].draw_patient(seed, arm, site)
