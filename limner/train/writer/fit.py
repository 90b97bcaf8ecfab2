"""A base fitted to texts: where a writer begins, how it is fitted, and the folder that people load it from."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

from limner.backends.hub import content_hash, weight_files
from limner.train.libraries import seed_torch, to_folder
from limner.train.loop import Budget
from limner.train.writer.base import SMALL, Base, Lora, load_base, merged, new_model, new_tokenizer, with_lora
from limner.train.writer.data import encode_all
from limner.train.writer.group import device
from limner.train.writer.plan import Plan
from limner.train.writer.sft import Recipe, train_base, train_small


def fit_pairs(
    plan: Plan, folder: Path, base: Base, learned: Sequence[tuple[str, str]], unseen: Sequence[tuple[str, str]],
    template: str,
) -> float:  # fmt: skip
    """Fit the base to (prefix, target) texts into `folder`/model; returns the perplexity on the unseen ones."""
    budget = Budget(minutes=plan.minutes, steps=plan.steps, checkpoint_minutes=3)

    def keep() -> None:
        kept = Base(plan.base, merged(base.model), base.tokenizer)
        keep_writer(kept, folder / "model", stage=folder.name, template=template)

    pool, held = encode_all(base.tokenizer, learned), encode_all(base.tokenizer, unseen[: plan.unseen])
    if plan.base == SMALL:
        return train_small(base, pool, held, budget, folder, seed=plan.seed, keep=keep)
    return train_base(base, pool, held, Recipe(), budget, folder, seed=plan.seed, keep=keep)


def untuned(plan: Plan, folder: Path, texts: Iterable[str], template: str) -> Base:
    """What a first fine-tuning begins with."""
    return new_small(plan, folder, texts, template) if plan.base == SMALL else placed(load_base(plan.base), plan.lora)


def new_small(plan: Plan, folder: Path, texts: Iterable[str], template: str) -> Base:
    """An untrained small writer; a run that goes on keeps the tokenizer that it began with."""
    kept = folder / "model" / "tokenizer.json"
    if (folder / "state.safetensors").exists() and kept.exists():
        tokenizer = load_base(str(kept.parent)).tokenizer
    else:
        tokenizer = new_tokenizer(texts, plan.sizes.tokens, pieces_of(template))
    seed_torch(plan.seed)
    return placed(Base(SMALL, new_model(tokenizer, plan.sizes), tokenizer), 0)


def pieces_of(template: str) -> list[str]:
    """What of a template always stands there."""
    marked = template.replace("{x}", "\0 ").replace("{i}", "\0 ").replace("{raw}", "\0 ")
    return [piece.strip(" ") for piece in marked.split("\0") if piece.strip(" ")]


def placed(base: Base, lora: int) -> Base:
    """The base where it is trained, with adapters of this rank where that is not 0."""
    base.model.to(device())
    return with_lora(base, Lora(lora)) if lora else base


def keep_writer(base: Base, folder: Path, *, stage: str, template: str) -> None:
    """Save a writer as people load it: weights, tokenizer, and writer.json, which says what it is.

    Another one in the folder stays until this one is whole.
    """
    fresh = folder.with_name(f".{folder.name}-new")
    shutil.rmtree(fresh, ignore_errors=True)
    to_folder(base.model, fresh)
    to_folder(base.tokenizer, fresh)
    note = {"base": base.name, "stage": stage, "template": template, "repetition_penalty": 1.0}
    note["hash"] = content_hash(weight_files(fresh))
    (fresh / "writer.json").write_text(json.dumps(note, indent=1))
    shutil.rmtree(folder, ignore_errors=True)
    fresh.rename(folder)
