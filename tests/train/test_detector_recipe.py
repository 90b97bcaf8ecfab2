"""The detector's recipe: towers that still do what CLIP's did, labels where the things are, a loss that falls."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch
from transformers import AutoTokenizer, CLIPConfig, CLIPModel, CLIPTokenizer, OwlViTForObjectDetection

from limner.train.chimera import show
from limner.train.detector import (
    Query,
    all_queries,
    begin,
    corners,
    focal,
    keep,
    losses,
    new_batch,
    overlaps,
    owners,
    predict,
    text_features,
)
from limner.train.libraries import from_folder, seed_torch, to_folder
from limner.train.optim import MixedOptimizer, Rates
from limner.train.towers import query_tokenizer
from limner.world.sample import sample_scene
from limner.world.scene import Fact, is_true
from limner.world.vocabulary import SHAPE_CONCEPTS, binding_held_out
from tests import tiny
from tests.world.small import SHAPES

QUERIES = all_queries(tuple(SHAPE_CONCEPTS))


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CLIP with the shipped one's grid of 8 x 8 patches, and projections as wide as its text tower."""
    seed_torch(0)
    folder = tmp_path_factory.mktemp("clip")
    tokenizer = tiny.clip_tokenizer()
    size = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    text = size | {"vocab_size": len(tokenizer), "max_position_embeddings": 20, "projection_dim": 32}
    text |= {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1}
    vision = size | {"image_size": 128, "patch_size": 16, "projection_dim": 32}
    to_folder(CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=32)), folder)
    to_folder(tokenizer, folder)
    return folder


def begin_in_full(clip: Path) -> tuple[Any, CLIPTokenizer]:
    """The model as training begins with it, but in float32 throughout."""
    model, tokenizer = begin(clip, None)
    untyped: Any = model
    return untyped.float().eval(), tokenizer


def values(terms: dict[str, torch.Tensor]) -> dict[str, float]:
    return {name: float(term.detach()) for name, term in terms.items()}


def test_the_tokenizer_splits_known_words_as_before_in_owl_vits_order_of_ids() -> None:
    old = tiny.clip_tokenizer()
    new, old_ids = query_tokenizer(old, ["red", "fox"])
    ids = new(["red fox", "red"], padding="max_length", return_tensors="pt")["input_ids"]
    assert [old_ids[i] for i in ids[0].numpy().tolist()[:4]] == old("red fox")["input_ids"]
    assert bool((ids[:, 0] > 0).all()), "OWL-ViT takes a first id of 0 for no query"
    assert ids.argmax(1).numpy().tolist() == [3, 2], "the features are read at the highest id"
    assert new.pad_token_id == int(ids[1, -1]) == 0
    assert len(new) == len(old_ids) == len(set(old_ids)) < len(old)
    assert len(new("castle")["input_ids"]) == 2 + len("castle")


def test_texts_mean_what_they_meant_to_clip(clip: Path) -> None:
    model, tokenizer = begin_in_full(clip)
    old, old_tokenizer = from_folder(CLIPModel, clip), from_folder(CLIPTokenizer, clip)
    texts = ["red fox", "castle"]
    batch = old_tokenizer(texts, padding=True, return_tensors="pt")
    untyped: Any = old
    with torch.no_grad():
        wanted = untyped.get_text_features(**batch).pooler_output
    found = text_features(model, tokenizer, texts)
    assert float(torch.cosine_similarity(found, wanted).min()) > 0.999


def test_patches_start_near_clips_own_projection(clip: Path) -> None:
    model, _ = begin_in_full(clip)
    old = from_folder(CLIPModel, clip)
    pixels = new_batch(Random(0), 4, QUERIES, SHAPES).pixels
    with torch.no_grad():
        hidden = old.vision_model(pixel_values=pixels).last_hidden_state
        bare = torch.nn.functional.layer_norm(hidden, hidden.shape[-1:])
        wanted = old.visual_projection(bare[:, 1:] + bare[:, :1])
        grid = model.image_embedder(pixels)[0].flatten(1, 2)
        found = model.class_predictor(grid)[1]
    assert float(torch.cosine_similarity(found, wanted, dim=-1).mean()) > 0.97


def test_core_patches_lie_in_their_boxes() -> None:
    boxes = [(10.0, 20.0, 60.0, 52.0), (70.0, 64.0, 128.0, 128.0), (20.0, 100.0, 60.0, 106.0)]
    core, whole = owners(boxes, 8, 128)
    assert set(core.numpy().tolist()) == set(whole.numpy().tolist()) == {-1, 0, 1, 2}
    for patch in range(64):
        inner, outer = int(core[patch]), int(whole[patch])
        x0, y0 = patch % 8 * 16, patch // 8 * 16
        if inner >= 0:
            left, top, right, bottom = boxes[inner]
            assert left - 16 < x0 < right
            assert top - 16 < y0 < bottom
            assert inner == outer
    assert int((core == 2).sum()) == 1, "a box too thin for any patch's centre has the one that holds its own"
    assert int((whole == 1).sum()) == 16


def test_where_boxes_overlap_the_nearer_centre_wins() -> None:
    core, whole = owners([(0.0, 0.0, 96.0, 96.0), (48.0, 48.0, 96.0, 96.0)], 8, 128)
    assert int(whole.view(8, 8)[4, 4]) == int(core.view(8, 8)[4, 4]) == 1
    assert int(core.view(8, 8)[2, 2]) == 0
    assert int(whole.view(8, 8)[0, 5]) == 0


def test_labels_are_true_of_the_scenes() -> None:
    batch = new_batch(Random(3), 12, QUERIES, SHAPES)
    rng = Random(3)
    stages = ["single", "pair", "count", "crowd"]
    chosen = rng.choices(stages, [0.2, 0.4, 0.15, 0.25], k=12)
    shown = [show(sample_scene(rng, stage, SHAPES), rng, SHAPES) for stage in chosen]
    assert any(each.false for each in shown), "some things are spoilt, and not there"
    scenes = [each.scene for each in shown]
    assert batch.labels.shape == batch.counted.shape == (12, 64, len(QUERIES))
    truth = [[is_true(Fact("colour", q.text, q.concept, q.colour), scene) for q in QUERIES] for scene in scenes]
    assert batch.labels.amax(1).bool().numpy().tolist() == truth
    assert not any(q.colour and binding_held_out(q.colour, q.concept) for q in QUERIES)
    assert int((batch.labels.sum(2) > 2).sum()) == 0, "a patch names one thing: its noun, and that in its colour"


def test_only_an_objects_rim_is_left_out_and_only_for_its_own_queries() -> None:
    batch = new_batch(Random(1), 12, QUERIES, SHAPES)
    left_out = batch.counted == 0
    assert bool(left_out.any())
    assert float((batch.labels * left_out).sum()) == 0
    assert bool((batch.inside[left_out.any(2)] == 1).all())
    own = batch.labels.amax(1, keepdim=True).bool()
    assert bool((left_out <= own).all())
    named = batch.labels.sum(2) > 0
    assert bool((batch.inside[named] == 1).all())
    assert bool((batch.boxes[named][:, 2:] > 0.02).all())


def test_overlaps_by_hand() -> None:
    one = torch.tensor([[0.0, 0.0, 2.0, 2.0]])
    for other, iou, general in (
        ([0.0, 0.0, 2.0, 2.0], 1.0, 1.0),
        ([1.0, 0.0, 3.0, 2.0], 1 / 3, 1 / 3),
        ([3.0, 0.0, 5.0, 2.0], 0.0, -0.2),
    ):
        found = overlaps(one, torch.tensor([other]))
        assert [float(each) for each in found] == pytest.approx([iou, general])
    assert corners(torch.tensor([1.0, 2.0, 2.0, 4.0])).numpy().tolist() == [0, 0, 2, 4]


def test_the_focal_loss_counts_what_counts() -> None:
    labels, counted = torch.zeros(1, 4, 3), torch.ones(1, 4, 3)
    labels[0, 1, 2] = 1
    right = labels * 20 - 10
    wrong = right.clone()
    wrong[0, 0, 0] = 10
    assert float(focal(right, labels, counted)) < 1e-3 < float(focal(wrong, labels, counted))
    counted[0, 0, 0] = 0
    assert float(focal(wrong, labels, counted)) < 1e-3


def test_the_loss_falls_and_the_text_tower_stays(clip: Path) -> None:
    seed_torch(0)
    model, tokenizer = begin(clip, None)
    features = text_features(model, tokenizer, [query.text for query in QUERIES])
    batch = new_batch(Random(0), 8, QUERIES, SHAPES)
    optimizer = MixedOptimizer(model.named_parameters(), Rates(muon=0.02, adamw=2e-3))
    assert not any("text" in name for name in optimizer.parameters)
    before = values(losses(model, features, batch))
    for _ in range(25):
        losses(model, features, batch)["loss"].backward()  # pyright: ignore[reportUnknownMemberType]
        optimizer.step(1.0)
    after = values(losses(model, features, batch))
    assert after["loss"] < 0.7 * before["loss"]
    assert after["iou"] > before["iou"]
    assert torch.equal(features, text_features(model, tokenizer, [query.text for query in QUERIES]))


def test_no_single_weight_decides_how_far_gradients_are_clipped(clip: Path) -> None:
    model, tokenizer = begin(clip, None)
    features = text_features(model, tokenizer, [query.text for query in QUERIES])
    losses(model, features, new_batch(Random(0), 4, QUERIES, SHAPES))["loss"].backward()  # pyright: ignore[reportUnknownMemberType]
    norms = {name: float(p.grad.square().sum().sqrt()) for name, p in model.named_parameters() if p.grad is not None}
    assert norms["class_head.logit_shift.weight"] < sum(norm for name, norm in norms.items() if "shift" not in name)


def test_what_is_saved_loads_and_its_own_forward_pass_finds_the_same(clip: Path, tmp_path: Path) -> None:
    model, tokenizer = begin_in_full(clip)
    keep(model, tokenizer, tmp_path)
    texts = ["red", "fox", "red fox"]
    auto: Any = AutoTokenizer
    tokens = auto.from_pretrained(tmp_path, local_files_only=True)(texts, padding="max_length", return_tensors="pt")
    pixels = new_batch(Random(0), 1, QUERIES, SHAPES).pixels
    with torch.no_grad():
        loaded = from_folder(OwlViTForObjectDetection, tmp_path)
        out = loaded(tokens["input_ids"], pixels, tokens["attention_mask"])
        logits, boxes = predict(model, pixels, text_features(model, tokenizer, texts))
    torch.testing.assert_close(out.logits, logits, atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(out.pred_boxes, boxes, atol=1e-4, rtol=1e-4)


def test_queries_are_nouns_bare_and_coloured() -> None:
    assert Query("fox").text == "fox"
    assert Query("fox", "red").text == "red fox"
    assert len(set(QUERIES)) == len(QUERIES) > 6 * len(SHAPE_CONCEPTS)
