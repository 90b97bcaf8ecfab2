"""Targets that nobody wrote: of several texts for a row the best by its reward, where it is as good as targets are.

Reward-ranked fine-tuning (RAFT, Dong et al. 2023), between the fine-tuning on examples and PPO. A reward says of a text
no more than how good it is, a target says every word; of the texts that a fine-tuned writer samples (pi+) enough are
right that the best of them teach nearly as much as targets do (docs/decisions/0022).
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import torch

from limner.train.writer.base import Base
from limner.train.writer.data import end_of, ids_of, padding_of
from limner.train.writer.group import meet, processes, rank
from limner.train.writer.log import say
from limner.train.writer.ppo import Options, text_of
from limner.train.writer.rollout import sample
from limner.train.writer.task import Judge

AT_ONCE = 16
"""Rows that are written for in one batch."""

LEAST = 0.1
"""A text is kept from the score on that all but this share of the targets reach."""

_SAID_EVERY_S = 60.0


@dataclass(frozen=True, slots=True)
class Best:
    """The best text for a row, which is known by its number, and its reward."""

    row: int
    text: str
    score: float


def write_best(
    base: Base, judge: Judge, wanted: Sequence[int], texts: int, options: Options, seed: int, folder: Path
) -> list[Best]:
    """Write `texts` texts for each wanted row of the judge's, and return each row's best one.

    What is written goes to files in the folder, batch by batch, so that a run that was stopped goes on; chance in a
    batch comes from the seed and its first row alone. Processes share the rows, and each returns all.
    """
    done = _written(folder)
    missing = [row for row in wanted if row not in done]
    order = sorted(missing, key=lambda row: len(judge.rows[row].prefix))  # batches of like length
    batches = [order[first : first + AT_ONCE] for first in range(0, len(order), AT_ONCE)][rank() :: processes()]
    said = time.monotonic()
    with (folder / f"best-{rank()}.jsonl").open("a", encoding="utf-8") as file:
        for number, batch in enumerate(batches):
            for each in _best_of(base, judge, batch, texts, options, Random(f"{seed}/{batch[0]}")):
                file.write(json.dumps([each.row, each.text, each.score]) + "\n")
            file.flush()
            if time.monotonic() - said > _SAID_EVERY_S:
                said = time.monotonic()
                say(f"batch {number + 1} of {len(batches)} written")
    meet()
    found = _written(folder)
    return [found[row] for row in wanted]


def _best_of(
    base: Base, judge: Judge, batch: Sequence[int], texts: int, options: Options, rng: Random
) -> Iterator[Best]:
    tokenizer: Any = base.tokenizer
    rows = [row for row in batch for _ in range(texts)]
    prefixes = [ids_of(tokenizer, judge.rows[row].prefix) for row in rows]
    generator = torch.Generator(base.model.device).manual_seed(rng.getrandbits(62))
    ids = sample(
        base.model, prefixes, end=end_of(tokenizer), pad=padding_of(tokenizer), longest=options.longest,
        generator=generator, mass=options.mass,
    )  # fmt: skip
    written = [text_of(tokenizer, each) for each in ids]
    scores = [float(score) for score in judge.score(rows, written)]
    for first in range(0, len(rows), texts):
        top = max(range(first, first + texts), key=lambda place: scores[place])
        yield Best(rows[first], written[top], scores[top])


def _written(folder: Path) -> dict[int, Best]:
    """What was written so far, by any process; a line that was cut off is left out."""
    found: dict[int, Best] = {}
    for path in sorted(folder.glob("best-*.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                row, text, score = json.loads(line)
            except ValueError:
                continue
            found[row] = Best(row, text, score)
    return found


def as_good_as_targets(judge: Judge, labelled: Sequence[int], least: float = LEAST) -> float:
    """The reward from which a text counts as a target: what all but the share `least` of the rows' own ones reach."""
    return float(judge.score(labelled, [judge.rows[row].y for row in labelled]).quantile(least))
