"""Recipe: the text-to-image model, a UNet2DConditionModel with CLIP's text tower, by v-prediction.

The curriculum decides: single large objects until they are crisp, then pairs, counts and crowds, always keeping
some of what came before. Latents are reused a few times under other noise, times and captions, because encoding
them costs as much as a quarter of a step.

    torchrun --nproc_per_node 2 -m limner.train.text_to_image --autoencoder runs/vae/model --clip runs/clip/model \
        --out runs/unet --minutes 90
"""

from __future__ import annotations

import argparse
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import torch
from diffusers.models.attention_processor import AttnProcessor
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import StableDiffusionPipeline
from diffusers.schedulers.scheduling_dpmsolver_multistep import DPMSolverMultistepScheduler
from torch import Tensor, nn
from transformers import CLIPTextModel, CLIPTokenizer

from limner.train.autoencoder import posterior, to_tensor
from limner.train.libraries import from_folder, seed_torch, to_folder
from limner.train.loop import Budget, fit, start_processes
from limner.train.optim import MixedOptimizer, Rates
from limner.train.precision import cast
from limner.world.caption import caption
from limner.world.render import render
from limner.world.sample import Palette, sample_scene
from limner.world.scene import Scene
from limner.world.vocabulary import STYLE_PHRASES

BATCH = 48
NO_CAPTION, STYLE_ALONE = 0.1, 0.05
"""The shares of pictures without a caption, for guidance to start from, and with no more than their style, for it to
lead away from."""

REUSE = 3
"""How many times a latent is trained on before it leaves the pool."""
LOG_SNR_MEAN, LOG_SNR_SPREAD = -1.6, 2.4
"""Where training looks by default: much noise, for which side a thing stands on is decided there and nowhere else;
what a thing looks like is decided at about -0.5."""

FIRST = {"single": 1.0}
LAST = {"single": 0.3, "pair": 0.44, "count": 0.08, "crowd": 0.18}
PALETTE_FIRST = Palette(tint=0.1, other_time=0.12, weather=0.05)
PALETTE_LAST = Palette(tint=0.5, other_time=0.15, weather=0.2)


def new_unet(width: int = 128, text_width: int = 256) -> UNet2DConditionModel:
    """The shipped architecture: 22 M parameters, cross-attention at 8 x 8 of a 16 x 16 latent."""
    return UNet2DConditionModel(
        sample_size=16,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        block_out_channels=(width, 2 * width, 2 * width),
        layers_per_block=1,
        cross_attention_dim=text_width,
        attention_head_dim=4,  # diffusers reads this as the number of heads
    )


def new_scheduler() -> DPMSolverMultistepScheduler:
    """v-prediction on Stable Diffusion's own noise schedule, shifted to end in pure noise, so that pictures may be
    all dark or all bright; trailing steps, as that needs."""
    return DPMSolverMultistepScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type="v_prediction",
        rescale_betas_zero_snr=True,
        timestep_spacing="trailing",
    )


def stage_shares(spent: float, single_until: float, single: float = LAST["single"]) -> dict[str, float]:
    """The curriculum: what share of the scenes is of which stage, ramped over a tenth of the budget.

    `single` is the share of single objects in the end; the other stages keep their proportions.
    """
    ramp = min(1.0, max(0.0, (spent - single_until) / 0.1))
    others = (1 - single) / (1 - LAST["single"])
    last = {stage: single if stage == "single" else others * share for stage, share in LAST.items()}
    return {stage: (1 - ramp) * FIRST.get(stage, 0.0) + ramp * last[stage] for stage in last}


def log_snr_table(scheduler: DPMSolverMultistepScheduler) -> Tensor:
    """log(alpha^2 / sigma^2) of every training timestep, falling."""
    signal = scheduler.alphas_cumprod.double().clamp(1e-8, 1 - 1e-8)
    return torch.log(signal / (1 - signal))


def sample_timesteps(count: int, table: Tensor, mean: float = LOG_SNR_MEAN) -> Tensor:
    """Timesteps whose log SNR is normal (the logit-normal times of flow matching), with a few uniform ones."""
    wanted = mean + LOG_SNR_SPREAD * torch.randn(count, dtype=torch.float64)
    steps = torch.searchsorted(-table, -wanted).clamp(0, len(table) - 1)
    anywhere = torch.rand(count) < 0.1
    return torch.where(anywhere, torch.randint(0, len(table), (count,)), steps)


@dataclass(slots=True)
class Pool:
    """Scenes and their latents, each to be used REUSE times."""

    vae: AutoencoderKL
    scale: float
    waiting: deque[tuple[Scene, Tensor]] = field(default_factory=deque[tuple[Scene, Tensor]])

    def take(self, rng: Random, count: int, shares: dict[str, float], palette: Palette) -> list[tuple[Scene, Tensor]]:
        """`count` scenes with latents (4, 16, 16), scaled to unit variance; a third of them are new."""
        fresh = max(count // REUSE, count - len(self.waiting))
        stages = rng.choices(list(shares), list(shares.values()), k=fresh)
        scenes = [sample_scene(rng, stage, palette) for stage in stages]
        pixels = to_tensor([render(scene) for scene in scenes]).to(self.vae.dtype)
        with torch.no_grad():
            latents: Tensor = posterior(self.vae, pixels).mean.float() * self.scale
        new = list(zip(scenes, latents, strict=True))
        old = [self.waiting.popleft() for _ in range(count - fresh)]
        self.waiting.extend(new * (REUSE - 1))
        if len(self.waiting) > 50 * count:
            self.waiting = deque(rng.sample(list(self.waiting), 40 * count))
        return [*new, *old]


def said_of(scene: Scene, rng: Random) -> str:
    """What the model is told of a scene: a caption, or less."""
    share = rng.random()
    if share < NO_CAPTION:
        return ""
    return rng.choice(STYLE_PHRASES[scene.style]) if share < NO_CAPTION + STYLE_ALONE else caption(scene, rng)


def latent_scale(vae: AutoencoderKL) -> float:
    """1 / standard deviation of the latents of 256 rendered scenes."""
    rng = Random(7)
    pixels = to_tensor([render(sample_scene(rng, stage)) for stage in ("single", "pair") for _ in range(128)])
    with torch.no_grad():
        return float(1 / posterior(vae, pixels.to(vae.dtype)).mean.float().std())


def v_loss(unet: UNet2DConditionModel, latents: Tensor, steps: Tensor, words: Tensor, signal: Tensor) -> Tensor:
    """Mean squared error of the velocity v = alpha * noise - sigma * latent (Salimans and Ho, 2022), per sample."""
    alpha, sigma = signal[steps].sqrt().view(-1, 1, 1, 1), (1 - signal[steps]).sqrt().view(-1, 1, 1, 1)
    noise = torch.randn_like(latents)
    said = unet((alpha * latents + sigma * noise).to(words.dtype), steps, words).sample.float()
    return (said - (alpha * noise - sigma * latents)).square().mean((1, 2, 3))


@dataclass(frozen=True, slots=True)
class Parts:
    """What is trained (`unet`, `text`), what is not (`vae`, `tokenizer`), and the noise schedule."""

    vae: AutoencoderKL
    tokenizer: CLIPTokenizer
    text: CLIPTextModel
    unet: UNet2DConditionModel
    scheduler: DPMSolverMultistepScheduler

    def words(self, captions: Sequence[str]) -> Tensor:
        """What the text tower reads in captions: (n, tokens, width)."""
        batch = self.tokenizer(list(captions), padding="max_length", truncation=True, return_tensors="pt")
        return self.text(input_ids=batch["input_ids"]).last_hidden_state

    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """The U-Net's and the text tower's weights, as checkpoints name them."""
        yield from ((f"unet.{name}", parameter) for name, parameter in self.unet.named_parameters())
        yield from ((f"text.{name}", parameter) for name, parameter in self.text.named_parameters())

    def keep(self, scale: float, folder: Path) -> None:
        """Save it all as a StableDiffusionPipeline whose latents have this scaling factor."""
        config: Any = self.vae
        config.register_to_config(scaling_factor=scale)
        build: Any = StableDiffusionPipeline  # whose annotations ask for all its optional parts
        pipeline = build(
            vae=self.vae, text_encoder=self.text, tokenizer=self.tokenizer, unet=self.unet, scheduler=self.scheduler,
            safety_checker=None, feature_extractor=None, requires_safety_checker=False,
        )  # fmt: skip
        to_folder(pipeline, folder)


def begin(autoencoder: Path, clip: Path, start: Path | None, *, freeze_text: bool) -> Parts:
    """The parts, from the autoencoder's and CLIP's folders; U-Net and text tower new, or of `start`."""
    vae = cast(from_folder(AutoencoderKL, autoencoder)).eval().requires_grad_(False)
    tower = start / "text_encoder" if start else clip
    text = cast(from_folder(CLIPTextModel, tower, attn_implementation="eager")).requires_grad_(not freeze_text)
    unet = from_folder(UNet2DConditionModel, start / "unet") if start else new_unet()
    unet.set_attn_processor(AttnProcessor())
    return Parts(vae, from_folder(CLIPTokenizer, clip), text, cast(unet).train(), new_scheduler())


def main() -> None:
    """Train from the command line; see the module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--autoencoder", type=Path, required=True)
    parser.add_argument("--clip", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=90)
    parser.add_argument("--batch", type=int, default=BATCH, help="samples a step and process")
    parser.add_argument("--rate", type=float, default=1.0, help="share of the usual learning rates")
    parser.add_argument("--decay", type=float, default=1 / 3, help="last share of the budget, while the rate falls")
    parser.add_argument("--single-until", type=float, default=0.3, help="share of the budget for single objects alone")
    parser.add_argument("--single", type=float, default=LAST["single"], help="share of single objects in the end")
    parser.add_argument("--log-snr", type=float, default=LOG_SNR_MEAN, help="mean log SNR of the timesteps")
    parser.add_argument("--weights", type=Path, help="begin with the U-Net and text tower of this pipeline folder")
    parser.add_argument("--freeze-text", action="store_true", help="leave the text tower as CLIP's training left it")
    args = parser.parse_args()
    start_processes()
    seed_torch(0)
    parts = begin(args.autoencoder, args.clip, args.weights, freeze_text=args.freeze_text)
    pool, table = Pool(parts.vae, latent_scale(parts.vae)), log_snr_table(parts.scheduler)
    signal = parts.scheduler.alphas_cumprod.float()
    rates = Rates(muon=0.015 * args.rate, adamw=1.5e-3 * args.rate, ema=0.998)
    optimizer = MixedOptimizer(parts.named_parameters(), rates)

    def loss(rng: Random, spent: float) -> dict[str, Tensor]:
        palette = PALETTE_FIRST if spent < args.single_until else PALETTE_LAST
        pairs = pool.take(rng, args.batch, stage_shares(spent, args.single_until, args.single), palette)
        words = parts.words([said_of(scene, rng) for scene, _ in pairs])
        latents = torch.stack([latent for _, latent in pairs])
        each = v_loss(parts.unet, latents, sample_timesteps(len(pairs), table, args.log_snr), words, signal)
        return {"loss": each.mean()}

    def keep() -> None:
        parts.keep(pool.scale, args.out / "model")

    fit(optimizer, loss, Budget(minutes=args.minutes, decay=args.decay), args.out, on_checkpoint=keep)


if __name__ == "__main__":
    main()
