import math
from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limner.image import Metadata, format_parameters, parse_parameters
from limner.image.metadata import format_json, parse_json
from limner.types import BadInput, Recipe

RECIPE = Recipe("a red fox", 7, 20, 3.5, 128, 64, "embedded", "abc123", "DPM++ 2M")

# A line that starts like A1111's own cannot be told from it, in any program; nor can blank lines at the edges.
prompts = st.text(st.characters(exclude_categories=["Cs"])).filter(
    lambda text: "Negative prompt:" not in text and text == text.strip("\n")
)
values = st.text(st.characters(exclude_categories=["Cs"]))
recipes = st.builds(
    Recipe,
    prompt=prompts,
    negative_prompt=prompts,
    seed=st.integers(0, 2**63 - 1),
    steps=st.integers(1, 1000),
    guidance=st.floats(0, 100),
    width=st.integers(1, 10_000),
    height=st.integers(1, 10_000),
    model=values,
    model_hash=values,
    sampler=values,
)


@given(recipes)
def test_any_recipe_survives_the_a1111_form(recipe: Recipe) -> None:
    assert parse_parameters(format_parameters(recipe)) == recipe


@given(
    recipes,
    st.dictionaries(st.sampled_from(["scores", "parent"]), st.floats(allow_nan=False, allow_infinity=False) | values),
)
def test_any_recipe_survives_the_json_form(recipe: Recipe, extra: dict[str, object]) -> None:
    read = Metadata(limner=parse_json(format_json(recipe, extra)))
    assert read.recipe == recipe
    assert {key: read.limner[key] for key in extra} == extra


@given(st.text(max_size=300))
def test_any_text_is_read_or_refused(text: str) -> None:
    for read in (parse_parameters, parse_json):
        with suppress(BadInput):
            read(text)


def test_the_form_is_a1111s() -> None:
    recipe = replace(RECIPE, negative_prompt="blurry", model="sd, 1.5", guidance=7.0)
    assert format_parameters(recipe) == (
        "a red fox\nNegative prompt: blurry\n"
        "Steps: 20, Sampler: DPM++ 2M, CFG scale: 7, Seed: 7, Size: 128x64, "
        'Model hash: abc123, Model: "sd, 1.5"'
    )


def test_a1111s_own_text_is_read() -> None:
    text = (
        "masterpiece, (castle:1.2)\nby night\nNegative prompt: lowres,\nbad hands\n"
        "Steps: 28, Sampler: Euler a, Schedule type: Automatic, CFG scale: 6.5, Seed: 123, Size: 512x768, "
        'Model hash: 6ce0161689, Model: v1-5, Lora hashes: "a: 1, b: 2", Version: v1.10.1'
    )
    assert parse_parameters(text) == Recipe(
        prompt="masterpiece, (castle:1.2)\nby night",
        negative_prompt="lowres,\nbad hands",
        seed=123,
        steps=28,
        guidance=6.5,
        width=512,
        height=768,
        model="v1-5",
        model_hash="6ce0161689",
        sampler="Euler a",
    )


@pytest.mark.parametrize("text", ["", "a fox", "a fox\nSteps: many, CFG scale: 1, Seed: 1, Size: 1x1", "[" * 100_000])
def test_text_without_a_recipe_is_bad_input(text: str) -> None:
    with pytest.raises(BadInput, match="recipe"):
        parse_parameters(text)


@pytest.mark.parametrize("text", ["[" * 100_000, "[]", "NaN", "1" * 5000, "{", '"x"'])
def test_hostile_json_is_bad_input(text: str) -> None:
    with pytest.raises(BadInput, match="JSON"):
        parse_json(text)


def test_json_refuses_what_json_does_not_have() -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        format_json(RECIPE, {"score": math.nan})


def test_json_goes_before_the_text_of_other_programs() -> None:
    both = Metadata(format_parameters(replace(RECIPE, prompt="edited")), parse_json(format_json(RECIPE, {})))
    assert both.recipe == RECIPE


def test_scores_alone_are_no_recipe() -> None:
    with pytest.raises(BadInput, match="recipe"):
        _ = Metadata(limner={"scores": {}}).recipe
