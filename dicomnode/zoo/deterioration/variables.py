"""The variables of a patient as the network reads them: context in, numbers in a fixed order out."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch

from dicomnode.records import PatientContext


@dataclass(frozen=True, slots=True)
class Read:
    """How one variable is read.

    Attributes
    ----------
    trained_as : its name in training manifests, which carries the unit.
    log : the logarithm of 1 + value is taken: the variable has a long tail.
    """

    trained_as: str
    log: bool = False


VARIABLES: dict[str, Read] = {
    "age": Read("age"),
    "sex": Read("male"),
    "nihss": Read("nihss"),
    "nihss_motor": Read("nihss_motor"),
    "gcs": Read("gcs"),
    "sbp": Read("sbp_mmhg"),
    "dbp": Read("dbp_mmhg"),
    "heart_rate": Read("heart_rate_per_min"),
    "temperature": Read("temperature_celsius"),
    "d_dimer": Read("d_dimer_mg_l_feu", log=True),
    "fibrinogen": Read("fibrinogen_g_l"),
    "wbc": Read("wbc_10e9_l"),
    "neutrophils": Read("neutrophils_10e9_l"),
    "lymphocytes": Read("lymphocytes_10e9_l"),
    "platelets": Read("platelets_10e9_l"),
    "haemoglobin": Read("haemoglobin_g_l"),
    "glucose": Read("glucose_mmol_l", log=True),
    "hba1c": Read("hba1c_percent"),
    "sodium": Read("sodium_mmol_l"),
    "creatinine": Read("creatinine_umol_l", log=True),
    "ldl": Read("ldl_mmol_l"),
    "hs_crp": Read("hs_crp_mg_l", log=True),
    "inr": Read("inr"),
    "hypertension": Read("hypertension"),
    "diabetes": Read("diabetes"),
    "atrial_fibrillation": Read("atrial_fibrillation"),
    "coronary_disease": Read("coronary_disease"),
    "prior_stroke": Read("prior_stroke"),
    "smoking": Read("smoking"),
    "antiplatelet": Read("antiplatelet"),
    "anticoagulant": Read("anticoagulant"),
    "thrombolysis": Read("iv_thrombolysis"),
    "onset_to_ct": Read("onset_to_ct_h", log=True),
}
"""By the name in a patient's context, in the order of the network's inputs."""


def numbers_of_context(context: PatientContext) -> torch.Tensor:
    """(variables,) float32, NaN where not known; yes and male are 1, no and female 0."""
    known = {name: _number(value.value) for name in VARIABLES if (value := context.value(name)) is not None}
    return _read({VARIABLES[name].trained_as: value for name, value in known.items()})


def numbers_of_manifest(variables: Mapping[str, float]) -> torch.Tensor:
    """(variables,) float32 of an exam of a training manifest, NaN where not known."""
    return _read(variables)


def _read(known: Mapping[str, float]) -> torch.Tensor:
    values = [_scaled(read, known.get(read.trained_as, math.nan)) for read in VARIABLES.values()]
    return torch.tensor(values, dtype=torch.float32)


def _scaled(read: Read, value: float) -> float:
    return math.log1p(max(value, 0.0)) if read.log and not math.isnan(value) else value


def _number(value: str | float | bool) -> float:
    if isinstance(value, str):
        return {"male": 1.0, "female": 0.0}.get(value, math.nan)
    return float(value)
