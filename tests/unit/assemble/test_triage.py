from __future__ import annotations

from pathlib import Path

import pydicom
import pytest

from dicomnode.assemble.triage import refusal_of_series
from dicomnode.dicom.ct_slices import reason_not_used
from dicomnode.dicom.headers import header_of
from dicomnode.errors import Refusal
from dicomnode.records import Header
from tests.tools.series import EVEN, ct_headers


def headers_in(folder: Path) -> list[Header]:
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and pydicom.misc.is_dicom(path)]
    return [header_of(pydicom.dcmread(path, stop_before_pixels=True)) for path in files]


def refusal(**attributes: object) -> Refusal | None:
    """Refusal of an axial head series with these attributes on every slice."""
    found = refusal_of_series(ct_headers(**attributes))
    return found[0] if found else None


def test_a_plain_axial_series_is_taken() -> None:
    assert refusal_of_series(ct_headers()) is None
    assert all(reason_not_used(header) is None for header in ct_headers())


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.4"}, Refusal.NOT_CT),  # MR
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.88.67"}, Refusal.NOT_CT),  # dose report
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.2.1"}, Refusal.MULTI_FRAME),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.2.2"}, Refusal.MULTI_FRAME),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7"}, Refusal.SECONDARY_CAPTURE),
        ({"SOPClassUID": ""}, Refusal.UNREADABLE),
        ({"Modality": "PT"}, Refusal.NOT_CT),
        ({"NumberOfFrames": 20}, Refusal.MULTI_FRAME),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, Refusal.LOCALIZER),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER", "CT_SOM5 TOP"]}, Refusal.LOCALIZER),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "AXIAL", "CT_SOM5 TOP"]}, Refusal.LOCALIZER),
        ({"ImageType": ["DERIVED", "SECONDARY", "SCREEN SAVE"]}, Refusal.SECONDARY_CAPTURE),
        ({"SamplesPerPixel": 3}, Refusal.SECONDARY_CAPTURE),
    ],
)
def test_what_is_no_ct_slice_is_not_used(change: Header, reason: Refusal) -> None:
    header = {**ct_headers()[0], **change}
    assert reason_not_used(header) is reason


def test_an_unparsed_instance_is_unreadable() -> None:
    assert reason_not_used({}) is Refusal.UNREADABLE


def test_a_localizer_inside_a_series_of_slices_does_not_spoil_it() -> None:
    headers = ct_headers()
    headers[0] = {**headers[0], "ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}
    assert refusal_of_series(headers) is None


def test_a_series_without_slices_is_refused_for_what_it_holds() -> None:
    reports = [{**header, "SOPClassUID": "1.2.840.10008.5.1.4.1.1.88.67"} for header in ct_headers()]
    assert refusal_of_series(reports) == (Refusal.NOT_CT, "30 instances")
    assert refusal_of_series([]) == (Refusal.NO_PIXELS, "")


def test_a_scout_is_told_by_its_orientation_when_it_does_not_say_so() -> None:
    lateral = ct_headers((0, 5), orientation=(0, 1, 0, 0, 0, -1))
    assert refusal_of_series(lateral) == (Refusal.LOCALIZER, "2 of 2 images not axial")


@pytest.mark.parametrize(
    "image_type",
    [
        ["DERIVED", "SECONDARY", "AXIAL"],  # thick slices averaged from thin ones
        ["DERIVED", "PRIMARY", "AXIAL", "CT_SOM5 MPR"],
        ["ORIGINAL", "SECONDARY", "AXIAL"],
    ],
)
def test_derived_axial_slices_are_taken(image_type: list[str]) -> None:
    assert refusal(ImageType=image_type) is None


@pytest.mark.parametrize(
    "attributes",
    [
        {"ImageType": ["DERIVED", "SECONDARY", "MIP"]},
        {"ImageType": ["DERIVED", "SECONDARY", "VOLREN"]},
        {"ImageType": ["DERIVED", "SECONDARY", "3D"]},
        {"ImageType": ["DERIVED", "SECONDARY", "AXIAL", "VNC"]},
        {"ImageType": ["DERIVED", "PRIMARY", "AXIAL", "SUBTRACTION"]},
        {"SeriesDescription": "Head_MIP_10mm"},
    ],
)
def test_images_whose_values_are_no_longer_hounsfield_units_of_their_place_are_refused(attributes: Header) -> None:
    assert refusal(**attributes) is Refusal.DERIVED


@pytest.mark.parametrize(
    "description",
    [
        "CTA Head",
        "Kopf CTA 0.6",
        "CT_ANGIO_HEAD",
        "Head art. phase",
        "Carotids",
        "mit KM",
        "HEAD C+",
        "post contrast",
        "W/ CONTRAST",
    ],
)
def test_contrast_in_the_series_description_is_refused(description: str) -> None:
    assert refusal(SeriesDescription=description) is Refusal.CONTRAST_ANGIOGRAPHY


@pytest.mark.parametrize(
    "description",
    [
        "Head 5.0 H30s",
        "BRAIN W/O CONTRAST",
        "Head non-contrast",
        "HEAD WITHOUT IV CONTRAST 5MM",
        "NCCT",
        "Schädel nativ",
        "CCT ohne KM",
        "post thrombectomy",
        "CCT nach Angio",
        "s/p angiography control",
        "Head C-",
        "AXIAL THIN 3D",
        "Dental artifact",
        "Start head",
        "",
    ],
)
def test_a_non_contrast_head_is_taken_also_after_an_angiography(description: str) -> None:
    assert refusal(SeriesDescription=description) is None


def test_both_phases_in_one_description_are_refused() -> None:
    assert refusal(SeriesDescription="HEAD W/O CONTRAST AND W CONTRAST") is Refusal.CONTRAST_ANGIOGRAPHY


def test_the_names_of_study_and_examination_refuse_nothing() -> None:
    assert refusal(StudyDescription="Stroke CT + CTA + perfusion", ProtocolName="CTA_Thrombectomy") is None
    assert refusal(StudyDescription="Angiography, thrombectomy", SeriesDescription="Head 5mm") is None


@pytest.mark.parametrize(
    ("agent", "route", "expected"),
    [
        ("ISOVUE 300", "", Refusal.CONTRAST_ANGIOGRAPHY),
        ("APPLIED", "IV", Refusal.CONTRAST_ANGIOGRAPHY),
        ("Imeron", "INTRAARTERIAL", None),
        ("Imeron", "I.A.", None),
        ("NONE", "", None),
        ("No", "", None),
        ("0", "", None),
        ("without", "", None),
        ("w/o contrast", "", None),
        ("", "IV", None),
        ("NOVOPAQUE", "", Refusal.CONTRAST_ANGIOGRAPHY),
    ],
)
def test_a_contrast_agent_counts_unless_none_or_left_by_the_angiography(
    agent: str, route: str, expected: Refusal | None
) -> None:
    assert refusal(ContrastBolusAgent=agent, ContrastBolusRoute=route) is expected


@pytest.mark.parametrize(
    "attributes",
    [
        {"SeriesDescription": "VPCT Perfusion 5.0"},
        {"SeriesDescription": "CTP"},
        {"SeriesDescription": "Head_Dynamic"},
        {"ImageType": ["DERIVED", "SECONDARY", "AXIAL", "CBF"]},
        {"ImageType": ["ORIGINAL", "PRIMARY", "AXIAL", "CT_SOM5 MON"]},
    ],
)
def test_perfusion_and_bolus_monitoring_are_refused(attributes: Header) -> None:
    assert refusal(**attributes) is Refusal.PERFUSION


def test_every_position_twice_is_a_multi_phase_series() -> None:
    headers = ct_headers(EVEN * 2)
    assert refusal_of_series(headers) == (Refusal.PERFUSION, "60 images at 30 positions")


def test_one_position_twice_is_left_to_the_volume_gate() -> None:
    assert refusal_of_series(ct_headers((*EVEN, 0))) is None


def test_details_name_no_more_than_the_matched_word() -> None:
    found = refusal_of_series(ct_headers(SeriesDescription="CTA of John Smith"))
    assert found == (Refusal.CONTRAST_ANGIOGRAPHY, "SeriesDescription: CTA")


@pytest.mark.real_data
def test_of_the_real_plastic_head_the_scout_and_the_summary_are_refused(real_data: Path) -> None:
    expected = {
        "S1000": Refusal.LOCALIZER,
        "S2010": None,
        "S2020": None,
        "S2030": None,
        "S4010": Refusal.SECONDARY_CAPTURE,
    }
    for series, reason in expected.items():
        found = refusal_of_series(headers_in(real_data / "philips_plastic_head" / series))
        assert (found and found[0]) == reason, series


@pytest.mark.real_data
def test_the_real_ge_head_is_taken(real_data: Path) -> None:
    assert refusal_of_series(headers_in(real_data / "head_ct_ge")) is None


@pytest.mark.real_data
def test_real_images_at_one_position_are_refused_as_multi_phase(real_data: Path) -> None:
    found = refusal_of_series(headers_in(real_data / "awkward" / "geometry" / "notavolume" / "001"))
    assert found is not None
    assert found[0] is Refusal.PERFUSION


@pytest.mark.real_data
@pytest.mark.filterwarnings("ignore::UserWarning")  # pydicom warns of the damage that these files were chosen for
def test_real_awkward_files_get_a_reason_and_never_a_crash(real_data: Path) -> None:
    expected = {
        "GH1146.dcm": Refusal.NOT_CT,
        "GH1301.dcm": Refusal.SECONDARY_CAPTURE,
        "GH1339.dcm": Refusal.NOT_CT,
        "GH1728.dcm": Refusal.SECONDARY_CAPTURE,
        "GH178.dcm": Refusal.SECONDARY_CAPTURE,
        "HasFragmentSequence.dcm": Refusal.NOT_CT,
        "multiframe.dcm": Refusal.NOT_CT,
        "D_CLUNIE_CT1_RLE_FRAGS.dcm": None,
        "GH1308.dcm": None,
    }
    folder = real_data / "awkward" / "field_problems"
    for name, reason in expected.items():
        header = header_of(pydicom.dcmread(folder / name, stop_before_pixels=True))
        assert reason_not_used(header) is reason, name
        refusal_of_series([header])
