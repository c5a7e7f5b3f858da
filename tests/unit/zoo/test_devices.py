"""A device that is not there is a sentence, whatever torch would raise."""

from __future__ import annotations

import pytest
import torch

from dicomnode.errors import DeviceMissing, InferenceError
from dicomnode.zoo.devices import resolve_device


def test_what_is_there_is_resolved() -> None:
    assert resolve_device("cpu") == "cpu"
    assert resolve_device("auto") == ("cuda:0" if torch.cuda.is_available() else "cpu")


@pytest.mark.parametrize("device", ["cuda", "cuda:0", "cuda:1"] if not torch.cuda.is_available() else ["cuda:99"])
def test_a_card_that_is_not_there_is_said_with_what_to_use_instead(device: str) -> None:
    with pytest.raises(DeviceMissing, match="use 'cpu', or 'auto' for what is there") as caught:
        resolve_device(device)
    assert f"device {device}" in str(caught.value)
    assert isinstance(caught.value, InferenceError)
