from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers.models.attention_processor import Attention
from hypothesis import given, settings
from hypothesis import strategies as st

from limner.backends.diffusion import DiffusionModel, load_text_to_image
from limner.backends.hardware import Plan
from limner.backends.heat import (
    MOST_WORDS,
    HeatMaps,
    _grid,  # pyright: ignore[reportPrivateUsage]
    attention,
    heat_of,
    word_spans,
)
from limner.concept import Concept
from limner.protocols import DrawRequest
from limner.types import BadInput, LimnerError
from tests.tiny import TEXT_LENGTH, WORDS, clip_tokenizer

KINDS = ("stable_diffusion", "stable_diffusion_xl")
TOKENIZER = clip_tokenizer()


def load(source: Path | str) -> DiffusionModel:
    return load_text_to_image(str(source), plan=Plan("cpu", 1, "float32", ""))


def ask(prompt: str = "a red fox", *, width: int = 16, height: int = 16, guidance: float = 4.0) -> DrawRequest:
    return DrawRequest(prompt, 1, 2, guidance, width, height, "snow")


def layers(model: DiffusionModel) -> list[Any]:
    return [layer for layer in model.loaded.pipeline.unet.modules() if isinstance(layer, Attention)]


def cross(model: DiffusionModel) -> list[Any]:
    return [layer for layer in layers(model) if layer.is_cross_attention]


@pytest.fixture(scope="module")
def model(checkpoints: Path) -> DiffusionModel:
    return load(checkpoints / "stable_diffusion")


@pytest.mark.parametrize("guidance", [1.0, 4.0])
@pytest.mark.parametrize("kind", KINDS)
def test_looking_changes_no_bit_of_the_picture(checkpoints: Path, kind: str, guidance: float) -> None:
    model = load(checkpoints / kind)
    picture, heat = heat_of(model, ask(guidance=guidance))
    assert picture.sha256 == model.draw([ask(guidance=guidance)])[0].sha256
    assert heat.words == ("red", "fox")
    assert heat.maps.shape == (2, 16, 16)
    assert heat.maps.dtype == np.float32
    assert (heat.maps >= 0).all()
    assert heat.maps.max(axis=(1, 2)).tolist() == [1.0, 1.0]
    assert not np.array_equal(*heat.maps)


def test_what_is_tried_out_for_batches_is_not_looked_at(checkpoints: Path, model: DiffusionModel) -> None:
    model.draw([ask()])
    fresh = heat_of(load(checkpoints / "stable_diffusion"), ask())[1]
    assert np.array_equal(fresh.maps, heat_of(model, ask())[1].maps)


@pytest.mark.parametrize(("width", "height"), [(32, 16), (16, 24), (40, 24)])
def test_maps_are_of_the_pictures_size(model: DiffusionModel, width: int, height: int) -> None:
    picture, heat = heat_of(model, ask(width=width, height=height))
    assert (picture.width, picture.height) == (width, height)
    assert heat.maps.shape == (2, height, width)


def test_layers_that_look_everywhere_alike_give_even_maps(checkpoints: Path) -> None:
    even = load(checkpoints / "stable_diffusion")
    for layer in cross(even):
        torch.nn.init.zeros_(layer.to_q.weight)
    np.testing.assert_allclose(heat_of(even, ask())[1].maps, 1.0, atol=1e-5)


def test_a_map_is_hot_where_the_prompt_was_looked_at(checkpoints: Path) -> None:
    """Places on the left are made to look for what «fox» is and those on the right for anything else."""
    split = load(checkpoints / "stable_diffusion")
    fox = split.loaded.prompts.encode("a red fox").states[0, 3]
    for layer in cross(split):
        layer.to_q.register_forward_hook(by_side(layer, fox))
    fox_map = heat_of(split, ask())[1].maps[1]
    assert fox_map[:, :8].mean() > 2 * fox_map[:, 8:].mean()


def by_side(layer: Any, token: torch.Tensor) -> Callable[..., torch.Tensor]:
    def hook(_layer: object, _args: object, query: torch.Tensor) -> torch.Tensor:
        key = layer.to_k(token.to(query))
        side = math.isqrt(query.shape[1])
        sign = torch.ones(side, side).index_fill(1, torch.arange(side // 2, side), -1.0).flatten()
        return 10 * sign[None, :, None] * (key / key.norm()) * torch.ones_like(query)

    return hook


def test_attention_is_the_last_rows_softmax_over_tokens(model: DiffusionModel) -> None:
    layer = cross(model)[0]
    generator = torch.Generator().manual_seed(0)
    places, text = (torch.randn(size, generator=generator) for size in [(2, 6, layer.query_dim), (2, 5, 32)])
    with torch.no_grad():
        found = attention(layer, places, text)
        query, key = layer.to_q(places[1]), layer.to_k(text[1])
    heads = [each.unflatten(1, (layer.heads, -1)).transpose(0, 1) for each in (query, key)]
    scores = heads[0] @ heads[1].transpose(1, 2) / math.sqrt(query.shape[1] / layer.heads)
    torch.testing.assert_close(found, scores.softmax(dim=-1).mean(dim=0).T)
    torch.testing.assert_close(found.sum(dim=0), torch.ones(6))


def test_nothing_stays_behind_even_when_drawing_breaks_off(checkpoints: Path) -> None:
    model = load(checkpoints / "stable_diffusion")
    processors = [layer.processor for layer in layers(model)]
    model.draw([ask()])
    calls: list[int] = []

    def fail(*_: object) -> None:
        calls.append(sum(len(layer._forward_hooks) for layer in layers(model)))
        if len(calls) == 3:  # one step first, to settle batches
            raise RuntimeError("out of memory")

    handle = model.loaded.pipeline.unet.register_forward_pre_hook(fail)
    with pytest.raises(RuntimeError, match="out of memory"):
        heat_of(model, ask())
    assert calls[0] == 0
    assert calls[1] > 0
    handle.remove()
    assert not any(layer._forward_hooks for layer in layers(model))
    assert all(layer.processor is old for layer, old in zip(layers(model), processors, strict=True))


def test_a_request_that_cannot_be_drawn_is_refused(model: DiffusionModel) -> None:
    with pytest.raises(BadInput, match="size 15x16"):
        heat_of(model, ask(width=15))


def test_a_prompt_that_says_nothing_has_no_maps(model: DiffusionModel) -> None:
    assert heat_of(model, ask("of the, 3 ..."))[1].maps.shape == (0, 16, 16)


def test_words_beyond_the_most_are_named_but_not_mapped(model: DiffusionModel) -> None:
    heat = heat_of(model, ask("fox " * MOST_WORDS + "red castle"))[1]
    assert len(heat.words) == len(heat.maps) == MOST_WORDS
    assert heat.left_out == ("red", "castle")


def test_a_learned_concept_is_one_word(checkpoints: Path) -> None:
    model = load(checkpoints / "stable_diffusion")
    vectors = np.random.default_rng(0).normal(size=(2, 32)).astype(np.float32)
    gizmo = Concept("gizmo", {"positive": {"text_encoder": vectors}})
    model.loaded.prompts.rack.find = {"gizmo": gizmo}.__getitem__
    picture, heat = heat_of(model, ask("a <gizmo> in snow"))
    assert heat.words == ("<gizmo>", "snow")
    assert picture.sha256 == model.draw([ask("a <gizmo> in snow")])[0].sha256
    assert picture.sha256 != model.draw([ask("a gizmo in snow")])[0].sha256


@pytest.mark.parametrize(
    ("prompt", "spans"),
    [
        ("a red fox", [("red", [2]), ("fox", [3])]),
        ("A RED, fox!", [("RED", [2]), ("fox", [4])]),
        ("a (red:1.5) [fox]", [("red", [2]), ("fox", [3])]),
        ("red fox and red snow", [("red", [1]), ("fox", [2]), ("red", [6]), ("snow", [7])]),
        ("red-fox", [("red-fox", [1, 2, 3])]),
        ("an ox", [("ox", [3, 4])]),
        ("snow " * 13 + "ox", [*(("snow", [n]) for n in range(1, 14)), ("ox", [14, 17])]),
        ("<gizmo> in snow", [("<gizmo>", [1, 2, 3]), ("snow", [6])]),
        ("(<gizmo:0.5>:1.2)red", [("<gizmo>", [1, 2, 3]), ("red", [4])]),
        ("<gizmo:0> red", [("red", [1])]),
        ("<ox> red", [("ox", [2, 3]), ("red", [5])]),
        ("<red", [("red", [2])]),
        ("", []),
        ("of, the 3", []),
    ],
)
def test_words_have_the_places_of_their_tokens(prompt: str, spans: list[tuple[str, list[int]]]) -> None:
    assert word_spans(TOKENIZER, prompt, lambda word: 3 * (word == "<gizmo>")) == spans


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.sampled_from([*WORDS, "a", "of", ",", "ox", "(red:1.3)", "[snow]", "雪", "é", "!?", "<x>"]), max_size=40
    )
)
def test_the_tokens_at_a_words_places_spell_it(pieces: list[str]) -> None:
    plain = TOKENIZER(" ".join(piece.strip("()[]:.13") for piece in pieces), add_special_tokens=False, verbose=False)
    start, end = TOKENIZER.bos_token_id, TOKENIZER.eos_token_id
    ids, room = plain.input_ids, TEXT_LENGTH - 2
    joined = [token for first in range(0, len(ids), room) for token in (start, *ids[first : first + room], end)]
    spans = word_spans(TOKENIZER, " ".join(pieces))
    for word, places in spans:
        assert [joined[place] for place in places] == TOKENIZER(word, add_special_tokens=False).input_ids
    assert [word for word, _ in spans] == [w for p in pieces if (w := p.strip("()[]:.13,!?<>")) not in ("", "a", "of")]


@pytest.mark.parametrize(("places", "grid"), [(72, (9, 8)), (20, (5, 4)), (6, (3, 2)), (2, (2, 1)), (1, (1, 1))])
def test_layers_are_the_latent_halved(places: int, grid: tuple[int, int]) -> None:
    assert _grid(places, 9, 8) == grid


def test_other_layers_are_refused() -> None:
    with pytest.raises(LimnerError, match="21 places of a latent of 8x9"):
        _grid(21, 9, 8)


def centre(heat: HeatMaps, word: str) -> float:
    """The mean column of a word's heat."""
    columns = heat.maps[heat.words.index(word)].sum(axis=0)
    return float((columns * np.arange(len(columns))).sum() / columns.sum())


def test_the_embedded_models_fox_is_left_of_its_castle() -> None:
    model = load("embedded:")
    width, height = model.default_size
    heat = heat_of(model, DrawRequest("a fox to the left of a castle", 1, 8, 3.5, width, height))[1]
    assert heat.words == ("fox", "left", "castle")
    assert centre(heat, "fox") < width / 2 < centre(heat, "castle")
    assert centre(heat, "castle") - centre(heat, "fox") > width / 5
