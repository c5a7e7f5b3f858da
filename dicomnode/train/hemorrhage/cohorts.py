"""The exams of the haemorrhage model: labelled ones of site A, unlabelled ones of A and B, unseen patients of B.

Labelled exams hold more bleeds than a hospital meets (arms ``ich``, ``trauma`` and ``post_evt`` beside the site's own
mix; thin blood outside the brain is the hardest to learn), as the hand-picked scans of a labelled set do; the
unlabelled ones, the test exams and those that set the threshold of the exam probability are the sites' own mix.
"""

from __future__ import annotations

from dataclasses import replace

from dicomnode.cohort.edition import Version
from dicomnode.train.experiment.cohorts import Part
from dicomnode.train.manifest import Split

_PARTS = (
    Part(name="a-labelled", site="A", arm="mixed", patients=50, seed=101, use=Split.TRAIN, followups=True),
    Part(name="a-ich", site="A", arm="ich", patients=60, seed=105, use=Split.TRAIN, followups=True),
    Part(name="a-trauma", site="A", arm="trauma", patients=140, seed=106, use=Split.TRAIN, followups=True),
    Part(name="a-evt", site="A", arm="post_evt", patients=30, seed=108, use=Split.TRAIN, followups=True),
    Part(name="a-calibration", site="A", arm="mixed", patients=60, seed=107, use=Split.CALIBRATION, followups=False),
    Part(name="a-pool", site="A", arm="mixed", patients=20, seed=102, use=Split.UNLABELLED, followups=False),
    Part(name="b-pool", site="B", arm="mixed", patients=70, seed=103, use=Split.UNLABELLED, followups=False),
    Part(name="b-test", site="B", arm="mixed", patients=53, seed=104, use=Split.TEST, followups=True),
)

PARTS = tuple(replace(part, version=Version.ONE) for part in _PARTS)
"""The shipped weights have learned from version 1 of the cohort."""

DETECTOR_PARTS = (
    Part(name="a2-trauma", site="A", arm="trauma", patients=100, seed=206, use=Split.TRAIN, followups=True),
    Part(name="a2-evt", site="A", arm="post_evt", patients=25, seed=208, use=Split.TRAIN, followups=True),
    Part(name="a2-ich", site="A", arm="ich", patients=20, seed=205, use=Split.TRAIN, followups=True),
    Part(name="a2-normal", site="A", arm="normal", patients=15, seed=209, use=Split.TRAIN, followups=True),
    Part(name="c2-trauma", site="C", arm="trauma", patients=30, seed=216, use=Split.TRAIN, followups=True),
    Part(name="c2-evt", site="C", arm="post_evt", patients=15, seed=218, use=Split.TRAIN, followups=True),
    Part(name="c2-ich", site="C", arm="ich", patients=10, seed=215, use=Split.TRAIN, followups=True),
    Part(name="c2-normal", site="C", arm="normal", patients=10, seed=219, use=Split.TRAIN, followups=True),
    Part(name="a2-mixed", site="A", arm="mixed", patients=10, seed=201, use=Split.TRAIN, followups=True),
    Part(name="a2-calibration", site="A", arm="mixed", patients=30, seed=207, use=Split.CALIBRATION, followups=False),
    Part(name="b2-test", site="B", arm="mixed", patients=30, seed=204, use=Split.TEST, followups=True),
)
"""Version 2: mostly extra-axial blood and staining, of two sites; the third is for testing alone."""
