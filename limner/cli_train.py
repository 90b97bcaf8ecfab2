"""The command line of training: `limner train ...`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from limner.flags import Json, studio_of, tell

train_app = typer.Typer(help="Train what Limner uses; `recipes/world.sh` has the lines that made what ships.")

Out = Annotated[Path, typer.Option(help="A folder; training goes on from what is in it.")]
Base = Annotated[str, typer.Option(help="small, a folder, a GGUF file, or a hub id of a causal language model.")]
Minutes = Annotated[float, typer.Option(help="How long each stage may take.")]
Steps = Annotated[int, typer.Option(min=1, help="Steps of each stage, where those are fewer.")]
Start = Annotated[int, typer.Option(min=0, help="Another seed makes another run.")]
Lora = Annotated[int, typer.Option(min=0, help="Train adapters of this rank, not the whole model (needs peft).")]


@train_app.command("writer")
def train_writer(
    out: Out,
    data: Annotated[str, typer.Option(help="world, or a file of InstructPE's rows (.json, .jsonl).")] = "world",
    base: Base = "small",
    stage: Annotated[
        Literal["sft", "reward", "raft", "ppo", "all"],
        typer.Option(help="By examples, scores of prompts, by its own best texts, by reward, or all."),
    ] = "all",
    scores: Annotated[
        Path | None, typer.Option(help="Scored prompts (JSON lines); without, content integrity alone is rewarded.")
    ] = None,
    minutes: Minutes = 12,
    steps: Steps = 10**9,
    seed: Start = 0,
    rows: Annotated[int, typer.Option(min=1, help="How many of the world's rows to learn from.")] = 40_000,
    labelled: Annotated[
        int, typer.Option(min=0, help="So many first rows have a target, the others a reward only; 0: all rows.")
    ] = 0,
    texts: Annotated[int, typer.Option(min=1, help="Texts for each row without a target, the best to learn from.")] = 4,
    lora: Lora = 0,
    depth: Annotated[int, typer.Option(min=0, help="Blocks that the reward changes; 0 is a third of them.")] = 0,
    rate: Annotated[float, typer.Option(min=0, help="Learning rate by reward; 0 is the base's own.")] = 0,
    hard: Annotated[
        int, typer.Option(min=0, help="By reward, of so many rows those that are wrong yet, and as many; 0: all rows.")
    ] = 0,
    truth: Annotated[float, typer.Option(min=0, help="Weight of the world's facts in the reward.")] = 0,
    warm: Annotated[int, typer.Option(min=0, help="Rounds in which the value estimate alone learns.")] = 0,
    gamma: Annotated[
        float | None, typer.Option(min=0, max=1, help="What a later reward is worth a token earlier (0.99).")
    ] = None,
    lam: Annotated[
        float | None, typer.Option(min=0, max=1, help="How far ahead an advantage looks past the value (0.95).")
    ] = None,
    negatives: Annotated[bool, typer.Option("--no-negatives", help="No spoiled texts among the samples.")] = False,
    typical: Annotated[bool, typer.Option("--no-typical", help="Sample from all words.")] = False,
    vci: Annotated[bool, typer.Option("--no-vci", help="No content integrity in the value.")] = False,
    json: Json = False,
) -> None:
    """Train the writer that turns a prompt and an instruction into the new prompt (DiffChat)."""
    from limner.train.writer.plan import plan_of
    from limner.train.writer.run import train_writer

    chosen: dict[str, Any] = {"out": out, "data": data, "base": base, "stage": stage, "scores": scores}
    chosen |= {"minutes": minutes, "steps": steps, "seed": seed, "rows": rows, "lora": lora, "depth": depth}
    chosen |= {"labelled": labelled, "texts": texts}
    chosen |= {"rate": rate, "hard": hard, "truth": truth, "warm": warm, "gamma": gamma, "lam": lam}
    chosen |= {"no_negatives": negatives, "no_typical": typical, "no_vci": vci}
    tell(train_writer(plan_of(chosen)), json)


@train_app.command("beautifier")
def train_beautifier(
    data: Annotated[Path, typer.Option(help='Pairs of prompts: JSON lines of {"simple", "long"}.')],
    out: Out,
    base: Base = "small",
    minutes: Minutes = 12,
    steps: Steps = 10**9,
    seed: Start = 0,
    lora: Lora = 0,
    json: Json = False,
) -> None:
    """Train the model that makes a simple prompt one as drawing models like it."""
    from limner.train.writer.plan import plan_of
    from limner.train.writer.run import train_beautifier

    chosen: dict[str, Any] = {"out": out, "data": str(data), "base": base, "minutes": minutes, "steps": steps}
    tell(train_beautifier(plan_of(chosen | {"seed": seed, "lora": lora})), json)


@train_app.command("dialogue")
def train_dialogue(
    out: Annotated[Path, typer.Option(help="A folder; training goes on from what is in it.")],
    base: Annotated[str, typer.Option(help="small, a folder, or a hub id of a Blenderbot.")] = "small",
    minutes: Annotated[float, typer.Option(help="How long to train.")] = 12,
    data: Annotated[Path | None, typer.Option(help="Dialogues as JSON lines instead of the world's.")] = None,
    json: Json = False,
) -> None:
    """Train the dialogue model that asks when a request is unclear."""
    tell(studio_of().train_dialogue(base, out, minutes, data), json)
