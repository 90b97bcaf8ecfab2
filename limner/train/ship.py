"""Put trained models into the package: half precision, vocabulary, thresholds, the judge's ceilings.

    python -m limner.train.ship --unet runs/unet/model --clip runs/clip/model --judge runs/judge
    python -m limner.train.ship --segmenter runs/segmenter/model --captioner runs/captioner/model

Only what is named ships; the eyes and the editor are in ship_eyes.py. An editor is a difference to the text-to-image
model, so that a new one of those needs a new editor.

Thresholds are calibrated on rendered scenes of held-out combinations: for each kind of keyword the least cosine
at which a pass means «present» with the stated precision, near misses (another colour, the other side) included.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import StableDiffusionPipeline
from torch import nn
from transformers import CLIPModel, CLIPTokenizer

from limner.backends.hub import WEIGHTS
from limner.evaluate.world import TASKS
from limner.train.autoencoder import to_tensor
from limner.train.calibrate import least_threshold
from limner.train.chimera import Shown, show
from limner.train.clip import encode_pictures, encode_texts, keyword_batch
from limner.train.judge import disturb
from limner.train.libraries import from_folder, seed_torch, to_folder
from limner.train.ship_eyes import ship_captioner, ship_detector, ship_editor, ship_segmenter
from limner.world.caption import NUMBERS, caption
from limner.world.judge import Judge
from limner.world.render import render
from limner.world.sample import STAGES, Palette, sample_scene
from limner.world.vocabulary import BACKGROUNDS, COLOURS, CONCEPTS, STYLE_PHRASES, TIMES, WEATHERS

ANY_PICTURE = 0.02
"""The share of other pictures' keywords asked of a picture, beside its own and their near misses: easy false ones."""

PLACES = {word for name in BACKGROUNDS for word in name.split()} | {
    "snowy",
    "dunes",
    "field",
    "skyline",
    "water",
    "woods",
}
KINDS = {
    "count": NUMBERS[2:5],
    "background": tuple(sorted(PLACES - set(COLOURS) - {"white", "grey"})),
    "relation": ("left", "right", "above", "over", "below", "under", "front"),
    "time": ("sunset", "dusk", "night"),
    "weather": ("rain", "snowfall", "snows", "fog"),
    "style": ("style", "render", "illustration", "icon", "drawing", "shapes"),
    "colour": tuple(COLOURS),
}
"""Kinds of keywords and the words that tell them, in the order in which they are looked for: «under water» is a
place and no relation, «a blue background» no colour of a thing."""

PREPROCESSING = {
    "image_processor_type": "CLIPImageProcessor",
    "do_convert_rgb": True,
    "do_resize": True,
    "size": {"shortest_edge": 128},
    "resample": 3,
    "do_center_crop": True,
    "crop_size": 128,
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
    "image_mean": [0.5] * 3,
    "image_std": [0.5] * 3,
}
"""CLIP's preprocessor_config.json: bicubic to 128 px, values to [-1, 1]."""


def words_learned(palette: Palette) -> list[str]:
    """Every word that can occur in a training caption."""
    rng = Random(0)
    texts = [caption(sample_scene(rng, rng.choice(STAGES), palette), rng) for _ in range(40_000)]
    for name in palette.concepts:
        texts += [CONCEPTS[name].name, CONCEPTS[name].plural]
    return sorted({word for text in texts for word in re.findall(r"[^\W\d_]+", text.lower())})


def kind_of(text: str) -> str:
    """The kind of a keyword by its words; «object» for the rest."""
    words = set(text.lower().split())
    return next((kind for kind, members in KINDS.items() if words & set(members)), "object")


@torch.inference_mode()
def calibrate(model: CLIPModel, tokenizer: CLIPTokenizer, palette: Palette, scenes: int = 3072) -> dict[str, Any]:
    """Thresholds by kind, with the precision and recall they have on the calibration scenes, softened as drawn ones."""
    rng = Random("calibration")
    seed_torch(0)
    pairs: dict[str, list[tuple[float, bool]]] = defaultdict(list)
    for _ in range(scenes // 64):
        batch = [
            show(sample_scene(rng, rng.choice(STAGES), palette, held_out=rng.random() < 0.5), rng, palette)
            for _ in range(64)  # half of them new pairs
        ]
        for text, rows in _asked(model, tokenizer, batch, rng):
            pairs[kind_of(text)] += rows
    measured = {kind: _measured(rows) for kind, rows in pairs.items()}
    rest = measured["object"]
    kinds = {kind: measured[kind] | {"words": list(KINDS[kind])} for kind in KINDS if kind in measured}
    return {"default": rest["threshold"], "precision": rest["precision"], "recall": rest["recall"], "kinds": kinds}


def _asked(
    model: CLIPModel, tokenizer: CLIPTokenizer, batch: Sequence[Shown], rng: Random
) -> Iterator[tuple[str, list[tuple[float, bool]]]]:
    """Each keyword of a batch with (cosine, truth) for the pictures it is asked of."""
    keywords = keyword_batch(batch, rng)
    pictures, _ = encode_pictures(model, disturb(to_tensor([each.picture for each in batch]), rng))
    cosines = pictures @ encode_texts(model, tokenizer, keywords.texts).T
    near = keywords.near.bool()
    for column, text in enumerate(keywords.texts):
        asked = near[:, column] | (torch.rand(len(batch)) < ANY_PICTURE)
        scores, labels = cosines[asked, column], keywords.labels[asked, column]
        yield text, [(float(score), bool(label)) for score, label in zip(scores, labels, strict=True)]


def _measured(rows: list[tuple[float, bool]]) -> dict[str, Any]:
    names = ("threshold", "precision", "recall")
    return {name: round(value, 4) for name, value in zip(names, least_threshold(rows), strict=True)}


def said_thresholds() -> list[str]:
    """What a pass of the shipped scorer means, a line a kind of keyword, for `limner models show`."""
    found = json.loads((WEIGHTS / "clip" / "calibration.json").read_text())
    kinds = {"object": found | {"threshold": found["default"]}, **found["kinds"]}
    return [
        f"{kind} from {row['threshold']:.3f} on ({row['precision']:.0%} of such passes are right, "
        f"{row['recall']:.0%} of what is there passes)"
        for kind, row in kinds.items()
    ]


def ceilings(judge: Judge, palette: Palette, count: int = 300) -> dict[str, float]:
    """The judge's own score on rendered truth, for each task of `limner eval world`."""
    found: dict[str, float] = {}
    for task, make in TASKS.items():
        rng = Random(f"ceiling/{task}")
        cases = [make(rng, palette) for _ in range(count)]
        verdicts = judge.judge([render(case.scene) for case in cases], [case.facts for case in cases])
        found[task] = round(sum(all(row) for row in verdicts) / count, 3)
    return found


def ship_pipeline(source: Path) -> None:
    """The StableDiffusionPipeline folder, in half precision."""
    pipeline = from_folder(StableDiffusionPipeline, source, dtype=torch.float16, safety_checker=None)
    shutil.rmtree(WEIGHTS / "stable-diffusion", ignore_errors=True)
    to_folder(pipeline, WEIGHTS / "stable-diffusion")


def ship_autoencoder(source: Path) -> None:
    """An autoencoder whose latents the U-Net knows already, in the place of the one that it was trained with.

    The latents keep their scale. Raises ValueError for another architecture.
    """
    folder = WEIGHTS / "stable-diffusion" / "vae"
    old, new = (from_folder(AutoencoderKL, place) for place in (folder, source))
    shapes = [{name: tensor.shape for name, tensor in each.state_dict().items()} for each in (old, new)]
    if shapes[0] != shapes[1]:
        raise ValueError(f"{source} is built otherwise than the autoencoder in {folder}")
    scaled: Any = new
    scaled.register_to_config(scaling_factor=old.config["scaling_factor"])
    to_folder(scaled.half(), folder)


def ship_clip(source: Path, palette: Palette) -> None:
    """The CLIPModel folder, in half precision, with its thresholds and how it wants pictures."""
    model = from_folder(CLIPModel, source, dtype=torch.float32).eval()
    tokenizer = from_folder(CLIPTokenizer, source)
    thresholds = calibrate(model, tokenizer, palette)
    folder = WEIGHTS / "clip"
    nn.Module.half(model)  # CLIPModel's own `half` only asks first whether it is quantised
    to_folder(model, folder)
    to_folder(tokenizer, folder)
    _write(folder / "calibration.json", thresholds)
    _write(folder / "preprocessor_config.json", PREPROCESSING)


def ship_judge(source: Path, palette: Palette) -> None:
    """The judge's folder without what only training needs, and with its ceilings."""
    folder = WEIGHTS / "judge"
    shutil.copytree(source, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("state*", "log*"))
    about = json.loads((folder / "judge.json").read_text())
    _write(folder / "judge.json", about | {"ceilings": ceilings(Judge.load(folder), palette)})


def vocabulary(palette: Palette) -> dict[str, Any]:
    """What the shipped models know, for `limner models show` and for words they never learned."""
    return {
        "concepts": list(palette.concepts),
        "styles": list(palette.styles),
        "backgrounds": list(BACKGROUNDS),
        "times": list(TIMES),
        "weathers": list(WEATHERS),
        "colours": list(COLOURS),
        "words": words_learned(palette),
        "style_phrases": {style: list(STYLE_PHRASES[style]) for style in palette.styles},
        "thresholds": said_thresholds(),
    }


def _write(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=1))


def main() -> None:
    """Ship from the command line; see the module."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("unet", "clip", "judge", "detector", "segmenter", "captioner", "editor", "autoencoder"):
        parser.add_argument(f"--{name}", type=Path, metavar="FOLDER")
    args = parser.parse_args()
    palette = Palette()
    WEIGHTS.mkdir(exist_ok=True)
    known = {"clip": ship_clip, "judge": ship_judge, "detector": ship_detector}
    known |= {"segmenter": ship_segmenter, "captioner": ship_captioner}
    for name, ship in known.items():
        if source := getattr(args, name):
            ship(source, palette)
    if args.unet:
        ship_pipeline(args.unet)
    if args.autoencoder:
        ship_autoencoder(args.autoencoder)
    if args.editor:  # after the model that it is a difference to
        ship_editor(args.editor)
    _write(WEIGHTS / "vocabulary.json", vocabulary(palette))


if __name__ == "__main__":
    main()
