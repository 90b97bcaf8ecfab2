"""DreamArtist's tables 2, 3 and 4, and its lengths of pseudo-words (6.6), on pictures that the model never saw.

Every method learns the same picture for as many steps and draws the same prompts from the same seeds. The concept
alone is measured for table 2, what is asked beside it for table 3. A figure is the median over concepts and seeds;
its spread is the distance between the quartiles.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from statistics import median, quantiles
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from limner.evaluate.likeness import (
    OTHERS,
    Maps,
    average_score,
    detail_score,
    feature_spread,
    image_similarity,
    perceptual_distance,
    style_loss,
    text_similarity,
)
from limner.types import Event, Picture
from limner.world.oneshot import POOL, Context, Reference, contexts
from limner.world.render import render

Array = npt.NDArray[np.float32]
Draw = Callable[[Sequence[str], Sequence[int]], list[Picture]]
"""Draws prompts from seeds, one each; the concept's word is in them."""

Teach = Callable[[Reference, Mapping[str, Any], int], Draw]
"""Learns a reference with these options from a seed; returns what draws with it."""

Ask = Callable[[Reference, int], list[Context]]
"""What is asked for with a reference, by a seed."""

Part = Literal["methods", "gamma", "lengths", "decoders"]
WORD = "<it>"
ALONE, PER_CONTEXT = 4, 1
"""Pictures of the concept alone, and of each context."""


@dataclass(frozen=True, slots=True)
class Variant:
    """One row: a name, and the options that make it."""

    name: str
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])


VARIANTS: Mapping[Part, tuple[Variant, ...]] = {
    "methods": (
        Variant("textual inversion", {"method": "textual-inversion", "positive_words": 6}),
        Variant("DreamBooth", {"method": "dreambooth"}),
        Variant("LoRA", {"method": "lora"}),
        Variant("ours without adapters", {"method": "dreamartist-words"}),
        Variant("ours", {}),
    ),
    "gamma": (
        Variant("gamma 3, no reconstruction", {"gamma": 3.0, "reconstruction": 0.0}),
        *(Variant(f"gamma {gamma}", {"gamma": float(gamma)}) for gamma in (2, 3, 5, 7)),
    ),
    "lengths": tuple(
        Variant(f"{positive} positive, {negative} negative", {"positive_words": positive, "negative_words": negative})
        for positive, negative in ((1, 3), (3, 3), (3, 6), (6, 3))
    ),
    "decoders": tuple(
        Variant(f"the {decoder} decoder, {steps} steps", {"decoder": decoder, "steps": steps})
        for decoder, steps in (("full", 260), ("light", 260), ("light", 520))
    ),
}
"""Tables 2 and 3; table 4; figure 18; what the reconstruction (Eq. 6) is decoded by."""

MEASURES: Mapping[str, str] = {
    "lpips": "like it (less)",
    "style": "style loss (less)",
    "cds": "detail CDS",
    "cfv": "variety CFV",
    "cas": "context CAS",
    "cfv_context": "variety in context",
    "style_context": "style loss in context",
    "cds_context": "detail in context",
    "true": "asked for and there",
    "image": "image similarity",
    "text": "text similarity",
    "seconds": "seconds",
}


@dataclass(frozen=True, slots=True)
class Senses:
    """What the measures are made with: the feature maps of a network (LPIPS, style loss), CLIP's features as they are
    (CFV) and of unit length (CDS, CAS, similarities), and what a judge finds true of pictures, a share of facts."""

    maps: Callable[[Sequence[Picture]], Sequence[Maps]]
    raw: Callable[[Sequence[Picture]], Array]
    unit: Callable[[Sequence[Picture]], Array]
    texts: Callable[[Sequence[str]], Array]
    true: Callable[[Sequence[Picture], Sequence[Context]], float]
    scale: float


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a table: each measure's median over concepts and seeds, and its spread."""

    part: str
    name: str
    kind: str
    count: int
    values: Mapping[str, float]
    spread: Mapping[str, float]


def evaluate_dreamartist(
    teach: Teach,
    senses: Senses,
    references: Sequence[Reference],
    *,
    parts: Sequence[Part],
    seeds: Sequence[int],
    ask: Ask = contexts,
) -> Generator[Event, None, list[Row]]:
    """The rows of the parts asked for, things and styles apart; table 4 and the lengths on every third reference.

    Two rows frame those of the methods: the words `like` alone, nothing learned, and the scenes rendered as they
    should be, the ceiling of what is measured in context. Yields an Event after each lesson.
    """
    rows: list[Row] = []
    lessons = [(part, variant) for part in parts for variant in VARIANTS[part]]
    for kind in dict.fromkeys(reference.kind for reference in references):
        alike = [reference for reference in references if reference.kind == kind]
        if "methods" in parts:
            rows += _frame(teach, senses, alike, seeds, ask)
        for number, (part, variant) in enumerate(lessons):
            chosen = alike if part == "methods" else alike[::3]
            cells: list[dict[str, float]] = []
            for reference in chosen:
                for seed in seeds:
                    cells.append(_cell(teach, senses, reference, variant, seed, ask))
                    text = f"{kind}: {variant.name}, {reference.name}"
                    yield Event("lessons", text, number * len(chosen) + len(cells), len(lessons) * len(chosen))
            rows.append(summed_up(part, variant.name, kind, cells))
    return rows


def _cell(
    teach: Teach, senses: Senses, reference: Reference, variant: Variant, seed: int, ask: Ask
) -> dict[str, float]:
    """One lesson's measures."""
    began = time.monotonic()
    draw = teach(reference, variant.options, seed)
    seconds = time.monotonic() - began
    return measures(senses, reference, draw, seed, said=WORD, ask=ask) | {"seconds": seconds}


def measures(
    senses: Senses, reference: Reference, draw: Draw, seed: int, *, said: str, ask: Ask = contexts
) -> dict[str, float]:
    """All measures of what is drawn for a reference when `said` stands for it in the prompts."""
    asked = ask(reference, seed)
    bare = "{}" if reference.kind == "thing" else f"{asked[0].prompt.split(',')[0]}, {{}}"
    alone = draw([bare.format(said)] * ALONE, range(seed, seed + ALONE))
    prompts = [context.prompt.format(said) for context in asked for _ in range(PER_CONTEXT)]
    shown = draw(prompts, range(seed, seed + len(prompts)))
    return _alone(senses, reference, alone) | _in_context(senses, reference, asked, shown)


def _alone(senses: Senses, reference: Reference, pictures: Sequence[Picture]) -> dict[str, float]:
    """Table 2's measures."""
    real, made = senses.maps([reference.picture]), senses.maps(pictures)
    return {
        "lpips": perceptual_distance(made, real),
        "style": style_loss(made, real),
        "cds": detail_score(senses.unit(pictures), senses.texts, scale=senses.scale),
        "cfv": feature_spread(senses.raw(pictures)),
        "image": image_similarity(senses.unit(pictures), senses.unit([reference.picture])),
    }


def _in_context(
    senses: Senses, reference: Reference, asked: Sequence[Context], pictures: Sequence[Picture]
) -> dict[str, float]:
    """Table 3's measures; descriptions are spelled with what the reference is like."""
    repeated = [context for context in asked for _ in range(len(pictures) // len(asked))]
    unit = senses.unit(pictures)
    spelled = [context.prompt.format(f"a {reference.like}") for context in repeated]
    without = senses.texts([context.prompt.format("").strip(" ,") for context in asked])
    each = len(pictures) // len(asked)
    similar = [text_similarity(unit[i * each : (i + 1) * each], without[i]) for i in range(len(asked))]
    return {
        "cas": average_score(unit, spelled, [c.phrases for c in repeated], POOL, senses.texts, scale=senses.scale),
        "cfv_context": feature_spread(senses.raw(pictures)),
        "style_context": style_loss(senses.maps(pictures), senses.maps([reference.picture])),
        "cds_context": detail_score(unit, senses.texts, scale=senses.scale),
        "true": senses.true(pictures, repeated),
        "text": sum(similar) / len(similar),
    }


def _frame(teach: Teach, senses: Senses, references: Sequence[Reference], seeds: Sequence[int], ask: Ask) -> list[Row]:
    """The rows that frame the others: nothing learned, and everything rendered as it should be."""
    nothing, ceiling = list[dict[str, float]](), list[dict[str, float]]()
    for reference in references:
        for seed in seeds:
            plain = teach(reference, {"steps": 0}, seed)
            article = "a " if reference.kind == "thing" else ""
            nothing.append(measures(senses, reference, plain, seed, said=f"{article}{reference.like}", ask=ask))
            asked = ask(reference, seed)
            ceiling.append(_in_context(senses, reference, asked, [rendered(context) for context in asked]))
    return [
        summed_up("methods", "nothing learned", references[0].kind, nothing),
        summed_up("methods", "rendered as asked", references[0].kind, ceiling),
    ]


def rendered(context: Context) -> Picture:
    """The context as it should be."""
    return render(context.truth)


def summed_up(part: str, name: str, kind: str, cells: Sequence[Mapping[str, float]]) -> Row:
    """Medians and distances between the quartiles over cells; a measure that one lacks is left out."""
    names = [measure for measure in MEASURES if all(measure in cell for cell in cells)]
    table = {measure: [cell[measure] for cell in cells] for measure in names}
    spread = {m: (q := quantiles(v, n=4))[2] - q[0] if len(v) > 1 else 0.0 for m, v in table.items()}
    return Row(part, name, kind, len(cells), {m: median(v) for m, v in table.items()}, spread)


def to_json(rows: Sequence[Row], networks: Mapping[str, str]) -> dict[str, Any]:
    """The rows with what the figures are made with: networks, normalisations and CAS's number of other phrases."""
    return {"rows": [asdict(row) for row in rows], "networks": dict(networks), "cas_other_phrases": OTHERS}


def table_rows(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """The rows as cells of text, «0.61 ±0.08»: what a terminal shows."""
    return [
        {"table": row.part, "method": row.name, "kind": row.kind, "n": row.count}
        | {
            measure: f"{row.values[measure]:.3g} ±{row.spread[measure]:.2g}" if measure in row.values else None
            for measure in MEASURES
        }
        for row in rows
    ]
