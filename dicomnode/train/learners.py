"""What can be trained, by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dicomnode.config.known import there_are
from dicomnode.errors import ConfigError
from dicomnode.language import model_name
from dicomnode.train.deterioration.learner import bundled
from dicomnode.train.edema.learner import bundled as edema_learner
from dicomnode.train.followup.learner import fast_learner as followup_learner
from dicomnode.train.followup.learner import paper_learner as followup_paper_learner
from dicomnode.train.hemorrhage.recipes import detector_learner, paper_learner, student_learner
from dicomnode.train.learner import Learner
from dicomnode.train.prognosis.learner import bundled as prognosis_learner

LEARNERS: dict[str, Callable[[], Learner[Any]]] = {
    "deterioration": bundled,
    "edema": edema_learner,
    "followup": followup_learner,
    "followup-paper": followup_paper_learner,
    "hemorrhage": detector_learner,
    "hemorrhage-paper": paper_learner,
    "hemorrhage-student": student_learner,
    "prognosis": prognosis_learner,
}


def learner_named(name: str) -> Learner[Any]:
    """The learner of a model.

    Raises
    ------
    ConfigError : there is none of this name.
    BundleError : the bundle that holds the network cannot be built.
    """
    known = LEARNERS.get(model_name(name))
    if known is None:
        raise ConfigError([f"there is no model {name!r} to train{there_are(name, LEARNERS)}"])
    return known()
