"""What ships inside the package: small enough, and able to carry out the README's first sentence."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from limner.backends.hub import WEIGHTS
from limner.config import load_profile, load_settings
from limner.draw import DrawOptions, DrawResult, draw, finish
from limner.easel import set_up
from limner.gallery import redraw
from limner.image import save_png
from limner.mending import TRIES, mend
from limner.relations import APART
from limner.toolbox import Toolbox
from limner.world.vocabulary import STYLE_PHRASES

SENTENCE = "a red fox to the left of a castle in the snow"
RELATION = "red fox to the left of a castle"
MOST_BYTES = 125 * 10**6


@pytest.fixture(scope="module")
def drawn() -> DrawResult:
    return finish(draw(Toolbox(load_settings({})).models, DrawOptions(SENTENCE, seed=1, count=4, rounds=1)))


def test_the_weights_stay_small() -> None:
    assert sum(file.stat().st_size for file in WEIGHTS.rglob("*.safetensors")) < MOST_BYTES


def test_the_styles_that_the_model_knows_rule_each_other_out() -> None:
    known = json.loads((WEIGHTS / "vocabulary.json").read_text())["styles"]
    assert load_profile("embedded").text_to_image.rivals == tuple(STYLE_PHRASES[style] for style in known)


def test_the_detector_says_what_it_reached_on_held_out_scenes() -> None:
    reached: dict[str, float] = json.loads((WEIGHTS / "detector" / "limner.json").read_text())["reached"]
    assert reached["mAP@0.5"] >= 0.85
    assert reached["mAP@0.5, held out"] >= reached["mAP@0.5"] - 0.05


# The captioner is wanted to reach 0.90 (docs/LOG.md): what ships must not fall behind what was reached.
@pytest.mark.parametrize(
    ("model", "measure", "least"), [("segmenter", "mean IoU", 0.85), ("captioner", "nouns right", 0.80)]
)
def test_the_other_eyes_say_what_they_reached_on_held_out_scenes(model: str, measure: str, least: float) -> None:
    reached: dict[str, float] = json.loads((WEIGHTS / model / "limner.json").read_text())["reached"]
    assert reached.keys() == {measure, f"{measure}, held out"}
    assert reached[f"{measure}, held out"] >= least


def test_the_first_sentence_is_drawn_with_the_fox_on_its_side(drawn: DrawResult) -> None:
    assert set(drawn.threshold) == {"red fox", "castle", "snow", RELATION}
    assert drawn.threshold[RELATION] == APART
    assert drawn.best.card.scores[RELATION] >= APART
    assert drawn.best.card.passed


def test_a_relation_that_was_checked_needs_no_warning(drawn: DrawResult) -> None:
    assert not any("look for yourself" in warning for warning in drawn.warnings)


def test_the_dialogue_model_says_what_it_reached_on_held_out_dialogues() -> None:
    reached: dict[str, float] = json.loads((WEIGHTS / "dialogue" / "limner.json").read_text())["reached"]
    assert reached["perplexity"] <= 1.6
    assert reached["clear asked"] <= 0.05


def test_what_is_put_in_is_drawn_again_bit_for_bit(tmp_path: Path) -> None:
    """By the shipped models: a castle is put into a picture of a fox, which lacks it."""
    tools = Toolbox(load_settings({}))
    options = DrawOptions("a fox and a castle in the snow", seed=1)
    easel = set_up(tools.models, options)
    alone = replace(options, prompt="a fox in the snow", count=1, baseline=True)
    fox = finish(draw(tools.models, alone)).best
    [card] = easel.score([fox.picture], fox.features[None], [keyword.original for keyword in easel.keywords])
    base = replace(fox, card=card)
    assert "castle" in base.card.missing
    *_, [mended] = mend(easel, [base], TRIES + 1)
    assert mended.recipe.parts[0].thing == "castle"
    assert "castle" not in mended.card.missing
    file = tmp_path / "mended.png"
    save_png(file, mended.picture, mended.recipe)
    assert redraw(file, tools.painter, {}, {}, tools.mender).same
