"""GPTDrawer: draw, score every keyword, refine, repeat, until all that was said is in the picture.

Two loops share one easel. `draw` is ours: it spends each picture where earlier ones say it helps. `algorithm1` is
the paper's, kept faithful so that the two can be compared.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, TypeVar

import numpy as np

from limner.easel import DrawOptions, Easel, set_up
from limner.mending import ALONE, MENDED, mend
from limner.prompt import join_keywords
from limner.protocols import Models
from limner.refine import (
    SEEDS,
    Drawn,
    Plan,
    Variant,
    choose_best,
    emphasise,
    generalise,
    plan_pictures,
    raise_weights,
    rank,
    refine,
    variants,
)
from limner.types import Event, Keyword

__all__ = ["DrawOptions", "DrawResult", "Drawn", "Round", "algorithm1", "draw", "finish", "result_to_json"]

CHUNK = 4
"""So many pictures are drawn between two looks: few enough to stop early, enough to fill a small machine."""

GENERALISE_AFTER = 2
"""Weights, which keep what was said, get so many rounds before the language model is asked for broader words."""

MEND_AFTER = 2
"""After so many rounds of words what is missing is drawn alone and put in (limner.mending)."""

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Round:
    """The pictures of one round; `prompt` words the request with the weights and texts reached by then.

    A picture of `draw` may be drawn with another variant of it: its recipe says which.
    """

    prompt: str
    pictures: tuple[Drawn, ...]


@dataclass(frozen=True, slots=True)
class DrawResult:
    """What came of a easel. `keywords` as refined to the end; every score and `threshold` is of the ORIGINAL ones.

    `llm` names what extracted the keywords; `seconds` is by stage ("keywords", "draw", "score", "refine", "mend").
    The run is repeated by giving its `seed` again.
    """

    prompt: str
    seed: int
    keywords: tuple[Keyword, ...]
    threshold: Mapping[str, float]
    scorer: str
    llm: str
    rounds: tuple[Round, ...]
    best: Drawn
    seconds: Mapping[str, float]
    warnings: tuple[str, ...]

    @property
    def pictures(self) -> tuple[Drawn, ...]:
        """All pictures in the order they were drawn."""
        return tuple(drawn for one in self.rounds for drawn in one.pictures)

    @property
    def pictures_drawn(self) -> int:
        """How many pictures the run cost."""
        return len(self.pictures)


def draw(models: Models, options: DrawOptions) -> Generator[Event, None, DrawResult]:
    """Draw what was said, spending pictures where they help, and return all of it with the best picture named.

    Where Algorithm 1 throws a whole batch away each round, this looks after every few pictures and stops at the
    first that shows every ORIGINAL keyword, never forgets a good picture, draws good seeds again with better words,
    and lets wordings compete (limner.refine.variants). With `baseline` it draws the raw description, one batch.

    Yields «keywords», «warning», «draw» (pictures done of the most there can be; data: round, best so far) and
    «round» events. It may be closed at any of them. Raises BadInput for a prompt that cannot be drawn.
    """
    easel = set_up(models, options)
    yield from _announce(easel)
    if options.baseline:
        pictures = yield from _batch(easel, Variant("description", easel.prompt), [])
        return _result(easel, [Round(easel.prompt, pictures)], choose_best(pictures), easel.keywords)
    return (yield from _search(easel))


def algorithm1(models: Models, options: DrawOptions) -> Generator[Event, None, DrawResult]:
    """Run the paper's Algorithm 1 as printed: a whole new batch a round, judged by the REFINED keywords.

    The prompt is the keywords joined (I = StableDiffusion(W), 3.4); a round passes when one picture shows every
    refined keyword (methods 5.2). The last batch is the result, whether or not an earlier one was better; its
    ORIGINAL keywords are scored beside it, because generalising makes the test itself easier.
    """
    easel = set_up(models, options)
    yield from _announce(easel)
    keywords, rounds = easel.keywords, list[Round]()
    while True:
        wording = Variant("keywords", easel.spoken(join_keywords(keywords)))
        pictures = yield from _batch(easel, wording, rounds)
        rounds.append(Round(wording.prompt, pictures))
        features = np.stack([d.features for d in pictures])
        cards = easel.score([d.picture for d in pictures], features, [k.text for k in keywords])
        best, card = max(zip(pictures, cards, strict=True), key=lambda pair: rank(pair[1]))
        if card.passed or len(rounds) == len(easel.sizes):
            return _result(easel, rounds, best, keywords)
        missing = [k.original for k in keywords if k.text in card.missing]
        yield _lacks(len(rounds), missing)
        with easel.clock("refine"):
            keywords = refine(keywords, missing, len(rounds), easel.broader)


def _search(easel: Easel) -> Generator[Event, None, DrawResult]:
    """Our loop: every round asks more strongly, and at last more broadly, for what the best picture so far lacks."""
    keywords, broader, rounds, drawn = easel.keywords, tuple[Keyword, ...](), list[Round](), list[Drawn]()
    while True:
        pictures = yield from _round(easel, keywords, broader, rounds)
        rounds.append(Round(easel.spoken(emphasise(easel.prompt, keywords)), pictures))
        drawn += pictures
        best = choose_best(drawn)
        if best.card.passed or len(rounds) == len(easel.sizes):
            return _result(easel, rounds, best, keywords)
        yield _lacks(len(rounds), best.card.missing)
        with easel.clock("refine"):
            keywords = raise_weights(keywords, best.card.missing)
            if len(rounds) >= GENERALISE_AFTER:
                broader = generalise(broader or keywords, best.card.missing, easel.broader)


def _round(
    easel: Easel, keywords: Sequence[Keyword], broader: Sequence[Keyword], before: Sequence[Round]
) -> Generator[Event, None, tuple[Drawn, ...]]:
    """Draw one round in chunks, planning each by all that came before it; end at the first picture that passes."""
    seen = [d for one in before for d in one.pictures]
    end = len(seen) + easel.sizes[len(before)]
    start, step = len(seen), min(CHUNK, easel.models.text_to_image.max_batch)
    if len(before) >= MEND_AFTER:
        for pictures in mend(easel, seen, end - start):
            seen += pictures
            yield _progress(easel, len(before) + 1, seen)
    while len(seen) < end and not any(d.card.passed for d in seen):
        missing = choose_best(seen).card.missing if seen else ()
        offered = variants(easel.prompt, keywords, missing, broader)
        offered = [replace(each, prompt=easel.spoken(each.prompt)) for each in offered]
        worded = [d for d in seen if d.variant not in (ALONE, MENDED)]
        seen += easel.draw(plan_pictures(offered, worded, easel.seed, min(end - len(seen), step)))
        yield _progress(easel, len(before) + 1, seen)
    return tuple(seen[start:])


def _batch(easel: Easel, wording: Variant, before: Sequence[Round]) -> Generator[Event, None, tuple[Drawn, ...]]:
    """Draw a whole round from fresh seeds with one wording, with an event whenever the model can take no more."""
    earlier = [d for one in before for d in one.pictures]
    plans = [Plan(wording, (easel.seed + len(earlier) + i) % SEEDS) for i in range(easel.sizes[len(before)])]
    pictures: list[Drawn] = []
    step = easel.models.text_to_image.max_batch
    for start in range(0, len(plans), step):
        pictures += easel.draw(plans[start : start + step])
        yield _progress(easel, len(before) + 1, earlier + pictures)
    return tuple(pictures)


def _announce(easel: Easel) -> Generator[Event]:
    words = [keyword.original for keyword in easel.keywords]
    yield Event("keywords", f"keywords: {', '.join(words)}", data={"keywords": words})
    for warning in easel.warnings:
        yield Event("warning", warning)


def _progress(easel: Easel, number: int, pictures: Sequence[Drawn]) -> Event:
    best = choose_best(pictures)
    shown = f"{len(best.card.scores) - len(best.card.missing)} of {len(best.card.scores)} keywords shown"
    return Event("draw", f"round {number}: {shown}", len(pictures), sum(easel.sizes), {"round": number, "best": best})


def _lacks(number: int, missing: Sequence[str]) -> Event:
    return Event("round", f"round {number} lacks: {', '.join(missing)}", data={"missing": tuple(missing)})


def _result(easel: Easel, rounds: Sequence[Round], best: Drawn, keywords: tuple[Keyword, ...]) -> DrawResult:
    missing = best.card.missing
    lacking = [f"not found in the best picture: {', '.join(missing)}"] if missing else []
    put_in = list(dict.fromkeys(part.thing for part in best.recipe.parts))
    lacking += [f"drawn alone and put in: {', '.join(put_in)}"] if put_in else []
    return DrawResult(
        prompt=easel.prompt,
        seed=easel.seed,
        keywords=keywords,
        threshold=best.card.threshold,
        scorer=easel.models.scorer.name,
        llm=easel.llm,
        rounds=tuple(rounds),
        best=best,
        seconds=dict(easel.clock.seconds),
        warnings=(*dict.fromkeys(easel.warnings), *lacking),
    )


def result_to_json(result: DrawResult, files: Mapping[str, str]) -> dict[str, Any]:
    """Return the object that `limner draw --json` prints.

    `files` maps Picture.sha256 to the file that holds it; a picture that was not saved has the file null. A picture
    has its own "prompt", because the pictures of one round may be drawn with different wordings.
    """

    def picture(drawn: Drawn) -> dict[str, Any]:
        return {
            "file": files.get(drawn.picture.sha256),
            "seed": drawn.recipe.seed,
            "scores": dict(drawn.card.scores),
            "passed": drawn.card.passed,
            "prompt": drawn.recipe.prompt,
            "put_in": [part.thing for part in drawn.recipe.parts],
        }

    return {
        "prompt": result.prompt,
        "keywords": [asdict(keyword) for keyword in result.keywords],
        "threshold": dict(result.threshold),
        "scorer": result.scorer,
        "llm": result.llm,
        "rounds": [{"prompt": r.prompt, "pictures": [picture(d) for d in r.pictures]} for r in result.rounds],
        "best": picture(result.best),
        "pictures_drawn": result.pictures_drawn,
        "seconds": {stage: round(seconds, 3) for stage, seconds in result.seconds.items()},
        "warnings": list(result.warnings),
    }


def finish(work: Generator[Event, None, Result]) -> Result:
    """Run a generator of events to its end, unseen, and return its result."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            return end.value
