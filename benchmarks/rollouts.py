"""How fast the writer's texts are sampled and learned from, against trl's last PPO trainer (experimental, 1.12).

    make bench-rollouts   (or: python benchmarks/rollouts.py --trl-python VENV/bin/python [--rounds 3])

trl 1.13 dropped PPO, so 1.12 wants an environment of its own: any venv with torch, transformers, datasets, accelerate
and trl==1.12.0. Both train the same random small Llama on as many prompts of the same length, sample as many tokens
without a stop, make as many updates of the same minibatches, and ask a reward model of the same shape. The two take
turns, an iteration each, so that a busy neighbour slows both; medians are compared. Ours once more with typical
sampling, which trl does not have. What differs is the method: trl trains all blocks and a value model of its own, ours
the last third of the blocks and a value head on the shared trunk; --all-blocks has ours train them all.

With --writer FOLDER both sample from that trained writer for rows of the world, whose texts end by themselves at unlike
lengths, as they do in a real run.
"""

from __future__ import annotations

import argparse
import importlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

BATCH, MINIBATCH, EPOCHS = 32, 16, 4
PROMPT, RESPONSE = 48, 48
LONGEST = 96
"""Tokens at most of a text that ends by itself."""


def prepare(folder: Path, writer: Path | None) -> None:
    """A random writer or a trained one, a random reward model, and prompts of ids, as both sides read them."""
    import torch
    from transformers import LlamaForSequenceClassification

    from limner.instructpe import TEMPLATE
    from limner.train.libraries import seed_torch, to_folder
    from limner.train.writer.base import Sizes, load_base, new_model, new_tokenizer
    from limner.train.writer.data import ids_of
    from limner.train.writer.fit import pieces_of
    from limner.train.writer.rows import corpus
    from limner.world.instructions import world_rows

    rows = list(world_rows(300, 0))
    tokenizer: Any = new_tokenizer(corpus(rows), Sizes().tokens, pieces_of(TEMPLATE))
    seed_torch(0)
    model: Any = new_model(tokenizer, Sizes())
    with torch.no_grad():  # a text that ends early would make the lengths unlike
        model.lm_head.weight[tokenizer.eos_token_id] = 0
        model.model.embed_tokens.weight[tokenizer.pad_token_id] = 0
    rng = Random(0)
    prompts = [rng.choices(range(10, Sizes().tokens), k=PROMPT) for _ in range(4 * BATCH)]
    if writer:
        base = load_base(str(writer))
        model, tokenizer = base.model, base.tokenizer
        tokenizer.padding_side = "left"
        prompts = [ids_of(tokenizer, row.prefix) for row in rows[: 4 * BATCH]]
    to_folder(model, folder / "policy")
    to_folder(tokenizer, folder / "policy")
    config: Any = replace_labels(model.config)
    to_folder(LlamaForSequenceClassification(config), folder / "reward")
    job = {"prompts": prompts, "longest": LONGEST if writer else RESPONSE, "ends": bool(writer)}
    (folder / "job.json").write_text(json.dumps(job))


def replace_labels(config: Any) -> Any:
    """The same configuration with one label, as a reward or a value has it."""
    import copy

    other = copy.deepcopy(config)
    other.num_labels = 1
    return other


def trl_child(folder: Path) -> None:
    """trl's trainer; it makes one iteration for each line on stdin and answers with the seconds. Needs no Limner."""
    import torch
    from transformers import TrainerCallback

    torch.set_num_threads(1)
    transformers, trl, datasets = (_untyped(name) for name in ("transformers", "trl.experimental.ppo", "datasets"))
    causal, scoring = transformers.AutoModelForCausalLM, transformers.AutoModelForSequenceClassification
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder / "policy")
    job: dict[str, Any] = json.loads((folder / "job.json").read_text())
    sampled = [0.0]
    original = trl.ppo_trainer.batch_generation

    def timed(*given: Any) -> Any:
        began = time.perf_counter()
        out = original(*given)
        sampled[0] = time.perf_counter() - began
        return out

    trl.ppo_trainer.batch_generation = timed

    class Turns(TrainerCallback):
        began = 0.0

        def on_train_begin(self, *given: Any, **named: Any) -> None:
            self.wait()

        def on_step_end(self, *given: Any, **named: Any) -> None:
            print("took", time.perf_counter() - self.began, sampled[0], flush=True)
            self.wait()

        def wait(self) -> None:
            if not sys.stdin.readline().strip():
                sys.exit(0)
            self.began = time.perf_counter()

    config = trl.PPOConfig(
        output_dir=str(folder / "trl"), per_device_train_batch_size=MINIBATCH, gradient_accumulation_steps=2,
        num_mini_batches=BATCH // MINIBATCH, num_ppo_epochs=EPOCHS, response_length=job["longest"], temperature=1.0,
        total_episodes=10_000 * BATCH, local_rollout_forward_batch_size=BATCH, num_sample_generations=0,
        report_to=[], use_cpu=True, bf16=False, save_strategy="no", logging_strategy="no", disable_tqdm=True,
        gradient_checkpointing=False, seed=0, stop_token="eos" if job["ends"] else None,
    )  # fmt: skip
    prompts = datasets.Dataset.from_dict({"input_ids": job["prompts"]})
    trl.PPOTrainer(
        args=config, processing_class=tokenizer, model=causal.from_pretrained(folder / "policy"),
        ref_model=causal.from_pretrained(folder / "policy"), train_dataset=prompts, callbacks=[Turns()],
        reward_model=scoring.from_pretrained(folder / "reward"), value_model=scoring.from_pretrained(folder / "reward"),
    ).train()  # fmt: skip


def _untyped(name: str) -> Any:
    """A module that this environment may lack, or that says little of its types."""
    return importlib.import_module(name)


class Other:
    """The child process, an iteration at a time."""

    def __init__(self, python: str, folder: Path) -> None:
        command = [python, __file__, "--trl-child", str(folder)]
        self.errors = (folder / "trl.txt").open("w+")
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors, text=True
        )

    def turn(self) -> tuple[float, float]:
        """Seconds of one iteration, and of its sampling."""
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        for line in self.process.stdout:
            if line.startswith("took "):
                _, whole, sampled = line.split()
                return float(whole), float(sampled)
        self.errors.seek(0)
        raise SystemExit(f"trl's trainer ended: {self.errors.read()[-2000:]}")

    def close(self) -> None:
        """End it."""
        self.process.kill()
        self.process.wait()
        self.errors.close()


def ours(folder: Path, *, mass: float, depth: int) -> Callable[[], tuple[float, float]]:
    """A function that makes one iteration of ours and returns the same two figures."""
    import torch
    from transformers import LlamaForSequenceClassification

    from limner.train.libraries import from_folder
    from limner.train.writer import ppo
    from limner.train.writer.base import load_base
    from limner.train.writer.descent import Descent
    from limner.train.writer.policy import Policy
    from limner.train.writer.reward import Regressor
    from limner.train.writer.values import Leash, Moments

    torch.set_num_threads(1)
    base = load_base(str(folder / "policy"))
    reward = from_folder(LlamaForSequenceClassification, folder / "reward", dtype=torch.float32)
    judge = Regressor("preference", reward.eval(), base.tokenizer, 0.0, 1.0)
    job: dict[str, Any] = json.loads((folder / "job.json").read_text())
    prompts: list[list[int]] = job["prompts"]

    def score(rows: Any, texts: Any) -> torch.Tensor:
        return judge.score(texts, [base.tokenizer.decode(prompts[row]) for row in rows])

    policy = Policy(base.model, depth)
    descent = Descent(policy.trained(), 3e-6)
    options = ppo.Options(
        rollouts=BATCH, minibatch=MINIBATCH, epochs=EPOCHS, longest=job["longest"], mass=mass, alpha=0.0
    )
    task, rng, leash, moments = ppo.Task(prompts, score), Random(0), Leash(), Moments()

    def turn() -> tuple[float, float]:
        rows = rng.sample(range(len(prompts)), BATCH)
        began = time.perf_counter()
        seen, figures = ppo.collect(policy, base.tokenizer, task, rows, options, rng, leash, moments)
        ppo.learn(policy, descent, seen, options, rng, 0.5)
        return time.perf_counter() - began, figures["sample_s"]

    return turn


def main() -> None:
    """Print iterations and rollouts a second, and the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trl-python", help="the python of an environment with trl 1.12")
    parser.add_argument("--trl-child", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--writer", type=Path, help="a trained writer's folder, in place of a random one")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--all-blocks", action="store_true", help="train all blocks, as trl does")
    args = parser.parse_args()
    if args.trl_child:
        trl_child(args.trl_child)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder, args.writer)
        depth = 99 if args.all_blocks else 1
        turns = {"ours": ours(folder, mass=1.0, depth=depth), "ours, typical": ours(folder, mass=0.97, depth=depth)}
        other = Other(args.trl_python, folder) if args.trl_python else None
        if other:
            turns["trl 1.12"] = other.turn
        try:
            report(turns, args.rounds)
        finally:
            if other:
                other.close()


def report(turns: dict[str, Callable[[], tuple[float, float]]], rounds: int) -> None:
    """Take turns, the first round only to warm up, and print medians."""
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in turns}
    for number in range(rounds + 1):
        for name, turn in turns.items():
            figures = turn()
            if number:
                taken[name].append(figures)
    medians = {name: [statistics.median(some) for some in zip(*rows, strict=True)] for name, rows in taken.items()}
    slow = medians.get("trl 1.12")
    updates = EPOCHS * BATCH // MINIBATCH
    for name, (whole, sampled) in medians.items():
        times = f"  {slow[0] / whole:5.2f} and {slow[1] / sampled:5.2f} times as fast" if slow else ""
        speed = f"{updates / whole:6.2f} updates/s in all, {BATCH / sampled:7.1f} texts/s sampled"
        print(f"{name:14} {whole:7.3f} s an iteration of {BATCH} texts, {speed}{times}", flush=True)


if __name__ == "__main__":
    main()
