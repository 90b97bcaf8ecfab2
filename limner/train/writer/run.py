"""One writer from rows to a folder: fine-tuned, its rewards learned, taught by its own best texts, sharpened by PPO.

Every stage resumes; on one thread (OMP_NUM_THREADS=1) a run that was stopped goes on bit for bit as it would have.

python -m limner.train.writer.run --data world --base small --out runs/writer
accelerate launch -m limner.train.writer.run --data rows.jsonl --base FOLDER --out runs/writer --stage ppo
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from limner.instructpe import BEAUTIFY_TEMPLATE, TEMPLATE, Row
from limner.train.libraries import seed_torch
from limner.train.loop import Budget, start_processes
from limner.train.writer.base import SMALL, Base, load_base, merged
from limner.train.writer.best import as_good_as_targets, write_best
from limner.train.writer.data import LENGTH, encode
from limner.train.writer.descent import Descent
from limner.train.writer.exam import examine
from limner.train.writer.fit import fit_pairs, keep_writer, placed, untuned
from limner.train.writer.group import at_work, meet, rank
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
from limner.train.writer.rows import EVERY, STRANGE, WORLD, corpus, pairs_of, read_pairs, rows_for, without_targets
from limner.train.writer.task import Judge, writing_task
from limner.types import BadInput

_ENOUGH = 1000
"""Rows that are enough to tell what targets score."""

QUICKER = 4.0
"""By so many times the value head's rate is higher than that of the blocks."""


def train_writer(plan: Plan) -> dict[str, Any]:
    """Run the stages of a plan that its folder has not finished; returns where each writer is and what it reaches.

    Raises BadInput for rows or scores that cannot be used and where another run is at work, ModelUnavailable when the
    base cannot be had.
    """
    start_processes()
    begin(plan)
    rows, unseen = rows_for(plan.data, plan.rows, plan.unseen, plan.seed)
    rows = without_targets(rows, plan.labelled)
    labelled = [row for row in rows if row.y]
    report: dict[str, Any] = {"rows": len(rows), "labelled": len(labelled)}
    if plan.stage in ("sft", "all"):
        with at_work(plan.out / "sft"):
            report["sft"] = fine_tune(plan, labelled, unseen)
    if plan.stage == "reward" or (plan.stage == "all" and plan.scores):
        with at_work(plan.out / "reward"):
            report["reward"] = learn_rewards(plan)
    if plan.stage == "raft" or (plan.stage == "all" and len(labelled) < len(rows)):
        with at_work(plan.out / "raft"):
            report["raft"] = learn_from_best(plan, rows, unseen)
    if plan.stage in ("ppo", "all"):
        with at_work(plan.out / plan.ppo_name):
            report["ppo"] = reinforce(plan, rows, unseen)
    return report


def fine_tune(plan: Plan, labelled: Sequence[Row], unseen: Sequence[Row]) -> dict[str, Any]:
    """Stage 1: a writer in `out`/sft/model. Raises BadInput where no row has a target."""
    folder = plan.out / "sft"
    base = untuned(plan, folder, corpus(labelled), TEMPLATE)
    return _fitted(plan, folder, base, _targets(plan, labelled), unseen)


def _targets(plan: Plan, labelled: Sequence[Row]) -> list[tuple[str, str]]:
    return pairs_of(labelled, STRANGE if plan.base == SMALL else 0.0, plan.seed)


def _fitted(
    plan: Plan, folder: Path, base: Base, pairs: Sequence[tuple[str, str]], unseen: Sequence[Row]
) -> dict[str, Any]:  # fmt: skip
    """The base fitted to (prefix, target) texts into `folder`/model; what it reaches."""
    began = time.monotonic()
    best = fit_pairs(plan, folder, base, pairs, pairs_of(unseen), TEMPLATE)
    done = placed(load_base(str(folder / "model")), 0)
    return {
        "model": str(folder / "model"), "perplexity": round(best, 4),
        "minutes": round((time.monotonic() - began) / 60, 1), **examine(done, unseen[: plan.exam]),
    }  # fmt: skip


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


def learn_from_best(plan: Plan, rows: Sequence[Row], unseen: Sequence[Row]) -> dict[str, Any]:
    """Stage 3: the fine-tuned writer, fitted also to its own best texts for rows without a target, in `out`/raft/model.

    Called again with more rows, the writer that came of it writes for those. Raises BadInput where all rows have a
    target, or none.
    """
    folder = plan.out / "raft"
    base = placed(load_base(str(newest(plan))), 0)
    judge = Judge(_readable(base, rows), rewards_of(plan), plan.weights)
    labelled, others = ([i for i, row in enumerate(judge.rows) if bool(row.y) is known] for known in (True, False))
    if not labelled or not others:
        raise BadInput(f"{len(labelled)} rows with a target and {len(others)} without", "RAFT needs both; see labelled")
    least = as_good_as_targets(judge, labelled[:_ENOUGH])
    found = write_best(base, judge, others, plan.texts, plan.options, plan.seed, folder)
    kept = [(judge.rows[each.row].prefix, each.text) for each in found if each.score >= least]
    say(f"{len(kept)} of {len(found)} rows have a text as good as targets are ({least:.3f})")
    targets = [*_targets(plan, [judge.rows[row] for row in labelled]), *kept]
    # A run that goes on has its own state, which belongs on the fine-tuned writer: adapters are merged only once.
    start = placed(load_base(str(writer_folder(plan))), 0 if plan.base == SMALL else plan.lora)
    figures = _fitted(plan, folder, start, targets, unseen)
    return {"texts": len(found) * plan.texts, "kept": len(kept), "least": round(least, 4), **figures}


def writer_folder(plan: Plan) -> Path:
    """The fine-tuned writer. Raises BadInput where that stage has not been run."""
    folder = plan.out / "sft" / "model"
    if not (folder / "writer.json").exists():
        raise BadInput(f"{folder} holds no fine-tuned writer", "run the stage sft first")
    return folder


def newest(plan: Plan) -> Path:
    """The writer that RAFT made, or else the fine-tuned one. Raises as `writer_folder`."""
    tuned = plan.out / "raft" / "model"
    return tuned if tuned.exists() else writer_folder(plan)


def rewards_of(plan: Plan) -> list[Regressor]:
    """The regressors that are there; none means that content integrity alone is rewarded."""
    folders = [plan.out / "reward" / kind for kind in KINDS]
    return [load_regressor(folder) for folder in folders if (folder / "reward.json").exists()]


def reinforce(plan: Plan, learned: Sequence[Row], unseen: Sequence[Row]) -> dict[str, Any]:
    """Stage 4: the sharpened writer in `out`/ppo/model, or, with a part switched off, in `out`/ppo-no-vci/model."""
    base = placed(load_base(str(newest(plan))), plan.lora)
    folder = plan.out / plan.ppo_name
    rows = _readable(base, learned)
    if plan.hard:
        labelled = [row for row in rows if row.y][: plan.hard]
        rows = hard_rows(base, labelled, plan.out / f"hard-{plan.seed}-{plan.hard}.json")
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


def train_beautifier(plan: Plan) -> dict[str, Any]:
    """The same fine-tuning on pairs of a simple prompt and a model-friendly one (DiffChat's prompt beautification)."""
    start_processes()
    begin(plan)
    pairs = read_pairs(Path(plan.data))
    learned, unseen = pairs[1:], pairs[: max(1, len(pairs) // EVERY)]
    texts = (f" {text}" for pair in pairs for text in pair)
    with at_work(plan.out / "sft"):
        base = untuned(plan, plan.out / "sft", texts, BEAUTIFY_TEMPLATE)
        best = fit_pairs(plan, plan.out / "sft", base, learned, unseen, BEAUTIFY_TEMPLATE)
    return {"model": str(plan.out / "sft" / "model"), "pairs": len(pairs), "perplexity": round(best, 4)}


def main() -> None:
    """Train from the command line; see the module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default=WORLD, help="rows of InstructPE (.json, .jsonl), or world")
    parser.add_argument("--base", default=SMALL, help="small, a folder, a GGUF file or a hub id")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--stage", choices=STAGES, default="all")
    parser.add_argument("--scores", type=Path, help="scores of prompts; without them only integrity is rewarded")
    for name, kind in (("minutes", float), ("steps", int), ("seed", int), ("rows", int), ("lora", int), ("depth", int),
                       ("labelled", int), ("texts", int)):  # fmt: skip
        parser.add_argument(f"--{name}", type=kind)
    parser.add_argument("--rate", type=float, help="of PPO")
    for kind, names in ((int, ("epochs", "warm", "hard")), (float, ("gamma", "lam", *WEIGHTS))):
        for name in names:
            parser.add_argument(f"--{name}", type=kind, help="of PPO; see limner.train.writer.plan")
    for name in ("negatives", "typical", "vci"):
        parser.add_argument(f"--no-{name}", action="store_true")
    report = train_writer(plan_of(vars(parser.parse_args())))
    if rank() == 0:
        print(json.dumps(report))


if __name__ == "__main__":
    main()
