"""Put trained models into the package: half precision, vocabulary, thresholds, the judge's ceilings.

    python -m limner.train.ship --unet runs/unet/model --clip runs/clip/model --judge runs/judge

Thresholds are calibrated on rendered scenes of held-out combinations: for each kind of keyword the least cosine
at which a pass means «present» with the stated precision, near misses (another colour, the other side) included.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import torch
from diffusers import StableDiffusionPipeline
from transformers import CLIPModel, CLIPTokenizer

from limner.evaluate.world import TASKS
from limner.train.autoencoder import to_tensor
from limner.train.clip import encode_pictures, encode_texts, keyword_batch
from limner.world.caption import NUMBERS, caption
from limner.world.judge import Judge
from limner.world.render import render
from limner.world.sample import STAGES, Palette, sample_scene
from limner.world.scene import Scene
from limner.world.vocabulary import BACKGROUNDS, COLOURS, CONCEPTS, STYLE_PHRASES, TIMES, WEATHERS

WEIGHTS = Path(__file__).parents[1] / "world" / "weights"
PRECISION = 0.95
ANY_PICTURE = 0.02
"""The share of other pictures' keywords asked of a picture, beside its own and their near misses: the easy false ones."""

KINDS = {
    "count": NUMBERS[2:5],
    "relation": ("left", "right", "above", "over", "below", "under", "front"),
    "time": ("sunset", "dusk", "night"),
    "weather": ("rain", "snowfall", "snows", "fog"),
    "style": ("style", "render", "illustration", "icon", "drawing", "shapes"),
    "background": tuple(sorted({word for name in BACKGROUNDS for word in name.split()} | {"snowy", "dunes", "field"})),
    "colour": tuple(COLOURS),
}
"""Kinds of keywords and the words that tell them, in the order in which they are looked for."""


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
    """Thresholds by kind, with the precision and recall they have on the calibration scenes."""
    rng = Random("calibration")
    torch.manual_seed(0)
    pairs: dict[str, list[tuple[float, bool]]] = defaultdict(list)
    for _ in range(scenes // 64):
        batch: list[Scene] = [sample_scene(rng, rng.choice(STAGES), palette, held_out=rng.random() < 0.5) for _ in range(64)]
        keywords = keyword_batch(batch, rng)
        pictures, _ = encode_pictures(model, to_tensor([render(scene) for scene in batch]))
        cosines = pictures @ encode_texts(model, tokenizer, keywords.texts).T
        near = keywords.near.bool()
        for column, text in enumerate(keywords.texts):
            asked = near[:, column] | (torch.rand(len(batch)) < ANY_PICTURE)
            rows = zip(cosines[asked, column].tolist(), keywords.labels[asked, column].bool().tolist(), strict=True)
            pairs[kind_of(text)] += list(rows)
    measured = {kind: _measured(rows) for kind, rows in pairs.items()}
    rest = measured["object"]
    kinds = {kind: measured[kind] | {"words": list(KINDS[kind])} for kind in KINDS if kind in measured}
    return {"default": rest["threshold"], "precision": rest["precision"], "recall": rest["recall"], "kinds": kinds}


def _measured(rows: list[tuple[float, bool]]) -> dict[str, Any]:
    names = ("threshold", "precision", "recall")
    return {name: round(value, 4) for name, value in zip(names, least_threshold(rows), strict=True)}


def said_thresholds() -> list[str]:
    """What a pass of the shipped scorer means, a line a kind of keyword, for `limner models show`."""
    found = json.loads((WEIGHTS / "clip" / "calibration.json").read_text())
    kinds = {"object": found | {"threshold": found["default"]}, **found["kinds"]}
    line = "{kind} from {threshold:.3f} on ({precision:.0%} of such passes are right, {recall:.0%} of what is there passes)"
    return [line.format(kind=kind, **{k: row[k] for k in ("threshold", "precision", "recall")}) for kind, row in kinds.items()]


def least_threshold(rows: Sequence[tuple[float, bool]]) -> tuple[float, float, float]:
    """(threshold, precision, recall): the least cosine above which PRECISION of the pairs are true; where none
    reaches it, the one of best precision with at least half the true pairs."""
    ordered = sorted(rows, reverse=True)
    total, true = sum(label for _, label in rows), 0
    points: list[tuple[float, float, float]] = []
    for taken, (cosine, label) in enumerate(ordered, 1):
        true += label
        points.append((cosine, true / taken, true / max(total, 1)))
    good = [point for point in points if point[1] >= PRECISION and point[2] >= 0.05]
    if good:
        return min(good)
    return max((point for point in points if point[2] >= 0.5), key=lambda point: point[1])


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
    pipeline = StableDiffusionPipeline.from_pretrained(source, dtype=torch.float16, safety_checker=None)
    shutil.rmtree(WEIGHTS / "stable-diffusion", ignore_errors=True)
    pipeline.save_pretrained(WEIGHTS / "stable-diffusion")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--unet", type=Path)
    parser.add_argument("--clip", type=Path)
    parser.add_argument("--judge", type=Path)
    args = parser.parse_args()
    palette = Palette()
    WEIGHTS.mkdir(exist_ok=True)
    if args.clip:
        model = CLIPModel.from_pretrained(args.clip).float().eval()
        tokenizer = CLIPTokenizer.from_pretrained(args.clip)
        thresholds = calibrate(model, tokenizer, palette)
        model.half().save_pretrained(WEIGHTS / "clip")
        tokenizer.save_pretrained(WEIGHTS / "clip")
        (WEIGHTS / "clip" / "calibration.json").write_text(json.dumps(thresholds, indent=1))
        mean = {"crop_size": 128, "do_center_crop": True, "do_convert_rgb": True, "do_normalize": True, "do_rescale": True,
                "do_resize": True, "image_mean": [0.5] * 3, "image_std": [0.5] * 3, "image_processor_type": "CLIPImageProcessor",
                "resample": 3, "rescale_factor": 1 / 255, "size": {"shortest_edge": 128}}  # fmt: skip
        (WEIGHTS / "clip" / "preprocessor_config.json").write_text(json.dumps(mean, indent=1))
    if args.judge:
        shutil.copytree(args.judge, WEIGHTS / "judge", dirs_exist_ok=True, ignore=shutil.ignore_patterns("state*", "log*"))
        about = json.loads((WEIGHTS / "judge" / "judge.json").read_text())
        about["ceilings"] = ceilings(Judge.load(WEIGHTS / "judge"), palette)
        (WEIGHTS / "judge" / "judge.json").write_text(json.dumps(about, indent=1))
    if args.unet:
        ship_pipeline(args.unet)
    known = {"concepts": list(palette.concepts), "styles": list(palette.styles), "backgrounds": list(BACKGROUNDS),
             "times": list(TIMES), "weathers": list(WEATHERS), "colours": list(COLOURS), "words": words_learned(palette),
             "style_phrases": {style: list(STYLE_PHRASES[style]) for style in palette.styles},
             "thresholds": said_thresholds()}  # fmt: skip
    (WEIGHTS / "vocabulary.json").write_text(json.dumps(known, indent=1))


if __name__ == "__main__":
    main()
