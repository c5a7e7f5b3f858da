"""Published scores and rules, held to values that were worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from dicomnode.clinical.scores import points, rules
from dicomnode.clinical.scores.rules import Deterioration, expansion, is_deteriorated, is_metallic
from dicomnode.clinical.variables import Location
from dicomnode.measure.abc2 import abc2_ml, slice_shares

LOBAR, DEEP, CEREBELLUM = Location.LOBAR, Location.DEEP, Location.CEREBELLUM
AREAS = np.array([1.0, 0.9, 0.8, 0.6, 0.3, 0.1])
DAY_S = 86400.0


def test_abc_2_weights_the_slices_by_their_area() -> None:
    assert slice_shares(AREAS).tolist() == [1.0, 1.0, 1.0, 0.5, 0.5, 0.0]
    assert abc2_ml(50.0, 40.0, AREAS, np.full(6, 5.0)) == 20.0
    assert 50.0 * 40.0 * 6 * 5.0 / 2 / 1000 == 30.0  # by the plain count: the other side of the cut


def test_the_ich_score_of_the_example_is_4() -> None:
    assert points.ich_score(10, 35.0, True, LOBAR, 82) == {
        "GCS": 1,
        "volume": 1,
        "ventricles": 1,
        "infratentorial": 0,
        "age": 1,
    }


@pytest.mark.parametrize(("gcs", "expected"), [(3, 2), (4, 2), (5, 1), (12, 1), (13, 0), (15, 0)])
def test_the_ich_score_at_the_limits_of_the_coma_scale(gcs: int, expected: int) -> None:
    assert points.ich_score(gcs, 1.0, False, LOBAR, 50)["GCS"] == expected


@pytest.mark.parametrize(
    ("volume_ml", "age", "expected"), [(29.99, 79, 0), (30.0, 79, 1), (29.99, 80, 1), (30.0, 80, 2)]
)
def test_the_ich_score_at_the_limits_of_volume_and_age(volume_ml: float, age: float, expected: int) -> None:
    assert sum(points.ich_score(15, volume_ml, False, LOBAR, age).values()) == expected


@pytest.mark.parametrize("location", [Location.BRAINSTEM, CEREBELLUM, Location.INFRATENTORIAL])
def test_below_the_tentorium_the_ich_score_has_a_point_more(location: Location) -> None:
    assert sum(points.ich_score(15, 1.0, False, location, 50).values()) == 1


def test_func_of_the_example_is_7() -> None:
    assert list(points.func(10, 35.0, LOBAR, 82, False).values()) == [2, 0, 2, 2, 1]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((9, 29.9, LOBAR, 69, False), 11),
        ((8, 30.0, DEEP, 70, False), 5),
        ((8, 60.0, Location.THALAMUS, 79, True), 4),
        ((8, 60.1, CEREBELLUM, 80, True), 0),
    ],
)
def test_func_at_its_limits(arguments: tuple[float, float, Location, float, bool], expected: int) -> None:
    assert sum(points.func(*arguments).values()) == expected


def test_max_ich_of_the_example_is_7() -> None:
    assert list(points.max_ich(18, 82, True, False, LOBAR, 35.0).values()) == [2, 3, 1, 0, 1]


@pytest.mark.parametrize(
    ("nihss", "age", "expected"), [(6, 69, 0), (7, 70, 2), (13, 74, 2), (14, 75, 4), (20, 79, 4), (21, 80, 6)]
)
def test_max_ich_at_the_limits_of_nihss_and_age(nihss: int, age: float, expected: int) -> None:
    assert sum(points.max_ich(nihss, age, False, False, LOBAR, 1.0).values()) == expected


@pytest.mark.parametrize(
    ("location", "volume_ml", "expected"), [(LOBAR, 29.9, 0), (LOBAR, 30.0, 1), (DEEP, 9.9, 0), (DEEP, 10.0, 1)]
)
def test_max_ich_cuts_the_volume_by_location(location: Location, volume_ml: float, expected: int) -> None:
    assert points.max_ich(0, 50, False, False, location, volume_ml)["volume by location"] == expected


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((15, 44, LOBAR, 39.9, False), 5),
        ((13, 45, LOBAR, 40.0, False), 7),
        ((12, 64, LOBAR, 70.0, False), 8),
        ((9, 65, LOBAR, 70.1, False), 10),
        ((8, 65, CEREBELLUM, 20.1, True), 13),
        ((8, 65, CEREBELLUM, 10.0, True), 12),
        ((8, 65, CEREBELLUM, 9.9, True), 11),
    ],
)
def test_ich_gs_at_its_limits(arguments: tuple[float, float, Location, float, bool], expected: int) -> None:
    assert sum(points.ich_gs(*arguments).values()) == expected


@pytest.mark.parametrize(("hours", "expected"), [(3.0, 3), (2.5, 3), (2.49, 5)])
def test_bat_counts_an_early_scan(hours: float, expected: int) -> None:
    assert sum(points.bat(True, True, hours).values()) == expected


def test_span_100_and_thrive_of_ischaemic_stroke() -> None:
    assert sum(points.span_100(82, 18).values()) == 100
    assert [sum(points.thrive(nihss, 50, False, False, False).values()) for nihss in (10, 11, 20, 21)] == [0, 2, 2, 4]
    assert [sum(points.thrive(0, age, False, False, False).values()) for age in (59, 60, 79, 80)] == [0, 1, 1, 2]
    assert sum(points.thrive(21, 80, True, True, True).values()) == 9


@pytest.mark.parametrize(
    ("earlier_ml", "later_ml", "is_expansion", "is_unstable"),
    [
        (20.0, 27.0, True, False),
        (20.0, 26.0, False, False),
        (10.0, 13.4, True, False),
        (0.5, 0.7, True, True),
        (0.0, 0.5, True, True),
        (20.0, 12.0, False, False),
    ],
)
def test_a_haematoma_has_expanded_by_more_than_a_third_or_more_than_6_ml(
    earlier_ml: float, later_ml: float, is_expansion: bool, is_unstable: bool
) -> None:
    grown = expansion(earlier_ml, later_ml)
    assert (grown.is_expansion, grown.is_unstable) == (is_expansion, is_unstable)


def test_the_share_that_a_haematoma_grew_by() -> None:
    assert expansion(10.0, 13.4).share == pytest.approx(0.34)
    assert expansion(0.5, 0.7).share == pytest.approx(0.40)


@pytest.mark.parametrize(("longest_mm", "max_hu", "expected"), [(12, 95, True), (9, 120, False), (12, 90, False)])
def test_the_metallic_sign_needs_a_centimetre_and_more_than_90_hu(
    longest_mm: float, max_hu: float, expected: bool
) -> None:
    assert is_metallic(longest_mm, max_hu) is expected


@pytest.mark.parametrize(
    ("definition", "total", "motor", "after_s", "expected"),
    [
        (Deterioration.TWO_OR_MOTOR_7D, (8, 9), (3, 4), DAY_S, True),
        (Deterioration.TWO_OR_MOTOR_7D, (8, 9), (3, 3), DAY_S, False),
        (Deterioration.TWO_OR_MOTOR_7D, (8, 9), None, DAY_S, None),
        (Deterioration.TWO_OR_MOTOR_7D, (8, 10), None, DAY_S, True),
        (Deterioration.TWO_OR_MOTOR_7D, (8, 10), None, 7.1 * DAY_S, None),
        (Deterioration.TWO_72H, (8, 9), (3, 4), DAY_S, False),
        (Deterioration.TWO_72H, (8, 10), None, 3 * DAY_S, True),
        (Deterioration.TWO_72H, (8, 10), None, 3.1 * DAY_S, None),
        (Deterioration.FOUR_24H, (8, 11), None, DAY_S, False),
        (Deterioration.FOUR_24H, (8, 12), None, DAY_S, True),
    ],
)
def test_deterioration_is_told_by_its_definition(
    definition: Deterioration,
    total: tuple[float, float],
    motor: tuple[float, float] | None,
    after_s: float,
    expected: bool | None,
) -> None:
    assert is_deteriorated(definition, total, motor, after_s) is expected


def test_measures_of_mass_effect() -> None:
    assert rules.midline_shift_mm(140.0, 64.0) == 6.0
    assert rules.evans_index(45.0, 130.0) == pytest.approx(0.346, abs=5e-4)
    assert rules.net_water_uptake(27.0, 34.0) == pytest.approx(20.6, abs=0.05)
    assert rules.oedema_extension_cm(20.0, 20.0) == pytest.approx(0.438, abs=5e-4)
