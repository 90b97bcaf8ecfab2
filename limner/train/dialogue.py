"""Recipe: the dialogue model, transformers' Blenderbot on dialogues about changing pictures (DialogPaint 3.1).

`small` is the embedded model, trained from scratch on the world's dialogues; any other base is fine-tuned by ParlAI's
recipe (`limner.train.finetune`). Dialogues of a language model (`limner.dialogues`) may be given as JSON lines.

    python -m limner.train.dialogue --base small --out runs/dialogue --minutes 12
    python -m limner.train.dialogue --base facebook/blenderbot-400M-distill --data FILE.jsonl --out runs/blender
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import torch
from tokenizers import Tokenizer
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from tokenizers.trainers import BpeTrainer
from torch import Tensor, nn
from transformers import BlenderbotConfig, BlenderbotForConditionalGeneration, BlenderbotTokenizer

from limner.backends.hub import check_configs, check_weights, model_folder
from limner.backends.pairs import LENGTH, Batch, Sample, losses, pairs, perplexity, samples, to_batch
from limner.train.finetune import Recipe, fine_tune
from limner.train.libraries import from_folder, seed_torch, to_folder
from limner.train.loop import Budget, fit, start_processes
from limner.train.optim import MixedOptimizer, Rates
from limner.train.strange_turns import STRANGE, learned_samples
from limner.world.dialogue import Dialogue, from_json, sample_dialogue

BATCH = 64
DIALOGUES, VALIDATION = 100_000, 500
DECAY = 2 / 3
"""At the full rate what is copied from far away is not learned: nearly all of that comes while the rate falls."""

SPECIAL = ("<pad>", "<s>", "</s>", "<unk>", "<mask>")
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789.,:;?!'\"()[]-#&/"
_WINDOW = 4
"""Batches drawn at once and sorted by length, so that little is padded."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """What the embedded model is made of; together about 3 MB in half precision."""

    tokens: int = 1400
    width: int = 160
    inner: int = 320
    heads: int = 4
    encoder_layers: int = 3
    decoder_layers: int = 2


def new_tokenizer(dialogues: Iterable[Dialogue], tokens: int) -> BlenderbotTokenizer:
    """A tokenizer of Blenderbot's format with so many tokens, the commonest words of the dialogues whole.

    It knows small English letters; what else is written in is left out.
    """
    blank: Any = Tokenizer(BPE())  # not the library's blank one, in which pad and begin have each other's ids
    blank.pre_tokenizer = ByteLevel(add_prefix_space=True)
    trainer = BpeTrainer(
        vocab_size=tokens, special_tokens=list(SPECIAL), initial_alphabet=[*LETTERS, "Ġ"], show_progress=False
    )
    blank.train_from_iterator((text for pair in pairs(dialogues) for text in pair), trainer)
    learned: dict[str, Any] = json.loads(blank.to_str())["model"]
    merges: Any = [tuple(pair) for pair in learned["merges"]]  # annotated as strings, but wanted as pairs
    return BlenderbotTokenizer(vocab=learned["vocab"], merges=merges, model_max_length=LENGTH, truncation_side="left")


def new_model(tokenizer: BlenderbotTokenizer, sizes: Sizes) -> BlenderbotForConditionalGeneration:
    """The shipped architecture. Its positions begin as sinusoids, from which the neighbour of a word is easily told."""
    config = BlenderbotConfig(
        vocab_size=len(tokenizer), d_model=sizes.width, max_position_embeddings=LENGTH, dropout=0.0,
        encoder_layers=sizes.encoder_layers, decoder_layers=sizes.decoder_layers, init_std=0.04,
        encoder_attention_heads=sizes.heads, decoder_attention_heads=sizes.heads,
        encoder_ffn_dim=sizes.inner, decoder_ffn_dim=sizes.inner, encoder_no_repeat_ngram_size=0,
        forced_eos_token_id=None,
    )  # fmt: skip
    model = BlenderbotForConditionalGeneration(config)
    with torch.no_grad():
        for part in (model.model.encoder, model.model.decoder):
            part.embed_positions.weight.copy_(0.06 * _sinusoids(LENGTH, sizes.width))
    return model


def _sinusoids(length: int, width: int) -> Tensor:
    angle = torch.arange(length)[:, None] / 1000 ** (torch.arange(width // 2) / (width // 2))
    return torch.cat([angle.sin(), angle.cos()], dim=1)


def random_batch(rng: Random, pool: Sequence[Sample], size: int) -> Batch:
    """Samples of similar length."""
    drawn = sorted(rng.choices(pool, k=size * _WINDOW), key=lambda s: (len(s.read), len(s.say)))
    first = rng.randrange(_WINDOW) * size
    return to_batch(drawn[first : first + size])


def parameters(model: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    """The parameters by name; tables of words and positions are called embeddings, which keeps them from Muon."""
    for name, parameter in model.named_parameters():
        looked_up = "shared" in name or "embed_positions" in name
        yield f"embedding.{name}" if looked_up else name, parameter


def keep(model: BlenderbotForConditionalGeneration, tokenizer: BlenderbotTokenizer, folder: Path) -> None:
    """Save all that `from_pretrained` reads."""
    to_folder(model, folder)
    to_folder(tokenizer, folder)


@dataclass(frozen=True, slots=True)
class Course:
    """How the embedded model is trained: from nothing in these sizes, or on from the `weights` of a folder.

    `rate` multiplies the usual learning rates; `strange` is the share of turns with a strange word in them.
    """

    sizes: Sizes = field(default_factory=Sizes)
    weights: Path | None = None
    rate: float = 1.0
    strange: float = STRANGE


def train_small(
    dialogues: Sequence[Dialogue], validation: Sequence[Dialogue], budget: Budget, out: Path, course: Course = Course()
) -> float:
    """Train the embedded model into `out`/model, keeping what was best on the validation dialogues.

    Returns that perplexity.
    """
    if course.weights:
        tokenizer = from_folder(BlenderbotTokenizer, course.weights)
        model = from_folder(BlenderbotForConditionalGeneration, course.weights, dtype=torch.float32).train()
    else:
        tokenizer = new_tokenizer(dialogues, course.sizes.tokens)
        model = new_model(tokenizer, course.sizes).train()
    pool = learned_samples(tokenizer, dialogues, course.strange)
    unseen = samples(tokenizer, validation)
    rates = Rates(muon=0.015 * course.rate, adamw=2e-3 * course.rate, ema=0.995)
    optimizer = MixedOptimizer(parameters(model), rates)
    best = [math.inf]

    def keep_best() -> None:
        reached = perplexity(model, unseen)
        print(f"step {optimizer.steps}: perplexity {reached:.3f}", flush=True)
        if reached < best[0]:
            best[0] = reached
            keep(model, tokenizer, out / "model")

    def loss(rng: Random, spent: float) -> dict[str, Tensor]:
        return losses(model, random_batch(rng, pool, BATCH))

    fit(optimizer, loss, budget, out, on_checkpoint=keep_best)
    return best[0]


def train_base(
    base: str, dialogues: Sequence[Dialogue], validation: Sequence[Dialogue], out: Path, recipe: Recipe, minutes: float
) -> float:
    """Fine-tune a Blenderbot of the hub or a folder into `out`/model; returns the best validation perplexity.

    Raises ModelUnavailable when there is none.
    """
    folder = model_folder(base, files=("*.json", "*.txt", "*.safetensors"))
    check_configs(folder)
    check_weights(folder)
    tokenizer = from_folder(BlenderbotTokenizer, folder)
    model = from_folder(BlenderbotForConditionalGeneration, folder, dtype=torch.float32, use_safetensors=True)
    pool, unseen = samples(tokenizer, dialogues), samples(tokenizer, validation)
    return fine_tune(
        model, lambda rng: losses(model, random_batch(rng, pool, recipe.batch))["loss"], recipe,
        steps_per_epoch=max(1, len(pool) // (recipe.batch * recipe.accumulate)), minutes=minutes,
        validate=lambda: perplexity(model, unseen), on_better=lambda: keep(model, tokenizer, out / "model"),
    )  # fmt: skip


def world_dialogues(count: int, seed: str) -> list[Dialogue]:
    """Dialogues of the training side."""
    rng = Random(seed)
    return [sample_dialogue(rng) for _ in range(count)]


def read_dialogues(path: Path) -> tuple[list[Dialogue], list[Dialogue]]:
    """The dialogues of a file of JSON lines: every eighteenth for validation, as 500 of 9,500, the rest to train on."""
    rows = [from_json(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    return [row for i, row in enumerate(rows) if i % 19], rows[::19]


def train_dialogue(
    base: str,
    out: Path,
    minutes: float,
    data: Path | None = None,
    dialogues: int = DIALOGUES,
    decay: float = DECAY,
    course: Course = Course(),
) -> dict[str, object]:
    """Train `base` (small, a folder or a hub id) into `out`/model on the world's dialogues or those of a file.

    `decay` is the last share of the small one's budget, over which its rate falls. Returns the folder and the best
    perplexity a token on the validation dialogues. Raises ModelUnavailable when the base cannot be had.
    """
    start_processes()
    seed_torch(0)
    if data:
        learned, unseen = read_dialogues(data)
    else:
        learned, unseen = world_dialogues(dialogues, "dialogues"), world_dialogues(VALIDATION, "validation")
    if base == "small":
        best = train_small(learned, unseen, Budget(minutes=minutes, decay=decay, checkpoint_minutes=1), out, course)
    else:
        best = train_base(base, learned, unseen, out, Recipe(), minutes)
    return {"model": str(out / "model"), "perplexity": round(best, 3), "dialogues": len(learned)}


def main() -> None:
    """Train from the command line; see the module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base", default="small", help="small, a folder or a hub id")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=12)
    parser.add_argument("--data", type=Path, help="dialogues as JSON lines instead of the world's")
    parser.add_argument("--dialogues", type=int, default=DIALOGUES, help="how many of the world's to learn from")
    parser.add_argument("--decay", type=float, default=DECAY, help="last share of the budget, while the rate falls")
    parser.add_argument("--weights", type=Path, help="small: go on from the weights of this folder")
    parser.add_argument("--rate", type=float, default=1.0, help="small: the rates times this")
    args = parser.parse_args()
    course = Course(weights=args.weights, rate=args.rate)
    print(json.dumps(train_dialogue(args.base, args.out, args.minutes, args.data, args.dialogues, args.decay, course)))


if __name__ == "__main__":
    main()
