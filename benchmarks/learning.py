"""How fast a step of one-shot learning is, against the same step as the original makes it.

    make bench-learning       (or: python benchmarks/learning.py [--model FOLDER] [--rounds 20])

The original sends the two sides through the U-Net one after the other and decodes a doubled batch for its
reconstruction, so that the decoder's backward pass costs twice what it must (limner.train.concept.loss has the
equations). Same weights, same noise, interleaved step by step in one process; the ratio is of the medians. That the
gradients are equal to within the precision is asserted first.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from limner.config import load_settings
from limner.toolbox import Toolbox

if TYPE_CHECKING:
    from torch import Tensor

    from limner.train.concept.lesson import Lesson

TIMESTEP, TEMPLATE = 400, "a {}"


def ours(lesson: Lesson, noise: Tensor) -> None:
    """Forward and backward pass of one step: one batch of both sides, one decoded latent."""
    _step(lesson, noise, lambda noised, t: lesson.student.predict(noised, t, TEMPLATE))


def original(lesson: Lesson, noise: Tensor) -> None:
    """The same by two passes and a doubled batch for the decoder."""
    import torch

    student = lesson.student
    alone = [replace(student, layout=(side,)) for side in student.layout]

    def predict(noised: Tensor, timestep: int) -> Tensor:
        rows: list[Tensor] = []
        for one in alone:
            with one.attached():
                rows.append(one.predict(noised, timestep, TEMPLATE))
        return torch.cat(rows)

    rebuild = lesson.reconstruct
    assert rebuild is not None

    def doubled(latents: Tensor) -> tuple[Tensor, Tensor]:
        drawn, wanted = rebuild(torch.cat([latents, latents]))
        return drawn, wanted.expand_as(drawn)

    _step(lesson, noise, predict, doubled, attach=False)


def _step(
    lesson: Lesson,
    noise: Tensor,
    predict: Callable[[Tensor, int], Tensor],
    rebuild: Any = None,
    *,
    attach: bool = True,
) -> None:
    from contextlib import nullcontext

    from limner.train.concept.loss import concept_loss

    with lesson.student.attached() if attach else nullcontext():
        losses = concept_loss(
            predict, lesson.schedule, lesson.target, TIMESTEP, noise,
            gamma=lesson.options.guidance, reconstruct=rebuild or lesson.reconstruct, reconstruction=1.0,
        )  # fmt: skip
        losses["loss"].backward()  # pyright: ignore[reportUnknownMemberType]


def gradients(lesson: Lesson, step: Callable[[Lesson, Tensor], None], noise: Tensor) -> Tensor:
    """All gradients of one step, flat."""
    import torch

    lesson.optimizer.zero_grad(set_to_none=True)
    step(lesson, noise)
    return torch.cat([p.grad.flatten() for p in lesson.named.values() if p.grad is not None])


def main() -> None:
    """Print the seconds and the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="embedded")
    parser.add_argument("--rounds", type=int, default=20)
    args = parser.parse_args()
    tools = Toolbox(load_settings({"model": args.model}))
    import numpy as np
    import torch

    from limner.train.concept.lesson import prepare
    from limner.train.concept.options import Options
    from limner.types import Picture

    painter = tools.painter
    width, height = painter.default_size
    picture = Picture(np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8))
    full, light = (
        prepare(painter.loaded, picture, Options(f"bench-{kind}", like="fox", decoder=kind))
        for kind in ("full", "light")
    )
    noise = torch.randn(full.target.latents.shape, generator=torch.Generator().manual_seed(0))
    one, two = gradients(full, ours, noise), gradients(full, original, noise)
    apart = float(((one - two).square().sum() / two.square().sum()).sqrt())
    assert apart < {"float32": 1e-4}.get(tools.plan.precision, 2e-2), f"the gradients are {apart:.1e} apart"
    print(f"gradients apart by {apart:.1e} of their length ({tools.plan.precision})")
    steps = {
        "two passes, doubled decoding": (full, original),
        "ours": (full, ours),
        "ours, light decoder": (light, ours),
    }
    taken: dict[str, list[float]] = {name: [] for name in steps}
    for number in range(args.rounds + 1):
        for name, (lesson, step) in steps.items():
            began = time.perf_counter()
            step(lesson, noise)
            if number:  # the first round warms up
                taken[name].append(time.perf_counter() - began)
    medians = {name: statistics.median(times) for name, times in taken.items()}
    slow = medians["two passes, doubled decoding"]
    for name, median in medians.items():
        print(f"{name:32} {median:7.3f} s a step  {slow / median:5.2f} times as fast")


if __name__ == "__main__":
    main()
