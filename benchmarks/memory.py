"""How much memory a lesson takes on Stable Diffusion 1.5, measured on random weights of its shapes.

    python benchmarks/memory.py [--size 512] [--precision bfloat16]

Each way of learning runs two steps in a process of its own; what is printed is the most memory that it held, with all
weights and the libraries, less what a process that only loads the model holds at its peak, and that beside it. On a
GPU the same tensors lie on the card. Random weights need as much room as trained ones.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

WAYS: dict[str, dict[str, Any]] = {
    "only loaded": {},
    "as it is": {"steps": 2},
    "--decoder light": {"steps": 2, "decoder": "light"},
    "--low-memory": {"steps": 2, "checkpointing": True},
    "--low-memory --decoder light": {"steps": 2, "checkpointing": True, "decoder": "light"},
    "--low-memory --reconstruction 0": {"steps": 2, "checkpointing": True, "reconstruction": 0.0},
}


def build(folder: Path, precision: str) -> None:
    """A StableDiffusionPipeline with random weights of Stable Diffusion 1.5's shapes, and the embedded tokenizer."""
    import diffusers
    import torch
    import transformers

    from limner.backends.hub import WEIGHTS

    make: Any = diffusers
    torch.set_default_dtype(getattr(torch, precision))
    tokenizer: Any = transformers.CLIPTokenizer
    pipeline = make.StableDiffusionPipeline(
        vae=make.AutoencoderKL(
            block_out_channels=(128, 256, 512, 512),
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            layers_per_block=2, latent_channels=4, sample_size=512,
        ),
        text_encoder=transformers.CLIPTextModel(
            transformers.CLIPTextConfig(
                hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12, eos_token_id=1,
                bos_token_id=0, pad_token_id=1,
            )
        ),
        tokenizer=tokenizer.from_pretrained(WEIGHTS / "stable-diffusion" / "tokenizer"),
        unet=make.UNet2DConditionModel(cross_attention_dim=768, attention_head_dim=8, sample_size=64),
        scheduler=make.PNDMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear"),
        safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    )  # fmt: skip
    pipeline.save_pretrained(folder)


def measure(folder: Path, chosen: dict[str, Any], size: int, precision: str) -> dict[str, float]:
    """Load the model, run the steps if there are any, and say the peak in GB and the seconds a step."""
    import numpy as np

    from limner.backends.diffusion import load_text_to_image
    from limner.backends.hardware import Plan
    from limner.types import Picture

    plan: Any = Plan("cpu", 2, precision, "measured")  # pyright: ignore[reportArgumentType]
    model = load_text_to_image(str(folder), plan=plan)
    began = time.perf_counter()
    if chosen:
        from limner.train.concept.lesson import prepare, study
        from limner.train.concept.options import Options

        pixels = np.random.default_rng(0).integers(0, 256, (size, size, 3), np.uint8)
        for _ in study(prepare(model.loaded, Picture(pixels), Options("it", like="fox", **chosen)), None):
            pass
    seconds = (time.perf_counter() - began) / chosen.get("steps", 1)
    return {"gigabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, "seconds": seconds}


def main() -> None:
    """Print the table; with --way, measure one row (what the processes of the table do)."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--precision", default="bfloat16", choices=("float32", "bfloat16"))
    parser.add_argument("--way", choices=WAYS)
    parser.add_argument("--folder", type=Path)
    args = parser.parse_args()
    if args.way:
        print(json.dumps(measure(args.folder, WAYS[args.way], args.size, args.precision)))
        return
    with tempfile.TemporaryDirectory() as folder:
        build(Path(folder), args.precision)
        print(f"{'way':34} {'peak, GB':>9} {'beyond loading':>15} {'s a step':>9}   ({args.size} px, {args.precision})")
        loaded = 0.0
        for way in WAYS:
            command = [sys.executable, __file__, f"--way={way}", "--folder", folder, "--size", str(args.size)]
            done = subprocess.run(
                [*command, "--precision", args.precision], capture_output=True, text=True, check=False
            )
            if done.returncode:
                print(f"{way:34} did not fit or failed: {(done.stderr.splitlines() or ['killed'])[-1]}", flush=True)
                continue
            found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
            loaded = loaded or found["gigabytes"]
            beyond, seconds = found["gigabytes"] - loaded, found["seconds"]
            print(f"{way:34} {found['gigabytes']:9.1f} {beyond:15.1f} {seconds:9.1f}", flush=True)


if __name__ == "__main__":
    main()
