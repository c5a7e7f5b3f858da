"""What stands beside the probability of oedema."""

from __future__ import annotations

from dicomnode.records import HeadMeasures
from dicomnode.zoo.edema.beside import told_of


def test_the_hypodense_share_is_a_range_where_its_ends_differ() -> None:
    (share,) = told_of(HeadMeasures(likeness=0.9, hypodense_percent=(0.3, 4.6)))
    assert (share.name, share.unit, share.value, share.possible) == ("hypodense_share", "%", None, (0.0, 5.0))
    assert "without fluid and blood" in share.meaning
    (certain,) = told_of(HeadMeasures(likeness=0.9, hypodense_percent=(4.7, 5.2)))
    assert (certain.value, certain.possible) == (5.0, None)


def test_what_could_not_be_measured_is_left_out() -> None:
    assert list(told_of(HeadMeasures(likeness=0.9))) == []
    names = [score.name for score in told_of(HeadMeasures(likeness=0.9, midline_shift_mm=-5.6, evans_index=0.278))]
    assert names == ["midline_shift", "evans_index"]
