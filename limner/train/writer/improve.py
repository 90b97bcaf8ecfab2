"""PPO over and over, until the time or the steps are used up; what was stopped goes on as it would have."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random
from statistics import fmean
from typing import Any

from limner.train.loop import Budget
from limner.train.writer.descent import Descent
from limner.train.writer.group import agreed, rank
from limner.train.writer.log import Log
from limner.train.writer.policy import VALUE_HEAD, Policy
from limner.train.writer.ppo import Options, Task, collect, learn
from limner.train.writer.values import Leash, Moments

CHECKPOINT = 5
"""Iterations between two saves."""


@dataclass(frozen=True, slots=True)
class Job:
    """All that is improved, by what, and how."""

    policy: Policy
    tokenizer: Any
    task: Task
    descent: Descent
    options: Options


@dataclass(slots=True)
class Progress:
    """Where a run is: iterations and seconds spent, the price of drifting, the scores' moments."""

    iteration: int
    seconds: float
    leash: Leash
    moments: Moments

    def note(self) -> dict[str, float]:
        """The numbers to save."""
        own = {"iteration": float(self.iteration), "seconds": self.seconds, "beta": self.leash.beta}
        return own | {"count": self.moments.count, "mean": self.moments.mean, "squares": self.moments.squares}


def progress_of(note: Mapping[str, float]) -> Progress:
    """The progress that was noted; a fresh one where nothing was."""
    moments = Moments(*(note.get(name, 0.0) for name in ("count", "mean", "squares")))
    leash = Leash(note["beta"]) if "beta" in note else Leash()
    return Progress(int(note.get("iteration", 0)), note.get("seconds", 0.0), leash, moments)


def improve(job: Job, folder: Path, budget: Budget, seed: int) -> dict[str, float]:
    """Improve the policy, resuming from `folder`; the curve goes to `folder`/log.jsonl.

    Chance in an iteration comes from the seed, the process and the iteration's number alone, so that nothing of it
    need be saved. Returns the mean reward of the first and the last iterations that this call made.
    """
    first = rank() == 0
    log, state = Log(folder, silent=not first), folder / "state.safetensors"
    progress, rewards = progress_of(job.descent.resume(state)), list[float]()
    began = time.monotonic() - progress.seconds
    while (spent := agreed(budget.spent(progress.iteration, progress.seconds))) < 1:
        figures = _iteration(job, progress, Random(f"{seed}/{rank()}/{progress.iteration}"), spent)
        progress.iteration, progress.seconds = progress.iteration + 1, time.monotonic() - began
        rewards.append(figures["reward"])
        log.add(progress.iteration, figures)
        if first and progress.iteration % CHECKPOINT == 0:
            job.descent.save(state, progress.note())
    if first and rewards:
        job.descent.save(state, progress.note())
    early, late = (fmean(some) if some else 0.0 for some in (rewards[:5], rewards[-5:]))
    return {"iterations": progress.iteration, "reward_first": round(early, 4), "reward_last": round(late, 4)}


def _iteration(job: Job, progress: Progress, rng: Random, spent: float) -> dict[str, float]:
    """Write and judge once, learn from it several times over."""
    rows = rng.choices(range(len(job.task.prefixes)), k=job.options.rollouts)
    began = time.monotonic()
    seen, figures = collect(
        job.policy, job.tokenizer, job.task, rows, job.options, rng, progress.leash, progress.moments
    )
    written = time.monotonic()
    only = VALUE_HEAD if progress.iteration < job.options.warm else ""
    learned = learn(job.policy, job.descent, seen, job.options, rng, spent, only)
    return figures | learned | {"collect_s": written - began, "learn_s": time.monotonic() - written}
