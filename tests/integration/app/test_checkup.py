"""``dicomnode check`` says what a protocol can never match."""

from __future__ import annotations

from pathlib import Path

from dicomnode.app.checkup import Finding, checkup
from dicomnode.config.whole import Config


def findings(folder: Path, match: dict[str, object]) -> list[Finding]:
    """What is said of a protocol with these conditions."""
    config = Config.model_validate(
        {
            "node": {"data_dir": folder, "host": "127.0.0.1", "port": 0},
            "reception": {"min_free_gb": 0},
            "protocol": [{"name": "head", "match": match, "models": ["hemorrhage"]}],
        }
    )
    return [one for one in checkup(config, load_models=False) if one.what == "protocol head"]


def test_a_protocol_on_a_keyword_that_is_never_kept_is_named(tmp_path: Path) -> None:
    said = findings(tmp_path, {"PatientName": "Test", "Modality": "CT", "ReferencedImageSequence": ["1"]})
    named = [one for one in said if "never kept" in one.says]
    assert [one.says.split(",")[0] for one in named] == [
        "match names PatientName",
        "match names ReferencedImageSequence",
    ]
    assert all(not one.ok and one.fatal for one in named)


def test_a_protocol_on_what_is_kept_is_not(tmp_path: Path) -> None:
    said = findings(tmp_path, {"PatientAge": "^0[2-9]", "Modality": "CT", "SliceThickness": {"max": 8}})
    assert not any("never kept" in one.says for one in said)
