"""DreamArtist's tables over teachers whose worth is known: who draws the reference, and who draws what is asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from limner.evaluate.dreamartist import (
    ALONE,
    MEASURES,
    PER_CONTEXT,
    VARIANTS,
    WORD,
    Array,
    Draw,
    Senses,
    evaluate_dreamartist,
    measures,
    rendered,
    summed_up,
    table_rows,
    to_json,
)
from limner.evaluate.likeness import DETAIL, Maps
from limner.types import Event, Picture
from limner.world.oneshot import Context, Material, Reference, contexts, references
from limner.world.sample import Palette

UNSEEN = Material({"star": "circle", "heart": "square", "ring": "circle"}, "shapes", Palette(
    concepts=("circle", "square", "triangle", "cross"), styles=("shapes",))
)  # fmt: skip


def small(pictures: Sequence[Picture]) -> Array:
    """A picture's mean colours in quarters, as features."""
    return np.stack([p.pixels.reshape(2, 64, 2, 64, 3).mean((1, 3)).ravel() for p in pictures]).astype(np.float32)


def unit(rows: Array) -> Array:
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-6)


def maps(pictures: Sequence[Picture]) -> list[Maps]:
    return [[p.pixels.transpose(2, 0, 1).astype(np.float32)] for p in pictures]


def texts(said: Sequence[str]) -> Array:
    rng = [np.random.default_rng(sum(text.encode())).normal(size=12) for text in said]
    return unit(np.abs(np.array(rng, np.float32)))


SENSES = Senses(
    maps=maps, raw=small, unit=lambda p: unit(small(p)), texts=texts, true=lambda p, c: len(p) / len(c), scale=10.0
)


@pytest.fixture
def exam() -> list[Reference]:
    return references(2, material=UNSEEN)


def copies(reference: Reference, options: Mapping[str, Any], seed: int) -> Draw:
    """Whatever is asked for: the reference, as one that overfits draws it."""
    return lambda prompts, seeds: [reference.picture for _ in prompts]


def noises(reference: Reference, options: Mapping[str, Any], seed: int) -> Draw:
    def draw(prompts: Sequence[str], seeds: Sequence[int]) -> list[Picture]:
        return [Picture(np.random.default_rng(s).integers(0, 256, (128, 128, 3), np.uint8)) for s in seeds]

    return draw


def run(teach: Any, exam: list[Reference], parts: Any) -> tuple[list[Event], list[Any]]:
    work, events = evaluate_dreamartist(teach, SENSES, exam, parts=parts, seeds=(0,), ask=contexts_of), list[Event]()
    while True:
        try:
            events.append(next(work))
        except StopIteration as end:
            return events, end.value


def test_who_copies_is_like_it_and_has_no_variety(exam: list[Reference]) -> None:
    copied = measures(SENSES, exam[0], copies(exam[0], {}, 0), 0, said=WORD, ask=contexts_of)
    noised = measures(SENSES, exam[0], noises(exam[0], {}, 0), 0, said=WORD, ask=contexts_of)
    assert copied["lpips"] == copied["style"] == copied["cfv"] == 0
    assert noised["lpips"] > 0.1
    assert noised["cfv"] > 0.1
    assert copied["image"] == pytest.approx(1)
    assert copied.keys() == noised.keys() == MEASURES.keys() - {"seconds"}


def test_every_method_learns_every_reference_and_is_framed(exam: list[Reference]) -> None:
    asked: list[Mapping[str, Any]] = []

    def teach(reference: Reference, options: Mapping[str, Any], seed: int) -> Draw:
        asked.append(options)
        return copies(reference, options, seed)

    events, rows = run(teach, exam, ["methods"])
    names = [variant.name for variant in VARIANTS["methods"]]
    assert [row.name for row in rows] == ["nothing learned", "rendered as asked", *names]
    assert len(events) == len(names) * len(exam)
    assert (events[-1].done, events[-1].total) == (len(events), len(events))
    methods = [options.get("method") for options in asked if options.get("steps") != 0]
    assert methods.count("dreambooth") == methods.count("lora") == len(exam)
    assert all(row.count == len(exam) for row in rows)


def test_prompts_say_the_word_alone_and_in_every_context(exam: list[Reference]) -> None:
    said: list[list[str]] = []

    def draw(prompts: Sequence[str], seeds: Sequence[int]) -> list[Picture]:
        said.append(list(prompts))
        assert len(set(seeds)) == len(prompts)
        return [exam[0].picture for _ in prompts]

    measures(SENSES, exam[0], draw, 3, said=WORD, ask=contexts_of)
    alone, shown = said
    assert alone == [WORD] * ALONE
    assert shown == [c.prompt.format(WORD) for c in contexts_of(exam[0], 3) for _ in range(PER_CONTEXT)]


def contexts_of(reference: Reference, seed: int) -> list[Context]:
    return contexts(reference, seed, material=UNSEEN)


def test_a_row_is_the_median_and_the_distance_of_the_quartiles() -> None:
    cells = [{"lpips": value, "cas": 0.5} for value in (0.1, 0.2, 0.3, 0.4, 1.0)]
    row = summed_up("methods", "ours", "thing", cells)
    assert row.values == {"lpips": 0.3, "cas": 0.5}
    assert row.spread["cas"] == 0
    assert row.spread["lpips"] == pytest.approx(0.55)
    told = to_json([row], {"lpips": "a network"})
    assert told["cas_other_phrases"] == 9
    assert told["networks"] == {"lpips": "a network"}
    [cells_told] = table_rows([row])
    assert cells_told["lpips"] == "0.3 ±0.55"
    assert cells_told["cfv"] is None


def test_what_is_asked_can_be_rendered(exam: list[Reference]) -> None:
    context = contexts_of(exam[0], 0)[0]
    assert rendered(context).width == 128


def test_the_two_texts_of_detail_are_told_apart() -> None:
    assert len({tuple(row) for row in texts(DETAIL).tolist()}) == 2
