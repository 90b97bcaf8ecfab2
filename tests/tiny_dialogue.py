"""A tiny Blenderbot that has learned a few dialogues by heart, so that what is done with its replies can be tested."""

from __future__ import annotations

from pathlib import Path

from limner.backends.pairs import losses, samples, to_batch
from limner.seen import Seen
from limner.train.dialogue import Sizes, keep, new_model, new_tokenizer, parameters
from limner.train.libraries import seed_torch
from limner.train.optim import MixedOptimizer, Rates
from limner.world.dialogue import Dialogue, Utterance

SIZES = Sizes(tokens=220, width=32, inner=64, heads=2, encoder_layers=1, decoder_layers=1)
CARS = (Seen("car", "red", "left"), Seen("car", "blue", "right"))


def dialogue(*texts: str, seen: tuple[Seen, ...] = CARS) -> Dialogue:
    """User and system in turn."""
    said = tuple(Utterance("system" if i % 2 else "user", text) for i, text in enumerate(texts))
    return Dialogue("clear", "two cars", said, (seen,) * (len(texts) // 2))


QUESTION = "Which car do you mean: the red car on the left or the blue car on the right?"
LEARNED = [
    dialogue("remove the car", QUESTION, "the left one", "[EDIT] remove the red car"),
    dialogue("make it night", "[EDIT] make it night"),
    dialogue("go back", "[UNDO]"),
    dialogue("hello", "good day"),
    dialogue("sing", "[EDIT] do and add a car and add a dog"),
]


def blenderbot(folder: Path, steps: int = 160) -> Path:
    """The model and its tokenizer, as any Blenderbot of the hub is laid out. LEARNED is what it says."""
    seed_torch(0)
    tokenizer = new_tokenizer(LEARNED * 4, SIZES.tokens)
    model = new_model(tokenizer, SIZES).train()
    optimizer = MixedOptimizer(parameters(model), Rates(muon=0.02, adamw=5e-3, ema=0.5))
    batch = to_batch(samples(tokenizer, LEARNED))
    for _ in range(steps):
        losses(model, batch)["loss"].backward()  # pyright: ignore[reportUnknownMemberType]
        optimizer.step(1.0)
    keep(model, tokenizer, folder)
    return folder
