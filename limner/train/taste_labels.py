"""Scores of prompts by their pictures: what the writer's regressors learn from, so that training never draws one.

Each row of InstructPE gives its prompt y, and y with one keyword left out or exchanged, for a regressor must have seen
what is bad. The picture of either is scored against the user's own words for what was wanted, y_o.

    python -m limner.train.taste_labels --rows world --out runs/writer/scores.jsonl
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from random import Random
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch

from limner.backends import taste
from limner.backends.diffusion import load_text_to_image
from limner.backends.hardware import plan
from limner.backends.vision import load_scorer
from limner.instructpe import Row, read_rows
from limner.protocols import DrawRequest, TextToImage
from limner.train.writer.adm import Wordstock, spoil, wordstock
from limner.types import Picture
from limner.world.instructions import world_rows

STEPS = 10
"""Of the embedded model: half of its usual number, which tells good prompts from bad ones nearly as well."""

_AT_ONCE = 8
"""Prompts whose pictures are drawn together and then written down."""


class PictureScorer(Protocol):
    """Gives each picture of a prompt a number; see `backends.taste`."""

    def score(self, pictures: Sequence[Picture], prompts: Sequence[str]) -> npt.NDArray[np.float32]:
        """One score a picture."""
        ...


@dataclass(frozen=True, slots=True)
class Wanted:
    """A prompt to draw, the words that its picture is scored against, and its seed."""

    prompt: str
    raw: str
    seed: int


def prompts_of(rows: Iterable[Row], stock: Wordstock, seed: int) -> Iterator[Wanted]:
    """Two prompts a row with one seed: y, and y spoilt where there is something to spoil."""
    for number, row in enumerate(rows):
        yield Wanted(row.y, row.reference, number)
        spoilt = spoil(row.y, stock, Random(f"labels/{seed}/{number}"), share=1.0)
        if spoilt:
            yield Wanted(spoilt, row.reference, number)


def label(
    painter: TextToImage,
    clean: PictureScorer,
    preference: PictureScorer,
    wanted: Sequence[Wanted],
    out: Path,
    steps: int = STEPS,
) -> int:
    """Draw and score the prompts that `out` has no line for yet; returns how many lines it has then.

    Lines are {"prompt", "raw", "aesthetic", "preference"}, in the order of the prompts; one that was cut off by a
    kill is written again.
    """
    done = _whole_lines(out)
    width, height = painter.default_size
    for start in range(done, len(wanted), _AT_ONCE):
        part = wanted[start : start + _AT_ONCE]
        asked = [DrawRequest(w.prompt, w.seed, steps, painter.default_guidance, width, height) for w in part]
        pictures, raws = painter.draw(asked), [each.raw for each in part]
        scores = zip(clean.score(pictures, raws), preference.score(pictures, raws), strict=True)
        _append(out, [_line(each, float(a), float(p)) for each, (a, p) in zip(part, scores, strict=True)])
    return len(wanted)


def _line(wanted: Wanted, clean: float, preferred: float) -> str:
    told = {"prompt": wanted.prompt, "raw": wanted.raw, "aesthetic": round(clean, 4), "preference": round(preferred, 4)}
    return json.dumps(told, ensure_ascii=False)


def _whole_lines(path: Path) -> int:
    """How many lines there are; half a line at the end is cut off."""
    if not path.is_file():
        return 0
    content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    if len(whole) < len(content):
        path.write_bytes(whole)
    return whole.count(b"\n")


def _append(path: Path, lines: Sequence[str]) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write("".join(f"{line}\n" for line in lines))


def main(arguments: Sequence[str] | None = None) -> None:
    """Label from the command line; see the module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", default="world", help="a file of rows, or the training side of the world")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--count", type=int, default=750, help="rows, with two prompts each")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--heads", default="embedded:taste", help="a folder of `limner.train.taste`")
    args = parser.parse_args(arguments)
    torch.set_num_threads(1)
    machine = plan(threads=1)
    source = world_rows(args.count, args.seed) if args.rows == "world" else read_rows(Path(args.rows))
    rows = list(islice(source, args.count))
    args.out.parent.mkdir(parents=True, exist_ok=True)
    scorer = load_scorer("embedded:clip", plan=machine)
    scorers = taste.aesthetic(scorer, args.heads), taste.pick_score(scorer, args.heads)
    painter = load_text_to_image("embedded:stable-diffusion", plan=machine, guidance=3.5)
    wanted = list(prompts_of(rows, wordstock(row.y for row in rows), args.seed))
    print(f"{label(painter, *scorers, wanted, args.out, args.steps)} prompts are scored in {args.out}")


if __name__ == "__main__":
    main()
