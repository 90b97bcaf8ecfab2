"""Other models begun with the towers of CLIP: OWL-ViT with both of them, BLIP with the one for pictures."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers import (
    BlipForConditionalGeneration,
    CLIPModel,
    CLIPTokenizer,
    OwlViTConfig,
    OwlViTForObjectDetection,
)

from limner.train.tokenizer import END, START

LENGTH = 16
"""Tokens in one query of OWL-ViT."""
_LEAN = 0.25
"""How far OWL-ViT's class token and its patches lean from 1 at first, so that their product is nearly a sum."""
_SURE = 0.38
"""The cosine at which OWL-ViT's class head is undecided at first."""


def query_tokenizer(tokenizer: CLIPTokenizer, words: Sequence[str]) -> tuple[CLIPTokenizer, list[int]]:
    """A CLIP tokenizer with OWL-ViT's order of ids that splits `words` as before, and the old id of each new one.

    OWL-ViT takes a query whose first id is 0 for none, and reads the text's features at its highest id: so start
    and end come last and padding («!») first. Merges that no word needs are left out, for a third of the weights.
    """
    old: dict[str, int] = tokenizer.get_vocab()
    spelled = [f"{word}</w>" for word in words]
    pairs = [tuple(pair) for pair in json.loads(tokenizer.backend_tokenizer.to_str())["model"]["merges"]]
    merges: Any = [pair for pair in pairs if any("".join(pair) in word for word in spelled)]
    apart = {"".join(pair) for pair in pairs} - {"".join(pair) for pair in merges} | {START, END, "!"}
    order = ["!", *(token for token in sorted(old, key=lambda t: old[t]) if token not in apart), START, END]
    vocabulary = {token: number for number, token in enumerate(order)}
    padded: Any = {"pad_token": "!"}
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=LENGTH, **padded), [old[t] for t in order]


def owl_from(clip: CLIPModel, old_ids: Sequence[int]) -> OwlViTForObjectDetection:
    """An OWL-ViT with CLIP's towers, whose class head starts near CLIP's own cosines of patches and texts.

    `old_ids` is what `query_tokenizer` gives. CLIP's projections must be as wide as its text tower.
    """
    config: Any = clip.config
    ids = {"vocab_size": len(old_ids), "bos_token_id": len(old_ids) - 2, "eos_token_id": len(old_ids) - 1}
    text = config.text_config.to_dict() | ids | {"pad_token_id": 0, "max_position_embeddings": LENGTH}
    towers: Any = {
        "text_config": _plain(text),
        "vision_config": _plain(config.vision_config.to_dict()),
        "projection_dim": config.projection_dim,
        # The fused attention kernel's backward is several times slower on CPUs.
        "attn_implementation": "eager",
    }
    model = OwlViTForObjectDetection(OwlViTConfig(**towers))
    weights = {key.replace("pre_layrnorm", "pre_layernorm"): value for key, value in clip.state_dict().items()}
    tokens, places = (f"text_model.embeddings.{kind}_embedding.weight" for kind in ("token", "position"))
    weights |= {tokens: weights[tokens][list(old_ids)], places: weights[places][:LENGTH]}
    model.owlvit.load_state_dict(weights)
    _start_classes(model, clip)
    _start_boxes(model)
    return model


def _plain(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings of one tower without what says that it is CLIP's."""
    return {key: value for key, value in settings.items() if key not in ("model_type", "dtype", "architectures")}


@torch.no_grad()
def _start_classes(model: OwlViTForObjectDetection, clip: CLIPModel) -> None:
    """OWL-ViT multiplies each patch by the class token. Both are made to lean only a little from 1, so that their
    product, normalised, is close to their sum, in which CLIP's projection still finds what the patch shows."""
    norm, old = model.owlvit.vision_model.post_layernorm, clip.vision_model.post_layernorm
    nn.init.constant_(norm.weight, _LEAN)
    nn.init.ones_(norm.bias)
    model.layer_norm.weight.copy_(old.weight * math.sqrt(2))
    model.layer_norm.bias.copy_(old.bias)
    head = model.class_head
    head.dense0.weight.copy_(clip.visual_projection.weight)
    for layer in (head.logit_shift, head.logit_scale):
        nn.init.zeros_(layer.weight)
    nn.init.zeros_(head.dense0.bias)
    nn.init.constant_(head.logit_shift.bias, -_SURE)
    nn.init.constant_(head.logit_scale.bias, float(clip.logit_scale.exp()) - 1)


@torch.no_grad()
def _start_boxes(model: OwlViTForObjectDetection) -> None:
    head = model.box_head
    for layer, spread in ((head.dense0, 1.0), (head.dense1, 1.0), (head.dense2, 0.5)):
        nn.init.normal_(layer.weight, std=spread / math.sqrt(layer.in_features))
    # OWL-ViT offers a box of a patch's size at its lower right corner; objects are larger, and lie around it.
    head.dense2.bias.copy_(torch.tensor([-0.25, -0.25, 1.5, 1.5]))


@torch.no_grad()
def give_vision(model: BlipForConditionalGeneration, clip: CLIPModel, pixels: Tensor) -> None:
    """Put CLIP's vision tower into BLIP's, of the same sizes.

    BLIP has no norm before its first layer. Norms only scale, once the mean is gone, so CLIP's is folded into the
    embeddings with the scale that patches of `pixels` (n, 3, height, width; typical pictures) have on average.
    """
    tower = clip.vision_model
    weights = {f"post_layernorm.{key}": value for key, value in tower.post_layernorm.state_dict().items()}
    weights |= _folded(tower, pixels)
    for number, layer in enumerate(tower.encoder.layers):
        for key, value in _layer(layer).items():
            weights[f"encoder.layers.{number}.{key}"] = value
    model.vision_model.load_state_dict(weights)


def _layer(layer: Any) -> dict[str, Tensor]:
    """One of CLIP's layers under BLIP's names, where queries, keys and values are one matrix."""
    parts = ("layer_norm1", "layer_norm2", "mlp.fc1", "mlp.fc2")
    weights: dict[str, Tensor] = {
        key: value for key, value in layer.state_dict().items() if key.rpartition(".")[0] in parts
    }
    attention = layer.self_attn
    for kind in ("weight", "bias"):
        rows = [getattr(each, kind) for each in (attention.q_proj, attention.k_proj, attention.v_proj)]
        weights[f"self_attn.qkv.{kind}"] = torch.cat(rows)
        weights[f"self_attn.projection.{kind}"] = getattr(attention.out_proj, kind)
    return weights


def _folded(tower: Any, pixels: Tensor) -> dict[str, Tensor]:
    """BLIP's embeddings, scaled and shifted as CLIP's first norm does it to the class token and to a mean patch."""
    embeddings, norm = tower.embeddings, tower.pre_layrnorm
    each = 1 / embeddings(pixels).std(-1, correction=0)
    patch, token = each[:, 1:].mean(), each[0, 0]
    kernel, places = embeddings.patch_embedding.weight, embeddings.position_embedding.weight
    gain = norm.weight[:, None, None, None]
    first = (embeddings.class_embedding + places[0] - (embeddings.class_embedding + places[0]).mean()) * token
    others = (places[1:] - places[1:].mean(-1, keepdim=True)) * patch * norm.weight
    return {
        "embeddings.patch_embedding.weight": (kernel - kernel.mean(0, keepdim=True)) * patch * gain,
        "embeddings.patch_embedding.bias": norm.bias,
        "embeddings.class_embedding": (first * norm.weight + norm.bias)[None, None],
        "embeddings.position_embedding": torch.cat([torch.zeros_like(places[:1]), others])[None],
    }
