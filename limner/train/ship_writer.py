"""Put a trained writer of prompts into the package: half precision, and what it reached on held-out instructions.

python -m limner.train.ship_writer --source runs/writer/sft/model
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch

from limner.backends.hub import WEIGHTS
from limner.train.ship_dialogue import in_halves
from limner.train.writer.base import load_base
from limner.train.writer.exam import examine
from limner.world.instructions import world_rows

ROWS = 500
MAX_BYTES = 3_000_000
"""What the weights may take up in the package."""


def ship_writer(source: Path, count: int = ROWS, target: Path = WEIGHTS / "writer") -> dict[str, Any]:
    """Write the writer of `source` in half precision to `target`, and beside it in limner.json what it reached.

    It is measured on the weights that ship. Raises ValueError when they are too large.
    """
    base = load_base(str(source))
    in_halves(base.model, source, target, MAX_BYTES)
    found = examine(load_base(str(target), dtype=torch.float32), list(world_rows(count, 0, held_out=True)))
    reached = {name: value for name, value in found.items() if "second" not in name}
    (target / "limner.json").write_text(json.dumps({"reached": reached}, indent=1))
    return reached


def main() -> None:
    """Ship from the command line; see the module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", type=Path, required=True)
    args = parser.parse_args()
    for measure, score in ship_writer(args.source).items():
        print(f"{measure}: {score}")


if __name__ == "__main__":
    main()
