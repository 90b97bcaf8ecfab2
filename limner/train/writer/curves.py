"""How steadily runs of PPO rise: their rewards, from round to round and from seed to seed (DiffChat 4.4, figure 7).

Runs whose folders have one name («ppo», «ppo-no-typical») are seeds of one recipe.

python -m limner.train.writer.curves runs/a/ppo runs/b/ppo runs/a/ppo-no-typical runs/b/ppo-no-typical --skip 10
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean, pvariance, variance
from typing import Any

from limner.types import BadInput

_ENDS = 10
"""Rounds at either end whose mean reward is shown, fewer in a short run."""

_WINDOW = 5
"""Rounds in a row whose variance is taken."""


@dataclass(frozen=True, slots=True)
class Steadiness:
    """A recipe's curves over `runs` seeds. `first` and `last` are mean rewards of the rounds at either end.

    `rounds` is the mean variance of the rewards of a few rounds in a row, `seeds` the variance over seeds of the reward
    of one round, in the mean over rounds; None for one seed.
    """

    recipe: str
    runs: int
    first: float
    last: float
    rounds: float
    seeds: float | None


def read_curve(folder: Path, skip: int = 0) -> list[float]:
    """The rewards of a run's rounds, the first `skip` left out. Raises BadInput where there are not three.

    A round that was lost with a killed process stands twice in the log; the later one counts.
    """
    try:
        lines: list[Any] = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
        rewards = {int(line["step"]): float(line["reward"]) for line in lines}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadInput(f"{folder} has no curve ({type(error).__name__})", "name the folder of a run of PPO") from None
    curve = [rewards[step] for step in sorted(rewards)][skip:]
    if len(curve) < 3:
        raise BadInput(f"{folder} has {len(curve)} rounds to look at", "let it run longer, or skip fewer")
    return curve


def steadiness(recipe: str, curves: Sequence[Sequence[float]]) -> Steadiness:
    """What a recipe's curves are like; rounds that not all of them have are left out."""
    length = min(map(len, curves))
    curves = [curve[:length] for curve in curves]
    ends = min(_ENDS, length // 2)
    return Steadiness(
        recipe,
        len(curves),
        fmean(fmean(curve[:ends]) for curve in curves),
        fmean(fmean(curve[-ends:]) for curve in curves),
        fmean(_unrest(curve) for curve in curves),
        fmean(variance(each) for each in zip(*curves, strict=True)) if len(curves) > 1 else None,
    )


def _unrest(curve: Sequence[float]) -> float:
    """The mean variance within windows of a few rounds: what a slow rise adds to it is little."""
    window = min(_WINDOW, len(curve))
    return fmean(pvariance(curve[start : start + window]) for start in range(len(curve) - window + 1))


def compared(folders: Sequence[Path], skip: int = 0) -> list[Steadiness]:
    """The recipes in the order in which they are named. Raises BadInput for a folder without a curve."""
    found: dict[str, list[list[float]]] = {}
    for folder in folders:
        found.setdefault(folder.name, []).append(read_curve(folder, skip))
    return [steadiness(name, curves) for name, curves in found.items()]


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the recipes, a line of JSON each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--skip", type=int, default=0, help="rounds at the beginning, such as those of the value head")
    args = parser.parse_args(arguments)
    for each in compared(args.runs, args.skip):
        print(json.dumps(_rounded(asdict(each))))


def _rounded(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: round(value, 5) if isinstance(value, float) else value for name, value in values.items()}


if __name__ == "__main__":
    main()
