"""Put the trained dialogue model into the package: half precision, and what it reached on held-out dialogues.

python -m limner.train.ship_dialogue --source runs/dialogue/model
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import BlenderbotForConditionalGeneration

from limner.backends.dialogue import load_dialogue
from limner.backends.hardware import plan
from limner.backends.hub import WEIGHTS
from limner.backends.language import RulesModel
from limner.evaluate.dialogue import clarify_by, evaluate_dialogue, held_out_dialogues
from limner.train.libraries import from_folder, to_folder

DIALOGUES = 500
MAX_BYTES = 3_200_000
"""What the weights may take up in the package."""


def ship_dialogue(source: Path, count: int = DIALOGUES, target: Path = WEIGHTS / "dialogue") -> dict[str, float]:
    """Write the model of `source` in half precision to `target`, and beside it in limner.json what it reached.

    It is measured by the loader that users have, on the weights that ship. Raises ValueError when they are too large.
    """
    model = from_folder(BlenderbotForConditionalGeneration, source, dtype=torch.float32).eval()
    in_halves(model, source, target, MAX_BYTES)
    loaded = load_dialogue(str(target), plan=plan(precision="float32"), fallback=RulesModel())
    rows = evaluate_dialogue(clarify_by(loaded), held_out_dialogues(count), perplexity=loaded.perplexity)
    reached = {row.measure: round(row.score, 3) for row in rows}
    (target / "limner.json").write_text(json.dumps({"reached": reached}, indent=1))
    return reached


def in_halves(model: Any, source: Path, target: Path, most: int) -> None:
    """Copy the folder of a model to `target`, its weights in half precision.

    Raises ValueError, and leaves nothing, when these have over `most` bytes.
    """
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target)
    nn.Module.half(model)
    to_folder(model, target)
    size = (target / "model.safetensors").stat().st_size
    if size > most:
        shutil.rmtree(target)
        raise ValueError(f"the weights have {size} bytes, more than {most}: train a smaller model")


def main() -> None:
    """Ship from the command line; see the module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", type=Path, required=True)
    args = parser.parse_args()
    for measure, score in ship_dialogue(args.source).items():
        print(f"{measure}: {score}")


if __name__ == "__main__":
    main()
