"""What a source writes becomes a value in the variable's own unit, or is refused with the reason."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import pytest

from dicomnode.clinical.values import name_of, read_birth_date, read_moment, read_sex, read_value
from dicomnode.clinical.variables import BY_LOINC, VARIABLES, Nature
from dicomnode.errors import ContextError, ContextRefusal

BERLIN = ZoneInfo("Europe/Berlin")


def reason(name: str, value: str | float | bool, unit: str = "", loinc: str = "") -> ContextRefusal:
    with pytest.raises(ContextError) as caught:
        read_value(name, value, unit, loinc=loinc, zone=BERLIN)
    ((_, why),) = caught.value.faults
    return why


@pytest.mark.parametrize(
    ("name", "value", "unit", "own"),
    [
        ("glucose", 126, "mg/dL", 6.994),
        ("glucose", "7.0", "mmol/l", 7.0),
        ("glucose", 1.26, "g/L", 6.994),
        ("creatinine", 1.0, "mg/dL", 88.40),
        ("ldl", 100, "mg/dL", 2.586),
        ("haemoglobin", 13.5, "g/dL", 135.0),
        ("hba1c", 48, "mmol/mol", 6.54),
        ("platelets", 220_000, "/\u00b5L", 220.0),
        ("platelets", 220, "10^9/L", 220.0),
        ("wbc", 8.1, "x10E9/L", 8.1),
        ("temperature", 98.6, "[degF]", 37.0),
        ("sbp", 180, "mmHg", 180.0),
        ("sbp", 24, "kPa", 180.0),
        ("onset_to_ct", 90, "min", 1.5),
        ("prior_bleed_volume", 20, "cm3", 20.0),
        ("inr", 2.4, "", 2.4),
        ("gcs", "10", "{score}", 10.0),
        ("d_dimer", 0.5, "mg/L{FEU}", 0.5),
        ("d_dimer", 500, "ng/mL FEU", 0.5),
        ("d_dimer", 250, "ug/L{DDU}", 0.5),
        ("d_dimer", 0.25, "\u03bcg/mL DDU", 0.5),
    ],
)
def test_a_number_is_stored_in_the_unit_of_its_variable(name: str, value: float | str, unit: str, own: float) -> None:
    assert read_value(name, value, unit, zone=BERLIN) == pytest.approx(own, rel=1e-3)


@pytest.mark.parametrize(
    ("name", "value", "unit", "why"),
    [
        ("d_dimer", 500, "", ContextRefusal.NO_UNIT),
        ("d_dimer", 0.5, "mg/L", ContextRefusal.UNKNOWN_UNIT),
        ("d_dimer", 500, "ng/mL", ContextRefusal.UNKNOWN_UNIT),
        ("glucose", 126, "", ContextRefusal.NO_UNIT),
        ("glucose", 126, "mmol/L", ContextRefusal.IMPLAUSIBLE),
        ("glucose", 7, "mol/kg", ContextRefusal.UNKNOWN_UNIT),
        ("platelets", "1,234", "10*9/L", ContextRefusal.NOT_A_NUMBER),
        ("platelets", "<5", "10*9/L", ContextRefusal.NOT_A_NUMBER),
        ("platelets", "nan", "10*9/L", ContextRefusal.NOT_A_NUMBER),
        ("platelets", 10**400, "10*9/L", ContextRefusal.NOT_A_NUMBER),
        ("gcs", True, "", ContextRefusal.NOT_A_NUMBER),
        ("gcs", 2, "", ContextRefusal.IMPLAUSIBLE),
        ("gcs", 10, "mL", ContextRefusal.UNKNOWN_UNIT),
        ("hypertension", "perhaps", "", ContextRefusal.NOT_YES_OR_NO),
        ("hypertension", 2, "", ContextRefusal.NOT_YES_OR_NO),
        ("bleed_location", "spleen", "", ContextRefusal.UNKNOWN_WORD),
        ("onset_at", "last night", "", ContextRefusal.NOT_A_TIME),
        ("onset_at", "2026-11-28", "", ContextRefusal.NO_TIME),
    ],
)
def test_what_is_no_value_of_the_variable_is_refused(
    name: str, value: float | str | bool, unit: str, why: ContextRefusal
) -> None:
    assert reason(name, value, unit) is why


def test_a_code_that_says_what_a_d_dimer_counts_makes_up_for_the_unit() -> None:
    assert read_value("d_dimer", 500, "ng/mL", loinc="48065-7", zone=BERLIN) == pytest.approx(0.5)
    assert read_value("d_dimer", 250, "ng/mL", loinc="48066-5", zone=BERLIN) == pytest.approx(0.5)
    assert reason("d_dimer", 500, loinc="48065-7") is ContextRefusal.NO_UNIT


@pytest.mark.parametrize(("written", "value"), [("yes", True), (1, True), ("0", False), ("No", False), (False, False)])
def test_yes_and_no_may_be_written_in_several_ways(written: str | float | bool, value: bool) -> None:
    assert read_value("hypertension", written, zone=BERLIN) is value


def test_what_could_not_be_examined_is_missing_and_no_score() -> None:
    assert read_value("gcs_verbal", "T", zone=BERLIN) is None
    assert read_value("nihss", "UN", zone=BERLIN) is None


def test_a_moment_without_offset_is_in_the_zone_of_the_node() -> None:
    assert read_value("onset_at", "2026-11-28T01:00", zone=BERLIN) == "2026-11-28T00:00:00+00:00"
    assert read_moment("2026-11-28T01:00:00Z", BERLIN) - read_moment("2026-11-28T01:00", BERLIN) == 3600.0


def test_a_variable_is_known_by_name_or_by_loinc() -> None:
    assert name_of("", "9269-2") == name_of("gcs", "") == "gcs"
    for name, loinc in (("weight", ""), ("", "0000-0"), ("", "")):
        with pytest.raises(ContextError):
            name_of(name, loinc)


def test_birth_dates_and_sexes_are_written_in_several_ways() -> None:
    assert read_birth_date("1944-05-02") == read_birth_date("19440502") == "19440502"
    assert [read_sex(word) for word in ("female", "W", "M", "", "unknown")] == ["F", "F", "M", "", ""]
    for wrong in ("2.5.1944", "19441302"):
        with pytest.raises(ContextError):
            read_birth_date(wrong)
    with pytest.raises(ContextError):
        read_sex("yes")


def test_every_variable_can_be_read_in_its_own_unit_and_no_code_means_two() -> None:
    for name, variable in VARIABLES.items():
        assert len(name) <= 32
        if variable.nature is Nature.NUMBER:
            for limit in variable.plausible:
                assert read_value(name, limit, variable.unit, zone=BERLIN) == pytest.approx(limit)
    assert len(BY_LOINC) == sum(len(variable.loinc) for variable in VARIABLES.values())
