"""Key objects: the results of one job as a set, and results that must no longer be used."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import KeyObjectSelectionDocumentStorage

from dicomnode.encode.case import encode_case
from dicomnode.encode.kinds.kos import encode_rejection
from dicomnode.errors import EncodeError
from dicomnode.records import Case, EncodedResult, Rejection
from tests.unit.encode.cases import EVEN, Patient, case_of

NOW = datetime(2024, 1, 2, 11, 30, tzinfo=UTC)
BLEED = (((25.0, 60.0, 40.0), (12.0, 14.0, 10.0)),)


@pytest.fixture(scope="module")
def case() -> Case:
    return case_of(EVEN, BLEED, Patient("Διονυσιος^Ελένη", "ISO_IR 126"))


@pytest.fixture(scope="module")
def results(case: Case, tmp_path_factory: pytest.TempPathFactory) -> list[EncodedResult]:
    return encode_case(case, tmp_path_factory.mktemp("results"), NOW, ["kos"])


def title(ds: Dataset) -> tuple[str, str]:
    concept = ds.ConceptNameCodeSequence[0]
    return concept.CodeValue, concept.CodingSchemeDesignator


def named(ds: Dataset) -> dict[str, str]:
    """Instances that the content tree names: instance -> SOP class."""
    references = [item.ReferencedSOPSequence[0] for item in ds.ContentSequence if "ReferencedSOPSequence" in item]
    return {str(ref.ReferencedSOPInstanceUID): str(ref.ReferencedSOPClassUID) for ref in references}


def evidence(ds: Dataset) -> dict[str, str]:
    """Instances that the evidence lists: instance -> series."""
    return {
        str(ref.ReferencedSOPInstanceUID): str(series.SeriesInstanceUID)
        for study in ds.CurrentRequestedProcedureEvidenceSequence
        for series in study.ReferencedSeriesSequence
        for ref in series.ReferencedSOPSequence
    }


def test_the_root_names_every_other_result_of_the_job_and_no_image(results: list[EncodedResult]) -> None:
    *others, root = results
    ds = dcmread(root.path)
    assert (root.kind, ds.SOPClassUID, ds.Modality) == ("kos", KeyObjectSelectionDocumentStorage, "KO")
    assert title(ds) == ("113000", "DCM")
    assert named(ds) == {result.sop_instance_uid: result.sop_class_uid for result in others}
    assert evidence(ds) == {result.sop_instance_uid: result.series_instance_uid for result in others}
    assert ds.ContentQualification == "RESEARCH"


def test_it_is_made_on_request_only(case: Case, tmp_path: Path) -> None:
    assert "kos" not in [result.kind for result in encode_case(case, tmp_path, NOW)]


def test_a_rejection_note_names_the_superseded_results_in_their_study(
    case: Case, results: list[EncodedResult], tmp_path: Path
) -> None:
    note = encode_rejection(
        Rejection(results=tuple(results), identity=case.identity, timezone="Europe/Berlin"), tmp_path, NOW
    )
    ds = dcmread(note.path)
    assert title(ds) == ("113001", "DCM")
    assert ds.ConceptNameCodeSequence[0].CodeMeaning == "Rejected for Quality Reasons"
    assert named(ds) == {result.sop_instance_uid: result.sop_class_uid for result in results}
    assert evidence(ds) == {result.sop_instance_uid: result.series_instance_uid for result in results}
    assert (ds.StudyInstanceUID, str(ds.PatientName)) == (case.identity.StudyInstanceUID, "Διονυσιος^Ελένη")
    assert (ds.TimezoneOffsetFromUTC, ds.ContentTime) == ("+0100", "123000")
    assert (note.kind, note.research, note.path) == ("rejection", True, tmp_path / f"{ds.SOPInstanceUID}.dcm")


def test_the_same_rejection_is_the_same_instance_and_another_is_not(
    case: Case, results: list[EncodedResult], tmp_path: Path
) -> None:
    notes = [
        encode_rejection(Rejection(results=chosen, identity=case.identity), tmp_path / str(n), NOW).sop_instance_uid
        for n, chosen in enumerate((tuple(results), tuple(reversed(results)), tuple(results[:2])))
    ]
    assert notes[0] == notes[1] != notes[2]


def test_a_rejection_of_nothing_is_an_error_and_leaves_nothing(case: Case, tmp_path: Path) -> None:
    with pytest.raises(EncodeError, match="without rejected results"):
        encode_rejection(Rejection(results=(), identity=case.identity), tmp_path, NOW)
    assert list(tmp_path.iterdir()) == []
