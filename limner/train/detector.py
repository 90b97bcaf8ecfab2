"""Recipe: the detector, OwlViTForObjectDetection, begun with CLIP's towers and trained on the world's exact boxes.

CLIP's patches already know nouns, so the class head starts as CLIP's own projection. Its text tower stays as it is:
the features of all queries, each noun bare and in each colour, are computed once, and every patch of every picture
is judged against all of them.

    torchrun --nproc_per_node 1 -m limner.train.detector --out runs/detector --minutes 20
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import CLIPModel, CLIPTokenizer, OwlViTForObjectDetection

from limner.train.autoencoder import to_tensor
from limner.train.chimera import show
from limner.train.judge import disturb
from limner.train.libraries import from_folder, seed_torch, to_folder, write_preprocessing
from limner.train.loop import Budget, fit, start_processes
from limner.train.optim import MixedOptimizer, Rates
from limner.train.precision import cast
from limner.train.ship import WEIGHTS
from limner.train.towers import owl_from, query_tokenizer
from limner.types import Box
from limner.world.caption import article
from limner.world.render import annotate
from limner.world.sample import Palette, sample_scene
from limner.world.scene import Scene, colour_of
from limner.world.vocabulary import COLOURS, CORE_CONCEPTS, SHAPE_CONCEPTS, binding_held_out, concept

BATCH = 32
STAGE_SHARES = {"single": 0.2, "pair": 0.4, "count": 0.15, "crowd": 0.25}
PALETTE = Palette(tint=0.4)
SIZE = 128
"""Pixels to a side of a picture."""
CORE = 0.5
"""A box's inner part, as a share of its sides: patches with their centre in it are to name the object."""


@dataclass(frozen=True, slots=True)
class Query:
    """What is asked for: a noun, in one colour or in any."""

    concept: str
    colour: str | None = None

    @property
    def text(self) -> str:
        """«car», «red car»."""
        return f"{self.colour} {concept(self.concept).name}" if self.colour else concept(self.concept).name


def all_queries(concepts: Sequence[str]) -> list[Query]:
    """Every noun bare and in every colour it may be shown in; bindings held out are never asked for in training."""
    coloured = [Query(n, c) for n in concepts for c in COLOURS if not binding_held_out(c, n)]
    return [*(Query(name) for name in concepts), *coloured]


def known_words() -> list[str]:
    """Every word of a query: nouns in both numbers, the broader nouns, colours and articles."""
    nouns = [concept(name) for name in (*CORE_CONCEPTS, *SHAPE_CONCEPTS)]
    texts = [text for noun in nouns for text in (noun.name, noun.plural, noun.general)]
    return sorted({word for text in (*texts, *COLOURS, "a an the and") for word in text.split()})


@torch.no_grad()
def text_features(model: OwlViTForObjectDetection, tokenizer: CLIPTokenizer, texts: Sequence[str]) -> Tensor:
    """Unit features (texts, dim) of queries, as the model's own forward pass computes them."""
    batch = tokenizer(list(texts), padding="max_length", truncation=True, return_tensors="pt")
    hidden = model.owlvit.text_model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"])
    return F.normalize(model.owlvit.text_projection(hidden.pooler_output).float(), dim=-1)


@dataclass(frozen=True, slots=True)
class Batch:
    """Pictures (n, 3, 128, 128), and which query each patch is to name.

    `labels` is 1 where a patch is to name a query, float (n, patches, queries); `counted` is 0 where it may or may
    not, as at an object's rim. `boxes` (n, patches, 4) is the centre, width and height of the box that the patch
    lies in, in shares of the picture, and `inside` (n, patches) is 1 where there is one.
    """

    pixels: Tensor
    labels: Tensor
    counted: Tensor
    boxes: Tensor
    inside: Tensor


def owners(boxes: Sequence[Box], grid: int, size: int) -> tuple[Tensor, Tensor]:
    """For each patch the number of the box whose core it lies in, and of the box that it lies in; -1 for none.

    The core is the inner part of a box, and at least the one patch that holds its centre. Where boxes overlap,
    a patch belongs to the one whose centre is nearer, measured in that box's own sides.
    """
    x0, y0, x1, y1 = torch.tensor(boxes).T[:, :, None] * grid / size
    cells = torch.arange(grid * grid)
    column, row = cells % grid, cells // grid
    x, y = (x0 + x1) / 2, (y0 + y1) / 2
    across, down = (column + 0.5 - x).abs() / (x1 - x0), (row + 0.5 - y).abs() / (y1 - y0)
    away = 2 * torch.maximum(across, down)
    away[(column == x.long()) & (row == y.long())] = 0
    nearest, owner = away.min(0)
    return torch.where(nearest < CORE, owner, -1), torch.where(nearest < 1, owner, -1)


def new_batch(rng: Random, count: int, queries: Sequence[Query], palette: Palette = PALETTE, grid: int = 8) -> Batch:
    """Random scenes of the training side, blurred and noised as the judge's are; in some a thing is spoilt, and no
    patch is to name that."""
    stages = rng.choices(list(STAGE_SHARES), list(STAGE_SHARES.values()), k=count)
    shown = [show(sample_scene(rng, stage, palette), rng, palette) for stage in stages]
    scenes = [each.scene for each in shown]
    boxes = [[region.box for region in annotate(scene).regions] for scene in scenes]
    pixels = disturb(to_tensor([each.picture for each in shown]), rng)
    index = {query: number for number, query in enumerate(queries)}
    rows = [_targets(scene, own, index, grid) for scene, own in zip(scenes, boxes, strict=True)]
    labels, counted, places, inside = (torch.stack(column) for column in zip(*rows, strict=True))
    return Batch(pixels, labels, counted, places, inside)


def _targets(
    scene: Scene, boxes: Sequence[Box], index: Mapping[Query, int], grid: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    core, whole = owners(boxes, grid, SIZE)
    table = torch.zeros(len(boxes) + 1, len(index))  # the last row, number -1: no thing at all
    for row, thing in zip(table, scene.things, strict=False):
        for query in (Query(thing.concept), Query(thing.concept, colour_of(thing))):
            if query in index:
                row[index[query]] = 1
    x0, y0, x1, y1 = torch.tensor([*boxes, (0.0, 0.0, 1.0, 1.0)]).T / SIZE
    places = torch.stack([(x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0], 1)
    counted = 1 - (table[whole] - table[core]).clamp(min=0)
    return table[core], counted, places[whole], (whole >= 0).float()


def focal(logits: Tensor, labels: Tensor, counted: Tensor) -> Tensor:
    """Focal loss (gamma 2, alpha 0.25 as RetinaNet has it), per patch that names something."""
    each = F.binary_cross_entropy_with_logits(logits, labels, reduction="none")
    miss = (labels - logits.sigmoid()).abs()
    weight = miss.square() * (0.75 - 0.5 * labels) * counted
    return (each * weight).sum() / labels.sum().clamp(min=1)


def corners(boxes: Tensor) -> Tensor:
    """Boxes (..., 4) as centre, width and height to x0, y0, x1, y1."""
    centre, half = boxes[..., :2], boxes[..., 2:] / 2
    return torch.cat([centre - half, centre + half], -1)


def overlaps(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """IoU and generalised IoU of boxes (..., 4) given by their corners, pair by pair."""
    common = (torch.minimum(first[..., 2:], second[..., 2:]) - torch.maximum(first[..., :2], second[..., :2])).clamp(
        min=0
    )
    hull = torch.maximum(first[..., 2:], second[..., 2:]) - torch.minimum(first[..., :2], second[..., :2])
    areas = [(box[..., 2:] - box[..., :2]).prod(-1) for box in (first, second)]
    union = areas[0] + areas[1] - common.prod(-1)
    iou = common.prod(-1) / union
    return iou, iou - 1 + union / hull.prod(-1)


def predict(model: OwlViTForObjectDetection, pixels: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
    """Logits (n, patches, queries) and boxes (n, patches, 4; centre, width, height) for features of queries."""
    grid = model.image_embedder(pixels.to(model.layer_norm.weight.dtype))[0].float()
    patches = grid.flatten(1, 2)
    logits = model.class_predictor(patches, features.expand(len(pixels), -1, -1))[0]
    return logits, model.box_predictor(patches, grid)


def losses(model: OwlViTForObjectDetection, features: Tensor, batch: Batch) -> dict[str, Tensor]:
    """The loss of a batch for queries with these features, its parts, and the mean IoU of patches' boxes."""
    logits, boxes = predict(model, batch.pixels, features)
    named = focal(logits, batch.labels, batch.counted)
    iou, general = overlaps(corners(boxes), corners(batch.boxes))
    share = batch.inside / batch.inside.sum().clamp(min=1)
    place = ((boxes - batch.boxes).abs().sum(-1) * share).sum()
    tight = ((1 - general) * share).sum()
    found = ((logits > 0) * batch.labels).sum() / batch.labels.sum()
    total = named + 5 * place + 2 * tight
    return {"loss": total, "named": named, "place": place, "iou": (iou * share).sum(), "found": found}


def keep(model: OwlViTForObjectDetection, tokenizer: CLIPTokenizer, folder: Path) -> None:
    """Save all that `from_pretrained` reads."""
    to_folder(model, folder)
    to_folder(tokenizer, folder)
    write_preprocessing(folder, "OwlViTImageProcessor")
    (folder / "limner.json").write_text(json.dumps({"prompt": "{}"}))


def begin(clip: Path, start: Path | None) -> tuple[OwlViTForObjectDetection, CLIPTokenizer]:
    """The model to train, from CLIP or with a folder's weights: towers in the precision of `cast`, text's frozen,
    heads in float32, as a box in bfloat16 would be rounded to 1/256 of the picture."""
    tokenizer, old_ids = query_tokenizer(from_folder(CLIPTokenizer, clip), known_words())
    model = owl_from(from_folder(CLIPModel, clip, dtype=torch.float32), old_ids)
    if start:
        model.load_state_dict(from_folder(OwlViTForObjectDetection, start).state_dict())
    for part in (model.owlvit.text_model, model.owlvit.text_projection):
        part.requires_grad_(False)
    for part in (model.owlvit, model.layer_norm):
        cast(part)
    # Hundreds of times steeper than all the rest, it alone would decide how far gradients are clipped. AdamW, which
    # trains it, does not mind the scale.
    for weight in model.class_head.logit_shift.parameters():
        weight.register_hook(_gentler)  # pyright: ignore[reportUnknownMemberType]
    return model.train(), tokenizer


def _gentler(gradient: Tensor) -> Tensor:
    return gradient / 500


def main() -> None:
    """Train from the command line; see the module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--clip", type=Path, default=WEIGHTS / "clip", help="the CLIP whose towers it begins with")
    parser.add_argument("--weights", type=Path, help="begin with the weights in this folder")
    parser.add_argument("--rate", type=float, default=1.0, help="share of the usual learning rates")
    args = parser.parse_args()
    start_processes()
    seed_torch(0)
    model, tokenizer = begin(args.clip, args.weights)
    rates = Rates(muon=0.01 * args.rate, adamw=1e-3 * args.rate, ema=0.995)
    optimizer = MixedOptimizer(model.named_parameters(), rates)
    queries = all_queries(PALETTE.concepts)
    bare, said = ([form(query.text) for query in queries] for form in (str, article))
    features = torch.stack([text_features(model, tokenizer, texts) for texts in (bare, said)])

    def loss(rng: Random, spent: float) -> dict[str, Tensor]:
        return losses(model, features[int(rng.random() < 0.3)], new_batch(rng, BATCH, queries))

    fit(
        optimizer, loss, Budget(minutes=args.minutes), args.out,
        on_checkpoint=lambda: keep(model, tokenizer, args.out / "model"),
    )  # fmt: skip


if __name__ == "__main__":
    main()
