"""What stands beside the probability of oedema."""

from __future__ import annotations

from dicomnode.records import HeadMeasures
from dicomnode.zoo.edema.beside import told_of


def test_the_hypodense_share_says_what_it_counts() -> None:
    (share,) = told_of(HeadMeasures(likeness=0.9, hypodense_percent=4.6))
    assert (share.name, share.unit, share.value) == ("hypodense_share", "%", 5.0)
    assert "without fluid and blood" in share.meaning


def test_what_could_not_be_measured_is_left_out() -> None:
    assert list(told_of(HeadMeasures(likeness=0.9))) == []
    names = [score.name for score in told_of(HeadMeasures(likeness=0.9, midline_shift_mm=-5.6, evans_index=0.278))]
    assert names == ["midline_shift", "evans_index"]
