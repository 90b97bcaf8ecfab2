"""Recipe: the tokenizer, byte-pair encoding in CLIP's format, trained on the world's captions and plain English.

Run it as `python -m limner.train.tokenizer --out runs/tokenizer`.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

from tokenizers.pre_tokenizers import ByteLevel
from tokenizers.trainers import BpeTrainer
from transformers import CLIPTokenizer

from limner.train.libraries import to_folder
from limner.world.art import NAME_PACKAGES, package_folder
from limner.world.caption import NUMBERS, caption
from limner.world.sample import STAGES, sample_scene
from limner.world.vocabulary import BACKGROUNDS, COLOURS, CONCEPTS, SHAPE_CONCEPTS, STYLE_PHRASES, TIMES, WEATHERS

TOKENS = 6144
LENGTH = 40
"""Tokens in one prompt, with begin and end; longer prompts are encoded in chunks."""

START, END = "<|startoftext|>", "<|endoftext|>"


def train_tokenizer(texts: Iterator[str]) -> CLIPTokenizer:
    """A CLIPTokenizer with TOKENS tokens learned from the texts."""
    blank = CLIPTokenizer().backend_tokenizer
    trainer = BpeTrainer(
        vocab_size=TOKENS,
        special_tokens=[START, END],
        initial_alphabet=ByteLevel.alphabet(),
        end_of_word_suffix="</w>",
        show_progress=False,
    )
    blank.train_from_iterator(texts, trainer)
    model = json.loads(blank.to_str())["model"]
    merges: Any = [tuple(pair) for pair in model["merges"]]  # annotated as strings, but wanted as pairs
    return CLIPTokenizer(vocab=model["vocab"], merges=merges, model_max_length=LENGTH)


def corpus() -> Iterator[str]:
    """World words often, so that each becomes one token; captions; and the English of the name packages."""
    concepts = (*CONCEPTS.values(), *SHAPE_CONCEPTS.values())
    words = [*COLOURS, *NUMBERS, *(getattr(c, form) for form in ("name", "plural", "general") for c in concepts)]
    for table in (BACKGROUNDS, TIMES, WEATHERS, STYLE_PHRASES):
        words += [text for phrases in table.values() for text in phrases]
    yield from words * 50
    rng = Random(0)
    yield from (caption(sample_scene(rng, rng.choice(STAGES)), rng) for _ in range(20_000))
    for entry in json.loads((package_folder(NAME_PACKAGES[0]) / "en" / "data.json").read_text()):
        yield " ".join([entry["label"], *entry.get("tags", ())])
    for keywords in json.loads((package_folder(NAME_PACKAGES[1]) / "dist" / "emoji-en-US.json").read_text()).values():
        yield " ".join(keywords).replace("_", " ")


def main() -> None:
    """Train from the command line; see the module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    to_folder(train_tokenizer(corpus()), args.out)


if __name__ == "__main__":
    main()
