"""The pictures: what is on them and where."""

from __future__ import annotations

import time
from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from pydicom import dcmread
from pydicom.uid import SecondaryCaptureImageStorage

from dicomnode.encode.context import context_of
from dicomnode.encode.files import bytes_of
from dicomnode.encode.kinds.sc import secondary_capture
from dicomnode.encode.pictures.drawing import Pen
from dicomnode.encode.pictures.overview import (
    BANNER_HEIGHT,
    GRID,
    HEADER_HEIGHT,
    PANEL_WIDTH,
    SIZE,
    mask_over_ct,
    overview_image,
    tile_image,
)
from dicomnode.encode.pictures.slices import crop_of, edge_letters, slice_image, windowed
from dicomnode.encode.pictures.tiles import Shown, brain_slices, key_slices, layout_of
from dicomnode.encode.wording import Wording
from dicomnode.language import Language, told
from dicomnode.records import Case, ReferenceScore, ScoreInput
from tests.unit.encode.cases import (
    BIG_EVEN,
    EVEN,
    MODEL,
    TILTED_UNEVEN,
    Geometry,
    Patient,
    case_of,
    changed,
    finding_of,
    not_applicable_of,
    predicted_of,
    score_of,
    stack_of_geometry,
)

BLEED = (((25.0, 60.0, 40.0), (12.0, 14.0, 10.0)),)
RED = np.array([230, 60, 50])


def pixels(image: Image.Image) -> NDArray[np.int64]:
    return np.asarray(image.convert("RGB")).astype(np.int64)


def reddish(image: Image.Image) -> NDArray[np.bool_]:
    """Pixels of the outline's colour: clearly more red than green and blue."""
    red, green, blue = np.moveaxis(pixels(image), -1, 0)
    return np.asarray((red > 120) & (red - green > 60) & (red - blue > 60))


def test_the_window_is_fixed_in_hounsfield_units() -> None:
    assert windowed(np.array([-1000, 0, 40, 80, 3000], dtype=np.float32)).tolist() == [0, 0, 127, 255, 255]


def test_the_letters_of_a_standard_axial_slice() -> None:
    assert edge_letters(stack_of_geometry(EVEN)) == ("R", "L", "A", "P")


def test_a_tilt_does_not_turn_the_letters() -> None:
    assert edge_letters(stack_of_geometry(TILTED_UNEVEN)) == ("R", "L", "A", "P")


def test_the_letters_of_a_mirrored_slice_are_mirrored() -> None:
    assert edge_letters(stack_of_geometry(Geometry(row_cosines=(-1.0, 0.0, 0.0)))) == ("L", "R", "A", "P")


def test_the_outline_lies_around_the_bleed() -> None:
    case = case_of(EVEN, BLEED)
    crop, size = crop_of(case.volume.hu, case.volume.stack), 400
    finding = case.masks[0]
    unnumbered = changed(case, findings=(replace(finding, lesion_labels=np.zeros_like(finding.lesion_labels)),))
    marked = reddish(slice_image(unnumbered, 5, crop, size))
    plain = reddish(slice_image(case, 5, crop, size, marked=False))
    rows, columns = np.nonzero(marked & ~plain)
    mask_rows, mask_columns = np.nonzero(case.findings[0].mask[5])
    to_rows, to_columns = size / crop.height, size / crop.width
    assert rows.min() == pytest.approx((mask_rows.min() - crop.top) * to_rows, abs=4)
    assert rows.max() == pytest.approx((mask_rows.max() + 1 - crop.top) * to_rows, abs=4)
    assert columns.min() == pytest.approx((mask_columns.min() - crop.left) * to_columns, abs=4)
    assert columns.max() == pytest.approx((mask_columns.max() + 1 - crop.left) * to_columns, abs=4)


def test_the_inside_of_the_outline_stays_visible() -> None:
    case = case_of(EVEN, BLEED)
    crop, size = crop_of(case.volume.hu, case.volume.stack), 400
    marked = pixels(slice_image(case, 5, crop, size))
    centre = marked[int((60 - crop.top) * size / crop.height), int((36 - crop.left) * size / crop.width)]
    assert np.ptp(centre) == 0  # grey


def test_where_a_score_comes_from_is_tinted_and_the_slice_stays_visible() -> None:
    case = case_of(EVEN, BLEED)
    seen = np.zeros(case.volume.hu.shape, np.uint8)
    seen[4, :, : seen.shape[2] // 2] = 255
    looked = replace(case, findings=(*case.findings, score_of(attention=seen)))
    crop = crop_of(case.volume.hu, case.volume.stack)
    plain, tinted = (pixels(slice_image(one, 4, crop, 400)) for one in (case, looked))
    warmer = (tinted[..., 0] - tinted[..., 2]) - (plain[..., 0] - plain[..., 2]) > 40
    assert warmer[:, :190].mean() > 0.7
    assert warmer[:, 210:].mean() < 0.02
    assert np.array_equal(
        pixels(slice_image(looked, 4, crop, 400, marked=False)), pixels(slice_image(case, 4, crop, 400, marked=False))
    )


def test_pixels_that_are_not_square_are_shown_in_true_proportion() -> None:
    stack = stack_of_geometry(Geometry(rows=64, columns=96, row_spacing_mm=2.0))
    crop = crop_of(np.full((3, 64, 96), 50, dtype=np.float32), stack)
    assert crop.height * stack.row_spacing_mm == pytest.approx(crop.width * stack.column_spacing_mm)


def test_a_positive_shows_the_marked_slices_and_the_widest() -> None:
    case = case_of(BIG_EVEN, (((80.0, 200.0, 300.0), (25.0, 30.0, 25.0)),))
    areas = case.findings[0].mask.sum(axis=(1, 2))
    shown = key_slices(case, 12)
    assert len(shown) == 12
    assert int(np.argmax(areas)) in shown
    assert shown == sorted(shown)
    assert all(areas[index] > 0 for index in shown)


def test_a_bleed_on_few_slices_is_shown_with_its_neighbours() -> None:
    case = case_of(BIG_EVEN, (((0.0, 200.0, 300.0), (5.0, 30.0, 25.0)),))
    assert key_slices(case, 12) == list(range(12))


def test_a_negative_shows_the_brain_and_neither_base_nor_vertex() -> None:
    case = case_of(BIG_EVEN)
    hu = case.volume.hu.copy()
    hu[:9] = np.where(hu[:9] > 500, 40, hu[:9])  # soft tissue without a skull around it
    hu[34:] = 40
    shown = key_slices(changed(case, volume=replace(case.volume, hu=hu)), 12)
    assert len(shown) == 12
    assert (shown[0], shown[-1]) == (9, 33)


def test_without_any_skull_the_whole_stack_is_shown() -> None:
    case = case_of(EVEN)
    assert brain_slices(replace(case.volume, hu=np.full_like(case.volume.hu, 40))) == list(range(12))


def test_a_bleed_on_few_slices_gets_few_large_tiles() -> None:
    large, _ = layout_of(case_of(BIG_EVEN, (((80.0, 200.0, 300.0), (7.0, 60.0, 60.0)),)))
    small, _ = layout_of(case_of(BIG_EVEN, (((80.0, 200.0, 300.0), (40.0, 60.0, 60.0)),)))
    assert large.places < small.places == 12


def test_a_small_lesion_is_shown_enlarged_after_its_slice() -> None:
    case = case_of(BIG_EVEN, (((80.0, 200.0, 300.0), (5.0, 8.0, 8.0)),))
    _, tiles = layout_of(case)
    (enlarged,) = [tile for tile in tiles if tile.enlarged]
    before = tiles[tiles.index(enlarged) - 1]
    assert (before.index, before.enlarged) == (enlarged.index, False)
    assert enlarged.crop.side_mm < before.crop.side_mm / 2
    assert case.masks[0].mask[enlarged.index].any()


def test_the_number_of_a_lesion_is_drawn_beside_it_with_its_side() -> None:
    case = case_of(EVEN, BLEED)
    crop, size = crop_of(case.volume.hu, case.volume.stack), 400
    finding = case.masks[0]
    unnumbered = replace(finding, lesion_labels=np.zeros_like(finding.lesion_labels))
    plain = pixels(slice_image(changed(case, findings=(unnumbered,)), 5, crop, size))
    changed_at = np.argwhere((pixels(slice_image(case, 5, crop, size)) != plain).any(axis=2))
    rows, columns = np.nonzero(finding.mask[5])
    corner = (rows.min() - crop.top) * size / crop.height, (columns.max() + 1 - crop.left) * size / crop.width
    near = np.linalg.norm(changed_at - corner, axis=1) < 25
    assert near.any()
    assert (changed_at[~near][:, 0] > size - 30).all()  # side and level, at the lower edge
    assert (~near).any()


def test_an_uncertain_exam_has_no_red_on_its_overview() -> None:
    case = case_of(EVEN, BLEED)
    uncertain = replace(case.masks[0], exam_probability=0.1, exam_threshold=0.5)
    assert reddish(overview_image(case)).any()
    assert not reddish(overview_image(changed(case, findings=(uncertain,)))).any()


def test_a_short_stack_is_shown_whole() -> None:
    assert key_slices(case_of(EVEN), 12) == list(range(12))


@pytest.fixture(
    scope="module", params=["positive", "negative", "pieces below the limit", "two findings", "not applicable"]
)
def any_case(request: pytest.FixtureRequest) -> Case:
    case = case_of(TILTED_UNEVEN, BLEED if request.param in {"positive", "two findings"} else ())
    if request.param == "pieces below the limit":
        mask = np.zeros(case.findings[0].mask.shape, dtype=bool)
        mask[4, 60, 40:43] = True
        case = changed(case, findings=(finding_of(mask, case.volume),))
    if request.param == "not applicable":
        case = changed(case, findings=(*case.findings, not_applicable_of()))
    if request.param == "two findings":
        mask = np.roll(case.findings[0].mask, 20, axis=1)
        oedema = finding_of(mask, case.volume, name="edema", label="Perihaematomal oedema")
        case = changed(case, findings=(*case.findings, oedema))
    return case


def test_the_overview_has_its_size_and_its_banner(any_case: Case) -> None:
    image = overview_image(any_case)
    assert (image.mode, image.size) == ("RGB", SIZE)
    assert image.getpixel((5, 5)) == image.getpixel((5, SIZE[1] - 5)) == (255, 196, 0)


def test_a_long_description_and_many_lesions_stay_within_the_panel() -> None:
    case = case_of(EVEN)
    mask = np.zeros(case.findings[0].mask.shape, dtype=bool)
    mask[4:6, 4:124:12, 10:16] = mask[4:6, 7:124:12, 10:16] = mask[4:6, 5:124:12, 10:30] = True
    model = replace(MODEL, trained_on="many heads " * 300)
    findings = tuple(finding_of(mask, case.volume, model, name=f"finding {n}", label="Some finding") for n in (1, 2))
    image = pixels(overview_image(changed(case, findings=findings)))
    top = BANNER_HEIGHT + HEADER_HEIGHT + GRID[1]
    below = image[top + 1 : top + 9, SIZE[0] - PANEL_WIDTH :]
    assert (below == below[-1, -1]).all()


def test_no_patient_attribute_is_drawn() -> None:
    one = overview_image(case_of(EVEN, BLEED, patient=Patient("Somebody^Else", extra={"PatientID": "OTHER"})))
    assert np.array_equal(pixels(one), pixels(overview_image(case_of(EVEN, BLEED))))


def test_a_predicted_scan_is_shown_beside_its_source_with_the_difference() -> None:
    plain = case_of(EVEN)
    later = plain.volume.hu.copy()
    later[4, 50:70, 40:60] += 20.0
    case = replace(plain, findings=(predicted_of(plain, hu=later),))
    grid, tiles = layout_of(case)
    assert (grid.places, [tile.shown for tile in tiles]) == (6, [None] * 3 + list(Shown))
    assert [tile.index for tile in tiles[3:]] == [4] * 3
    source, predicted, difference = (np.asarray(tile_image(case, tile, 300))[..., 0].astype(int) for tile in tiles[3:])
    crop = tiles[3].crop
    x, y = (int((place - first) * 300 / crop.width) for place, first in ((50, crop.left), (60, crop.top)))
    # 80 HU of the window are 255 greys
    assert predicted[y, x] - source[y, x] == pytest.approx(20 * 255 / 80, abs=3)
    assert difference[y, x] == pytest.approx((40 + 20) * 255 / 80, abs=3)
    assert difference[y - 45, x] == pytest.approx(40 * 255 / 80, abs=3)
    assert overview_image(case).size == SIZE


def test_the_mask_over_ct_shows_the_slice_plain_and_marked(any_case: Case) -> None:
    image = mask_over_ct(any_case, 320)
    assert image.size == (640, 360)
    left, right = (reddish(image.crop((x, 20, x + 320, 280))).sum() for x in (0, 320))
    assert left == 0
    assert (right > 0) == any_case.findings[0].mask.any()


def test_the_secondary_capture_holds_the_picture(any_case: Case) -> None:
    ds = dcmread(BytesIO(bytes_of(secondary_capture(context_of(any_case)))))
    assert ds.SOPClassUID == SecondaryCaptureImageStorage
    assert np.array_equal(ds.pixel_array, pixels(overview_image(any_case)))
    assert (ds.ConversionType, ds.BurnedInAnnotation) == ("SYN", "NO")
    assert list(ds.PatientOrientation) == ["L", "P"]
    shown = [item.ReferencedSOPInstanceUID for item in ds.SourceImageSequence]
    _, tiles = layout_of(any_case)
    assert shown == [any_case.sources[i].SOPInstanceUID for i in sorted({tile.index for tile in tiles})]


def test_an_overview_of_40_slices_takes_less_than_two_seconds() -> None:
    case = case_of(BIG_EVEN, (((80.0, 200.0, 300.0), (25.0, 30.0, 25.0)),))
    overview_image(case)
    start = time.process_time()
    overview_image(case)
    assert time.process_time() - start < 2


GCS = ScoreInput("Glasgow Coma Scale", "10", "FHIR", "2026-11-28T02:10+01:00", -1200.0)


def reference_of(name: str, **more: object) -> ReferenceScore:
    plain = ReferenceScore(name=name, label=f"{name} score", value=None, unit="{score}", meaning="Meaning.")
    return replace(plain, **more)  # type: ignore[arg-type]


def written(case: Case, monkeypatch: pytest.MonkeyPatch) -> dict[str, tuple[float, float]]:
    """Every text of the overview, and where it stands."""
    found: dict[str, tuple[float, float]] = {}

    def text(self: Pen, at: tuple[float, float], text: str, size: int, colour: object, **more: object) -> None:
        found[text] = (at[0], at[1] + size)

    with monkeypatch.context() as patch:
        patch.setattr(Pen, "text", text)
        overview_image(context_of(case).case)
    return found


@pytest.mark.parametrize("language", list(Language))
def test_the_overview_tells_the_reference_scores_their_inputs_and_what_is_missing(
    language: Language, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = (
        reference_of("BAT", missing=("Blend sign",)),
        reference_of("ICH", value=4.0, headline=told("{share} %", share=97), inputs=(GCS,)),
        reference_of("FUNC", possible=(3.0, 5.0), inputs=(GCS,), missing=("Age",)),
        reference_of("abc2_total", value=16.1, unit="mL"),
    )
    case = changed(case_of(EVEN, BLEED), reference=scores, language=language)
    found = written(case, monkeypatch)
    words = Wording(language)
    assert {words.say("reference heading"), "ICH score", "4", "97 %", words.say("range", low="3", high="5")} <= {*found}
    assert {words.say("not computable"), "Glasgow Coma Scale", "10 (FHIR, -20 min)"} <= {*found}
    assert words.say("not known", names=", ".join(map(words.text, ("Age", "Blend sign")))) in found
    assert not any("abc2" in text for text in found)
    heights = [found[words.text(f"{name} score")][1] for name in ("ICH", "FUNC", "BAT")]
    assert heights == sorted(heights)
    assert words.say("banner research") in found


def test_many_scores_and_lesions_stay_within_the_panel_and_the_models_are_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    inputs = tuple(replace(GCS, label=f"A variable with a long name {n}") for n in range(12))
    missing = tuple(f"What nobody has told of the patient, number {n}" for n in range(12))
    scores = tuple(
        reference_of(f"S{n}", value=float(n), inputs=inputs, missing=missing, headline="9 %") for n in range(9)
    )
    bleeds = tuple(((25.0, 30.0 + 15 * n, 40.0), (6.0, 5.0, 5.0)) for n in range(5))
    case = changed(case_of(EVEN, bleeds), reference=scores)
    for findings in (case.findings, (*case.findings, not_applicable_of()), (*case.findings * 2, not_applicable_of())):
        found = written(changed(case, findings=findings), monkeypatch)
        left, bottom = SIZE[0] - PANEL_WIDTH - 20, BANNER_HEIGHT + HEADER_HEIGHT + GRID[1]
        panel = {text: at for text, at in found.items() if at[0] >= left and at[1] > BANNER_HEIGHT + HEADER_HEIGHT}
        notices = {text: at for text, at in panel.items() if at[1] > bottom}
        assert notices == {}
        assert any(text.startswith("Small U-Net") for text in panel)
    assert "and 4 more, see the report of scores" in written(case, monkeypatch)
