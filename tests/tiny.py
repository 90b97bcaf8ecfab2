"""Tiny checkpoints of the classes that people use, with random weights, saved to disk as users find them.

Each builder returns the folder it wrote; tests load it through the same `from_pretrained` path as a real model.
"""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from tokenizers.pre_tokenizers import ByteLevel

# As modules of unknown types: the libraries' own annotations refuse arguments that their documentation asks for.
diffusers, transformers = import_module("diffusers"), import_module("transformers")

TEXT_LENGTH = 16
WORDS = ("red", "fox", "castle", "snow")
_START, _END = "<|startoftext|>", "<|endoftext|>"


def clip_tokenizer(length: int = TEXT_LENGTH) -> Any:
    """A byte-level CLIP tokenizer whose only merges spell WORDS; any other word falls into single letters."""
    letters = sorted(ByteLevel.alphabet())
    vocabulary = [_START, _END, *letters, *(f"{letter}</w>" for letter in letters)]
    merges: list[tuple[str, str]] = []
    for word in WORDS:
        left = word[0]
        for position, letter in enumerate(word[1:], 2):
            right = letter if position < len(word) else f"{letter}</w>"
            if (left, right) not in merges:
                merges.append((left, right))
                vocabulary.append(left + right)
            left += right
    table = {token: index for index, token in enumerate(vocabulary)}
    return transformers.CLIPTokenizer(vocab=table, merges=merges, model_max_length=length)


def _text_config(tokenizer: Any, **changes: Any) -> Any:
    settings: dict[str, Any] = {
        "vocab_size": len(tokenizer),
        "hidden_size": 32,
        "intermediate_size": 37,
        "num_attention_heads": 4,
        "num_hidden_layers": 3,
        "max_position_embeddings": TEXT_LENGTH,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
        "projection_dim": 32,
    }
    return transformers.CLIPTextConfig(**(settings | changes))


def _unet(**changes: Any) -> Any:
    settings: dict[str, Any] = {
        "sample_size": 8,
        "block_out_channels": (32, 64),
        "layers_per_block": 1,
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
        "attention_head_dim": 4,
        "cross_attention_dim": 32,
    }
    return diffusers.UNet2DConditionModel(**(settings | changes))


def _vae() -> Any:
    return diffusers.AutoencoderKL(
        block_out_channels=(32, 32),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        latent_channels=4,
        layers_per_block=1,
        norm_num_groups=8,
        sample_size=16,
    )


def _scheduler(prediction_type: str) -> Any:
    return diffusers.PNDMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        steps_offset=1,
        skip_prk_steps=True,
        prediction_type=prediction_type,
    )


def stable_diffusion(folder: Path, *, prediction_type: str = "v_prediction") -> Path:
    """A StableDiffusionPipeline that draws 16 x 16 pictures (8 x 8 latents, a VAE of factor 2)."""
    transformers.set_seed(0)
    tokenizer = clip_tokenizer()
    pipeline = diffusers.StableDiffusionPipeline(
        vae=_vae(),
        text_encoder=transformers.CLIPTextModel(_text_config(tokenizer)),
        tokenizer=tokenizer,
        unet=_unet(),
        scheduler=_scheduler(prediction_type),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.save_pretrained(folder)
    return folder


def stable_diffusion_xl(folder: Path) -> Path:
    """A StableDiffusionXLPipeline with both text encoders, pooled text and size conditioning."""
    transformers.set_seed(0)
    first, second = clip_tokenizer(), clip_tokenizer()
    second.pad_token = "!"
    pipeline = diffusers.StableDiffusionXLPipeline(
        vae=_vae(),
        text_encoder=transformers.CLIPTextModel(_text_config(first)),
        text_encoder_2=transformers.CLIPTextModelWithProjection(_text_config(second, hidden_act="gelu")),
        tokenizer=first,
        tokenizer_2=second,
        unet=_unet(
            cross_attention_dim=64,
            addition_embed_type="text_time",
            addition_time_embed_dim=8,
            projection_class_embeddings_input_dim=6 * 8 + 32,
            transformer_layers_per_block=(1, 2),
            use_linear_projection=True,
        ),
        scheduler=_scheduler("epsilon"),
    )
    pipeline.save_pretrained(folder)
    return folder


def clip(folder: Path) -> Path:
    """A CLIPModel of 32-pixel pictures with its tokenizer and preprocessor_config.json."""
    transformers.set_seed(0)
    tokenizer = clip_tokenizer()
    text = _text_config(tokenizer).to_dict()
    vision = {"hidden_size": 32, "intermediate_size": 37, "num_hidden_layers": 2, "num_attention_heads": 4}
    vision |= {"image_size": 32, "patch_size": 8}
    model = transformers.CLIPModel(transformers.CLIPConfig(text_config=text, vision_config=vision, projection_dim=24))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    _write_preprocessor(folder, {"shortest_edge": 32}, crop={"height": 32, "width": 32})
    return folder


def blip(folder: Path) -> Path:
    """A BlipForImageTextRetrieval of 32-pixel pictures, as Salesforce/blip-itm-base-coco is laid out."""
    transformers.set_seed(0)
    folder.mkdir(parents=True, exist_ok=True)
    entries = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefghijklmnopqrstuvwxyz", *WORDS]
    tokenizer = transformers.BertTokenizer(vocab={entry: index for index, entry in enumerate(entries)})
    size = {"hidden_size": 32, "intermediate_size": 37, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = transformers.BlipConfig(
        text_config=size
        | {"vocab_size": len(entries), "encoder_hidden_size": 32, "max_position_embeddings": 64, "pad_token_id": 0},
        vision_config=size | {"image_size": 32, "patch_size": 8},
        image_text_hidden_size=16,
        projection_dim=16,
    )
    model = transformers.BlipForImageTextRetrieval(config)
    for weight in model.parameters():  # larger than at the start of training, or every picture would look the same
        torch.nn.init.normal_(weight.data, std=0.2)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    _write_preprocessor(folder, {"height": 32, "width": 32}, crop=None)
    return folder


def _write_preprocessor(folder: Path, size: dict[str, int], crop: dict[str, int] | None) -> None:
    settings = {
        "do_resize": True,
        "size": size,
        "resample": 3,
        "do_center_crop": crop is not None,
        "crop_size": crop,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": [0.48145466, 0.4578275, 0.40821073],
        "image_std": [0.26862954, 0.26130258, 0.27577711],
        "image_processor_type": "CLIPImageProcessor" if crop else "BlipImageProcessor",
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(settings))
