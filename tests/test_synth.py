"""One item of a dataset, in the painter's world where every label can be checked against the pixels."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from limner.backends.language import RulesModel
from limner.brainstorm import Vocabulary
from limner.draw import finish
from limner.fill import fill_box
from limner.filters import LOST, MISMATCH, NOT_FOUND, OUTRANKED, PIXELS, Thresholds
from limner.image import decode_picture, from_rle
from limner.image.metadata import parse_json
from limner.image.paste import box_mask
from limner.imagine import BoxLimits
from limner.jobs import Job, run
from limner.protocols import DrawRequest, EditModels, FillRequest, Inpainter, LanguageModel, Models
from limner.shards import Made, Reject, Row
from limner.synth import SynthModels, SynthSpec, item_id, make_item
from limner.turn import canonical
from limner.types import BadInput, LanguageModelFailed, Picture
from limner.workers import in_process
from tests import retoucher
from tests.painter import COLOURS, Painter
from tests.retoucher import GROUNDS, Filler, Retoucher, found_in, ground_of, show
from tests.scripted import Scripted

WORDS = Vocabulary(
    (("white background", "on white"), ("desert", "in the desert"), ("sunset", "in the sunset")),
    companions=("green triangle",),
)
CLASSES = ("red square", "blue square")
SPEC = SynthSpec(CLASSES, WORDS, limits=BoxLimits(least=0.3))


class Reliable(Painter):
    """A painter that draws one thing large, always: the first that its prompt names."""

    name = "reliable"

    def __init__(self, ground: str = "white") -> None:
        super().__init__()
        self.ground = GROUNDS[ground]

    def draw(
        self, requests: Sequence[DrawRequest], *, on_step: Callable[[int, int], None] | None = None
    ) -> list[Picture]:
        self.drawn += requests
        return [self._one(request) for request in requests]

    def _one(self, request: DrawRequest) -> Picture:
        thing = min((name for name in CLASSES if name in request.prompt), key=request.prompt.find)
        x, y = np.random.default_rng(request.seed).integers(2, 24, 2).tolist()
        return show((thing, (x, y, x + 14, y + 14)), ground=self.ground)


def models(
    painter: Painter | None = None,
    editor: Retoucher | None = None,
    inpainter: Filler | None = None,
    language: LanguageModel | None = None,
) -> SynthModels:
    editing = retoucher.models(editor, inpainter)
    return SynthModels(Models(painter or Reliable(), editing.scorer, language or RulesModel()), editing)


class Always:
    """All seeds."""

    def __contains__(self, seed: object) -> bool:
        return True

    def __iter__(self) -> Any:
        raise TypeError

    def __len__(self) -> int:
        return 1


EVERY_SEED: Any = Always()


def made(index: int = 0, spec: SynthSpec = SPEC, of: SynthModels | None = None) -> Made:
    return finish(make_item(spec, index, of or models()))


def picture(item: Made, row: Row | Reject) -> Picture:
    return decode_picture(item.pictures[row.picture], row.id)


def edits(row: Row) -> list[str]:
    return [step["kind"] for step in row.lineage.get("edits", [])]


@pytest.mark.parametrize("index", range(4))
def test_every_label_is_true(index: int) -> None:
    item = made(index)
    assert len(item.rows) == 2
    for row in item.rows:
        shown = picture(item, row)
        truth = {(region.label, region.box) for region in found_in(shown)}
        assert {(region["label"], tuple(region["box"])) for region in row.regions} == truth
        assert (row.width, row.height) == (shown.width, shown.height) == (48, 48)
        assert all(region.label in row.caption for region in found_in(shown))
        for region in row.regions:
            colour = COLOURS[region["label"].split()[0]]
            same = np.abs(shown.pixels.astype(int) - colour).max(axis=2) <= 40
            mask = from_rle(region["mask"])
            assert np.array_equal(mask, same & box_mask(tuple(region["box"]), 48, 48))


def test_a_first_picture_becomes_a_scene_with_another_background_and_more_in_it() -> None:
    item = made(1)
    first, scene = item.rows
    assert (first.parent, scene.parent) == ("", first.id)
    assert first.item == scene.item == item_id(SPEC, 1, models())
    assert (first.label, [region["label"] for region in first.regions]) == ("blue square", ["blue square"])
    assert edits(first) == []
    assert edits(scene) == ["background", "fill"]
    changed, filled = scene.lineage["edits"]
    assert changed["value"] != "white background"
    assert sorted(region["label"] for region in scene.regions) == sorted(("blue square", filled["label"]))
    before, after = picture(item, first), picture(item, scene)
    assert ground_of(before) == "white"
    assert ground_of(after) == (changed["value"] if changed["value"] in GROUNDS else "white")
    # The thing of the first picture is the very same pixels in the scene.
    thing = from_rle(first.regions[0]["mask"])
    assert np.array_equal(before.pixels[thing], after.pixels[thing])


def test_a_row_tells_how_it_was_made() -> None:
    item = made(1)
    first, scene = item.rows
    for row in item.rows:
        assert row.lineage["recipe"]["prompt"] in row.lineage["description"]
        assert row.lineage["models"]["text_to_image"] == "reliable 0123"
        assert row.lineage["models"]["inpainter"] == "filler 89ab"
        assert row.lineage["generated"] is True
    step = scene.lineage["edits"][1]
    assert step["scores"] == scene.scores
    assert step["scores"]["psnr"] == 100
    assert step["prompt"].startswith("a")
    assert 0 < step["scores"]["found"] <= 1
    assert first.scores.keys() == {"found", "similarity", "rank"}
    canonical([first.lineage, scene.lineage, first.regions, first.scores])  # all of it is JSON
    for name, data in item.pictures.items():
        assert hashlib.sha256(data).hexdigest() == name
        inside = parse_json(Image.open(io.BytesIO(data)).text["limner"])  # pyright: ignore
        assert inside["synth"]["item"] == first.item


def test_what_was_outranked_is_told_without_its_picture() -> None:
    item = made()
    outranked = [reject for reject in item.rejects if reject.reason == OUTRANKED]
    assert {reject.stage for reject in outranked} == {"draw"}
    assert all(reject.picture == "" and reject.lineage["recipe"]["seed"] for reject in outranked)
    assert list(item.rows[0].rejects) == [reject.id for reject in outranked]
    assert item.rows[1].rejects == []


def test_an_item_depends_on_spec_number_and_models_only() -> None:
    def told(item: Made) -> bytes:
        rows = [[row.id, row.picture, row.caption, row.lineage, row.regions, row.rejects] for row in item.rows]
        return canonical([rows, [reject.id for reject in item.rejects], sorted(item.pictures), item.made_by])

    shared = models()
    alone = told(made(2))
    assert [told(made(index, of=shared)) for index in (3, 2)][1] == alone
    assert told(made(2, replace(SPEC, seed=1))) != alone
    assert told(made(3)) != alone
    ids = {
        item_id(SPEC, 2, models()),
        item_id(SPEC, 3, models()),
        item_id(replace(SPEC, attempts=3), 2, models()),
        item_id(SPEC, 2, models(editor=Retoucher(model_hash="0000"))),
    }
    assert len(ids) == 4
    assert item_id(replace(SPEC, thresholds=Thresholds()), 2, models()) in ids


def test_classes_and_modes_take_turns() -> None:
    rows = [made(index, replace(SPEC, scenes=0)).rows[0] for index in range(4)]
    assert [row.label for row in rows] == [*CLASSES, *CLASSES]
    complex_ones = [" to the " in row.lineage["description"] for row in rows]
    assert complex_ones == [True, True, False, False]
    alone = made(0, replace(SPEC, scenes=0, mode="centric")).rows[0]
    assert " to the " not in alone.lineage["description"]


def test_an_editor_that_does_nothing_is_turned_down_and_the_scene_goes_on() -> None:
    item = made(1, of=models(Reliable("sunset"), editor=Retoucher(deaf=EVERY_SEED)))
    scene = item.rows[1]
    assert edits(scene) == ["fill"]
    rejects = [reject for reject in item.rejects if reject.stage == "background"]
    assert [reject.reason for reject in rejects] == [MISMATCH] * 2
    # The best of its tries is kept aside as a picture, with its scores; the others can be made again.
    assert [bool(reject.picture) for reject in rejects] == [False, True]
    assert rejects[1].scores["objects kept"] == 1
    assert rejects[1].parent == item.rows[0].id
    assert rejects[1].lineage["tried"]["value"] == "desert"


def test_an_inpainter_that_fails_is_tried_so_often_and_turned_down() -> None:
    item = made(1, replace(SPEC, attempts=3), models(inpainter=Filler(deaf=EVERY_SEED)))
    assert edits(item.rows[1]) == ["background"]
    rejects = [reject for reject in item.rejects if reject.stage == "fill"]
    assert [reject.reason for reject in rejects] == [NOT_FOUND] * 3
    assert len({reject.lineage["tried"]["seed"] for reject in rejects}) == 3
    assert all(reject.picture in item.pictures for reject in rejects)
    assert list(item.rows[1].rejects) == [reject.id for reject in rejects]


class Overpainter(Filler):
    """It fills its whole window with what it was asked for."""

    def fill(self, requests: Sequence[FillRequest], **_: Any) -> list[Picture]:
        return [Picture(np.zeros_like(request.picture.pixels)) for request in requests]


def inpainter(filler: Filler) -> Inpainter:
    return models(inpainter=filler).editing.hands.inpainter


def test_whatever_an_inpainter_does_outside_the_box_is_undone() -> None:
    before = show(("red square", (4, 4, 18, 18)))
    mask = box_mask((26, 26, 44, 44), 48, 48)
    after = fill_box(inpainter(Overpainter()), before, mask, "a blue square", 1)
    assert np.array_equal(after.pixels[~mask], before.pixels[~mask])
    assert after.pixels[35, 35].tolist() == [0, 0, 0]
    with pytest.raises(BadInput, match="mask is empty"):
        fill_box(inpainter(Filler()), before, np.zeros_like(mask), "a blue square", 1)


def test_large_and_oblong_pictures_are_filled_close_by() -> None:
    before = show(("red square", (20, 20, 120, 120)), size=(400, 200))
    mask = box_mask((220, 60, 320, 160), 400, 200)
    filler = Filler()
    after = fill_box(inpainter(filler), before, mask, "a blue square", 1)
    [asked] = filler.asked
    assert asked.picture.width % 8 == asked.picture.height % 8 == 0
    assert asked.picture.width * asked.picture.height <= 2 * 48 * 48
    assert asked.mask.mean() > 0.4
    assert {region.label for region in found_in(after)} == {"red square", "blue square"}


def test_a_thing_that_comes_stands_behind_what_is_there() -> None:
    """The box of a language model may cover a part of a thing; not a pixel of that is painted over."""

    class Placing(Scripted):
        def reply(self, system: str, user: str, *, schema: dict[str, object], max_tokens: int = 512) -> str:
            super().reply(system, user, schema=schema)
            if self.asked[-1]["task"] != "imagine":
                raise LanguageModelFailed("no")
            seen: Any = self.asked[-1]["seen"]
            x0, y0, x1, _ = seen[0]["box"]
            left = x1 - 5 if x1 < 26 else x0 - 15
            box = [left, y0, left + 20, y0 + 20]
            return json.dumps({"background": "desert", "objects": [{"label": CLASSES[0], "box": box}]})

    spec = replace(SPEC, background=False, filtered=False)
    for index in (1, 3, 5):
        item = made(index, spec, models(language=Placing("")))
        first, scene = item.rows
        before, after = picture(item, first), picture(item, scene)
        thing = from_rle(first.regions[0]["mask"])
        x0, y0, x1, y1 = map(round, scene.lineage["edits"][0]["box"])
        assert thing[y0:y1, x0:x1].any()
        assert np.array_equal(before.pixels[thing], after.pixels[thing])
        assert not np.array_equal(before.pixels, after.pixels)


def test_a_picture_without_its_class_has_no_scenes() -> None:
    class Forgetful(Reliable):
        def _one(self, request: DrawRequest) -> Picture:
            return show()

    item = made(0, of=models(Forgetful()))
    assert item.rows == ()
    assert {reject.reason for reject in item.rejects} == {NOT_FOUND}
    assert all(reject.picture in item.pictures for reject in item.rejects)
    everything = made(0, replace(SPEC, filtered=False, objects=0), models(Forgetful()))
    assert everything.rows[0].regions == []
    assert everything.rows[0].scores["found"] == 0


def test_without_filters_bad_edits_stay() -> None:
    deaf = models(inpainter=Filler(deaf=EVERY_SEED))
    item = made(1, replace(SPEC, filtered=False), deaf)
    assert edits(item.rows[1]) == ["background", "fill"]
    assert item.rows[1].scores["found"] == 0
    assert [reject for reject in item.rejects if reject.stage == "fill"] == []


def test_parts_can_be_left_out() -> None:
    assert edits(made(1, replace(SPEC, background=False)).rows[1]) == ["fill"]
    assert edits(made(1, replace(SPEC, objects=0)).rows[1]) == ["background"]
    assert len(made(1, replace(SPEC, background=False, objects=0)).rows) == 1
    assert len(made(1, replace(SPEC, scenes=3)).rows) == 4
    assert len(made(1, replace(SPEC, scenes=0)).rows) == 1
    assert made(1, replace(SPEC, candidates=1)).rejects == ()


def test_strict_thresholds_turn_everything_down_and_say_why() -> None:
    def reasons(**limits: float) -> set[str]:
        spec = replace(SPEC, thresholds=Thresholds(**limits))  # pyright: ignore[reportArgumentType]
        return {reject.reason for reject in made(1, spec).rejects} - {OUTRANKED}

    assert reasons(similarity=0.999) == {MISMATCH}
    assert reasons(found=0.999) == {NOT_FOUND}
    assert reasons(psnr=101) == {PIXELS}


def test_things_that_are_lost_with_the_background_are_noticed() -> None:
    class Forgetting(retoucher.ShapeDetector):
        """It no longer finds anything once the ground is not white."""

        def detect(self, pictures: Any, queries: Any, *, threshold: float | None = None) -> Any:
            found = super().detect(pictures, queries)
            return [each if ground_of(p) == "white" else [] for p, each in zip(pictures, found, strict=True)]

    whole = models()
    eyes = replace(whole.editing.eyes, detector=Forgetting())
    blind = SynthModels(whole.drawing, EditModels(eyes, whole.editing.scorer, whole.editing.hands))
    item = made(1, replace(SPEC, objects=0), blind)
    assert len(item.rows) == 1
    assert LOST in {reject.reason for reject in item.rejects if reject.stage == "background"}


def test_a_language_model_may_word_and_imagine_and_babble() -> None:
    babbling = made(1, of=models(language=Scripted("I would rather not")))
    assert edits(babbling.rows[1]) == ["background", "fill"]
    assert babbling.rows[0].lineage["worded_by"] == "rules"

    class Poet(Scripted):
        def reply(self, system: str, user: str, *, schema: dict[str, object], max_tokens: int = 512) -> str:
            answers = {
                "features": '{"features": ["four corners"]}',
                "scenes": '{"prompts": ["a blue square on white"]}',
                "imagine": '{"background": "sunset", "objects": []}',
                "keywords": '{"keywords": ["blue square"]}',
            }
            super().reply(system, user, schema=schema)
            return answers[str(self.asked[-1]["task"])]

    poet = Poet("")
    shared = models(language=poet)
    item = made(1, replace(SPEC, objects=0), shared)
    assert item.rows[0].lineage["description"] == "a blue square on white"
    assert item.rows[1].lineage["imagined_by"] == "scripted"
    assert ground_of(picture(item, item.rows[1])) == "sunset"
    made(3, replace(SPEC, objects=0), shared)
    # What a class looks like is asked for once.
    assert [asked["task"] for asked in poet.asked].count("features") == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"classes": ()},
        {"classes": ("cat", "cat")},
        {"classes": ("cat, dog",)},
        {"classes": ("x" * 200,)},
        {"candidates": 0},
        {"attempts": 0},
        {"scenes": -1},
        {"objects": -1},
        {"seed": -1},
    ],
)
def test_what_cannot_be_made_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(BadInput):
        replace(SPEC, **wrong)


def test_a_whole_job_of_them_is_the_same_each_time(tmp_path: Path) -> None:
    shared = models()
    job = Job(SPEC.to_json(), count=5, most=6, shard=2)

    def one(index: int) -> Made:
        return finish(make_item(SPEC, index, shared))

    first, second = (finish(run(job, tmp_path / name, in_process(one))) for name in ("a", "b"))
    assert (first.accepted, first.items, first.set_aside) == (5, 3, 0)
    assert second.rejected == first.rejected
    shards = [sorted((tmp_path / name / "shards").iterdir()) for name in ("a", "b")]
    assert [path.read_bytes() for path in shards[0]] == [path.read_bytes() for path in shards[1]]
