"""Scores of prompts, learned from scores of their pictures, so that training by them never draws one (methods 2.3).

Each is a causal language model with a linear head on the last token, by mean squared error. The aesthetic one reads
the prompt, the preferring one also the user's own words. Targets are learned in standard units: without that a head
that begins at 0 spends the whole epoch on walking to 19.5.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from statistics import fmean, pstdev
from typing import Any, Literal

import torch
from torch import Tensor
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from limner.backends.hub import check_configs, check_weights, not_loadable, read_json
from limner.train.libraries import from_folder, seed_torch, to_folder
from limner.train.writer.data import LENGTH, end_of, ids_of, padding_of
from limner.train.writer.descent import Descent
from limner.train.writer.group import device
from limner.types import BadInput

Kind = Literal["aesthetic", "preference"]
KINDS: tuple[Kind, ...] = ("aesthetic", "preference")
_UNSEEN = 10
"""One row in so many is kept to measure on."""


@dataclass(frozen=True, slots=True)
class Scored:
    """A prompt, the user's words it was made for, and what its picture scored."""

    prompt: str
    raw: str
    aesthetic: float
    preference: float


@dataclass(frozen=True, slots=True)
class Recipe:
    """The paper's constants (table 3); the small writer, trained from scratch, wants a higher rate and more epochs."""

    rate: float = 5e-6
    batch: int = 64
    epochs: int = 1
    weight_decay: float = 1e-3


def read_scores(path: Path) -> list[Scored]:
    """The rows of a file of JSON lines: prompt, raw, aesthetic, preference. Raises BadInput for anything else."""
    rows: list[Scored] = []
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{path} cannot be read ({type(error).__name__})", "give the scores of prompts") from None
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row: Any = json.loads(line)
            scored = Scored(str(row["prompt"]), str(row["raw"]), float(row["aesthetic"]), float(row["preference"]))
        except (ValueError, KeyError, TypeError) as error:
            raise BadInput(
                f"{path}, line {number}: no score ({type(error).__name__})", "prompt, raw, aesthetic and preference"
            ) from None
        rows.append(scored)
    if len(rows) < 2 * _UNSEEN:
        raise BadInput(f"{path} has {len(rows)} scores", f"it takes {2 * _UNSEEN} at least to learn from")
    return rows


def text_for(kind: Kind, prompt: str, raw: str) -> str:
    """What the regressor reads; an EOS follows as an id."""
    return prompt if kind == "aesthetic" else f"Input: {raw}\nOutput: {prompt}"


class Regressor:
    """Scores texts; `mean` and `deviation` turn its standard units into those of its targets."""

    def __init__(self, kind: Kind, model: Any, tokenizer: Any, mean: float, deviation: float) -> None:
        self.kind: Kind = kind
        self.model, self.tokenizer = model, tokenizer
        self.mean, self.deviation = mean, deviation
        model.config.pad_token_id = padding_of(tokenizer)

    def encode(self, prompt: str, raw: str) -> list[int]:
        """Ids that end with EOS, which alone is read from; a long text loses its end, never the EOS."""
        return [*ids_of(self.tokenizer, text_for(self.kind, prompt, raw))[: LENGTH - 1], end_of(self.tokenizer)]

    def standard(self, rows: Sequence[Sequence[int]]) -> Tensor:
        """Standard units for rows of ids: (n,)."""
        longest = max(map(len, rows))
        pad = padding_of(self.tokenizer)
        ids = torch.tensor([[*row, *[pad] * (longest - len(row))] for row in rows], device=self.model.device)
        mask = torch.arange(longest)[None] < torch.tensor([[len(row)] for row in rows])
        hidden = self.model.base_model(
            input_ids=ids, attention_mask=mask.long().to(ids.device), use_cache=False
        ).last_hidden_state
        last = hidden[torch.arange(len(rows)), torch.tensor([len(row) - 1 for row in rows])]
        return self.model.score(last).float()[:, 0]

    @torch.inference_mode()
    def score(self, prompts: Sequence[str], raws: Sequence[str], batch: int = 64) -> Tensor:
        """Scores in the targets' units: (n,), on the CPU."""
        rows = [self.encode(*pair) for pair in zip(prompts, raws, strict=True)]
        order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
        found = torch.zeros(len(rows))
        for first in range(0, len(order), batch):
            places = order[first : first + batch]
            found[places] = self.standard([rows[i] for i in places]).cpu()
        return found * self.deviation + self.mean


def new_regressor(kind: Kind, folder: Path, targets: Sequence[float]) -> Regressor:
    """A regressor on the body of the language model in `folder`, with a fresh head, for targets like these."""
    model: Any = from_folder(AutoModelForSequenceClassification, folder, num_labels=1, dtype=torch.float32)
    words = from_folder(AutoTokenizer, folder)
    return Regressor(kind, model.to(device()), words, fmean(targets), pstdev(targets) or 1.0)


def train_regressor(
    kind: Kind, folder: Path, rows: Sequence[Scored], recipe: Recipe, seed: int, watch: Callable[[str], None]
) -> tuple[Regressor, dict[str, float]]:
    """Learn the scores of the rows; returns the regressor and how it does on every tenth row, which it has not seen."""
    seed_torch(seed)
    targets = [float(getattr(row, kind)) for row in rows]
    learner = new_regressor(kind, folder, targets)
    examples = [
        (learner.encode(row.prompt, row.raw), (target - learner.mean) / learner.deviation)
        for row, target in zip(rows, targets, strict=True)
    ]
    learned = [each for number, each in enumerate(examples) if number % _UNSEEN]
    unseen = [row for number, row in enumerate(rows) if not number % _UNSEEN]
    descent = Descent(list(learner.model.named_parameters()), recipe.rate, recipe.weight_decay)
    learner.model.train()
    updates = max(1, recipe.epochs * len(learned) // recipe.batch)
    rng = Random(seed)
    for number in range(updates):
        part = rng.sample(learned, min(recipe.batch, len(learned)))
        wanted = torch.tensor([target for _, target in part], device=learner.model.device)
        error = ((learner.standard([ids for ids, _ in part]) - wanted) ** 2).mean()
        error.backward()  # pyright: ignore[reportUnknownMemberType]
        descent.step(number / updates)
        if number % 20 == 0:
            watch(f"{kind} {number}/{updates}: squared error {float(error.detach()):.3f}")
    learner.model.eval()
    return learner, measured(learner, unseen)


def measured(learner: Regressor, rows: Sequence[Scored]) -> dict[str, float]:
    """The correlation with the true scores, and the share of their variance that is explained."""
    true = torch.tensor([float(getattr(row, learner.kind)) for row in rows])
    found = learner.score([row.prompt for row in rows], [row.raw for row in rows])
    both = torch.stack([true, found])
    spread = float(true.var())
    explained = 1 - float(((true - found) ** 2).mean()) / spread if spread else 0.0
    return {"correlation": float(torch.corrcoef(both)[0, 1].nan_to_num()), "explained": explained}


def keep_regressor(learner: Regressor, folder: Path, reached: Mapping[str, float]) -> None:
    """Save it as `load_regressor` reads it."""
    to_folder(learner.model, folder)
    to_folder(learner.tokenizer, folder)
    note = {"kind": learner.kind, "mean": learner.mean, "deviation": learner.deviation, "reached": dict(reached)}
    (folder / "reward.json").write_text(json.dumps(note, indent=1))


def load_regressor(folder: Path) -> Regressor:
    """A saved regressor. Raises ModelUnavailable when it is not there or unsafe."""
    check_configs(folder)
    check_weights(folder)
    note = read_json(folder / "reward.json")
    try:
        model: Any = from_folder(AutoModelForSequenceClassification, folder, use_safetensors=True, dtype=torch.float32)
        tokenizer = from_folder(AutoTokenizer, folder)
        model = model.to(device()).eval()
        return Regressor(note["kind"], model, tokenizer, float(note["mean"]), float(note["deviation"]))
    except Exception as error:  # whatever a malformed folder makes the library raise
        raise not_loadable(folder, error) from error
