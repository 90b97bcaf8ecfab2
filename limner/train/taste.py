"""Recipe: the heads on the embedded CLIP that score pictures; `taste_labels` has them score the prompts of a file.

`aesthetic` regresses how cleanly a picture is drawn, which is known from how it was made; `preference` (PickScore's
loss) and `hps` (a ranking of four) learn which picture shows more of what the prompt says, known from the scenes. None
of them has seen a person's choice.

    python -m limner.train.taste --out runs/taste
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save, save_file  # pyright: ignore[reportUnknownVariableType]
from torch import Tensor, nn

from limner.backends.diffusion import load_text_to_image
from limner.backends.hardware import plan
from limner.backends.hub import WEIGHTS
from limner.backends.inpainter import inpainter_from
from limner.backends.taste import LAYERS, inner_features
from limner.backends.vision import TwoTowerScorer, load_scorer
from limner.image import write_whole
from limner.protocols import Inpainter, TextToImage
from limner.train.libraries import seed_torch
from limner.train.taste_pictures import PICTURES, Group, drawn, sample_group
from limner.world.sample import Palette

GROUPS, CHUNK, DRAWN = 3000, 50, 10
"""Groups in all and in a chunk, and drawn pictures in a chunk."""

HELD_OUT = 0.1
WIDTHS = (64, 32, 16, 8, 1)
RANK = 48
"""Of the corrections to the features of either tower."""

STEPS, BATCH, RATE, CLEAN_RATE = 1500, 128, 3e-4, 3e-3
"""The pair heads start as CLIP itself and soon learn their groups by heart; the aesthetic head starts from nothing."""
_SHIPPED = WEIGHTS / "taste"
_MAX_BYTES = 600_000


@dataclass(frozen=True, slots=True)
class Material:
    """Features of n groups: pictures (n, PICTURES, inner) as `taste.inner_features` gives them, and prompts (n, dim);
    what is shown and how clean it is, (n, PICTURES); and pictures of the drawing model (m, inner), (m,)."""

    inner: Tensor
    prompts: Tensor
    shows: Tensor
    clean: Tensor
    drawn: Tensor
    drawn_clean: Tensor

    @property
    def pictures(self) -> Tensor:
        """Unit features (n, PICTURES, dim), which the inner ones begin with."""
        return self.inner[..., : self.prompts.shape[-1]]

    def split(self, first: bool) -> Material:
        """The rows to learn from, or those held out at the end."""
        groups, alone = (round(len(each) * (1 - HELD_OUT)) for each in (self.prompts, self.drawn))
        kept = slice(None, groups) if first else slice(groups, None)
        own = slice(None, alone) if first else slice(alone, None)
        inner, prompts, shows, clean = (e[kept] for e in (self.inner, self.prompts, self.shows, self.clean))
        return Material(inner, prompts, shows, clean, self.drawn[own], self.drawn_clean[own])


def gather(
    scorer: TwoTowerScorer, painter: TextToImage, fill: Inpainter, palette: Palette, number: int
) -> dict[str, Tensor]:
    """The features of one chunk: CHUNK groups and some drawn pictures, by the names of Material's fields."""
    rng = Random(f"taste/{number}")
    rows = [_features(scorer, sample_group(rng, palette, fill)) for _ in range(CHUNK)]
    alone = drawn(painter, rng, palette, DRAWN)
    rng.shuffle(alone)
    inner, prompts, shows, clean = (torch.tensor(np.stack(column)) for column in zip(*rows, strict=True))
    mine = torch.tensor(inner_features(scorer, [picture for picture, _ in alone]))
    worth = torch.tensor([clean for _, clean in alone])
    named = {"inner": inner, "prompts": prompts, "shows": shows, "clean": clean, "drawn": mine, "drawn_clean": worth}
    return {name: value.float().contiguous() for name, value in named.items()}


def gathered(folder: Path, groups: int) -> Material:
    """So many groups, in chunks that are kept in `folder` as they are made, so that a killed run goes on."""
    folder.mkdir(parents=True, exist_ok=True)
    palette, models = Palette(tint=0.4, weather=0.3), None
    files = [folder / f"{number:03}.safetensors" for number in range(-(-groups // CHUNK))]
    for number, file in enumerate(files):
        if not file.is_file():
            models = models or load_models()
            save_file(gather(*models, palette, number), file.with_suffix(".tmp"))
            file.with_suffix(".tmp").rename(file)
            print(f"{number + 1} of {len(files)} chunks", flush=True)
    chunks = [load_file(file) for file in files]
    return Material(**{name: torch.cat([chunk[name] for chunk in chunks]) for name in Material.__dataclass_fields__})


def _features(scorer: TwoTowerScorer, group: Group) -> tuple[Any, ...]:
    seen = inner_features(scorer, [each.picture for each in group.seen])
    shows, clean = (np.array([getattr(each, name) for each in group.seen], np.float32) for name in ("shows", "clean"))
    return seen, scorer.encode_texts([group.prompt])[0], shows, clean


class AestheticHead(nn.Module):
    """LAION's head with other widths: linear maps with dropout between them, no activation (methods 2.9)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        sides = (dim, *WIDTHS)
        layers: dict[int, nn.Module] = {i: nn.Dropout(p) for i, p in ((1, 0.2), (3, 0.2), (5, 0.1))}
        layers |= {place: nn.Linear(sides[i], sides[i + 1]) for i, place in enumerate(LAYERS)}
        self.layers = nn.Sequential(*(layers[i] for i in sorted(layers)))

    def forward(self, features: Tensor) -> Tensor:
        """Unit features (..., dim) to scores (...)."""
        return self.layers(features)[..., 0]


class PairHead(nn.Module):
    """Corrections of both towers' features and the scale of their cosines; see `taste.Bend`."""

    def __init__(self, dim: int, scale: float) -> None:
        super().__init__()
        parts = {
            f"{tower}_{part}": nn.Parameter(start)
            for tower in ("pictures", "texts")
            for part, start in (
                ("into", torch.randn(dim, RANK) / dim**0.5),
                ("bias", torch.zeros(RANK)),
                ("out", torch.zeros(RANK, dim)),
            )
        }
        self.parts = nn.ParameterDict(parts)
        self.logit_scale = nn.Parameter(torch.tensor(scale).log())

    def bend(self, tower: str, features: Tensor) -> Tensor:
        """Unit features to unit features, same shape."""
        into, bias, out = (self.parts[f"{tower}_{part}"] for part in ("into", "bias", "out"))
        return F.normalize(features + F.relu(features @ into + bias) @ out, dim=-1)

    def forward(self, pictures: Tensor, prompts: Tensor) -> Tensor:
        """Logits (n, PICTURES) of pictures (n, PICTURES, dim) for their prompts (n, dim)."""
        seen, said = self.bend("pictures", pictures), self.bend("texts", prompts)
        return self.logit_scale.exp() * (seen * said[:, None]).sum(-1)


def better(material: Material) -> Tensor:
    """What is wanted: the share of facts shown, and of pictures that show as much the cleaner one. (n, PICTURES)."""
    return material.shows + 0.01 * material.clean / 10


def aesthetic_loss(head: nn.Module, material: Material, rows: Tensor) -> Tensor:
    """Squared error on the pictures of these groups, and on as many by the drawing model."""
    own = torch.randint(len(material.drawn), (len(rows),))
    given = torch.cat([material.inner[rows].flatten(0, 1), material.drawn[own]])
    wanted = torch.cat([material.clean[rows].flatten(), material.drawn_clean[own]])
    return F.mse_loss(head(given), wanted)


def preference_loss(head: nn.Module, material: Material, rows: Tensor) -> Tensor:
    """PickScore's: of two pictures the softmax of both logits, against 1 for the better, 0.5 each for a tie."""
    columns = torch.stack([torch.randperm(PICTURES)[:2] for _ in rows])
    each = torch.arange(len(rows))[:, None]
    logits = head(material.pictures[rows], material.prompts[rows])[each, columns]
    worth = better(material)[rows][each, columns]
    first = (torch.sign(worth[:, 0] - worth[:, 1]) + 1) / 2
    return -(torch.stack([first, 1 - first], 1) * F.log_softmax(logits, 1)).sum(1).mean()


def hps_loss(head: nn.Module, material: Material, rows: Tensor) -> Tensor:
    """HPS v1's: which of all the pictures of a group is chosen, by cross-entropy."""
    logits = head(material.pictures[rows], material.prompts[rows])
    return F.cross_entropy(logits, better(material)[rows].argmax(1))


Loss = Callable[[nn.Module, Material, Tensor], Tensor]
Reached = Callable[[Any, Material], float]


def fit_head(
    head: nn.Module, loss: Loss, material: Material, unseen: Material, reached: Reached, steps: int, rate: float
) -> None:
    """AdamW with a cosine schedule on random batches of groups; what was best on the unseen ones is kept, the start
    among it: a pair head begins as CLIP itself."""
    optimizer = torch.optim.AdamW(head.parameters(), lr=rate, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    best, kept = -1.0, head.state_dict()
    for step in range(steps + 1):
        if step % (steps // 10) == 0:
            head.eval()
            if (score := reached(head, unseen)) > best:
                best, kept = score, {name: value.clone() for name, value in head.state_dict().items()}
            head.train()
        optimizer.zero_grad()
        error = loss(head, material, torch.randint(len(material.prompts), (BATCH,)))
        error.backward()  # pyright: ignore[reportUnknownMemberType]
        optimizer.step()  # pyright: ignore[reportUnknownMemberType]
        schedule.step()
    head.load_state_dict(kept)
    head.eval()


@torch.inference_mode()
def pair_accuracy(score: Callable[[Tensor, Tensor], Tensor], material: Material, margin: float = 0.05) -> float:
    """The share of pairs, of which one shows at least `margin` more of the prompt, whose order the scores tell."""
    scores, worth = score(material.pictures, material.prompts), material.shows
    more = worth[:, :, None] - worth[:, None, :] >= margin
    return float((scores[:, :, None] > scores[:, None, :])[more].float().mean())


@torch.inference_mode()
def first_accuracy(score: Callable[[Tensor, Tensor], Tensor], material: Material) -> float:
    """The share of groups whose best picture has the best score."""
    worth = better(material)
    chosen = score(material.pictures, material.prompts).argmax(1)
    return float((worth.gather(1, chosen[:, None])[:, 0] == worth.max(1).values).float().mean())


@torch.inference_mode()
def correlation(head: nn.Module, pictures: Tensor, clean: Tensor) -> float:
    """Pearson's, between scores and how clean the pictures are."""
    return float(torch.corrcoef(torch.stack([head(pictures).flatten(), clean.flatten()]))[0, 1])


def _cleanness(head: nn.Module, material: Material) -> float:
    return correlation(head, material.inner, material.clean)


def plain_cosine(pictures: Tensor, prompts: Tensor) -> Tensor:
    """What CLIP says without a head."""
    return (pictures * prompts[:, None]).sum(-1)


def train(material: Material, out: Path, steps: int = STEPS) -> dict[str, float]:
    """Train the three heads into `out`; returns what they reach on the groups held out."""
    seed_torch(0)
    (learned, unseen), held_out = (material.split(True).split(side) for side in (True, False)), material.split(False)
    dim = material.prompts.shape[-1]
    clean, preference, hps = AestheticHead(material.inner.shape[-1]), PairHead(dim, 30.0), PairHead(dim, 30.0)
    fit_head(clean, aesthetic_loss, learned, unseen, _cleanness, steps, CLEAN_RATE)
    fit_head(preference, preference_loss, learned, unseen, pair_accuracy, steps, RATE)
    fit_head(hps, hps_loss, learned, unseen, first_accuracy, steps, RATE)
    reached = {
        "aesthetic correlation": correlation(clean, held_out.inner, held_out.clean),
        "aesthetic correlation, drawn": correlation(clean, held_out.drawn, held_out.drawn_clean),
        "preference pairs": pair_accuracy(preference, held_out),
        "hps first of 4": first_accuracy(hps, held_out),
        "clip pairs": pair_accuracy(plain_cosine, held_out),
        "clip first of 4": first_accuracy(plain_cosine, held_out),
    }
    keep(out, {"aesthetic": clean.state_dict(), "preference": _table(preference), "hps": _table(hps)}, reached)
    return reached


def _table(head: PairHead) -> dict[str, Tensor]:
    parts = {name.replace("_", ".", 1): value.detach() for name, value in head.parts.items()}
    return parts | {"logit_scale": head.logit_scale.detach()[None]}


def keep(out: Path, heads: dict[str, dict[str, Tensor]], reached: dict[str, float]) -> None:
    """Write the heads in half precision and, beside them, what they reached. Raises ValueError for too large ones."""
    out.mkdir(parents=True, exist_ok=True)
    for name, table in heads.items():
        write_whole(out / f"{name}.safetensors", save({key: value.half() for key, value in table.items()}))
    size = sum(path.stat().st_size for path in out.glob("*.safetensors"))
    if size > _MAX_BYTES:
        raise ValueError(f"the heads have {size} bytes, more than {_MAX_BYTES}: lower RANK")
    told = {name: round(value, 3) for name, value in reached.items()}
    (out / "limner.json").write_text(json.dumps({"reached": told}, indent=1))


def load_models() -> tuple[TwoTowerScorer, Any, Inpainter]:
    """The embedded CLIP, the embedded model, and the same as an inpainter, on one thread."""
    machine = plan(threads=1)
    painter = load_text_to_image("embedded:stable-diffusion", plan=machine, guidance=3.5)
    fill = inpainter_from(painter.loaded, name="taste", guidance=3.5)
    return load_scorer("embedded:clip", plan=machine), painter, fill


def main(arguments: Sequence[str] | None = None) -> None:
    """Train or label from the command line; see the module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--groups", type=int, default=GROUPS)
    parser.add_argument("--ship", action="store_true", help="put the heads into the package too")
    args = parser.parse_args(arguments)
    torch.set_num_threads(1)
    material = gathered(args.out / "material", args.groups)
    for measure, score in train(material, args.out).items():
        print(f"{measure}: {score:.3f}")
    if args.ship:
        train(material, _SHIPPED)


if __name__ == "__main__":
    main()
