"""Recipe: the captioner, a small BlipForConditionalGeneration begun with CLIP's vision tower.

It learns one caption a scene, the plain one in reading order, so that an answer is stable and can be checked.

    torchrun --nproc_per_node 1 -m limner.train.captioner --out runs/captioner --minutes 20
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import BertTokenizer, BlipConfig, BlipForConditionalGeneration, CLIPModel

from limner.train.autoencoder import to_tensor
from limner.train.judge import disturb
from limner.train.libraries import from_folder, seed_torch, to_folder, write_preprocessing
from limner.train.loop import Budget, fit, start_processes
from limner.train.optim import MixedOptimizer, Rates
from limner.train.precision import cast
from limner.train.ship import WEIGHTS
from limner.train.towers import give_vision
from limner.world.caption import NUMBERS, RELATION_PHRASES, describe
from limner.world.render import render
from limner.world.sample import Palette, sample_scene
from limner.world.scene import Scene
from limner.world.vocabulary import BACKGROUNDS, COLOURS, CORE_CONCEPTS, SHAPE_CONCEPTS, TIMES, WEATHERS, concept

BATCH = 40
STAGE_SHARES = {"single": 0.25, "pair": 0.5, "count": 0.15, "crowd": 0.1}
PALETTE = Palette(tint=0.4)
LENGTH = 40
"""Tokens in one caption, with begin and end."""
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
PAD, BEGIN, END = 0, 2, 3


def new_tokenizer() -> BertTokenizer:
    """A WordPiece tokenizer that has every word of a caption whole, and letters for the rest."""
    nouns = [concept(name) for name in (*CORE_CONCEPTS, *SHAPE_CONCEPTS)]
    texts = [*COLOURS, *NUMBERS, "a an and ,", *(form for noun in nouns for form in (noun.name, noun.plural))]
    for table in (RELATION_PHRASES, BACKGROUNDS, TIMES, WEATHERS):
        texts += [text for phrases in table.values() for text in phrases]
    words = {word for text in texts for word in re.findall(r"\w+|[^\w\s]", text.lower())}
    letters = "abcdefghijklmnopqrstuvwxyz"
    entries = dict.fromkeys([*SPECIAL, *sorted(words), *letters, *(f"##{letter}" for letter in letters)])
    return BertTokenizer(vocab={entry: i for i, entry in enumerate(entries)}, model_max_length=LENGTH)


def new_captioner(tokenizer: BertTokenizer, vision: dict[str, Any], layers: int = 2) -> BlipForConditionalGeneration:
    """The shipped architecture: CLIP's sizes for the picture, a decoder of two layers as wide for the text."""
    width = vision["hidden_size"]
    text = {
        "vocab_size": len(tokenizer), "hidden_size": width, "intermediate_size": 2 * width,
        "num_hidden_layers": layers, "num_attention_heads": vision["num_attention_heads"],
        "max_position_embeddings": LENGTH, "pad_token_id": PAD, "bos_token_id": BEGIN, "eos_token_id": END,
        "sep_token_id": END,
    }  # fmt: skip
    return BlipForConditionalGeneration(BlipConfig(text_config=text, vision_config=vision))


def captioner_from(clip: CLIPModel, tokenizer: BertTokenizer, palette: Palette) -> BlipForConditionalGeneration:
    """A captioner that sees as CLIP does and knows no words yet."""
    names = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "image_size", "patch_size")
    config: Any = clip.config
    sizes: dict[str, Any] = {name: getattr(config.vision_config, name) for name in (*names, "hidden_act")}
    model = new_captioner(tokenizer, sizes)
    rng = Random(0)
    typical = [render(sample_scene(rng, "pair", palette), sizes["image_size"]) for _ in range(32)]
    give_vision(model, clip, to_tensor(typical))
    return model


def in_reading_order(scene: Scene) -> Scene:
    """The scene with its things told row by row, left to right.

    Which of two things side by side was put there first cannot be seen, so a caption must not depend on it. What
    stands in front of another stands lower, so it still comes later.
    """
    return replace(scene, things=tuple(sorted(scene.things, key=lambda thing: thing.x + 2 * thing.y)))


def caption_of(scene: Scene) -> str:
    """The one caption that a scene is to get."""
    return describe(in_reading_order(scene))


@dataclass(frozen=True, slots=True)
class Batch:
    """Pictures (n, 3, 128, 128), and their captions as ids (n, length) and mask (n, length; 0 where padded)."""

    pixels: Tensor
    ids: Tensor
    mask: Tensor


def new_batch(rng: Random, count: int, tokenizer: BertTokenizer, palette: Palette = PALETTE) -> Batch:
    """Random scenes of the training side, blurred and noised as the judge's are."""
    stages = rng.choices(list(STAGE_SHARES), list(STAGE_SHARES.values()), k=count)
    scenes = [sample_scene(rng, stage, palette) for stage in stages]
    pixels = disturb(to_tensor([render(scene) for scene in scenes]), rng)
    return Batch(pixels, *encode(tokenizer, [caption_of(scene) for scene in scenes]))


def encode(tokenizer: BertTokenizer, captions: Sequence[str]) -> tuple[Tensor, Tensor]:
    """Ids and mask (n, length) of captions, each with its begin and end, padded to the longest."""
    batch = tokenizer(list(captions), padding="longest", truncation=True, return_tensors="pt")
    return batch["input_ids"], batch["attention_mask"]


def losses(model: BlipForConditionalGeneration, batch: Batch) -> dict[str, Tensor]:
    """Cross-entropy of each next token, the share told right, and the share of captions right throughout."""
    seen = model.vision_model(pixel_values=batch.pixels.to(model.dtype)).last_hidden_state
    untyped: Any = model.text_decoder
    logits = untyped(
        input_ids=batch.ids[:, :-1], attention_mask=batch.mask[:, :-1], encoder_hidden_states=seen,
        encoder_attention_mask=torch.ones(seen.shape[:2], dtype=torch.long), use_cache=False,
    ).logits.float()  # fmt: skip
    wanted = batch.ids[:, 1:]
    entropy = F.cross_entropy(logits.flatten(0, 1), wanted.flatten(), ignore_index=PAD)
    right = (logits.argmax(-1) == wanted) | (wanted == PAD)
    told = (right & (wanted != PAD)).sum() / (wanted != PAD).sum()
    return {"loss": entropy, "right": told, "whole": right.all(1).float().mean()}


def keep(model: BlipForConditionalGeneration, tokenizer: BertTokenizer, folder: Path) -> None:
    """Save all that `from_pretrained` reads."""
    to_folder(model, folder)
    to_folder(tokenizer, folder)
    write_preprocessing(folder, "BlipImageProcessor")


def begin(clip: Path, start: Path | None, tokenizer: BertTokenizer) -> BlipForConditionalGeneration:
    """The model to train, in the precision of `cast`: from CLIP, or with the weights in a folder."""
    model = captioner_from(from_folder(CLIPModel, clip, dtype=torch.float32), tokenizer, PALETTE)
    if start:
        model.load_state_dict(from_folder(BlipForConditionalGeneration, start).state_dict())
    return cast(model).train()


def main() -> None:
    """Train from the command line; see the module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument(
        "--clip", type=Path, default=WEIGHTS / "clip", help="the CLIP whose vision tower it begins with"
    )
    parser.add_argument("--weights", type=Path, help="begin with the weights in this folder")
    parser.add_argument("--rate", type=float, default=1.0, help="share of the usual learning rates")
    args = parser.parse_args()
    start_processes()
    seed_torch(0)
    tokenizer = new_tokenizer()
    model = begin(args.clip, args.weights, tokenizer)
    optimizer = MixedOptimizer(
        model.named_parameters(), Rates(muon=0.015 * args.rate, adamw=1.5e-3 * args.rate, ema=0.995)
    )

    def loss(rng: Random, spent: float) -> dict[str, Tensor]:
        return losses(model, new_batch(rng, BATCH, tokenizer))

    fit(
        optimizer, loss, Budget(minutes=args.minutes), args.out,
        on_checkpoint=lambda: keep(model, tokenizer, args.out / "model"),
    )  # fmt: skip


if __name__ == "__main__":
    main()
