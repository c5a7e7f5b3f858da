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
