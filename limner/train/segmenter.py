"""Recipe: the segmenter, a small SamModel trained from scratch: a box, somewhat off, to the mask of what stands in it.

torchrun --nproc_per_node 1 -m limner.train.segmenter --out runs/segmenter --minutes 20
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import SamConfig, SamModel

from limner.train.autoencoder import to_tensor
from limner.train.judge import disturb
from limner.train.libraries import from_folder, seed_torch, to_folder
from limner.train.loop import Budget, fit, start_processes
from limner.train.optim import MixedOptimizer, Rates
from limner.train.precision import cast
from limner.types import Box
from limner.world.render import annotate
from limner.world.sample import Palette, sample_scene

SIZE = 128
PATCH = 8
"""Masks come out at four times the grid of patches, 64 x 64: brought back to 128, such a truth overlaps itself by 0.985
(with patches of 16 it would be 0.946)."""
BATCH = 24
BOXES = 2
"""Boxes asked of each picture."""
JITTER = 0.08
"""How far each edge of a box may be off, as a share of the box's side."""
STAGE_SHARES = {"single": 0.2, "pair": 0.4, "count": 0.15, "crowd": 0.25}
PALETTE = Palette(tint=0.4)


def new_segmenter(width: int = 128, layers: int = 4) -> SamModel:
    """The shipped architecture: 1.55 M parameters, every other layer of the encoder looks at the whole picture."""
    vision = {
        "hidden_size": width, "output_channels": width, "num_pos_feats": width // 2, "num_hidden_layers": layers,
        "num_attention_heads": 4, "image_size": SIZE, "patch_size": PATCH, "initializer_range": 0.02,
        "window_size": 8, "global_attn_indexes": list(range(1, layers, 2)), "use_rel_pos": False,
    }  # fmt: skip
    prompts = {"hidden_size": width, "image_size": SIZE, "patch_size": PATCH}
    decoder = {
        "hidden_size": width, "mlp_dim": 2 * width, "num_attention_heads": 4, "num_multimask_outputs": 1,
        "iou_head_hidden_dim": width // 2,
    }  # fmt: skip
    # The fused attention kernel's backward is several times slower on CPUs.
    eager: Any = {"attn_implementation": "eager"}
    model = SamModel(
        SamConfig(vision_config=vision, prompt_encoder_config=prompts, mask_decoder_config=decoder, **eager)
    )
    untyped: Any = model
    # The library's uniform spread is so small at these widths that hardly any gradient would come through at first.
    for layer in model.modules():
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, std=layer.in_features**-0.5)
    nn.init.normal_(untyped.vision_encoder.pos_embed, std=0.02)
    # The library's random frequencies are meant to be replaced: places a hair apart would have nothing in common.
    nn.init.normal_(untyped.shared_image_embedding.positional_embedding, std=1.0)
    return model


@dataclass(frozen=True, slots=True)
class Batch:
    """Pictures (n, 3, 128, 128), boxes (n, BOXES, 4; xyxy in pixels) and true masks (n, BOXES, 128, 128; 0 or 1)."""

    pixels: Tensor
    boxes: Tensor
    masks: Tensor


def jittered(box: Box, rng: Random) -> Box:
    """The box with each edge moved by up to JITTER of its side, kept within the picture."""
    x0, y0, x1, y1 = box
    width, height = x1 - x0, y1 - y0
    edges = zip(box, (width, height) * 2, strict=True)
    left, top, right, bottom = (min(max(e + rng.uniform(-JITTER, JITTER) * side, 0), SIZE) for e, side in edges)
    return left, top, right, bottom


def new_batch(rng: Random, count: int, palette: Palette = PALETTE) -> Batch:
    """Random scenes of the training side, blurred and noised as the judge's are, and boxes of some of their things."""
    stages = rng.choices(list(STAGE_SHARES), list(STAGE_SHARES.values()), k=count)
    annotated = [annotate(sample_scene(rng, stage, palette)) for stage in stages]
    chosen = [rng.choices(each.regions, k=BOXES) for each in annotated]
    pixels = disturb(to_tensor([each.picture for each in annotated]), rng)
    boxes = torch.tensor([[jittered(region.box, rng) for region in regions] for regions in chosen])
    masks = np.array([[region.mask for region in regions] for regions in chosen], np.float32)
    return Batch(pixels, boxes, torch.as_tensor(masks))


def predict(model: SamModel, pixels: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor]:
    """Logits (n, boxes, 128, 128) of one mask a box, and the IoU (n, boxes) that the model expects of it."""
    untyped: Any = model
    encoder = untyped.vision_encoder
    seen = encoder(pixels.to(encoder.neck.conv1.weight.dtype)).last_hidden_state.float()
    out = untyped(image_embeddings=seen, input_boxes=boxes, multimask_output=False)
    logits = F.interpolate(out.pred_masks[:, :, 0].float(), (SIZE, SIZE), mode="bilinear")
    return logits, out.iou_scores[..., 0].float()


def near(boxes: Tensor) -> Tensor:
    """How much each pixel counts for boxes (..., 4), shape (..., 128, 128): fully in the box and around it, where the
    mask is to be told from what is behind it, and little farther away."""
    x0, y0, x1, y1 = boxes[..., None].unbind(-2)
    along = torch.arange(SIZE) + 0.5
    slack = 2 * JITTER
    across = (along > x0 - slack * (x1 - x0)) & (along < x1 + slack * (x1 - x0))
    down = (along > y0 - slack * (y1 - y0)) & (along < y1 + slack * (y1 - y0))
    return torch.where(down[..., :, None] & across[..., None, :], 1.0, 0.1)


def dice(logits: Tensor, masks: Tensor) -> Tensor:
    """1 - the soft Dice coefficient of each mask (..., height, width)."""
    chance = logits.sigmoid()
    common = (chance * masks).sum((-2, -1))
    return 1 - (2 * common + 1) / (chance.sum((-2, -1)) + masks.sum((-2, -1)) + 1)


def mask_ious(logits: Tensor, masks: Tensor) -> Tensor:
    """The IoU of what is above a logit of 0 with each true mask (..., height, width)."""
    found, true = logits > 0, masks > 0.5
    return (found & true).sum((-2, -1)) / (found | true).sum((-2, -1)).clamp(min=1)


def losses(model: SamModel, batch: Batch) -> dict[str, Tensor]:
    """The loss of a batch, its parts, and the mean IoU."""
    logits, expected = predict(model, batch.pixels, batch.boxes)
    weight = near(batch.boxes)
    weight = weight / weight.sum((-2, -1), keepdim=True)
    entropy = F.binary_cross_entropy_with_logits(logits, batch.masks, weight, reduction="sum") / len(weight) / BOXES
    overlap = dice(logits, batch.masks).mean()
    iou = mask_ious(logits.detach(), batch.masks)
    expectation = F.mse_loss(expected, iou)
    total = entropy + overlap + expectation
    return {"loss": total, "entropy": entropy, "dice": overlap, "expected": expectation, "iou": iou.mean()}


PREPROCESSING = {
    "image_processor_type": "SamImageProcessor",
    "do_convert_rgb": True,
    "do_resize": True,
    "size": {"longest_edge": SIZE},
    "mask_size": {"longest_edge": SIZE // 2},
    "resample": 2,
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
    "image_mean": [0.5] * 3,
    "image_std": [0.5] * 3,
    "do_pad": True,
    "pad_size": {"height": SIZE, "width": SIZE},
    "mask_pad_size": {"height": SIZE // 2, "width": SIZE // 2},
}
"""preprocessor_config.json: the longer side to 128 px, values to [-1, 1], padded to a square with grey."""


def keep(model: SamModel, folder: Path) -> None:
    """Save all that `from_pretrained` reads."""
    to_folder(model, folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(PREPROCESSING, indent=1))


def begin(start: Path | None) -> SamModel:
    """The model to train, new or with a folder's weights: encoder in the precision of `cast`, the rest in float32, as a
    box in bfloat16 would be rounded to 1/256 of the picture."""
    model = new_segmenter()
    if start:
        model.load_state_dict(from_folder(SamModel, start).state_dict())
    cast(model.vision_encoder)
    return model.train()


def main() -> None:
    """Train from the command line; see the module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--weights", type=Path, help="begin with the weights in this folder")
    args = parser.parse_args()
    start_processes()
    seed_torch(0)
    model = begin(args.weights)
    optimizer = MixedOptimizer(model.named_parameters(), Rates(muon=0.02, adamw=2e-3, ema=0.995))

    def loss(rng: Random, spent: float) -> dict[str, Tensor]:
        return losses(model, new_batch(rng, BATCH))

    fit(optimizer, loss, Budget(minutes=args.minutes), args.out, on_checkpoint=lambda: keep(model, args.out / "model"))


if __name__ == "__main__":
    main()
