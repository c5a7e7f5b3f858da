"""The audit of a version of the cohort in tables: what can be known of each outcome, and what once was wanting."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from dicomnode.cohort import audit
from dicomnode.cohort.ceilings import SEED, SETS, Population, ceiling, drawn, oracle, population
from dicomnode.cohort.edition import Version
from dicomnode.cohort.patients import Arm, Site
from dicomnode.cohort.versions import RECIPES
from dicomnode.cohort.vocabulary import words_of

WORDED = 3000
"""At most so many requests of an arm and site are read for their words."""
UNSEEN_TRAUMA = 620
"""Injured patients of a test cohort."""
TREATED = "haemorrhage_followup"
ORACLE = "oracle"


@dataclass(frozen=True, slots=True)
class Line:
    """One measured property: figure in words, and what it should be."""

    what: str
    figure: str
    aim: str


def _of_outcome(name: str, people: Population, version: Version) -> Iterator[Line]:
    reached, gap = audit.additive_gap(name, people)
    yield Line(
        f"{name}: logistic regression on all facts below the joint oracle", f"{gap:.3f} ({reached:.3f})", ">= 0.03"
    )
    imputed, gain = audit.gap_gain(name, people)
    yield Line(f"{name}: gaps told against mean imputation", f"{gain:+.3f} (from {imputed:.3f})", ">= +0.010")
    yield Line(f"{name}: number of missing values alone", f"{audit.count_of_gaps_auc(name, people):.3f}", "not 0.5")
    yield Line(f"{name}: learned from shuffled labels", f"{audit.shuffled_auc(name, people):.3f}", "0.45 to 0.55")
    lost = audit.permuted_loss(name, people, version)
    told = ", ".join(f"{channel} {loss:.3f}" for channel, loss in lost.items())
    yield Line(f"{name}: lost where a channel is another patient's", told, "each > 0")


def _of_arms(version: Version, patients: int) -> Iterator[Line]:
    people = population("oedema", version, Site.A, patients)
    yield Line("oedema: the arm alone", f"{audit.arm_alone_auc(people):.3f}", "<= 0.55")
    share = audit.share_in_normals("oedema", version, 1000, SEED)
    yield Line("oedema: in normal patients", f"{100 * share:.1f} %", "0 %")
    sensitivity, specificity = audit.metallic(population(TREATED, version, Site.A, patients))
    yield Line("metallic sign for blood on follow-up: sensitivity", f"{sensitivity:.2f}", ">= 0.7")
    yield Line("metallic sign for blood on follow-up: specificity", f"{specificity:.2f}", ">= 0.8")
    cases = audit.extra_axial_cases(version, UNSEEN_TRAUMA, SEED)
    told = ", ".join(f"{kind} {count}" for kind, count in sorted(cases.items()))
    yield Line(f"blood outside the brain in {UNSEEN_TRAUMA} injured patients", told, ">= 150 of each")


def _of_words(version: Version, patients: int) -> Iterator[Line]:
    for arm in (Arm.ICH, Arm.POST_EVT, Arm.STROKE_NO_EVT, Arm.TRAUMA):
        known, elsewhere = (words_of(version, arm, site, min(patients, WORDED)) for site in (Site.A, Site.B))
        new = len(elsewhere - known) / len(elsewhere)
        yield Line(
            f"words of requests, {arm.value}", f"{len(known)}, {100 * new:.0f} % of site B's unseen at A", "> 700"
        )


def _of_hours(version: Version) -> Iterator[Line]:
    """Staining left at the second scan, by hours."""
    recipe = RECIPES[version]
    members = [patient for patient in drawn(version, Arm.POST_EVT, Site.A, 1000, SEED) if patient.lesions.stain_ml]
    later = [recipe.follow_up(patient, recipe.draw_outcomes(patient)) for patient in members]
    for low, high in ((6, 12), (12, 24), (24, 48), (48, 72)):
        left = [float(each.lesions.stain_ml > 0) for each in later if low <= each.hours < high]
        told = f"{100 * np.mean(left):.0f} % of {len(left)}" if left else "no such patient"
        yield Line(f"staining still seen after {low} to {high} h", told, "falls with hours")
    hidden = [each for each in later if each.first.hidden_ml]
    yield Line("bleeds below the staining at baseline", f"{len(hidden)} of {len(later)} stained", "some")
    moved = [float(np.linalg.norm(each.motion.shift_mm)) for each in later if each.motion]
    told = f"{min(moved):.1f} to {max(moved):.1f} mm" if moved else "none"
    yield Line("motion of the head between the scans", told, "1 to 5 mm")


def lines(version: Version, patients: int) -> Iterator[Line]:
    """Every property of one version, in turn; minutes with thousands of patients.

    Parameters
    ----------
    patients : drawn for each outcome.

    Raises
    ------
    ImportError : scikit-learn is not installed.
    """
    for name in RECIPES[version].reference:
        yield from _of_outcome(name, population(name, version, Site.A, patients), version)
    yield from _of_arms(version, patients)
    yield from _of_hours(version)
    yield from _of_words(version, patients)


def ceiling_rows(version: Version, patients: int) -> Iterator[tuple[str, dict[str, float]]]:
    """For each outcome the ceiling of each set of channels (joined by ``+``), and ``oracle`` of all there is."""
    for name in RECIPES[version].reference:
        found = {channels: ceiling(name, channels, version=version, patients=patients) for channels in SETS}
        told = {"+".join(channels): round(value, 3) for channels, value in found.items()}
        yield name, {**told, ORACLE: round(oracle(name, version, Site.A, patients), 3)}


@dataclass(frozen=True, slots=True)
class Audit:
    """All that was measured of one version."""

    version: Version
    patients: int
    ceilings: Mapping[str, Mapping[str, float]]
    lines: Sequence[Line]

    def content(self) -> dict[str, object]:
        """For programs."""
        return {
            "cohort_version": self.version.value,
            "patients": self.patients,
            "ceilings": self.ceilings,
            "properties": [asdict(line) for line in self.lines],
        }

    def text(self) -> str:
        """Two tables in Markdown."""
        sets = [*("+".join(channels) for channels in SETS), ORACLE]
        values = [[name, *(f"{told[key]:.3f}" for key in sets)] for name, told in self.ceilings.items()]
        ceilings = _table(["outcome", *(key.replace("+", " + ") for key in sets)], values)
        properties = _table(["property", "figure", "aim"], [[line.what, line.figure, line.aim] for line in self.lines])
        head = f"Version {self.version.value}, {self.patients} patients an outcome, site A."
        return f"{head}\n\n{ceilings}\n{properties}"


def steps(version: Version) -> int:
    """How often :func:`measured` says that it has come on."""
    outcomes = len(RECIPES[version].reference)
    return outcomes + 5 * outcomes + 5 + 6 + 4


def measured(version: Version, patients: int, came_on: Callable[[], None]) -> Audit:
    """Measure one version; minutes with thousands of patients.

    Parameters
    ----------
    patients : drawn for each outcome.
    came_on : called after every step, :func:`steps` times in all.

    Raises
    ------
    ImportError : scikit-learn is not installed.
    """
    ceilings, told = {}, []
    for name, values in ceiling_rows(version, patients):
        ceilings[name] = values
        came_on()
    for line in lines(version, patients):
        told.append(line)
        came_on()
    return Audit(version, patients, ceilings, told)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    every = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in every) + "\n"
