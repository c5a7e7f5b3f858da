"""The three-scale network and its published weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from dicomnode.errors import BundleError
from dicomnode.zoo.networks.deepmedic import DeepMedic, normalised
from dicomnode.zoo.networks.dense import class_probabilities
from dicomnode.zoo.networks.published import PUBLISHED, Form, form_of, read_deepmedic
from tests.tools.published_weights import published

KNOWN_ANSWER = [0.098259, 0.088117, 0.001776, 0.000788, 0.81106]
"""Mean probability of each class in the middle of a ball of blood, by the network of the authors' own tool."""


def test_published_weights_are_read_under_the_names_that_their_authors_gave(tmp_path: Path) -> None:
    torch.manual_seed(3)
    network = DeepMedic()
    torch.save(published(network), tmp_path / "model_1.pt")
    read = read_deepmedic(tmp_path / "model_1.pt")
    assert not read.training
    assert all(torch.equal(value, network.state_dict()[name]) for name, value in read.state_dict().items())


def test_the_published_form_sees_forty_millimetres_around() -> None:
    assert DeepMedic().margin == 40
    assert sum(value.numel() for value in DeepMedic().parameters()) == 1_030_033


def test_the_form_is_read_off_names_and_shapes() -> None:
    assert form_of(published(DeepMedic())) == PUBLISHED
    other = Form(scales=(4, 1), path_maps=(2, 3), hidden_maps=(5,))
    assert form_of(published(DeepMedic(**other.as_arguments()))) == other


def cut_short(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """With one layer that does not follow the one before."""
    name = "path(3, 3, 3)1.path.4.conv.weight"
    return state | {name: state[name][:, :7]}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ([1, 2], "no state dictionary"),
        ({"epoch": 7}, "no state dictionary"),
        ({"conv.weight": torch.zeros(3, 1, 3, 3, 3)}, "no three-scale DeepMedic"),
        (cut_short(published(DeepMedic())), "no three-scale DeepMedic of this form: .*size mismatch"),
        (published(DeepMedic(classes=2)), "no three-scale DeepMedic"),
    ],
)
def test_a_file_of_another_form_is_refused_and_said(tmp_path: Path, content: object, said: str) -> None:
    torch.save(content, tmp_path / "other.pt")
    with pytest.raises(BundleError, match=f"other.pt .*{said}"):
        read_deepmedic(tmp_path / "other.pt")


def test_a_file_that_is_no_file_of_weights_is_refused_and_said(tmp_path: Path) -> None:
    (tmp_path / "text.pt").write_text("no weights")
    with pytest.raises(BundleError, match=r"text.pt cannot be read as PyTorch weights"):
        read_deepmedic(tmp_path / "text.pt")


def test_the_window_of_the_weights_goes_from_minus_one_to_one() -> None:
    hu = torch.tensor([-1000.0, -15.0, 42.5, 100.0, 3000.0])
    assert normalised(hu).tolist() == pytest.approx([-1.0, -1.0, 0.0, 1.0, 1.0])


@pytest.mark.real_data
def test_the_published_weights_see_a_ball_of_blood_in_brain(real_data: Path) -> None:
    hu = torch.full((45, 45, 45), 32.0)
    z, y, x = torch.meshgrid(*(torch.arange(45.0) - 22.0,) * 3, indexing="ij")
    hu[z**2 + y**2 + x**2 < 100.0] = 62.0
    network = read_deepmedic(real_data / "blast_ct_v1" / "model_1.pt")
    found = class_probabilities([network], normalised(hu), (slice(15, 30),) * 3).mean(dim=(1, 2, 3))
    assert found.tolist() == pytest.approx(KNOWN_ANSWER, abs=1e-3)
