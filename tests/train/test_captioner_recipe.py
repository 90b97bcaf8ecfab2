"""The captioner's recipe: captions that can be known from the picture, CLIP's sight, a loss that falls."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch
from transformers import AutoTokenizer, BlipForConditionalGeneration, CLIPConfig, CLIPModel

from limner.train.captioner import (
    END,
    LENGTH,
    STAGE_SHARES,
    caption_of,
    captioner_from,
    encode,
    in_reading_order,
    keep,
    losses,
    new_batch,
    new_tokenizer,
)
from limner.train.libraries import from_folder, seed_torch
from limner.train.optim import MixedOptimizer, Rates
from limner.world.caption import describe
from limner.world.sample import sample_scene
from limner.world.scene import Scene, relations
from tests.world.small import SHAPES, shape

TOKENIZER = new_tokenizer()


@pytest.fixture(scope="module")
def clip() -> CLIPModel:
    seed_torch(0)
    size = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    vision = size | {"image_size": 128, "patch_size": 16}
    model = CLIPModel(CLIPConfig(text_config=size | {"vocab_size": 16}, vision_config=vision, projection_dim=16))
    for weight in model.vision_model.encoder.parameters():  # or the layers would hardly change what they are given
        torch.nn.init.normal_(weight.data, std=0.3)
    for weight in model.vision_model.pre_layrnorm.parameters():
        torch.nn.init.normal_(weight.data, mean=0.7)
    return model.eval()


def values(terms: dict[str, torch.Tensor]) -> dict[str, float]:
    return {name: float(term.detach()) for name, term in terms.items()}


def test_a_caption_does_not_depend_on_what_cannot_be_seen() -> None:
    left, right = shape("star", 0.25, 0.6), shape("ring", 0.75, 0.55)
    scene = Scene((left, right), "snow")
    assert caption_of(scene) == "a star to the left of a ring in the snow"
    assert caption_of(replace(scene, things=(right, left))) == caption_of(scene)
    below = Scene((shape("star", 0.55, 0.75), shape("ring", 0.5, 0.28)), "snow")
    assert caption_of(below) == "a ring above a star in the snow"


def test_reading_order_never_puts_what_overlaps_another_way_round() -> None:
    rng = Random(0)
    for _ in range(300):
        scene = sample_scene(rng, "pair", SHAPES)
        if any(kind == "in front of" for _, kind, _ in relations(scene)):
            assert in_reading_order(scene) == scene
            assert caption_of(scene) == describe(scene)


def test_every_caption_is_made_of_whole_words_and_reads_back() -> None:
    rng = Random(0)
    palettes = (None, SHAPES)
    captions = [
        caption_of(sample_scene(rng, stage, palette))
        for _ in range(60)
        for stage in STAGE_SHARES
        for palette in palettes
    ]
    ids, mask = encode(TOKENIZER, captions)
    assert ids.shape[1] < LENGTH
    assert [int(row[used.bool()][-1]) for row, used in zip(ids, mask, strict=True)] == [END] * len(captions)
    untyped: Any = TOKENIZER
    assert untyped.batch_decode(ids, skip_special_tokens=True) == captions
    words = [len(caption.replace(",", " ,").split()) for caption in captions]
    assert (mask.sum(1) - 2).numpy().tolist() == words


def test_blip_sees_as_clip_does(clip: CLIPModel) -> None:
    model = captioner_from(clip, TOKENIZER, SHAPES).eval()
    batch = new_batch(Random(5), 4, TOKENIZER, SHAPES)
    tower = clip.vision_model
    with torch.no_grad():
        wanted = tower.post_layernorm(tower(pixel_values=batch.pixels).last_hidden_state)
        seen = model.vision_model(pixel_values=batch.pixels).last_hidden_state
    assert float(torch.cosine_similarity(seen, wanted, dim=-1).mean()) > 0.9


def test_the_loss_falls(clip: CLIPModel) -> None:
    seed_torch(0)
    model = captioner_from(clip, TOKENIZER, SHAPES).bfloat16().train()
    batch = new_batch(Random(0), 4, TOKENIZER, SHAPES)
    optimizer = MixedOptimizer(model.named_parameters(), Rates(muon=0.02, adamw=5e-3))
    first = values(losses(model, batch))
    for _ in range(20):
        losses(model, batch)["loss"].backward()  # pyright: ignore[reportUnknownMemberType]
        optimizer.step(1.0)
    last = values(losses(model, batch))
    assert last["loss"] < 0.5 * first["loss"]
    assert last["right"] > first["right"]


def test_padding_costs_nothing(clip: CLIPModel) -> None:
    model = captioner_from(clip, TOKENIZER, SHAPES).eval()
    batch = new_batch(Random(0), 3, TOKENIZER, SHAPES)
    wider = [torch.nn.functional.pad(each, (0, 5)) for each in (batch.ids, batch.mask)]
    with torch.no_grad():
        padded = losses(model, replace(batch, ids=wider[0], mask=wider[1]))
        assert values(losses(model, batch)) == pytest.approx(values(padded), abs=1e-5)


def test_what_is_saved_loads_and_says_the_same(clip: CLIPModel, tmp_path: Path) -> None:
    model = captioner_from(clip, TOKENIZER, SHAPES).eval()
    keep(model, TOKENIZER, tmp_path)
    auto: Any = AutoTokenizer
    tokenizer = auto.from_pretrained(tmp_path, local_files_only=True)
    batch = new_batch(Random(0), 2, TOKENIZER, SHAPES)
    said: list[list[str]] = []
    for each in (model, from_folder(BlipForConditionalGeneration, tmp_path).eval()):
        untyped: Any = each
        ids = untyped.generate(pixel_values=batch.pixels, num_beams=2, do_sample=False, max_new_tokens=6)
        said.append(tokenizer.batch_decode(ids, skip_special_tokens=True))
    assert said[0] == said[1]
    assert all(said[0])
    assert tokenizer("a red star")["input_ids"] == encode(TOKENIZER, ["a red star"])[0][0].numpy().tolist()
