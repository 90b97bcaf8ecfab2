"""One writer from rows to a folder: fine-tuned, its rewards learned, sharpened by PPO; every stage resumes.

On one thread (OMP_NUM_THREADS=1) a run that was stopped goes on bit for bit as it would have.

python -m limner.train.writer.run --data world --base small --out runs/writer
accelerate launch -m limner.train.writer.run --data rows.jsonl --base FOLDER --out runs/writer --stage ppo
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from limner.backends.hub import content_hash, weight_files
from limner.instructpe import BEAUTIFY_TEMPLATE, TEMPLATE, Row
from limner.train.libraries import seed_torch, to_folder
from limner.train.loop import Budget, start_processes
from limner.train.writer.base import SMALL, Base, Lora, load_base, merged, new_model, new_tokenizer, with_lora
from limner.train.writer.data import LENGTH, encode, encode_all
from limner.train.writer.descent import Descent
from limner.train.writer.exam import examine
from limner.train.writer.group import at_work, device, meet, rank
from limner.train.writer.hard import hard_rows
from limner.train.writer.improve import Job, improve
from limner.train.writer.log import say
from limner.train.writer.plan import STAGES, WEIGHTS, Plan, begin, plan_of
from limner.train.writer.policy import VALUE_HEAD, Policy
from limner.train.writer.reward import (
    KINDS,
    Recipe,
    Regressor,
    keep_regressor,
    load_regressor,
    read_scores,
    train_regressor,
)
from limner.train.writer.rows import EVERY, STRANGE, WORLD, corpus, pairs_of, read_pairs, rows_for
from limner.train.writer.sft import Recipe as SftRecipe
from limner.train.writer.sft import train_base, train_small
from limner.train.writer.task import Judge, writing_task
from limner.types import BadInput

QUICKER = 4.0
"""By so many times the value head's rate is higher than that of the blocks."""


def train_writer(plan: Plan) -> dict[str, Any]:
    """Run the stages of a plan that its folder has not finished; returns where each writer is and what it reaches.

    Raises BadInput for rows or scores that cannot be used and where another run is at work, ModelUnavailable when the
    base cannot be had.
    """
    start_processes()
    begin(plan)
    learned, unseen = rows_for(plan.data, plan.rows, plan.unseen, plan.seed)
    report: dict[str, Any] = {"rows": len(learned)}
    if plan.stage in ("sft", "all"):
        with at_work(plan.out / "sft"):
            report["sft"] = fine_tune(plan, learned, unseen)
    if plan.stage == "reward" or (plan.stage == "all" and plan.scores):
        with at_work(plan.out / "reward"):
            report["reward"] = learn_rewards(plan)
    if plan.stage in ("ppo", "all"):
        with at_work(plan.out / plan.ppo_name):
            report["ppo"] = reinforce(plan, learned, unseen)
    return report


def fine_tune(plan: Plan, learned: Sequence[Row], unseen: Sequence[Row]) -> dict[str, Any]:
    """Stage 1: a writer in `out`/sft/model."""
    folder = plan.out / "sft"
    began = time.monotonic()
    strange = STRANGE if plan.base == SMALL else 0.0
    best = fit_pairs(plan, folder, pairs_of(learned, strange, plan.seed), pairs_of(unseen), corpus(learned), TEMPLATE)
    base = _placed(load_base(str(folder / "model")), 0)
    return {
        "model": str(folder / "model"), "perplexity": round(best, 4),
        "minutes": round((time.monotonic() - began) / 60, 1), **examine(base, unseen[: plan.exam]),
    }  # fmt: skip


def fit_pairs(
    plan: Plan, folder: Path, learned: Sequence[tuple[str, str]], unseen: Sequence[tuple[str, str]],
    texts: Iterable[str], template: str,
) -> float:  # fmt: skip
    """Fit the base to (prefix, target) texts into `folder`/model; returns the perplexity on the unseen ones."""
    small = plan.base == SMALL
    base = new_small(plan, folder, texts, template) if small else _placed(load_base(plan.base), plan.lora)
    budget = Budget(minutes=plan.minutes, steps=plan.steps, checkpoint_minutes=3)

    def keep() -> None:
        kept = Base(plan.base, merged(base.model), base.tokenizer)
        keep_writer(kept, folder / "model", stage="sft", template=template)

    pool, held = encode_all(base.tokenizer, learned), encode_all(base.tokenizer, unseen[: plan.unseen])
    if small:
        return train_small(base, pool, held, budget, folder, seed=plan.seed, keep=keep)
    return train_base(base, pool, held, SftRecipe(), budget, folder, seed=plan.seed, keep=keep)


def new_small(plan: Plan, folder: Path, texts: Iterable[str], template: str) -> Base:
    """An untrained small writer; a run that goes on keeps the tokenizer that it began with."""
    kept = folder / "model" / "tokenizer.json"
    if (folder / "state.safetensors").exists() and kept.exists():
        tokenizer = load_base(str(kept.parent)).tokenizer
    else:
        tokenizer = new_tokenizer(texts, plan.sizes.tokens, pieces_of(template))
    seed_torch(plan.seed)
    return _placed(Base(SMALL, new_model(tokenizer, plan.sizes), tokenizer), 0)


def pieces_of(template: str) -> list[str]:
    """What of a template always stands there."""
    marked = template.replace("{x}", "\0 ").replace("{i}", "\0 ").replace("{raw}", "\0 ")
    return [piece.strip(" ") for piece in marked.split("\0") if piece.strip(" ")]


def _placed(base: Base, lora: int) -> Base:
    """The base where it is trained, with adapters of this rank where that is not 0."""
    base.model.to(device())
    return with_lora(base, Lora(lora)) if lora else base


def learn_rewards(plan: Plan) -> dict[str, Any]:
    """Stage 2: regressors in `out`/reward, on the body of the fine-tuned writer. Raises BadInput without scores."""
    if not plan.scores:
        raise BadInput("the scores of prompts are missing", "give --scores FILE")
    rows = read_scores(plan.scores)
    small = plan.base == SMALL
    recipe = Recipe(rate=5e-4, epochs=4, batch=32) if small else Recipe()
    report: dict[str, Any] = {}
    for kind in KINDS:
        learner, reached = train_regressor(kind, writer_folder(plan), rows, recipe, plan.seed, say)
        if rank() == 0:
            keep_regressor(learner, plan.out / "reward" / kind, reached)
        meet()
        report[kind] = {name: round(value, 3) for name, value in reached.items()}
    return report


def writer_folder(plan: Plan) -> Path:
    """The fine-tuned writer. Raises BadInput where that stage has not been run."""
    folder = plan.out / "sft" / "model"
    if not (folder / "writer.json").exists():
        raise BadInput(f"{folder} holds no fine-tuned writer", "run the stage sft first")
    return folder


def rewards_of(plan: Plan) -> list[Regressor]:
    """The regressors that are there; none means that content integrity alone is rewarded."""
    folders = [plan.out / "reward" / kind for kind in KINDS]
    return [load_regressor(folder) for folder in folders if (folder / "reward.json").exists()]


def reinforce(plan: Plan, learned: Sequence[Row], unseen: Sequence[Row]) -> dict[str, Any]:
    """Stage 3: the sharpened writer in `out`/ppo/model, or, with a part switched off, in `out`/ppo-no-vci/model."""
    base = _placed(load_base(str(writer_folder(plan))), plan.lora)
    folder = plan.out / plan.ppo_name
    rows = _readable(base, learned)
    if plan.hard:
        rows = hard_rows(base, rows[: plan.hard], plan.out / f"hard-{plan.seed}-{plan.hard}.json")
    judge = Judge(rows, rewards_of(plan), plan.weights)
    task = writing_task(base.tokenizer, rows, judge, negatives=plan.negatives, room=1)
    seed_torch(plan.seed)
    third = max(1, int(base.model.config.num_hidden_layers) // 3)
    policy = Policy(base.model, 0 if plan.lora else plan.depth or third)
    rate = plan.rate or (1e-4 if plan.base == SMALL else 5e-6)
    descent = Descent(policy.trained(), rate, weight_decay=1e-6, quick={VALUE_HEAD: QUICKER})
    job = Job(policy, base.tokenizer, task, descent, plan.options)
    budget = Budget(minutes=plan.minutes, steps=plan.steps)
    figures = improve(job, folder, budget, plan.seed)
    done = Base(plan.base, merged(policy.model), base.tokenizer)
    if rank() == 0:
        keep_writer(done, folder / "model", stage="ppo", template=TEMPLATE)
    meet()
    return {"model": str(folder / "model"), **figures, **examine(done, unseen[: plan.exam])}


def _readable(base: Base, rows: Sequence[Row]) -> list[Row]:
    """The rows that the fine-tuning did not leave out for their length."""
    return [row for row in rows if len(encode(base.tokenizer, row.prefix, row.y)) <= LENGTH]


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


def train_beautifier(plan: Plan) -> dict[str, Any]:
    """The same fine-tuning on pairs of a simple prompt and a model-friendly one (DiffChat's prompt beautification)."""
    start_processes()
    begin(plan)
    pairs = read_pairs(Path(plan.data))
    learned, unseen = pairs[1:], pairs[: max(1, len(pairs) // EVERY)]
    texts = (f" {text}" for pair in pairs for text in pair)
    with at_work(plan.out / "sft"):
        best = fit_pairs(plan, plan.out / "sft", learned, unseen, texts, BEAUTIFY_TEMPLATE)
    return {"model": str(plan.out / "sft" / "model"), "pairs": len(pairs), "perplexity": round(best, 4)}


def main() -> None:
    """Train from the command line; see the module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default=WORLD, help="rows of InstructPE (.json, .jsonl), or world")
    parser.add_argument("--base", default=SMALL, help="small, a folder, a GGUF file or a hub id")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--stage", choices=STAGES, default="all")
    parser.add_argument("--scores", type=Path, help="scores of prompts; without them only integrity is rewarded")
    for name, kind in (("minutes", float), ("steps", int), ("seed", int), ("rows", int), ("lora", int), ("depth", int)):
        parser.add_argument(f"--{name}", type=kind)
    parser.add_argument("--rate", type=float, help="of PPO")
    for kind, names in ((int, ("epochs", "warm", "hard")), (float, ("gamma", "lam", *WEIGHTS))):
        for name in names:
            parser.add_argument(f"--{name}", type=kind, help="of PPO; see limner.train.writer.plan")
    for name in ("negatives", "typical", "vci"):
        parser.add_argument(f"--no-{name}", action="store_true")
    print(json.dumps(train_writer(plan_of(vars(parser.parse_args())))))


if __name__ == "__main__":
    main()
