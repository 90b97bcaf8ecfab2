"""A rating on disk: nothing is lost by a kill, and no file is taken for another's."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from limner.image import save_png
from limner.rating_files import RatingFolder, open_rating
from limner.types import BadInput, Picture


def folders(tmp_path: Path, rows: int = 4) -> tuple[Path, Path]:
    """Two folders of pictures of one colour: the first's are black, the second's white."""
    for name, colour in (("a", 0), ("b", 255)):
        (tmp_path / name).mkdir()
        for n in range(rows):
            save_png(tmp_path / name / f"{n}.png", Picture(np.full((8, 8, 3), colour, np.uint8)))
    (tmp_path / "a" / "prompts.json").write_text(json.dumps({"0.png": "a fox"}))
    (tmp_path / "a" / "only here.png").write_bytes((tmp_path / "a" / "0.png").read_bytes())
    return tmp_path / "a", tmp_path / "b"


@pytest.fixture
def rating(tmp_path: Path) -> RatingFolder:
    return open_rating(*folders(tmp_path), tmp_path / "ratings.jsonl", 0)


def again(rating: RatingFolder) -> RatingFolder:
    return open_rating(rating.first, rating.second, rating.file, rating.ratings.seed)


def test_only_common_names_are_paired_and_each_side_shows_whose_it_is(rating: RatingFolder) -> None:
    assert sorted(pair.row for pair in rating.ratings.pairs) == ["0.png", "1.png", "2.png", "3.png"]
    for pair in rating.ratings.pairs:
        assert (rating.picture(pair.row, "left").parent == rating.second) == pair.swapped
        assert rating.picture(pair.row, "left") != rating.picture(pair.row, "right")
    assert rating.prompts == {"0.png": "a fox"}


def test_every_answer_is_on_disk_and_the_rating_goes_on(rating: RatingFolder) -> None:
    row = rating.ratings.pairs[0].row
    rating.answer(row, "left")
    assert again(rating).ratings == rating.ratings
    assert rating.ratings.done == 1
    rating.answer(row, "tie")
    assert again(rating).ratings.choices == {row: "tie"}


def test_half_a_line_of_a_kill_is_dropped_and_written_over(rating: RatingFolder) -> None:
    rating.answer("0.png", "right")
    with rating.file.open("a") as file:
        file.write('{"row": "1.png", "cho')
    opened = again(rating)
    assert opened.ratings.choices == {"0.png": "right"}
    opened.answer("1.png", "left")
    assert again(opened).ratings.choices == {"0.png": "right", "1.png": "left"}


def test_another_rating_and_other_files_are_refused(rating: RatingFolder, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="seed 0"):
        open_rating(rating.first, rating.second, rating.file, 1)
    with pytest.raises(BadInput, match="rates"):
        open_rating(rating.second, rating.first, rating.file, 0)
    for content in ("", "not json\n", "[]\n", '{"first": "a"}\n', "\udcff"):
        file = tmp_path / "other"
        file.write_bytes(content.encode("utf-8", "surrogateescape"))
        with pytest.raises(BadInput, match="no file of ratings"):
            open_rating(rating.first, rating.second, file, 0)


def test_folders_without_common_pictures_and_rows_that_are_none_are_refused(
    rating: RatingFolder, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadInput, match="no pictures of the same name"):
        open_rating(rating.first, tmp_path / "empty", tmp_path / "new", 0)
    with pytest.raises(BadInput, match="is no folder"):
        open_rating(rating.first, tmp_path / "none", tmp_path / "new", 0)
    for row in ("../a/0.png", "only here.png", ""):
        with pytest.raises(BadInput):
            rating.answer(row, "left")
        with pytest.raises(BadInput):
            rating.picture(row, "left")
    assert rating.file.read_text().count("\n") == 1


def test_a_file_that_cannot_be_written_is_told(rating: RatingFolder, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="cannot be written"):
        open_rating(rating.first, rating.second, tmp_path / "none" / "ratings.jsonl", 0)
