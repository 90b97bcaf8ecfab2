"""Recipe: CLIPModel, trained contrastively on the world, where what is true of a picture is known exactly.

Ordinary contrastive training takes every other text of the batch for false. Here each (picture, text) pair of
the batch has its true label, so that the sigmoid loss (SigLIP's form) is exact, and one cosine means «present»
for every keyword. Hard negatives swap what belongs together: colours, sides, counts; and some things are spoilt as bad
drawings are (chimera.py). A second term does the same
for each patch of the picture and each noun, which is where small objects are learned.

    torchrun --nproc_per_node 2 -m limner.train.clip --tokenizer runs/tokenizer --out runs/clip --minutes 15
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import CLIPConfig, CLIPModel, CLIPTokenizer

from limner.train.autoencoder import to_tensor
from limner.train.chimera import Shown, show
from limner.train.judge import disturb
from limner.train.libraries import from_folder, seed_torch, to_folder
from limner.train.loop import Budget, fit, start_processes
from limner.train.optim import MixedOptimizer, Rates
from limner.train.precision import cast
from limner.train.tokenizer import LENGTH, TOKENS
from limner.world.caption import NUMBERS, caption, facts, phrase
from limner.world.sample import Palette, sample_scene
from limner.world.scene import RELATIONS, Fact, Scene, is_true
from limner.world.vocabulary import COLOURS, concept

BATCH = 48
STAGE_SHARES = {"single": 0.22, "pair": 0.38, "count": 0.2, "crowd": 0.2}
PALETTE = Palette(weather=0.25)
NEAR_MISSES = 3
HARDEST = ("relation", "count")
"""The kinds of fact that are learned last: wherever there is one, its near miss is shown beside it."""
TEXT_WIDTH = 256


def new_clip() -> CLIPModel:
    """The shipped architecture: pictures of 128 px in patches of 16, texts of 40 tokens, 256 common dimensions."""
    text = {
        "vocab_size": TOKENS, "hidden_size": TEXT_WIDTH, "intermediate_size": 4 * TEXT_WIDTH, "num_hidden_layers": 4,
        "num_attention_heads": 4, "max_position_embeddings": LENGTH, "hidden_act": "quick_gelu",
        "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1, "projection_dim": 256,
    }  # fmt: skip
    vision = {
        "hidden_size": 192, "intermediate_size": 768, "num_hidden_layers": 6, "num_attention_heads": 3,
        "image_size": 128, "patch_size": 16, "hidden_act": "quick_gelu", "projection_dim": 256,
    }  # fmt: skip
    # The fused attention kernel's backward is several times slower on CPUs.
    eager: Any = {"attn_implementation": "eager"}
    return CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=256, **eager))


@dataclass(frozen=True, slots=True)
class Texts:
    """The texts of one batch and their truth: labels float (pictures, texts).

    `near` marks the pairs (1.0) of a picture with its own keywords and their near misses: the hard ones.
    """

    texts: Sequence[str]
    labels: Tensor
    near: Tensor


def wrong(fact: Fact, rng: Random) -> Fact:
    """A fact that differs in just what binds: another colour, the other side, another count."""
    if fact.kind == "relation":
        assert fact.relation is not None
        opposite = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}
        other = opposite.get(fact.relation, rng.choice(RELATIONS[:4]))
        return replace(fact, relation=other)
    if fact.kind == "count":
        count = rng.choice([n for n in (2, 3, 4) if n != fact.count])
        return _thing(fact, fact.colour, count)
    if fact.kind in ("object", "colour"):
        if concept(fact.concept).tintable and rng.random() < 0.75:
            return _thing(fact, rng.choice([c for c in COLOURS if c != fact.colour]), 1)
        return _thing(fact, fact.colour, rng.choice((2, 3, 4)))
    return fact


def near_misses(true: Sequence[Fact], rng: Random) -> list[Fact]:
    """NEAR_MISSES false facts: one for each of the hardest true ones, and the other order of what is related."""
    hardest = [fact for fact in true if fact.kind in HARDEST]
    turned = [replace(fact, concept=fact.other, other=fact.concept) for fact in hardest if fact.kind == "relation"]
    others = [wrong(rng.choice(true), rng) for _ in range(NEAR_MISSES)]
    return [*(wrong(fact, rng) for fact in hardest), *turned, *others][:NEAR_MISSES]


def _thing(fact: Fact, colour: str | None, count: int) -> Fact:
    noun = concept(fact.concept)
    words = [NUMBERS[count] if count > 1 else "", colour or "", noun.plural if count > 1 else noun.name]
    return replace(fact, kind="colour", text=" ".join(filter(None, words)), colour=colour, count=count)


def keyword_batch(shown: Sequence[Shown], rng: Random) -> Texts:
    """Keywords of all scenes, true ones and their near misses, each judged against every scene."""
    scenes = [each.scene for each in shown]
    claims: dict[str, Fact] = {}
    own: list[set[str]] = []
    for scene, false in ((each.scene, each.false) for each in shown):
        true = facts(scene, rng)
        style = Fact("style", "", value=scene.style)
        chosen = [*rng.sample(true, min(len(true), 4)), *([style] if rng.random() < 0.25 else [])]
        bare = [Fact("object", f.concept, f.concept) for f in chosen if f.kind in ("colour", "count")]
        said = [*chosen, *bare[:1], *false, *near_misses(true, rng)]
        exact = [replace(fact, kind="count") if fact.count > 1 else fact for fact in said]
        mine = {phrase(fact, rng): fact for fact in exact}
        claims |= mine
        own.append(set(mine))
    labels = [[float(is_true(fact, scene)) for fact in claims.values()] for scene in scenes]
    near = [[float(text in mine) for text in claims] for mine in own]
    return Texts(list(claims), torch.tensor(labels), torch.tensor(near))


def patch_labels(scenes: Sequence[Scene], nouns: Sequence[str]) -> Tensor:
    """Which of the 8 x 8 patches each noun's objects cover: float (pictures, 64, nouns)."""
    labels = torch.zeros(len(scenes), 8, 8, len(nouns))
    index = {noun: i for i, noun in enumerate(nouns)}
    centres = (torch.arange(8) + 0.5) / 8
    for s, scene in enumerate(scenes):
        for thing in scene.things:
            reach = thing.size * 0.42
            rows, columns = (centres - thing.y).abs() < reach, (centres - thing.x).abs() < reach
            labels[s, :, :, index[thing.concept]] += rows[:, None] * columns[None, :]
    return labels.clamp(max=1).flatten(1, 2)


def encode_texts(model: CLIPModel, tokenizer: CLIPTokenizer, texts: Sequence[str]) -> Tensor:
    """Unit text features (texts, 256); padded only to the longest of them."""
    batch = tokenizer(list(texts), padding="longest", truncation=True, return_tensors="pt")
    hidden = model.text_model(input_ids=batch["input_ids"]).pooler_output
    return F.normalize(model.text_projection(hidden).float(), dim=-1)


def encode_pictures(model: CLIPModel, pixels: Tensor) -> tuple[Tensor, Tensor]:
    """Unit features of pictures (n, 256) and of their patches (n, 64, 256)."""
    out = model.vision_model(pixel_values=pixels.to(model.dtype))
    whole = model.visual_projection(out.pooler_output).float()
    patches = model.visual_projection(model.vision_model.post_layernorm(out.last_hidden_state[:, 1:])).float()
    return F.normalize(whole, dim=-1), F.normalize(patches, dim=-1)


def sigmoid_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Binary cross-entropy with true and false pairs weighted alike: false ones are far more, but mostly easy."""
    each = F.binary_cross_entropy_with_logits(logits, labels, reduction="none")
    true = (each * labels).sum() / labels.sum().clamp(min=1)
    false = (each * (1 - labels)).sum() / (1 - labels).sum().clamp(min=1)
    return 0.3 * true + 0.7 * false * 3


class Scales(nn.Module):
    """The logits' biases, which live beside the model: its own logit_scale is the common scale.

    The parameter is a tenth of the bias, for a bias that is off by 2 must not take AdamW a thousand steps.
    """

    def __init__(self) -> None:
        super().__init__()
        self.tenths = nn.Parameter(torch.tensor([-0.6, -0.6, -0.6]))

    @property
    def bias(self) -> Tensor:
        """The biases of keywords, captions and patches: (3,)."""
        return 10 * self.tenths


def begin(start: Path | None) -> CLIPModel:
    """The model to train, in the precision of `cast`: new, with a logit scale of 10, or with a folder's weights."""
    model = new_clip()
    if start:
        model.load_state_dict(from_folder(CLIPModel, start).state_dict())
    else:
        nn.init.constant_(model.logit_scale, 2.3)
    return cast(model).train()


@dataclass(frozen=True, slots=True)
class Batch:
    """Scenes, their pictures (n, 3, 128, 128), a caption each, keywords of all, and the nouns in any of them."""

    scenes: Sequence[Scene]
    pixels: Tensor
    keywords: Texts
    captions: Sequence[str]
    nouns: Sequence[str]


def new_batch(rng: Random, count: int, palette: Palette | None = None) -> Batch:
    """Random scenes of the training side, blurred and noised as the judge's are: drawn pictures are soft, too."""
    palette = palette or PALETTE
    stages = rng.choices(list(STAGE_SHARES), list(STAGE_SHARES.values()), k=count)
    shown = [show(sample_scene(rng, stage, palette), rng, palette) for stage in stages]
    scenes = [each.scene for each in shown]
    pixels = disturb(to_tensor([each.picture for each in shown]), rng)
    keywords = keyword_batch(shown, rng)
    captions = [caption(scene, rng) for scene in scenes]
    nouns = sorted({thing.concept for scene in scenes for thing in scene.things})
    return Batch(scenes, pixels, keywords, captions, nouns)


def losses(model: CLIPModel, scales: Scales, tokenizer: CLIPTokenizer, batch: Batch) -> dict[str, Tensor]:
    """The loss of a batch and its terms; and how often keywords and captions are told right at a logit of 0."""
    keywords, labels = batch.keywords, batch.keywords.labels
    by_keyword, by_caption, by_patch = _logits(model, scales, tokenizer, batch)
    near = F.binary_cross_entropy_with_logits(by_keyword, labels, weight=keywords.near, reduction="sum")
    terms = {
        "near": near / keywords.near.sum(),
        "keyword": sigmoid_loss(by_keyword, labels),
        "caption": sigmoid_loss(by_caption, torch.eye(len(batch.scenes))),
        "patch": sigmoid_loss(by_patch, patch_labels(batch.scenes, batch.nouns)),
    }
    right = ((by_keyword > 0).float() == labels).float()
    recall = (right * labels).sum() / labels.sum()
    found = (by_caption.argmax(1) == torch.arange(len(batch.scenes))).float().mean()
    total = terms["near"] + terms["keyword"] + 0.5 * terms["caption"] + 0.5 * terms["patch"]
    return {"loss": total, **terms, "right": right.mean(), "recall": recall, "found": found}


def _logits(model: CLIPModel, scales: Scales, tokenizer: CLIPTokenizer, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
    """Logits of pictures by keywords (n, k), pictures by captions (n, n) and patches by nouns (n, 64, nouns)."""
    whole, patches = encode_pictures(model, batch.pixels)
    captions = encode_texts(model, tokenizer, batch.captions)
    texts = batch.keywords.texts
    words = encode_texts(model, tokenizer, [*texts, *batch.nouns])
    scale = model.logit_scale.float().exp()
    by_keyword = scale * whole @ words[: len(texts)].T + scales.bias[0]
    by_caption = scale * whole @ captions.T + scales.bias[1]
    by_patch = scale * patches @ words[len(texts) :].T + scales.bias[2]
    return by_keyword, by_caption, by_patch


def main() -> None:
    """Train from the command line; see the module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=15)
    parser.add_argument("--weights", type=Path, help="begin with the weights in this folder")
    parser.add_argument("--rate", type=float, default=1.0, help="share of the usual learning rates")
    args = parser.parse_args()
    start_processes()
    seed_torch(0)
    tokenizer = from_folder(CLIPTokenizer, args.tokenizer)
    model, scales = begin(args.weights), Scales()
    named = [*model.named_parameters(), *((f"scales.{n}", p) for n, p in scales.named_parameters())]
    optimizer = MixedOptimizer(named, Rates(muon=0.015 * args.rate, adamw=2e-3 * args.rate, ema=0.998))

    def loss(rng: Random, spent: float) -> dict[str, Tensor]:
        return losses(model, scales, tokenizer, new_batch(rng, BATCH))

    def keep() -> None:
        to_folder(model, args.out / "model")
        to_folder(tokenizer, args.out / "model")

    fit(optimizer, loss, Budget(minutes=args.minutes), args.out, on_checkpoint=keep)


if __name__ == "__main__":
    main()
