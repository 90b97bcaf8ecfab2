import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from limner.image.heat import Heat, heat_sheet, inferno, overlay
from limner.types import Picture

RED = (200, 30, 30)


def red(width: int = 32, height: int = 24) -> Picture:
    return Picture(np.full((height, width, 3), RED, np.uint8))


def heat(value: float, width: int = 32, height: int = 24) -> Heat:
    return np.full((height, width), value, np.float32)


def lightness(colours: Heat) -> npt.NDArray[np.float64]:
    """Linear luminance (Rec. 709) of colours from 0 to 255."""
    return (colours.astype(np.float64) / 255) ** 2.2 @ np.array([0.2126, 0.7152, 0.0722])


def test_the_ends_of_the_colours_are_black_and_pale_yellow() -> None:
    assert inferno(np.array([[0.0, 1.0]], np.float32)).tolist() == [[[0, 0, 4], [252, 255, 164]]]
    assert inferno(np.array([[0.5]], np.float32))[0, 0] == pytest.approx([186, 56, 83], abs=1)


def test_hotter_is_lighter() -> None:
    steps = np.linspace(0, 1, 50, dtype=np.float32)[None]
    assert (np.diff(lightness(inferno(steps))) > 0).all()


@given(st.floats(width=32))
def test_any_number_has_a_colour(value: float) -> None:
    colour = inferno(np.array([[value]], np.float32))[0, 0]
    assert ((colour >= 0) & (colour <= 255)).all()
    if not 0 < value < 1:
        assert colour.tolist() == ([252, 255, 164] if value >= 1 else [0, 0, 4])


def test_an_overlay_mixes_grey_with_heat() -> None:
    grey = round(0.299 * 200 + 0.587 * 30 + 0.114 * 30)
    assert overlay(red(), heat(0.0)).pixels[0, 0] == pytest.approx([0.4 * grey, 0.4 * grey, 0.4 * grey + 2.4], abs=1)
    hot = [0.4 * grey + 0.6 * colour for colour in (252, 255, 164)]
    assert overlay(red(), heat(1.0)).pixels[5, 5] == pytest.approx(hot, abs=1)


def test_heat_is_shown_where_it_is() -> None:
    half = heat(0.0)
    half[:, 16:] = 1
    shown = overlay(red(), half).pixels.astype(int).sum(axis=2)
    assert shown[:, 16:].min() > shown[:, :16].max() + 300


def test_an_overlay_changes_neither_picture_nor_map() -> None:
    picture, values = red(), heat(0.3)
    before = picture.sha256
    assert overlay(picture, values).sha256 == overlay(picture, values).sha256
    assert picture.sha256 == before
    assert (values == np.float32(0.3)).all()


@pytest.mark.parametrize("shape", [(32, 24), (24, 31), (1, 1)])
def test_a_map_of_another_size_is_refused(shape: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="a heat map of"):
        overlay(red(), np.zeros(shape, np.float32))


def test_a_sheet_has_the_picture_and_every_word() -> None:
    sheet = heat_sheet(red(), ["red", "fox"], [heat(0.0), heat(1.0)])
    hot = overlay(red(), heat(1.0)).pixels[0, 0]
    # 32 x 24 is enlarged five times, which the picture's own colour must be on the sheet for, once.
    assert (sheet.pixels == RED).all(axis=2).sum() == 160 * 120
    assert (sheet.pixels == hot).all(axis=2).sum() == 160 * 120
    assert sheet.sha256 == heat_sheet(red(), ["red", "fox"], [heat(0.0), heat(1.0)]).sha256
    assert sheet.sha256 != heat_sheet(red(), ["red", "cat"], [heat(0.0), heat(1.0)]).sha256


def test_a_sheet_of_no_words_is_the_picture() -> None:
    sheet = heat_sheet(red(), [], [])
    assert (sheet.pixels == RED).all(axis=2).sum() == 160 * 120
    assert sheet.width < 200


def test_large_pictures_are_made_small_enough_for_a_sheet() -> None:
    words = [f"word{number}" for number in range(7)]
    sheet = heat_sheet(red(1024, 512), words, [heat(0.5, 1024, 512)] * 7)
    assert 3 * 512 < sheet.width < 3 * 540
    assert sheet.height < 3 * 320


@pytest.mark.parametrize("maps", [0, 1, 3])
def test_as_many_maps_as_words(maps: int) -> None:
    with pytest.raises(ValueError, match="captions"):
        heat_sheet(red(), ["red", "fox"], [heat(0.0)] * maps)
