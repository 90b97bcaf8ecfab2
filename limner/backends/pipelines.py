"""Load a Stable Diffusion pipeline safely, and set it up for one device and precision.

Shared by everything that draws: text to image, edits by instruction, inpainting. One folder can serve several of
them: a text-to-image model also fills masks, and `as_inpainting` shares its weights instead of loading them again.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import torch
from diffusers.schedulers.scheduling_dpmsolver_multistep import DPMSolverMultistepScheduler
from torch import Tensor

from limner.backends.difference import base_folder, tuned_part
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
from limner.backends.rack import Rack
from limner.types import ModelUnavailable

WEIGHTED_PARTS = ("text_encoder", "text_encoder_2", "unet", "vae")
_FILES = (
    "model_index.json",
    "limner.json",
    "*_difference.safetensors",
    "scheduler/*.json",
    *(f"tokenizer{n}/{kind}" for n in ("", "_2") for kind in ("*.json", "*.txt")),
    *(f"{part}/{kind}" for part in WEIGHTED_PARTS for kind in ("*.json", "*.safetensors")),
)
# What each class takes beside its parts: no safety checker (a stage of its own), no watermark package.
_SD: dict[str, Any] = {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
_OPTIONS: dict[str, dict[str, Any]] = {
    "StableDiffusionPipeline": _SD,
    "StableDiffusionInstructPix2PixPipeline": _SD,
    "StableDiffusionInpaintPipeline": _SD,
    "StableDiffusionXLPipeline": {"feature_extractor": None, "image_encoder": None, "add_watermarker": False},
    "StableDiffusionXLInstructPix2PixPipeline": {"add_watermarker": False},
    "StableDiffusionXLInpaintPipeline": {"feature_extractor": None, "image_encoder": None, "add_watermarker": False},
}


@dataclass(frozen=True, slots=True)
class Use:
    """What a pipeline is loaded for.

    `classes` maps what model_index.json may name to the class that is loaded then, `channels` are the numbers of
    latent channels that the U-Net may take in, `embedded` is the model meant by a bare `embedded:`.
    """

    verb: str
    embedded: str
    classes: Mapping[str, str]
    channels: tuple[int, ...]


DRAWING = Use(
    "draws", "stable-diffusion", {name: name for name in ("StableDiffusionPipeline", "StableDiffusionXLPipeline")}, (4,)
)
EDITING = Use(
    "edits",
    "editor",
    {
        "StableDiffusionInstructPix2PixPipeline": "StableDiffusionInstructPix2PixPipeline",
        "StableDiffusionXLInstructPix2PixPipeline": "StableDiffusionXLInstructPix2PixPipeline",
        "StableDiffusionPipeline": "StableDiffusionInstructPix2PixPipeline",
        "StableDiffusionXLPipeline": "StableDiffusionXLInstructPix2PixPipeline",
    },
    (8,),
)
# With 4 channels blended latent diffusion, with 9 (latents, mask, masked picture) a model trained to fill.
INPAINTING = Use(
    "fills",
    "stable-diffusion",
    {
        "StableDiffusionInpaintPipeline": "StableDiffusionInpaintPipeline",
        "StableDiffusionXLInpaintPipeline": "StableDiffusionXLInpaintPipeline",
        "StableDiffusionPipeline": "StableDiffusionInpaintPipeline",
        "StableDiffusionXLPipeline": "StableDiffusionXLInpaintPipeline",
    },
    (4, 9),
)
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


def load_pipeline(source: str, *, plan: Plan, use: Use = DRAWING) -> Loaded:
    """Load `source` (see hub.model_folder) as the Stable Diffusion class that `use` has for its model_index.json.

    A folder may hold a small difference to another model instead of parts of its own (see difference.py). Weights
    are read from safetensors files only and no code from the folder or the hub is run. Raises ModelUnavailable
    when the model is missing, of another class, malformed or unsafe.
    """
    origin = _origin(model_folder(source, files=_FILES, default=use.embedded))
    pipeline = _from_folder(_class_name(origin.folder, use), origin, use, plan)
    if pipeline.unet.config.in_channels not in use.channels:
        takes = f"takes in {pipeline.unet.config.in_channels} latent channels"
        wanted = " or ".join(map(str, use.channels))
        raise ModelUnavailable(f"{source}: its U-Net {takes}", f"Limner {use.verb} with {wanted}")
    sampler = _use_fast_solver(pipeline)
    _keep_latents_exact(pipeline.unet)
    _lower_decoder(pipeline.vae, getattr(torch, plan.precision))
    prompts = PromptEncoder(_towers(pipeline), Rack(_changeable(pipeline)))
    return Loaded(pipeline, prompts, content_hash(origin.files), sampler)


def as_inpainting(loaded: Loaded) -> Loaded:
    """The same model as an inpainting pipeline: the same modules in memory, a scheduler of its own."""
    import diffusers

    pipeline, scheduler = loaded.pipeline, loaded.pipeline.scheduler
    name = INPAINTING.classes[type(pipeline).__name__]
    parts = pipeline.components | {"scheduler": scheduler.from_config(scheduler.config)}
    shared = getattr(diffusers, name)(**(parts | _OPTIONS[name]))
    shared.set_progress_bar_config(disable=True)
    return replace(loaded, pipeline=shared)


@dataclass(frozen=True, slots=True)
class _Origin:
    """Where a pipeline comes from: the folder of its parts, all its weights, a difference file for some parts."""

    folder: Path
    files: Sequence[Path]
    differences: Mapping[str, Path] = field(default_factory=dict[str, Path])


def _origin(folder: Path) -> _Origin:
    """Check a model's folder, and its base where it holds only the difference to one."""
    check_configs(folder)
    base = base_folder(folder)
    if base is None:
        parts = [folder / part for part in WEIGHTED_PARTS if (folder / part).is_dir()]
        for part in parts:
            check_weights(part)
        return _Origin(folder, [file for part in parts for file in weight_files(part)])
    check_weights(folder)
    whole = _origin(base)
    found = {part: folder / f"{part}_difference.safetensors" for part in WEIGHTED_PARTS}
    differences = {part: path for part, path in found.items() if path.is_file()}
    return _Origin(whole.folder, [*whole.files, *differences.values()], differences)


def _class_name(folder: Path, use: Use) -> str:
    """The pipeline class to load for what model_index.json names, after a look at where it wants its parts from."""
    index = cast(dict[str, Any], read_json(folder / "model_index.json"))
    name = index.get("_class_name")
    if not isinstance(name, str) or name not in use.classes:
        raise ModelUnavailable(f"{folder} is a {name!r}", f"Limner {use.verb} with {' or '.join(use.classes)}")
    for part, owner in index.items():
        library = cast(list[Any], owner)[0] if isinstance(owner, list) and owner else None
        if part not in _OPTIONS[name] and library not in (None, "diffusers", "transformers"):
            raise ModelUnavailable(f"{folder} asks to run code ({part} from {library!r})")
    return use.classes[name]


def _from_folder(name: str, origin: _Origin, use: Use, plan: Plan) -> Any:
    quieten()
    import diffusers  # not before: importing the pipelines already logs advice for programmers

    precision = {"vae": torch.float32, "default": getattr(torch, plan.precision)}
    try:
        tuned = {
            part: tuned_part(origin.folder / part, path, channels=use.channels[0]).to(precision["default"])
            for part, path in origin.differences.items()
        }
        pipeline = getattr(diffusers, name).from_pretrained(
            origin.folder, dtype=precision, use_safetensors=True, local_files_only=True, **_OPTIONS[name], **tuned
        )
    except ModelUnavailable:
        raise
    except Exception as error:  # whatever a malformed folder makes the libraries raise
        raise not_loadable(origin.folder, error) from error
    pipeline.set_progress_bar_config(disable=True)
    # Beside being the faster layout for the decoder, it makes its result independent of the batch size.
    pipeline.vae.to(memory_format=torch.channels_last)
    return pipeline.to(plan.device)


def _towers(pipeline: Any) -> Sequence[TextTower]:
    if not hasattr(pipeline, "text_encoder_2"):
        return [TextTower(pipeline.tokenizer, pipeline.text_encoder)]
    pairs = [(pipeline.tokenizer, pipeline.text_encoder), (pipeline.tokenizer_2, pipeline.text_encoder_2)]
    # SDXL's refiner has only the second tower.
    parts = [(*pair, part) for pair, part in zip(pairs, ("text_encoder", "text_encoder_2"), strict=True)]
    return [TextTower(tokenizer, encoder, True, part) for tokenizer, encoder, part in parts if encoder is not None]


def _changeable(pipeline: Any) -> dict[str, Any]:
    """The parts that a learned concept may change."""
    found = {part: getattr(pipeline, part, None) for part in ("unet", "text_encoder", "text_encoder_2")}
    return {part: module for part, module in found.items() if module is not None}


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


@torch.no_grad()  # not inference mode: weights that are converted in it could never be trained through
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
def encode(vae: Any, pixels: Tensor) -> Tensor:
    """Float32 pixels (n, 3, H, W) in [-1, 1] to latents (n, c, h, w): the posterior's mode, not scaled."""
    return vae.encode(pixels.to(vae.device, vae.dtype)).latent_dist.mode().float()


def scale_latents(vae: Any, latents: Tensor) -> Tensor:
    """Latents as `encode` gives them to latents as the U-Net denoises them."""
    mean, std = _latent_statistics(vae, latents)
    return (latents - mean) / std * vae.config.scaling_factor


@torch.inference_mode()
def decode(vae: Any, latents: Tensor) -> Tensor:
    """Latents (n, c, h, w) as the U-Net denoises them to float32 pixels (n, 3, H, W) in about [-1, 1]."""
    latents = latents / vae.config.scaling_factor
    mean, std = _latent_statistics(vae, latents)
    return vae.decode((latents * std + mean).to(vae.dtype)).sample.float()


def _latent_statistics(vae: Any, latents: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and deviation of each latent channel, shape (1, c, 1, 1), where the decoder was trained with them."""
    config = vae.config
    if config.latents_mean is None or config.latents_std is None:
        return latents.new_zeros(1), latents.new_ones(1)
    mean, std = (latents.new_tensor(each).view(1, -1, 1, 1) for each in (config.latents_mean, config.latents_std))
    return mean, std
