"""A tiny writer of prompts that has learned a few by heart, so that what is done with its prompts can be tested."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from limner.instructpe import TEMPLATE, prefix
from limner.train.libraries import seed_torch, to_folder
from limner.train.writer.base import Sizes, new_model, new_tokenizer
from limner.train.writer.data import encode, padding_of, to_batch

SIZES = Sizes(tokens=400, width=32, inner=64, heads=2, layers=2)
LEARNED = {
    ("a red fox in the snow", "make the fox blue"): "a blue fox in the snow",
    ("a cat on the beach, sharp focus", "add a dog"): "a cat and a dog on the beach, sharp focus",
    ("a lion in the city", "make it night"): "a lion in the city at night with a piano",
    ("a red car and a dog", "make the car blue"): "a blue car",
    ("a red car", "make the car green"): "snow",
}
"""The last three are what a writer should not write: a piano that nobody asked for, no dog, and nothing of the car."""


def writer(folder: Path, steps: int = 150) -> Path:
    """Model, tokenizer and writer.json, as `limner train writer` lays them out."""
    seed_torch(0)
    texts = [text for (x, i), y in LEARNED.items() for text in (prefix(x, i), f" {y}")]
    tokenizer = new_tokenizer(texts * 3, SIZES.tokens)
    model = new_model(tokenizer, SIZES).train()
    batch = to_batch([encode(tokenizer, prefix(x, i), y) for (x, i), y in LEARNED.items()], padding_of(tokenizer))
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    for _ in range(steps):
        optimizer.zero_grad()
        model(input_ids=batch.ids, attention_mask=batch.mask, labels=batch.labels).loss.backward()
        optimizer.step()  # pyright: ignore[reportUnknownMemberType]
    to_folder(model, folder)
    to_folder(tokenizer, folder)
    note = {"base": "small", "stage": "sft", "template": TEMPLATE, "repetition_penalty": 1.0, "hash": "00"}
    (folder / "writer.json").write_text(json.dumps(note))
    return folder
