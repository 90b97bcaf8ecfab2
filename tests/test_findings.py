"""The reports of looking and editing, and the files that are left of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from limner.edit import EditResult
from limner.findings import (
    edit_report,
    given_mask,
    lineage,
    look_report,
    save_annotated,
    save_comparison,
    save_edit,
)
from limner.image import from_rle, open_picture, read_metadata, save_png
from limner.image.paste import box_mask
from limner.look import look
from limner.types import AnnotatedPicture, BadInput, Picture, Region
from tests.painter import COLOURS
from tests.retoucher import EYES, Filler, Retoucher, grainy, is_colour, models, show
from tests.test_edit import EVERY_SEED, PICTURE, edited
from tests.test_look import finish

VERSIONS = {"limner": "0.1", "device": "cpu"}
ISSUE = {
    "file",
    "instruction",
    "kind",
    "passed",
    "checks",
    "changed_fraction",
    "drift_outside",
    "attempts",
    "seed",
}
DEAF = models(Retoucher(deaf=EVERY_SEED), Filler(deaf=EVERY_SEED))


def through_json(report: dict[str, Any]) -> dict[str, Any]:
    """The report as a reader of `--json` gets it; nothing may be lost on the way."""
    read: dict[str, Any] = json.loads(json.dumps(report, allow_nan=False))
    assert read == report
    return read


def test_a_look_is_told_as_promised() -> None:
    _, seen = finish(look(EYES, PICTURE))
    report = through_json(look_report(seen))
    assert set(report) == {"caption", "regions"}
    assert report["caption"] == seen.caption
    for told, region in zip(report["regions"], seen.regions, strict=True):
        assert set(told) == {"label", "score", "box", "mask"}
        assert (told["label"], told["box"]) == (region.label, list(region.box))
        assert told["score"] == pytest.approx(region.score, abs=1e-4)
        np.testing.assert_array_equal(from_rle(told["mask"]), region.mask)


def test_a_region_without_a_mask_has_none() -> None:
    seen = AnnotatedPicture(PICTURE, "", [Region("circle", (0.123, 0, 1, 1), 0.98765)])
    assert look_report(seen)["regions"] == [
        {"label": "circle", "score": 0.9877, "box": [0.1, 0, 1, 1], "mask": None},
    ]


def test_an_annotated_picture_is_saved(tmp_path: Path) -> None:
    _, seen = finish(look(EYES, PICTURE))
    save_annotated(tmp_path / "seen.png", seen)
    drawn = open_picture(tmp_path / "seen.png")
    assert (drawn.width, drawn.height) == (528, 528)


def test_an_edit_is_told_as_promised() -> None:
    said = "replace the red circle with a green triangle"
    result = edited(PICTURE, said, models(inpainter=Filler(deaf=[7])))
    report = through_json(edit_report(result, Path("out.png")))
    assert set(report) == ISSUE | {"warnings"}
    assert (report["file"], report["instruction"]) == ("out.png", said)
    assert (report["kind"], report["passed"], report["seed"]) == ("replace", True, 8)
    assert report["checks"] == {
        "green triangle is there": {"value": pytest.approx(0.95, abs=0.02), "passed": True},
        "red circle is gone": {"value": 0.0, "passed": True},
    }
    assert 0 < report["changed_fraction"] < 0.2
    assert report["drift_outside"] == 0
    assert report["warnings"] == []
    first, second = report["attempts"]
    assert (first["method"], first["seed"], first["passed"]) == ("fill", 7, False)
    assert (second["method"], second["seed"], second["passed"]) == ("instruct", 8, True)
    assert set(first) == set(second) >= {"text_guidance", "image_guidance", "checks", "directional_similarity"}


def test_what_did_not_pass_is_told() -> None:
    report = through_json(edit_report(edited(PICTURE, "remove the red circle", DEAF), Path("out.png")))
    assert report["passed"] is False
    assert [warning.startswith("no attempt of 4") for warning in report["warnings"]] == [True]


def saved(tmp_path: Path, result: EditResult) -> Path:
    file = tmp_path / "edited.png"
    save_edit(file, result, models().hands, VERSIONS)
    return file


def test_the_file_holds_the_picture_its_recipe_and_its_lineage(tmp_path: Path) -> None:
    result = edited(PICTURE, "make the red circle green", text_guidance=6.0, image_guidance=1.25)
    file = saved(tmp_path, result)
    assert open_picture(file).sha256 == result.best.picture.sha256
    metadata = read_metadata(file)
    recipe = metadata.recipe
    assert (recipe.prompt, recipe.seed, recipe.steps, recipe.guidance) == ("make the red circle green", 7, 3, 6.0)
    assert (recipe.model, recipe.model_hash, recipe.versions) == ("retoucher", "4567", VERSIONS)
    assert (recipe.width, recipe.height) == (48, 48)
    told = metadata.limner["lineage"]
    assert told == lineage(result)
    assert told["parent"] == PICTURE.sha256
    assert told["instruction"] == "make the red circle green"
    assert (told["text_guidance"], told["image_guidance"]) == (6.0, 1.25)
    assert (told["kind"], told["method"]) == ("recolour", "instruct")
    assert "make the red circle green" in metadata.parameters


def test_a_fill_is_credited_to_the_inpainter(tmp_path: Path) -> None:
    result = edited(PICTURE, "remove the red circle", models(Retoucher(deaf=EVERY_SEED)))
    metadata = read_metadata(saved(tmp_path, result))
    assert (metadata.recipe.model, metadata.recipe.model_hash) == ("filler", "89ab")
    assert (metadata.recipe.steps, metadata.recipe.guidance) == (2, 4.0)
    assert metadata.limner["lineage"]["method"] == "fill"


def test_the_hash_of_the_mask_tells_masks_apart() -> None:
    masks = [box_mask((26, 4, 42, end), 48, 48) for end in (20, 20, 21)]
    hashes = [lineage(edited(PICTURE, "make the red circle green", mask=mask))["mask"] for mask in masks]
    assert hashes[0] == hashes[1] != hashes[2]
    assert all(len(each) == 64 for each in hashes)


def test_the_chain_of_parents_can_be_followed(tmp_path: Path) -> None:
    first = edited(PICTURE, "make the red circle green")
    second = edited(open_picture(saved(tmp_path, first)), "remove the blue square")
    assert lineage(second)["parent"] == first.best.picture.sha256


def test_without_metadata_nothing_but_pixels_is_left(tmp_path: Path) -> None:
    result = edited(PICTURE, "make the red circle green")
    save_edit(tmp_path / "plain.png", result, models().hands, None)
    with Image.open(tmp_path / "plain.png") as image:
        assert image.info == {}
    assert open_picture(tmp_path / "plain.png").sha256 == result.best.picture.sha256


def test_before_and_after_lie_side_by_side(tmp_path: Path) -> None:
    result = edited(grainy(PICTURE), "make the red circle green")
    save_comparison(tmp_path / "side.png", result)
    sheet = open_picture(tmp_path / "side.png")
    assert sheet.width > 2 * 160 > sheet.height - 60
    half = sheet.width // 2
    greens = [is_colour(part, COLOURS["green"]).sum() for part in (sheet.pixels[:, :half], sheet.pixels[:, half:])]
    assert greens[0] == 0
    assert greens[1] > 100


def mask_file(tmp_path: Path, width: int = 48, height: int = 48, white: bool = True) -> Path:
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[4:20, 8:30] = 255 * white
    save_png(tmp_path / "mask.png", Picture(pixels))
    return tmp_path / "mask.png"


def test_a_region_may_be_given_by_a_box_or_a_mask(tmp_path: Path) -> None:
    assert given_mask(PICTURE, None, None) is None
    expected = box_mask((8, 4, 30, 20), 48, 48)
    for given in (given_mask(PICTURE, "8,4,30,20", None), given_mask(PICTURE, None, mask_file(tmp_path))):
        assert given is not None
        np.testing.assert_array_equal(given, expected)


def test_regions_that_cannot_be_are_refused(tmp_path: Path) -> None:
    good = mask_file(tmp_path)
    with pytest.raises(BadInput, match="both"):
        given_mask(PICTURE, "1,2,3,4", good)
    for box in ("5,5,5,9", "9,9,5,5", "-1,0,5,5", "0,0,49,5", "nan,0,5,5", "0,0,inf,5"):
        with pytest.raises(BadInput, match="box"):
            given_mask(PICTURE, box, None)
    with pytest.raises(BadInput, match="the mask is 48x48, the picture 60x48"):
        given_mask(show(size=(60, 48)), None, good)
    with pytest.raises(BadInput, match="black all over"):
        given_mask(PICTURE, None, mask_file(tmp_path, white=False))
