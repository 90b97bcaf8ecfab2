"""What words do not bring is drawn alone and put in: where, instead of what, and once more from the file alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from limner.backends.language import RulesModel
from limner.draw import DrawOptions, DrawResult, draw, finish, result_to_json
from limner.easel import set_up
from limner.gallery import redraw, report, save_drawing
from limner.mending import ALONE, BASES, MENDED, TRIES, mend, setting
from limner.protocols import DrawRequest, Mender, Models
from limner.relations import displacement, parse_relation
from limner.types import BadInput, Box, ModelUnavailable, Picture
from tests.painter import THINGS, Painter
from tests.retoucher import Filler, ShapeDetector, ShapeScorer, ShapeSegmenter, found_in, show

BOTH = "a red circle and a blue square"
CIRCLE: tuple[str, Box] = ("red circle", (28, 28, 44, 44))


class Knowing(ShapeDetector):
    things = frozenset(THINGS)


class Shy(Painter):
    """Draws `always` when several things are wanted, whatever the words; a thing alone it draws large."""

    def __init__(self, *always: tuple[str, Box]) -> None:
        super().__init__()
        self.always = always

    def draw(
        self, requests: Sequence[DrawRequest], *, on_step: Callable[[int, int], None] | None = None
    ) -> list[Picture]:
        self.drawn += requests
        return [self._one(request.prompt) for request in requests]

    def _one(self, prompt: str) -> Picture:
        named = [thing for thing in THINGS if thing in prompt]
        return show((named[0], (8, 8, 40, 40))) if len(named) == 1 else show(*self.always)


def models(painter: Painter, filler: Filler | None = None) -> Models:
    mender = Mender(ShapeSegmenter(), filler or Filler())
    return Models(painter, ShapeScorer(), RulesModel(), Knowing(), lambda: mender)


def drawn(prompt: str, painter: Painter, filler: Filler | None = None) -> DrawResult:
    return finish(draw(models(painter, filler), DrawOptions(prompt, seed=3, count=8)))


def labels(picture: Picture) -> list[str]:
    return sorted(region.label for region in found_in(picture))


def test_what_no_words_bring_is_drawn_alone_and_put_in() -> None:
    painter = Shy(CIRCLE)
    result = drawn(BOTH, painter)
    assert result.best.card.passed
    assert labels(result.best.picture) == ["blue square", "red circle"]
    [part] = result.best.recipe.parts
    assert (part.thing, part.prompt, part.leaves) == ("blue square", "a blue square", None)
    assert len(result.rounds) == 3
    assert [each.variant for each in result.rounds[2].pictures] == [ALONE] * TRIES + [MENDED]
    assert result.pictures_drawn == 2 * 8 + TRIES + 1 == len(painter.drawn) + 1
    assert "drawn alone and put in: blue square" in result.warnings
    assert result_to_json(result, {})["best"]["put_in"] == ["blue square"]
    x0, y0, x1, y1 = part.goal
    outside = np.ones((48, 48), np.bool_)
    outside[y0:y1, x0:x1] = False
    assert (result.best.picture.pixels == show(CIRCLE).pixels)[outside].all()


def test_what_looks_like_it_leaves_first() -> None:
    filler = Filler()
    result = drawn(f"{BOTH} on the lawn", Shy(CIRCLE, ("green square", (4, 4, 24, 24))), filler)
    assert labels(result.best.picture) == ["blue square", "red circle"]
    [part] = result.best.recipe.parts
    assert part.leaves
    assert {request.prompt for request in filler.asked} == {"on the lawn"}
    middle = [(part.goal[0] + part.goal[2]) / 2, (part.goal[1] + part.goal[3]) / 2]
    assert middle == pytest.approx([14, 14], abs=1)


@pytest.mark.parametrize(
    "words",
    [
        "blue square to the left of a red circle",
        "red circle to the left of a blue square",
        "blue square above a red circle",
        "red circle above a blue square",
    ],
)
def test_it_stands_where_the_prompt_wants_it(words: str) -> None:
    result = drawn(f"a {words}", Shy(("red circle", (16, 16, 32, 32))))
    stated = parse_relation(words)
    assert stated
    [found] = ShapeDetector().detect([result.best.picture], [[stated.first, stated.second]])
    assert displacement(stated, found, result.best.picture) > 0.12


def test_a_mended_picture_is_drawn_again_from_its_file(tmp_path: Path) -> None:
    painter = Shy(CIRCLE, ("green square", (4, 4, 24, 24)))
    result = drawn(BOTH, painter)
    save_drawing(result, tmp_path, report(result, tmp_path), {"limner": "1"})
    mender = models(painter).mender
    again = redraw(tmp_path / "best.png", painter, {}, {"limner": "1"}, mender)
    assert (again.same, again.warnings) == (True, ())
    assert again.recipe.parts == result.best.recipe.parts
    with pytest.raises(ModelUnavailable, match="blue square"):
        redraw(tmp_path / "best.png", painter, {}, {"limner": "1"})
    other = redraw(tmp_path / "best.png", painter, {"seed": 9}, {"limner": "1"}, mender)
    assert other.recipe.parts == ()
    assert other.warnings == ("blue square was put in, and is left out",)


def test_a_part_that_was_tampered_with_is_no_recipe() -> None:
    from limner.image.metadata import Metadata

    recipe = {"prompt": "a", "seed": 1, "steps": 1, "guidance": 1, "width": 8, "height": 8, "model": "m"}
    assert Metadata(limner={"recipe": recipe}).recipe.parts == ()
    with pytest.raises(BadInput):
        _ = Metadata(limner={"recipe": recipe | {"parts": [{"thing": "cat"}]}}).recipe


def chunks(prompt: str, room: int, models: Models, count: int = 3) -> list[list[str]]:
    easel = set_up(models, DrawOptions(prompt, seed=0))
    before = finish(draw(models, DrawOptions(prompt, seed=0, count=count, baseline=True))).pictures
    return [[each.variant for each in chunk] for chunk in mend(easel, before, room)]


def test_no_more_is_drawn_than_there_is_room_for() -> None:
    shy = models(Shy(CIRCLE))
    assert chunks(BOTH, TRIES + 1, shy) == [[ALONE] * TRIES, [MENDED]]
    assert chunks(BOTH, TRIES, shy) == []
    three = chunks(f"{BOTH} and a green triangle", 100, shy)
    assert three == [[ALONE] * TRIES, [MENDED], [ALONE] * TRIES, [MENDED]]  # the second on top of the first


def test_it_is_left_alone_where_it_cannot_be_mended() -> None:
    whole = models(Shy(CIRCLE))
    assert chunks("a red circle", 100, whole) == []  # a thing alone is drawn alone already
    assert chunks(BOTH, 100, Models(whole.text_to_image, whole.scorer, whole.language, whole.detector)) == []
    assert chunks(BOTH, 100, Models(whole.text_to_image, whole.scorer, whole.language, None, whole.mender)) == []


def test_the_best_pictures_are_mended_with_what_was_drawn_once() -> None:
    class Doubting(Knowing):
        present = 2.0

    whole = models(Shy(CIRCLE))
    never = Models(whole.text_to_image, whole.scorer, whole.language, Doubting(), whole.mender)
    found = chunks(BOTH, 100, never)
    assert sum(chunk == [ALONE] * TRIES for chunk in found) == 2  # both things lack, each is drawn once
    assert sum(chunk == [MENDED] for chunk in found) == 2 * BASES


@pytest.mark.parametrize(
    ("prompt", "things", "said"),
    [
        ("a fox by a castle in the snow at night", ["fox", "castle"], "in the snow at night"),
        ("a fox and a castle", ["fox", "castle"], ""),
        ("in the snow", ["fox"], ""),
        ("a (fox:1.2) in the snow", ["fox"], "in the snow"),
        ("A Red  Fox in the snow", ["red fox"], "in the snow"),
    ],
)
def test_the_setting_is_what_stands_behind_the_things(prompt: str, things: list[str], said: str) -> None:
    assert setting(prompt, things) == said
