"""Recipe: a small detector of a few classes, trained from nothing in about a minute on one core.

It measures what pictures and their labels are worth (`limner eval chatgenimage`), so it is plain: a convolutional
network that finds centres (CenterNet), a fixed number of steps whatever the number of pictures, and the usual changes
of size, place, side and light, lest a set be better only for showing things at other sizes. The same pictures and seed
give the same detector.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import compress
from random import Random

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from limner.backends.detector import distinct
from limner.train.autoencoder import to_tensor
from limner.train.judge import disturb
from limner.train.libraries import seed_torch
from limner.train.loop import Budget, rate_factor
from limner.train.optim import MixedOptimizer, Rates
from limner.types import AnnotatedPicture, BadInput, Picture, Region
from limner.world.judge import Residual

SIZE, GRID = 128, 16
"""Pixels to a side of a picture; cells across it: a thing is found in the cell of its centre."""

BATCH, STEPS = 16, 400
RATES = Rates(muon=0.02, adamw=2e-3, ema=0.98)
LEAST_SEEN = 0.4
"""A thing of which a smaller share stays in the picture when that is moved is no longer looked for."""

_CLAIMS, _LEAST = 60, 0.01
"""So many cells of a picture are looked at, and this is the least score: average precision wants doubtful finds."""

Find = Callable[[Sequence[Picture]], list[list[Region]]]


def _block(inside: int, outside: int, stride: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inside, outside, 3, stride, 1, bias=False), nn.BatchNorm2d(outside), nn.ReLU())


class SmallNet(nn.Module):
    """Pictures (n, 3, 128, 128) in [-1, 1] to (n, classes + 4, 16, 16): heat of each class, the offset of the thing
    centred here from the cell's corner (x, y in cells), and its log size (width, height in shares of the picture)."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        heads = nn.Conv2d(96, classes + 4, 1)
        self.layers = nn.Sequential(
            _block(3, 16, 2), _block(16, 32, 2), Residual(32), _block(32, 64, 2),
            Residual(64), Residual(64), _block(64, 96, 1), heads,
        )  # fmt: skip
        assert heads.bias is not None
        nn.init.constant_(heads.bias[:classes], -4.0)

    def forward(self, pictures: Tensor) -> Tensor:
        """The logits."""
        return self.layers(pictures)


def train_detector(pictures: Sequence[AnnotatedPicture], classes: Sequence[str], seed: int, steps: int = STEPS) -> Find:
    """Train on pictures of 128 x 128 pixels; regions of other labels than `classes` are ground like any other.

    Returns what finds the classes in pictures of that size (see `find`). Raises BadInput when no picture holds any.
    """
    pixels, (boxes, labels) = to_tensor([each.picture for each in pictures]), _truth(pictures, classes)
    if not any(map(len, labels)):
        raise BadInput("no picture holds any of the classes", "there is nothing to learn from")
    seed_torch(seed)
    net, rng, budget = SmallNet(len(classes)).train(), Random(f"detector/{seed}"), Budget(steps=steps, warm_up=30)
    optimizer = MixedOptimizer(net.named_parameters(), RATES)
    for step in range(steps):
        chosen = rng.choices(range(len(pictures)), k=BATCH)
        shown, places, kinds = moved(pixels[chosen], [boxes[n] for n in chosen], [labels[n] for n in chosen], rng)
        loss(net(disturb(shown, rng)), *targets(places, kinds, len(classes))).backward()  # pyright: ignore[reportUnknownMemberType]
        optimizer.step(rate_factor(budget, step, step / steps))
    optimizer.load_average()
    return lambda shown: find(net.eval(), classes, shown)


def _truth(pictures: Sequence[AnnotatedPicture], classes: Sequence[str]) -> tuple[list[Tensor], list[list[int]]]:
    """Boxes (k, 4) in [-1, 1] across the picture, and the k numbers of their classes, of each picture."""
    known = [[region for region in each.regions if region.label in classes] for each in pictures]
    boxes = [torch.tensor([region.box for region in regions]).view(-1, 4) / SIZE * 2 - 1 for regions in known]
    return boxes, [[list(classes).index(region.label) for region in regions] for regions in known]


def moved(
    pixels: Tensor, boxes: Sequence[Tensor], labels: Sequence[Sequence[int]], rng: Random
) -> tuple[Tensor, list[Tensor], list[list[int]]]:
    """Each picture made smaller or a little larger, shifted and perhaps mirrored; what is new shows the old rim.

    The boxes follow, cut at the picture's edge; a thing that is mostly outside is given up.
    """
    changes = [_change(rng) for _ in boxes]
    # The grid says where each new pixel comes from, so it takes the inverse.
    back = [[[m / s, 0.0, -x * m / s], [0.0, 1 / s, -y / s]] for s, m, x, y in changes]
    grid = F.affine_grid(torch.tensor(back), list(pixels.shape), align_corners=False)
    shown = F.grid_sample(pixels, grid, padding_mode="border", align_corners=False)
    places, kinds = list[Tensor](), list[list[int]]()
    for own, numbers, (scale, mirror, x, y) in zip(boxes, labels, changes, strict=True):
        whole = own * scale * torch.tensor([mirror, 1.0]).repeat(2) + torch.tensor([x, y]).repeat(2)
        whole = whole[:, [2, 1, 0, 3]] if mirror < 0 else whole
        inside = whole.clamp(-1, 1)
        seen = _area(inside) >= LEAST_SEEN * _area(whole)
        places.append(inside[seen])
        kinds.append(list(compress(numbers, seen)))
    return shown, places, kinds


def _change(rng: Random) -> tuple[float, float, float, float]:
    """A scale, 1 or -1 for a mirror image, and a shift in x and y, in halves of the picture."""
    scale, mirror = rng.uniform(0.45, 1.15), rng.choice((1.0, -1.0))
    reach = abs(1 - scale) + 0.1
    return scale, mirror, rng.uniform(-reach, reach), rng.uniform(-reach, reach)


def _area(boxes: Tensor) -> Tensor:
    return (boxes[:, 2:] - boxes[:, :2]).prod(1)


def targets(boxes: Sequence[Tensor], labels: Sequence[Sequence[int]], classes: int) -> tuple[Tensor, Tensor]:
    """Heat (n, classes, 16, 16), 1 at centres falling off around them, and per-cell truth (n, 5, 16, 16): weight of
    the cell, offset x and y, log width and height. Boxes are in [-1, 1]."""
    heat, cells = torch.zeros(len(boxes), classes, GRID, GRID), torch.zeros(len(boxes), 5, GRID, GRID)
    ys, xs = torch.meshgrid(torch.arange(GRID), torch.arange(GRID), indexing="ij")
    for n, (own, numbers) in enumerate(zip(boxes, labels, strict=True)):
        for box, number in zip((own + 1) / 2, numbers, strict=True):
            (x, y), (width, height) = (box[:2] + box[2:]) / 2 * GRID, (box[2:] - box[:2]).clamp(min=1 / SIZE)
            column, row = x.long().clamp(0, GRID - 1), y.long().clamp(0, GRID - 1)
            spread_x, spread_y = (side * GRID / 7 for side in (width, height))
            far = ((xs - column) / spread_x.clamp(min=0.7)) ** 2 + ((ys - row) / spread_y.clamp(min=0.7)) ** 2
            heat[n, number] = torch.maximum(heat[n, number], torch.exp(-far / 2))
            around = ((xs - column).abs() <= 1) & ((ys - row).abs() <= 1)
            ones = torch.ones(GRID, GRID)
            values = torch.stack([ones, x - xs, y - ys, ones * width.log(), ones * height.log()])
            cells[n] = torch.where(around, values, cells[n])
    return heat, cells


def loss(logits: Tensor, heat: Tensor, cells: Tensor) -> Tensor:
    """CenterNet's focal loss of the heat, per thing, and L1 of offsets and sizes around centres; for nothing, too."""
    classes = heat.shape[1]
    chance = logits[:, :classes].sigmoid().clamp(1e-5, 1 - 1e-5)
    centre = (heat > 0.999).float()
    positive = centre * (1 - chance) ** 2 * chance.log()
    negative = (1 - centre) * (1 - heat) ** 4 * chance**2 * (1 - chance).log()
    found = -(positive + negative).sum() / centre.sum().clamp(min=1)
    weight = cells[:, :1]
    place = ((logits[:, classes:] - cells[:, 1:]).abs() * weight).sum() / weight.sum().clamp(min=1)
    return found + 0.3 * place


@torch.inference_mode()
def find(net: SmallNet, classes: Sequence[str], pictures: Sequence[Picture]) -> list[list[Region]]:
    """What is in each picture of 128 x 128 pixels, best score (0.01 to 1) first; no two finds of a class overlap by an
    IoU over 0.5."""
    found: list[list[Region]] = []
    for start in range(0, len(pictures), 64):
        found += [decode(logits, classes) for logits in net(to_tensor(list(pictures[start : start + 64])))]
    return found


def decode(logits: Tensor, classes: Sequence[str]) -> list[Region]:
    """The regions that the net's values for one picture, (classes + 4, 16, 16), stand for."""
    heat = logits[: len(classes)].sigmoid()
    heat = torch.where(heat == F.max_pool2d(heat, 3, 1, 1), heat, 0.0)
    scores, places = heat.flatten().topk(min(_CLAIMS, heat.numel()))
    numbers, cells = places // GRID**2, places % GRID**2
    x, y, width, height = logits[len(classes) :].flatten(1)[:, cells]
    centre = torch.stack([cells % GRID + x, cells // GRID + y], 1) / GRID
    half = torch.stack([width, height], 1).clamp(max=0.0).exp() / 2
    boxes = (torch.cat([centre - half, centre + half], 1).clamp(0, 1) * SIZE).double().numpy()
    regions: list[Region] = []
    for number, label in enumerate(classes):
        own = np.flatnonzero((numbers == number).numpy() & (scores > _LEAST).numpy())
        for i in own[distinct(boxes[own], scores.double().numpy()[own])].tolist():
            x0, y0, x1, y1 = boxes[i].tolist()
            regions.append(Region(label, (x0, y0, x1, y1), float(scores[i])))
    return sorted(regions, key=lambda region: -region.score)
