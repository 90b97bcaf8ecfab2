"""What a run of `limner.draw` stands on: its options filled in, its keywords, and the means to draw and score."""

from __future__ import annotations

import math
import re
import secrets
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
import numpy.typing as npt

from limner import writer
from limner.concept import in_words
from limner.prompt import check_prompt, plain
from limner.protocols import DrawRequest, Features, Learned, Models, TextToImage
from limner.refine import SEEDS, Drawn, Plan
from limner.relations import box_scores, is_checked, least_score
from limner.types import BadInput, Keyword, Picture, Recipe, Scorecard

BATCH = 16
"""The paper's B, pictures a round, for machines that can draw so many at once."""

SURE = 0.9
"""A pass is given without a warning where at least this share of such passes was right when it was calibrated."""


@dataclass(frozen=True, slots=True)
class DrawOptions:
    """What to draw and how hard to try. None means: the model's own, or for `seed` one drawn by lot and recorded.

    `count` pictures a round, at most `rounds` rounds and `budget` pictures in all; `threshold` is a cosine in
    [-1, 1], None for the scorer's own per keyword. `width` and `height` are pixels. `baseline` draws the raw
    description in one batch and refines nothing. Raises BadInput for what no picture can be drawn with.
    """

    prompt: str
    count: int | None = None
    rounds: int = 4
    threshold: float | None = None
    seed: int | None = None
    steps: int | None = None
    guidance: float | None = None
    width: int | None = None
    height: int | None = None
    negative_prompt: str | None = None
    baseline: bool = False
    budget: int | None = None

    def __post_init__(self) -> None:
        for name in ("count", "rounds", "steps", "width", "height", "budget"):
            value: int | None = getattr(self, name)
            if value is not None and value < 1:
                raise BadInput(f"{name} is {value}", "it must be at least 1")
        if self.guidance is not None and not math.isfinite(self.guidance):
            raise BadInput(f"guidance is {self.guidance}", "give a finite number such as 3.5")
        if self.threshold is not None and not -1.0 <= self.threshold <= 1.0:
            raise BadInput(f"threshold is {self.threshold}", "give a cosine between -1 and 1, or auto")
        if self.seed is not None and not 0 <= self.seed < SEEDS:
            raise BadInput(f"seed is {self.seed}", f"give a whole number from 0 to {SEEDS - 1}")

    def round_sizes(self, max_batch: int) -> tuple[int, ...]:
        """Return how many pictures each round may draw; a round is planned as what the machine takes, at most B."""
        count = self.count or min(BATCH, max_batch)
        total = count * (1 if self.baseline else self.rounds)
        total = min(total, self.budget or total)
        return tuple(min(count, total - start) for start in range(0, total, count))


@dataclass(slots=True)
class Stopwatch:
    """Seconds by stage: `with clock("draw"): ...` adds to «draw»."""

    seconds: dict[str, float] = field(default_factory=dict[str, float])

    @contextmanager
    def __call__(self, stage: str) -> Generator[None]:
        """Add the time of the block to `stage`."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - start


@dataclass(frozen=True, slots=True)
class Easel:
    """One run's models and settings; nothing in it changes but the clock and the warnings.

    `sheet` is the request that every picture shares but for prompt and seed; `sizes` says how many pictures each
    round may draw; `words` is the prompt as models read it that never learned its concepts, `learned`; `threshold`
    None means the scorer's own per text; `llm` names what extracted the keywords.
    """

    models: Models
    prompt: str
    words: str
    learned: tuple[Learned, ...]
    keywords: tuple[Keyword, ...]
    seed: int
    sizes: tuple[int, ...]
    sheet: DrawRequest
    threshold: float | None
    llm: str
    warnings: list[str]
    clock: Stopwatch

    def draw(self, plans: Sequence[Plan]) -> list[Drawn]:
        """Draw and score one picture per plan, in order and in batches of at most what the model takes at once."""
        painter, step = self.models.text_to_image, self.models.text_to_image.max_batch
        requests = [replace(self.sheet, prompt=p.variant.prompt, seed=p.seed) for p in plans]
        with self.clock("draw"):
            batches = [painter.draw(requests[start : start + step]) for start in range(0, len(requests), step)]
        pictures = [picture for batch in batches for picture in batch]
        with self.clock("score"):
            features = self.models.scorer.encode_pictures(pictures)
        cards = self.score(pictures, features, [keyword.original for keyword in self.keywords])
        rows = zip(pictures, requests, cards, plans, features, strict=True)
        return [Drawn(i, _recipe(painter, r), c, p.variant.name, f, p.kept) for i, r, c, p, f in rows]

    def score(self, pictures: Sequence[Picture], features: Features, texts: Sequence[str]) -> list[Scorecard]:
        """Score pictures and their features on every text and the whole prompt (see `score_table`)."""
        with self.clock("score"):
            scores, least = score_table(self.models, pictures, features, texts, self.threshold)
            overall = features @ self.models.scorer.encode_texts([self.words]).T
        thresholds = dict(zip(texts, least, strict=True))
        table: list[list[float]] = np.round(np.hstack([scores, overall]), 6).tolist()
        return [Scorecard(dict(zip(texts, row[:-1], strict=True)), thresholds, row[-1]) for row in table]

    def spoken(self, wording: str) -> str:
        """A wording made of keywords, with the concepts again where it has what they are like.

        What the prompt itself says besides, or several concepts are like, stays as it is: it may be meant. A strength
        is said again, for the first one in a prompt counts.
        """
        likes = [each.like for each in self.learned]
        besides = plain(in_words(self.prompt, {}))
        for each in self.learned:
            pattern = rf"(?<!\w){re.escape(each.like)}(?!\w)"
            if each.like and likes.count(each.like) == 1 and not re.search(pattern, besides, re.IGNORECASE):
                said = re.search(rf"{each.word[:-1]}(?::[\d.]+)*>", self.prompt)
                wording = re.sub(pattern, said[0] if said else each.word, wording, flags=re.IGNORECASE)
        return wording

    def broader(self, texts: Sequence[str]) -> list[str]:
        """Ask the language model for a more general wording of each text that keeps the theme (section 3.7)."""
        found = writer.generalise_all(texts, self.words, self.models.language)
        self.warnings.extend(dict.fromkeys(warning for answer in found for warning in answer.warnings))
        return [answer.text for answer in found]


def score_table(
    models: Models, pictures: Sequence[Picture], features: Features, texts: Sequence[str], threshold: float | None
) -> tuple[npt.NDArray[np.float64], list[float]]:
    """Scores (pictures, texts) and the least score of each text that counts as present.

    A score is the cosine of picture and text (Eq. 3) with the scorer's threshold, or `threshold` for all; where a
    detector is at hand, things, sides and numbers are scored by what is found where (see `limner.relations`).
    """
    scorer = models.scorer
    scores = (features @ scorer.encode_texts(texts).T).astype(np.float64)
    least = scorer.thresholds(texts) if threshold is None else [threshold] * len(texts)
    if models.detector is None:
        return scores, least
    checked = box_scores(models.detector, pictures, texts)
    for column, text in enumerate(texts):
        if text in checked:
            scores[:, column], least[column] = checked[text], least_score(text, models.detector)
    return scores, least


def set_up(models: Models, options: DrawOptions) -> Easel:
    """Check the prompt, extract its keywords (Eq. 2) and fill in the options; draws nothing yet.

    Raises BadInput for a prompt that cannot be drawn.
    """
    prompt, clock = check_prompt(options.prompt), Stopwatch()
    learned = models.text_to_image.concepts(prompt)
    words = spelled(prompt, learned)
    with clock("keywords"):
        found = writer.extract_keywords(words, models.language)
    unknown = models.text_to_image.unknown_words(words)
    doubts = _doubts(models, found.keywords) if options.threshold is None else []
    strange = [f"the model does not know: {', '.join(unknown)}"] if unknown else []
    cut = [f"only the beginning is scored of: «{text}»" for text in models.scorer.too_long([words, *found.keywords])]
    return Easel(
        models=models,
        prompt=prompt,
        words=words,
        learned=tuple(learned),
        keywords=tuple(Keyword(word, word) for word in found.keywords),
        seed=secrets.randbelow(SEEDS) if options.seed is None else options.seed,
        sizes=options.round_sizes(models.text_to_image.max_batch),
        sheet=_sheet(models.text_to_image, options, learned, prompt),
        threshold=options.threshold,
        llm=found.source,
        warnings=[
            *found.warnings,
            *notes(learned),
            *strange,
            *cut,
            *doubts,
        ],
        clock=clock,
    )


def spelled(prompt: str, learned: Sequence[Learned]) -> str:
    """The prompt without weights, and with what its concepts are like in their place; their names, if nothing is."""
    words = plain(in_words(prompt, {each.word.strip("<>"): each.like for each in learned}))
    return words.strip(" ,.") or " ".join(each.word.strip("<>") for each in learned) or words


def notes(learned: Sequence[Learned]) -> list[str]:
    """How far a concept can be checked by models that never learned it, and what is to be doubted."""
    as_what = [f"{e.word} is checked as «{e.like}»" if e.like else f"{e.word} cannot be checked" for e in learned]
    return [*as_what, *(each.doubt for each in learned if each.doubt)]


def _doubts(models: Models, keywords: Sequence[str]) -> list[str]:
    """Name the keywords of which the scorer's «yes» is too often wrong to be taken for one, and none else checks."""
    keywords = [word for word in keywords if not (models.detector and is_checked(word, models.detector))]
    sure = zip(keywords, models.scorer.precisions(keywords), strict=True)
    return [
        f"look for yourself: «{word}» passes wrongly {1 - share:.0%} of the time"
        for word, share in sure
        if share is not None and share < SURE
    ]


def _sheet(painter: TextToImage, options: DrawOptions, learned: Sequence[Learned], prompt: str) -> DrawRequest:
    width, height = painter.default_size
    usual = max((each.guidance for each in learned), default=painter.default_guidance)
    return DrawRequest(
        prompt="",
        seed=0,
        steps=options.steps or painter.default_steps,
        guidance=usual if options.guidance is None else options.guidance,
        width=options.width or width,
        height=options.height or height,
        negative_prompt=_kept_out(painter, options.negative_prompt, prompt),
    )


def _kept_out(painter: TextToImage, said: str | None, prompt: str) -> str:
    """What was said to be kept out, though it be nothing; else what rules out a style that the prompt names."""
    if said is None:
        return painter.unwanted(prompt)
    return check_prompt(said) if said.strip() else ""


class _Learner(Protocol):
    def concepts(self, prompt: str) -> list[Learned]: ...


def digests(model: _Learner, *prompts: str) -> dict[str, str]:
    """What a recipe says of the learned words in the prompts: which each of them is."""
    return {each.word: each.digest for each in model.concepts(" ".join(prompts))}


def _recipe(painter: TextToImage, request: DrawRequest) -> Recipe:
    return Recipe(
        prompt=request.prompt,
        seed=request.seed,
        steps=request.steps,
        guidance=request.guidance,
        width=request.width,
        height=request.height,
        model=painter.name,
        model_hash=painter.model_hash,
        sampler=painter.sampler,
        negative_prompt=request.negative_prompt,
        concepts=digests(painter, request.prompt, request.negative_prompt),
    )
