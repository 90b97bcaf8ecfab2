"""Boxes to masks: SAM, prompted with boxes (ChatGenImage 3.2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor

from limner.backends.hardware import Plan
from limner.backends.hub import not_loadable
from limner.backends.looking import LastSeen, checked_folder, load_model
from limner.protocols import Mask
from limner.types import Box, Picture


def load_segmenter(source: str, *, plan: Plan, name: str = "") -> SamSegmenter:
    """Load a SamModel from `embedded:`, a folder or a Hugging Face id.

    `name` is what reports call it (default: the source). Raises ModelUnavailable when it is missing, of
    another class, malformed or unsafe.
    """
    folder, _ = checked_folder(source, {"sam": "SamModel"}, default="segmenter")
    model = load_model(folder, "SamModel", torch.float32).to(plan.device)
    # Only the encoder, where the time goes: the prompt encoder would round boxes to 1/256 of the picture in bfloat16.
    model.vision_encoder.to(getattr(torch, plan.precision))
    from transformers import SamImageProcessorPil

    kind: Any = SamImageProcessorPil
    try:
        processor = kind.from_pretrained(folder, local_files_only=True)
    except Exception as error:  # whatever a malformed folder makes the library raise
        raise not_loadable(folder, error) from error
    return SamSegmenter(name or source, model, processor)


@dataclass(slots=True)
class SamSegmenter:
    """A Segmenter (see protocols)."""

    name: str
    model: Any
    processor: Any
    _seen: LastSeen[Tensor] = field(default_factory=LastSeen[Tensor])

    @torch.inference_mode()
    def segment(self, picture: Picture, boxes: Sequence[Box]) -> list[Mask]:
        """One boolean mask (height, width) of the whole picture for each box (xyxy, pixels), in order.

        A picture is encoded once, for the calls to come as well; boxes are decoded in one call, and none sees another.
        """
        if not boxes:
            return []
        inputs = self.processor(picture.pixels, input_data_format="channels_last", return_tensors="pt")
        prompts = torch.tensor([scale_boxes(boxes, picture, tuple(inputs["reshaped_input_sizes"][0].tolist()))])
        found = self.model(
            image_embeddings=self._seen.of(picture, partial(self._encode, inputs["pixel_values"])),
            input_boxes=prompts.to(self.model.device),
            multimask_output=False,
        )
        logits = best_of(found.pred_masks[0], found.iou_scores[0])
        return [self._whole(each, inputs) for each in logits]

    def _encode(self, pixels: Tensor) -> Tensor:
        encoder = self.model.vision_encoder
        return encoder(pixels.to(self.model.device, encoder.dtype)).last_hidden_state.float()

    def _whole(self, logits: Tensor, inputs: Any) -> Mask:
        """One mask at a time: at the size of a photograph the logits of many would fill the memory."""
        masks = self.processor.post_process_masks(
            [logits[None, None]], inputs["original_sizes"], inputs["reshaped_input_sizes"]
        )
        return masks[0][0, 0].cpu().numpy()


def scale_boxes(boxes: Sequence[Box], picture: Picture, size: tuple[int, int]) -> list[Box]:
    """Boxes in the picture's pixels to the pixels of its resized copy, `size` = (height, width)."""
    down, right = size[0] / picture.height, size[1] / picture.width
    return [(x0 * right, y0 * down, x1 * right, y1 * down) for x0, y0, x1, y1 in boxes]


def best_of(masks: Tensor, scores: Tensor) -> Tensor:
    """Of each box's candidates (boxes, n, height, width) the one with the best predicted IoU (boxes, n)."""
    return masks[torch.arange(len(masks)), scores.argmax(dim=1)]
