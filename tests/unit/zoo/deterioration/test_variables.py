"""From a patient's context, or a training manifest, to the same numbers."""

from __future__ import annotations

import math

import pytest

from dicomnode.records import ContextSource, ContextValue, PatientContext
from dicomnode.zoo.deterioration.variables import VARIABLES, numbers_of_context, numbers_of_manifest


def context(**values: float | str | bool) -> PatientContext:
    known = (ContextValue(name=name, value=value, source=ContextSource.FILE) for name, value in values.items())
    return PatientContext(values=tuple(known))


def test_context_and_manifest_give_the_same_numbers() -> None:
    of_context = numbers_of_context(context(age=71.0, sex="male", d_dimer=1.5, diabetes=True, smoking=False))
    of_manifest = numbers_of_manifest({"age": 71, "male": 1, "d_dimer_mg_l_feu": 1.5, "diabetes": 1, "smoking": 0})
    assert of_context.isfinite().sum() == 5
    assert of_context.nan_to_num(-1.0).tolist() == of_manifest.nan_to_num(-1.0).tolist()


def test_a_long_tail_is_read_by_its_logarithm_and_another_sex_is_not_known() -> None:
    numbers = dict(zip(VARIABLES, numbers_of_context(context(d_dimer=3.0, sex="other")).tolist(), strict=True))
    assert numbers["d_dimer"] == pytest.approx(math.log(4.0))
    assert math.isnan(numbers["sex"])
