from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from dicomnode.errors import ManifestError
from dicomnode.train import statistics
from dicomnode.train.engine import FitSettings, Task, fit
from dicomnode.train.manifest import Case
from dicomnode.train.slices.exams import Exam
from dicomnode.train.tabular import ScalarBatches, VariableTable, labels_of, volume_of


def case(name: str, label: float | None = None, **variables: float) -> Case:
    return Case(
        id=name, patient=name, image=Path("x"), variables=variables, labels={} if label is None else {"death": label}
    )


def test_variables_are_scaled_by_the_training_exams_and_missing_ones_flagged() -> None:
    table = VariableTable.of([case("a", age=60.0, gcs=15.0), case("b", age=80.0)], ("age", "gcs"))
    encoded = table.encode([case("c", age=80.0), case("d", gcs=15.0)])
    assert encoded.tolist() == [[1.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0]]


def test_what_no_training_exam_knows_is_refused() -> None:
    with pytest.raises(ManifestError, match="variable nihss is known in no training exam"):
        VariableTable.of([case("a", age=60.0)], ("age", "nihss"))
    with pytest.raises(ManifestError) as caught:
        labels_of([case("a"), case("b", 1.0), case("c")], "death")
    assert caught.value.faults == ["exam a has no label death", "exam c has no label death"]


def test_a_volume_is_windowed_and_brought_to_its_shape() -> None:
    hu = np.zeros((6, 8, 8), np.int16)
    hu[:, :4] = 200
    exam = Exam(
        case=case("a"), hu=hu, truth=np.zeros((6, 1, 8, 8), np.int8), offsets_mm=np.arange(6.0), pixel_ml=np.ones(6)
    )
    volume = volume_of(exam, (3, 4, 4), 0.0, 80.0)
    assert volume.shape == (1, 3, 4, 4)
    assert volume[0, :, :2].unique().tolist() == [1.0]
    assert volume[0, :, 2:].unique().tolist() == [0.0]


def test_a_model_of_image_and_variables_learns_a_label_from_both(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    cases, images = [], []
    for k in range(96):
        volume, age = rng.normal(), rng.normal(70.0, 10.0)
        cases.append(case(f"e{k}", float(volume + (age - 70.0) / 10.0 > 0), **({"age": age} if k % 8 else {})))
        images.append(torch.full((1, 2, 4, 4), float(volume)))
    table = VariableTable.of(cases[:64], ("age",))
    tensors = {"image": torch.stack(images), "variables": table.encode(cases), "label": labels_of(cases, "death")}

    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.line = nn.Linear(3, 1)

        def forward(self, image: torch.Tensor, variables: torch.Tensor) -> torch.Tensor:
            return torch.as_tensor(self.line(torch.cat([image.mean(dim=(1, 2, 3, 4))[:, None], variables], dim=1)))

    def validate(network: nn.Module) -> float:
        scores = network(tensors["image"][64:], tensors["variables"][64:])
        return statistics.auc(tensors["label"][64:, 0].numpy(), scores[:, 0].numpy())

    batches = ScalarBatches({name: tensor[:64] for name, tensor in tensors.items()}, 16, seed=1)
    assert batches.steps == 4
    assert sorted(torch.cat([b["image"][:, 0, 0, 0, 0] for b in batches(1)]).tolist()) == sorted(
        tensors["image"][:64, 0, 0, 0, 0].tolist()
    )
    torch.manual_seed(1)
    made = Task(
        network=Both(),
        loss=lambda out, batch: nn.functional.binary_cross_entropy_with_logits(out, batch["label"]),
        batches=batches,
        steps=batches.steps,
        validate=validate,
        inputs=("image", "variables"),
    )
    settings = FitSettings(epochs=12, learning_rate=0.1, patience=0, device="cpu")
    assert fit(made, settings, tmp_path, progress=False).best_score > 0.9
