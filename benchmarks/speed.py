"""How fast this machine is at what Limner does: arithmetic, training steps, pictures.

    make bench        (or: python benchmarks/speed.py)

Every figure is the median of several runs after one that is not counted. docs/LOG.md quotes this table.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from random import Random

from limner.config import load_settings
from limner.protocols import DrawRequest
from limner.toolbox import Toolbox

BATCH = 48
PROMPT = "a red fox to the left of a castle in the snow"


def seconds(work: Callable[[], object], rounds: int = 5) -> float:
    """The median wall time of one call."""
    work()
    taken: list[float] = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def arithmetic() -> dict[str, float]:
    """GFLOP/s of a matrix product and of a 3 x 3 convolution, in both precisions."""
    import torch
    from torch.nn.functional import conv2d

    found: dict[str, float] = {}
    for kind in (torch.float32, torch.bfloat16):
        matrix = torch.randn(1024, 1024).to(kind)
        picture, kernel = torch.randn(16, 128, 16, 16).to(kind), torch.randn(128, 128, 3, 3).to(kind)
        name = str(kind).removeprefix("torch.")
        found[f"matrix product, {name}, GFLOP/s"] = 2.0 * 1024**3 / 1e9 / seconds(lambda m=matrix: torch.mm(m, m))
        flops = 2.0 * 16 * 16 * 16 * 128 * 128 * 9 / 1e9
        found[f"convolution, {name}, GFLOP/s"] = flops / seconds(lambda p=picture, k=kernel: conv2d(p, k, padding=1))
    return found


def training() -> dict[str, float]:
    """Samples a second of the text-to-image recipe's forward and backward pass, and of its parts."""
    import torch

    from limner.backends.hub import WEIGHTS
    from limner.train import text_to_image as recipe
    from limner.world.sample import Palette
    from limner.world.vocabulary import SHAPE_CONCEPTS

    shapes = Palette(concepts=tuple(SHAPE_CONCEPTS), styles=("shapes",))  # drawn by code: every machine has them
    pipeline, clip = WEIGHTS / "stable-diffusion", WEIGHTS / "clip"
    parts = recipe.begin(pipeline / "vae", clip, pipeline, freeze_text=False)
    pool, table = recipe.Pool(parts.vae, 1.0), recipe.log_snr_table(parts.scheduler)
    signal, rng = parts.scheduler.alphas_cumprod.float(), Random(0)
    latents = torch.randn(BATCH, 4, 16, 16)
    captions = [PROMPT] * BATCH

    def step() -> None:
        words, steps = parts.words(captions), recipe.sample_timesteps(BATCH, table)
        loss = recipe.v_loss(parts.unet, latents, steps, words, signal).mean()
        loss.backward()  # pyright: ignore[reportUnknownMemberType]

    def encode() -> None:
        pool.waiting.clear()
        pool.take(rng, BATCH, {"single": 0.5, "pair": 0.5}, shapes)

    return {
        "U-Net and text tower, forward and backward, samples/s": BATCH / seconds(step, 3),
        "scenes rendered and encoded, samples/s": BATCH / seconds(encode, 3),
    }


def drawing(tools: Toolbox) -> dict[str, float]:
    """Seconds a picture, alone and in a batch of 16, 20 steps with guidance."""
    painter = tools.painter

    def draw(count: int) -> None:
        requests = [DrawRequest(PROMPT, seed, 20, 3.5, *painter.default_size) for seed in range(count)]
        painter.draw(requests)

    return {
        "one picture, s": seconds(lambda: draw(1), 3),
        "each of 16 pictures, s": seconds(lambda: draw(16), 3) / 16,
    }


def main() -> None:
    """Print the table, a line a figure."""
    tools = Toolbox(load_settings({}))
    plan = tools.plan
    lines = {**arithmetic(), **drawing(tools), **training()}
    print(f"{plan.threads} threads, {plan.precision}: {plan.reason}")
    for name, value in lines.items():
        print(f"{value:10.2f}  {name}")


if __name__ == "__main__":
    main()
