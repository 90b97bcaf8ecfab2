"""What a run of the writer's training is: where, from what, how long, and which parts of the method are off."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_args

from limner.train.libraries import seed_torch
from limner.train.writer.base import SMALL, Sizes
from limner.train.writer.group import meet, rank
from limner.train.writer.ppo import Options
from limner.train.writer.rows import WORLD
from limner.train.writer.task import Weights
from limner.types import BadInput

Stage = Literal["sft", "reward", "raft", "ppo", "all"]
STAGES: tuple[Stage, ...] = get_args(Stage)
OPTIONS = ("epochs", "warm", "gamma", "lam")
"""The constants of PPO that a command line may set."""

WEIGHTS = ("aesthetic", "preference", "truth")
"""What in the reward has a weight that a command line may set; content integrity has 1."""

_PLAIN = (
    "out",
    "base",
    "data",
    "stage",
    "scores",
    "minutes",
    "steps",
    "seed",
    "rows",
    "lora",
    "depth",
    "rate",
    "hard",
    "labelled",
    "texts",
)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run is. `minutes` and `steps` bound each stage; `depth` 0 trains a third of the blocks, as 8 of 24."""

    out: Path
    base: str = SMALL
    data: str = WORLD
    stage: Stage = "all"
    scores: Path | None = None
    minutes: float = 12.0
    steps: int = 10**9
    seed: int = 0
    rows: int = 40_000
    unseen: int = 200
    """Rows of the world to validate on; of a file every nineteenth is taken."""

    labelled: int = 0
    """So many first rows keep their targets, and 0 all of them: the others are known by what their prompt must say."""

    texts: int = 4
    """Texts that RAFT writes for each row without a target."""

    exam: int = 200
    """Unseen rows to write for at the end of a stage."""

    lora: int = 0
    depth: int = 0
    rate: float = 0.0
    """Of PPO; 0 takes the paper's 5e-6, and 1e-4 for the small writer."""

    hard: int = 0
    """PPO takes its rows from so many first ones: those that the fine-tuned writer gets wrong, and as many others. 0
    takes all rows as they come. Hard ones teach more each, but where half is wrong, what the writer believes is worth
    nothing, and it unlearns a little of what was right (docs/LOG.md, ninth run)."""

    negatives: bool = True
    sizes: Sizes = field(default_factory=Sizes)
    options: Options = field(default_factory=Options)
    weights: Weights = field(default_factory=Weights)

    @property
    def ppo_name(self) -> str:
        """«ppo», and what is switched off: an ablation shares the folder, the fine-tuning and the rewards."""
        off = {"negatives": self.negatives, "typical": self.options.mass < 1, "vci": self.options.alpha > 0}
        return "-no-".join(["ppo", *(name for name, on in off.items() if not on)])


def begin(plan: Plan) -> None:
    """Make the run's folder and seed chance. Raises BadInput for no time, and for a folder with a run of another kind,
    whose state would not fit."""
    if not plan.minutes > 0:
        raise BadInput(f"{plan.minutes} minutes", "give more than 0")
    kind = {"base": plan.base, "lora": plan.lora, "sizes": asdict(plan.sizes), "depth": plan.depth}
    note = plan.out / "run.json"
    try:
        plan.out.mkdir(parents=True, exist_ok=True)
        if note.exists() and json.loads(note.read_text(encoding="utf-8")) != kind:
            raise BadInput(f"{plan.out} has a run of another base, rank or depth", "name another folder with --out")
        meet()
        if rank() == 0:
            note.write_text(json.dumps(kind))
    except (OSError, ValueError) as error:
        raise BadInput(f"{plan.out} cannot be used ({type(error).__name__})", "name another folder") from None
    seed_torch(plan.seed)


def plan_of(args: Mapping[str, Any]) -> Plan:
    """The plan of a command line's options; each ablation switches one thing off."""
    options = Options()
    if args.get("no_typical"):
        options = replace(options, mass=1.0)
    if args.get("no_vci"):
        options = replace(options, alpha=0.0)
    options = replace(options, **{name: args[name] for name in OPTIONS if args.get(name) is not None})
    weights = replace(Weights(), **{name: args[name] for name in WEIGHTS if args.get(name) is not None})
    chosen = {name: args[name] for name in _PLAIN if args.get(name) is not None}
    return Plan(**chosen, negatives=not args.get("no_negatives"), options=options, weights=weights)
