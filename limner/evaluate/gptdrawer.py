"""GPTDrawer's tables 4 and 5 for any model: what is in the picture by the scorer, and by a judge that is not it.

The scorer picks the pictures, so its own word for them is no proof; the judge looks for the scene's facts instead.
"""

from __future__ import annotations

import re
import statistics
from collections.abc import Generator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol

import numpy as np

from limner.draw import Drawn, DrawOptions, DrawResult, algorithm1, draw, finish
from limner.easel import score_table
from limner.protocols import ImageTextScorer, Models
from limner.refine import choose_best
from limner.types import Event, Picture
from limner.world.scene import Fact

METHODS = ("baseline", "best of batch", "equal budget", "ours", "algorithm 1")
"""What is compared, each on the same seeds.

«baseline» is any picture of one batch of the raw description (the mean over the batch), «best of batch» the one of
them with the highest margin, «equal budget» the best of as many pictures as ours drew: what choosing alone brings.
"""

COUNTED = ("ours", "algorithm 1")
"""The methods that draw until all keywords pass."""


class Judge(Protocol):
    """Says which facts are true of which picture; it is not the scorer that chose the pictures."""

    def __call__(self, pictures: Sequence[Picture], facts: Sequence[Sequence[Fact]]) -> list[list[bool]]:
        """Return one row a picture, one verdict for each of that picture's facts."""
        ...


@dataclass(frozen=True, slots=True)
class ScenePrompt:
    """A scene to draw as a person would say it, and what must then be true of the picture."""

    prompt: str
    facts: tuple[Fact, ...]


@dataclass(frozen=True, slots=True)
class Cell:
    """One method's mean over its pictures: cosine, share found by the scorer and share found by the judge."""

    score: float
    found: float
    judged: float


@dataclass(frozen=True, slots=True)
class KeywordRow:
    """A line of table 4."""

    scene: int
    keyword: str
    kind: str
    cells: Mapping[str, Cell]


@dataclass(frozen=True, slots=True)
class SentenceRow:
    """A line of table 5: the cosine of one sentence, or of the whole prompt («overall»), by method."""

    scene: int
    sentence: str
    scores: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class CountRow:
    """Pictures drawn until one shows every ORIGINAL keyword; runs that never got there count as `bound`."""

    method: str
    median: float
    quartiles: tuple[float, float]
    reached: float
    bound: int
    counts: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class GptDrawerReport:
    """The tables, and what they are about."""

    model: str
    scorer: str
    llm: str
    keywords: tuple[KeywordRow, ...]
    sentences: tuple[SentenceRow, ...]
    counts: tuple[CountRow, ...]

    def presence(self, method: str, kind: str = "") -> Cell:
        """Mean over all keywords, or those of one kind of fact."""
        cells = [row.cells[method] for row in self.keywords if kind in ("", row.kind)]
        return Cell(
            *(statistics.fmean(values) for values in zip(*((c.score, c.found, c.judged) for c in cells), strict=True))
        )

    def to_json(self) -> dict[str, Any]:
        """Return the report as JSON values, with the means over all keywords as "presence"."""
        return asdict(self) | {"presence": {method: asdict(self.presence(method)) for method in METHODS}}


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What one run of every method on one scene and seed brought."""

    shown: Mapping[str, Sequence[Drawn]]
    counts: Mapping[str, int | None]
    llm: str


def evaluate_gptdrawer(
    models: Models, judge: Judge, scenes: Sequence[ScenePrompt], options: DrawOptions, *, repeats: int = 1
) -> Generator[Event, None, GptDrawerReport]:
    """Draw every scene by every method and report what is in the pictures; yields a «scene» event after each.

    `options` apply to all methods (their prompt is replaced by the scene's); a run is repeated with `repeats`
    seeds, from `options.seed` or 0, a thousand apart.
    """
    keywords, sentences, outcomes = list[KeywordRow](), list[SentenceRow](), list[_Outcome]()
    for number, scene in enumerate(scenes):
        seeds = [(options.seed or 0) + 1000 * repeat for repeat in range(repeats)]
        runs = [_run(models, replace(options, prompt=scene.prompt, seed=seed)) for seed in seeds]
        shown = {method: [d for run in runs for d in run.shown[method]] for method in METHODS}
        keywords += _keyword_rows(number, scene, shown, models, judge, options.threshold)
        sentences += _sentence_rows(number, scene.prompt, shown, models.scorer)
        outcomes += runs
        yield Event("scene", scene.prompt, number + 1, len(scenes))
    bound = sum(options.round_sizes(models.text_to_image.max_batch))
    return GptDrawerReport(
        model=models.text_to_image.name,
        scorer=models.scorer.name,
        llm=outcomes[0].llm,
        keywords=tuple(keywords),
        sentences=tuple(sentences),
        counts=tuple(_count_row(method, [run.counts[method] for run in outcomes], bound) for method in COUNTED),
    )


def _run(models: Models, options: DrawOptions) -> _Outcome:
    """Draw one prompt by every method. The two baselines share their pictures: the same seeds from the first on."""
    ours, paper = finish(draw(models, options)), finish(algorithm1(models, options))
    batch = options.round_sizes(models.text_to_image.max_batch)[0]
    number = max(batch, ours.pictures_drawn)
    raw = finish(draw(models, replace(options, baseline=True, count=number, budget=None))).pictures
    return _Outcome(
        shown={
            "baseline": raw[:batch],
            "best of batch": [choose_best(raw[:batch])],
            "equal budget": [choose_best(raw[: ours.pictures_drawn])],
            "ours": [ours.best],
            "algorithm 1": [paper.best],
        },
        counts={"ours": _pictures_until_passed(ours), "algorithm 1": _pictures_until_passed(paper)},
        llm=ours.llm,
    )


def _pictures_until_passed(result: DrawResult) -> int | None:
    """Count to the end of the first round with a picture that passes: a method pays for all that it drew to find it."""
    drawn = 0
    for one in result.rounds:
        drawn += len(one.pictures)
        if any(picture.card.passed for picture in one.pictures):
            return drawn
    return None


def _keyword_rows(
    number: int,
    scene: ScenePrompt,
    shown: Mapping[str, Sequence[Drawn]],
    models: Models,
    judge: Judge,
    threshold: float | None,
) -> list[KeywordRow]:
    texts = [fact.text for fact in scene.facts]
    columns: dict[str, list[Cell]] = {}
    for method, pictures in shown.items():
        shown_to = [d.picture for d in pictures]
        features = np.stack([d.features for d in pictures])
        scores, least = score_table(models, shown_to, features, texts, threshold)
        verdicts = np.array(judge(shown_to, [scene.facts] * len(pictures)), float)
        means = np.stack([scores.mean(0), (scores >= np.array(least)).mean(0), verdicts.mean(0)], axis=1)
        columns[method] = [Cell(*map(float, row)) for row in means]
    return [
        KeywordRow(number, fact.text, fact.kind, {method: cells[i] for method, cells in columns.items()})
        for i, fact in enumerate(scene.facts)
    ]


def _sentence_rows(
    number: int, prompt: str, shown: Mapping[str, Sequence[Drawn]], scorer: ImageTextScorer
) -> list[SentenceRow]:
    parts = re.split(r"(?<=[.!?])\s+", prompt)
    texts = {f"sentence {i + 1}": part for i, part in enumerate(parts)} if len(parts) > 1 else {}
    texts |= {"overall": prompt}
    features = scorer.encode_texts(list(texts.values()))
    scores = {m: (np.stack([d.features for d in pictures]) @ features.T).mean(0) for m, pictures in shown.items()}
    return [
        SentenceRow(number, name, {method: float(row[i]) for method, row in scores.items()})
        for i, name in enumerate(texts)
    ]


def _count_row(method: str, counts: Sequence[int | None], bound: int) -> CountRow:
    censored = tuple(bound if count is None else count for count in counts)
    low, median, high = map(float, np.percentile(censored, (25, 50, 75)))
    reached = sum(count is not None for count in counts) / len(counts)
    return CountRow(method, median, (low, high), reached, bound, censored)


def table(report: GptDrawerReport, *, scenes: int = 2) -> str:
    """Return the report as plain text: means by kind of fact, tables 4 and 5 of the first `scenes`, the counts."""
    kinds = ["", *dict.fromkeys(row.kind for row in report.keywords)]
    means = [[kind or "all", *_cells({m: report.presence(m, kind) for m in METHODS})] for kind in kinds]
    fourth = [[f"{r.scene + 1}", r.keyword, *_cells(r.cells)] for r in report.keywords if r.scene < scenes]
    fifth = [
        [f"{r.scene + 1}", r.sentence, *(f"{r.scores[m]:.3f}" for m in METHODS)]
        for r in report.sentences
        if r.scene < scenes
    ]
    counts = [
        [r.method, f"{r.median:g}", f"{r.quartiles[0]:g}-{r.quartiles[1]:g}", f"{r.reached:.2f} of {len(r.counts)}"]
        for r in report.counts
    ]
    note = "cosine, share found by the scorer / by the judge"
    return "\n\n".join(
        (
            f"Keywords present ({note})\n{_grid(['fact', *METHODS], means)}",
            f"Table 4, keywords ({note})\n{_grid(['scene', 'keyword', *METHODS], fourth)}",
            f"Table 5, sentences (cosine)\n{_grid(['scene', 'sentence', *METHODS], fifth)}",
            f"Pictures until every keyword passes (at most {report.counts[0].bound})\n"
            f"{_grid(['method', 'median', 'quartiles', 'reached'], counts)}",
        )
    )


def _cells(cells: Mapping[str, Cell]) -> list[str]:
    return [f"{c.score:.3f} {c.found:.2f}/{c.judged:.2f}" for c in (cells[m] for m in METHODS)]


def _grid(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in (head, *rows))
