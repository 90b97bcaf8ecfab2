"""Load a Stable Diffusion pipeline safely, and set it up for one device and precision.

Shared by everything that draws: text to image now, edits and concepts later.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from diffusers.schedulers.scheduling_dpmsolver_multistep import DPMSolverMultistepScheduler
from torch import Tensor

from limner.backends.hardware import Plan
from limner.backends.hub import (
    check_configs,
    check_weights,
    content_hash,
    model_folder,
    not_loadable,
    quieten,
    read_json,
    weight_files,
)
from limner.backends.prompts import PromptEncoder, TextTower
from limner.types import ModelUnavailable

WEIGHTED_PARTS = ("text_encoder", "text_encoder_2", "unet", "vae")
_FILES = (
    "model_index.json",
    "scheduler/*.json",
    *(f"tokenizer{n}/{kind}" for n in ("", "_2") for kind in ("*.json", "*.txt")),
    *(f"{part}/{kind}" for part in WEIGHTED_PARTS for kind in ("*.json", "*.safetensors")),
)
# What each class takes beside its parts: no safety checker (a stage of its own), no watermark package.
_OPTIONS: dict[str, dict[str, Any]] = {
    "StableDiffusionPipeline": {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False},
    "StableDiffusionXLPipeline": {"feature_extractor": None, "image_encoder": None, "add_watermarker": False},
}
# Schedulers of distilled models: their few steps only work with the solver they were distilled for.
_DISTILLED = ("LCMScheduler", "TCDScheduler")
_DECODER_PSNR = 40.0


@dataclass(frozen=True, slots=True)
class Loaded:
    """A pipeline ready to draw, the hash of its weights, and the A1111 name of its sampler."""

    pipeline: Any
    prompts: PromptEncoder
    model_hash: str
    sampler: str


def load_pipeline(source: str, *, plan: Plan) -> Loaded:
    """Load `source` (see hub.model_folder) as the Stable Diffusion class that its model_index.json names.

    Weights are read from safetensors files only and no code from the folder or the hub is run. Raises
    ModelUnavailable when the model is missing, of another class, malformed or unsafe.
    """
    folder = model_folder(source, files=_FILES, default="stable-diffusion")
    check_configs(folder)
    name = _class_name(folder)
    parts = [folder / part for part in WEIGHTED_PARTS if (folder / part).is_dir()]
    for part in parts:
        check_weights(part)
    pipeline = _from_folder(name, folder, plan)
    sampler = _use_fast_solver(pipeline)
    _keep_latents_exact(pipeline.unet)
    _lower_decoder(pipeline.vae, getattr(torch, plan.precision))
    files = [file for part in parts for file in weight_files(part)]
    return Loaded(pipeline, PromptEncoder(_towers(pipeline)), content_hash(files), sampler)


def _class_name(folder: Path) -> str:
    """The pipeline class that model_index.json names, after a look at where it wants its parts from."""
    index = cast(dict[str, Any], read_json(folder / "model_index.json"))
    name = index.get("_class_name")
    if not isinstance(name, str) or name not in _OPTIONS:
        raise ModelUnavailable(f"{folder} is a {name!r}", f"Limner draws with {' or '.join(_OPTIONS)}")
    for part, owner in index.items():
        library = cast(list[Any], owner)[0] if isinstance(owner, list) and owner else None
        if part not in _OPTIONS[name] and library not in (None, "diffusers", "transformers"):
            raise ModelUnavailable(f"{folder} asks to run code ({part} from {library!r})")
    return name


def _from_folder(name: str, folder: Path, plan: Plan) -> Any:
    quieten()
    import diffusers  # not before: importing the pipelines already logs advice for programmers

    precision = {"vae": torch.float32, "default": getattr(torch, plan.precision)}
    try:
        pipeline = getattr(diffusers, name).from_pretrained(
            folder, dtype=precision, use_safetensors=True, local_files_only=True, **_OPTIONS[name]
        )
    except Exception as error:  # whatever a malformed folder makes the libraries raise
        raise not_loadable(folder, error) from error
    pipeline.set_progress_bar_config(disable=True)
    # Beside being the faster layout for the decoder, it makes its result independent of the batch size.
    pipeline.vae.to(memory_format=torch.channels_last)
    return pipeline.to(plan.device)


def _towers(pipeline: Any) -> Sequence[TextTower]:
    if not hasattr(pipeline, "text_encoder_2"):
        return [TextTower(pipeline.tokenizer, pipeline.text_encoder)]
    pairs = [(pipeline.tokenizer, pipeline.text_encoder), (pipeline.tokenizer_2, pipeline.text_encoder_2)]
    # SDXL's refiner has only the second tower.
    return [TextTower(tokenizer, encoder, penultimate=True) for tokenizer, encoder in pairs if encoder is not None]


def _use_fast_solver(pipeline: Any) -> str:
    """Sample with DPM-Solver++ (Lu et al. 2022) where the noise schedule allows; return the sampler's name."""
    scheduler = pipeline.scheduler
    name = type(scheduler).__name__
    if not hasattr(scheduler, "alphas_cumprod") or name in _DISTILLED:
        return name.removesuffix("Scheduler")
    solver: Any = DPMSolverMultistepScheduler
    pipeline.scheduler = solver.from_config(scheduler.config)
    return "DPM++ 2M"


def _keep_latents_exact(unet: Any) -> None:
    """Let latents stay float32 between steps while the U-Net computes in its own precision.

    The pipeline would otherwise round the picture to 8 bits of mantissa after every step.
    """

    def lower(_: Any, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return (args[0].to(unet.dtype), *args[1:])

    def raise_(_: Any, args: tuple[Tensor, ...], output: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return (output[0].float(), *output[1:])

    unet.register_forward_pre_hook(lower)
    unet.register_forward_hook(raise_)


@torch.inference_mode()
def _lower_decoder(vae: Any, precision: torch.dtype) -> None:
    """Decode in `precision` if that stays within 40 dB of float32 on a fixed latent, else in float32.

    SDXL's decoder, for one, overflows in float16.
    """
    noise = torch.randn((1, vae.config.latent_channels, 16, 16), generator=torch.Generator().manual_seed(0))
    latents = noise.to(vae.device)
    exact = vae.decode(latents).sample.float()
    lowered = vae.to(precision).decode(latents.to(precision)).sample.float()
    error = float((exact - lowered).square().mean())
    if not -10 * math.log10(max(error, 1e-12) / 4) >= _DECODER_PSNR:  # the range is [-1, 1]; false for NaN too
        vae.float()


def latent_scale(pipeline: Any) -> int:
    """Pixels per latent cell along each side."""
    return int(pipeline.vae_scale_factor)


@torch.inference_mode()
def decode(vae: Any, latents: Tensor) -> Tensor:
    """Latents (n, c, h, w) as the U-Net uses them to float32 pixels (n, 3, H, W) in about [-1, 1]."""
    config = vae.config
    latents = latents / config.scaling_factor
    if config.latents_mean is not None and config.latents_std is not None:
        mean, std = (latents.new_tensor(each).view(1, -1, 1, 1) for each in (config.latents_mean, config.latents_std))
        latents = latents * std + mean
    return vae.decode(latents.to(vae.dtype)).sample.float()
