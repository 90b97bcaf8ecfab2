"""Concepts to test with, and files as other programs lay them out."""

from __future__ import annotations

import io
from collections.abc import Mapping

import numpy as np
from PIL import Image

from limner.concept import About, Array, Concept, Factors, Side

UNET_KEY = "unet.down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k"
UNET_OUT = "unet.down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_out.0"
UNET_CONV = "unet.down_blocks.0.resnets.0.conv1"
TEXT_QUERY = "text_encoder.encoder.layers.0.self_attn.q_proj"
TEXT_OUT = "text_encoder.encoder.layers.0.self_attn.out_proj"
TEXT_FC = "text_encoder.encoder.layers.1.mlp.fc1"
MODULES: dict[str, tuple[int, ...]] = {
    UNET_KEY: (64, 32),
    UNET_OUT: (64, 64),
    UNET_CONV: (32, 32, 3, 3),
    TEXT_QUERY: (32, 32),
    TEXT_OUT: (32, 32),
    TEXT_FC: (37, 32),
}
"""Modules of tests/tiny.py's stable_diffusion and the shapes of their weights."""


def values(seed: int, *shape: int) -> Array:
    """Numbers that half precision holds exactly."""
    return np.random.default_rng(seed).normal(size=shape).astype(np.float16).astype(np.float32)


def factors(seed: int, path: str, rank: int = 2, scale: float = 0.5) -> Factors:
    """A change of one of MODULES."""
    out, *inner = MODULES[path]
    return Factors(values(seed, rank, *inner), values(seed + 100, out, rank), scale)


def png(side: int = 8) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (side, side), "red").save(file, "PNG")
    return file.getvalue()


ABOUT = About(
    kind="style",
    like="robot",
    method="lora",
    base="embedded:",
    base_hash="0" * 16,
    guidance=5.0,
    settings={"steps": 100, "nested": {"rate": 0.0025, "names": ["a", "b"]}},
    curve=((0, 0.5), (10, 0.25)),
    reference="f" * 64,
)


def gizmo(*, adapters: bool = True, name: str = "gizmo") -> Concept:
    """A concept with three words a side and, if wanted, adapters of several ranks and scales."""
    words: dict[Side, dict[str, Array]] = {
        "positive": {"text_encoder": np.random.default_rng(1).normal(size=(3, 32)).astype(np.float32)},
        "negative": {"text_encoder": np.random.default_rng(2).normal(size=(2, 32)).astype(np.float32)},
    }
    sides: dict[Side, dict[str, Factors]] = {
        "positive": {
            UNET_KEY: factors(3, UNET_KEY),
            UNET_OUT: factors(4, UNET_OUT, 3, 0.25),
            UNET_CONV: factors(5, UNET_CONV),
            TEXT_QUERY: factors(6, TEXT_QUERY, 1, 2.0),
            TEXT_FC: factors(7, TEXT_FC, 2, 1.5),
        },
        "negative": {UNET_KEY: factors(8, UNET_KEY), TEXT_FC: factors(9, TEXT_FC)},
    }
    return Concept(name, words, sides if adapters else {}, about=ABOUT, preview=png())


def plain_lora(name: str = "gizmo") -> Concept:
    """Adapters that have no sides, and no words."""
    return Concept(name, {}, {"both": {UNET_KEY: factors(1, UNET_KEY), TEXT_QUERY: factors(2, TEXT_QUERY)}})


def change(each: Factors) -> Array:
    """The matrix that factors stand for, flattened to two dimensions."""
    return each.scale * (each.up @ each.down.reshape(len(each.down), -1))


def same_words(first: Concept, second: Concept) -> bool:
    mine, other = (
        {(side, part): rows for side, table in concept.words.items() for part, rows in table.items()}
        for concept in (first, second)
    )
    return mine.keys() == other.keys() and all(np.array_equal(mine[key], other[key]) for key in mine)


def assert_same_adapters(first: Mapping[str, Factors], second: Mapping[str, Factors]) -> None:
    """Equal as changes: some forms keep the scale inside a factor."""
    assert first.keys() == second.keys()
    for path, each in first.items():
        assert second[path].down.shape == each.down.shape
        assert second[path].up.shape == each.up.shape
        np.testing.assert_allclose(change(second[path]), change(each), rtol=1e-5, atol=1e-6)
