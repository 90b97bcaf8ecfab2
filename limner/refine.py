"""The decisions of GPTDrawer as pure functions: which picture is best, what it lacks, what to try next.

`draw` carries them out. Nothing here calls a model, so every rule can be read and tested by itself.
"""

from __future__ import annotations

import math
import re
import statistics
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from limner.prompt import Segment, plain, render, said, with_weight
from limner.protocols import Features
from limner.types import Keyword, Picture, Recipe, Scorecard

STEP = 1.1
"""How much a keyword's prompt weight grows each time that it is missing (section 4: «cars» to 1.1)."""

HEAVIEST = 1.5
"""Weights stop here: beyond it a diffusion model paints one thing over all the others."""


Broader = Callable[[Sequence[str]], Sequence[str]]
"""Answers each text with a more general one, all in one question to the language model."""

KEPT_SEEDS = 2
"""So many good seeds are worth drawing again with better words."""

SEEDS = 2**32
"""Seeds are 0 to SEEDS - 1, the range that every tool reads back from a picture's metadata."""


@dataclass(frozen=True, slots=True, eq=False)
class Drawn:
    """One picture, all that makes it again, and how well it shows the user's ORIGINAL keywords.

    `variant` names the wording it was drawn with; `features` (dim,) are the scorer's unit features of the picture,
    so that other texts can be scored without looking again; `kept` is True when its seed was drawn before.
    """

    picture: Picture
    recipe: Recipe
    card: Scorecard
    variant: str
    features: Features
    kept: bool = False


@dataclass(frozen=True, slots=True)
class Variant:
    """One way to word the request; `prompt` is in A1111 weight syntax."""

    name: str
    prompt: str


@dataclass(frozen=True, slots=True)
class Trial:
    """What one try of a choice brought; `value` is 0 for a picture that passes, less for one that lacks more."""

    choice: str
    value: float


def rank(card: Scorecard) -> tuple[float, float, float, float]:
    """Sort key of a picture: fewest keywords missing, then least margin up to passing, mean score, whole-prompt score.

    The paper leaves open what «maximal similarity» of many keywords means (methods 5.2). The least keyword asks for a
    picture that shows everything, where a mean would let one strong keyword hide a missing one; but of two pictures
    that lack something the one that lacks less is better (docs/decisions/0023). Once all pass, the least one says no
    more: it is then that of the scale with the smallest numbers (docs/decisions/0011).
    """
    mean = statistics.fmean(card.scores.values()) if card.scores else 0.0
    return -len(card.missing), min(card.margin, 0.0), mean, card.overall


def shortfall(card: Scorecard) -> float:
    """How far a picture is from passing: its keywords' cosines below threshold, averaged; 0 when it passes.

    This steers the search, not the choice. The margin looks at the worst keyword only, and so hides which of two
    failing pictures came closer; steering by it took 2 to 6 % more pictures (docs/decisions/0005).
    """
    return statistics.fmean(min(score - card.threshold[k], 0.0) for k, score in card.scores.items())


def choose_best(pictures: Sequence[Drawn]) -> Drawn:
    """Return the picture with the highest rank; of equals the first drawn. Raises ValueError for no pictures."""
    return max(pictures, key=lambda drawn: rank(drawn.card))


def raise_weights(keywords: Sequence[Keyword], missing: Sequence[str], step: float = STEP) -> tuple[Keyword, ...]:
    """Multiply the weight of every missing keyword by `step`, to at most HEAVIEST (section 4)."""
    return tuple(
        replace(k, weight=round(min(k.weight * step, HEAVIEST), 4)) if k.original in missing else k for k in keywords
    )


def generalise(keywords: Sequence[Keyword], missing: Sequence[str], broader: Broader) -> tuple[Keyword, ...]:
    """Substitute every missing keyword by its broader counterpart; `original` stays (section 3.7)."""
    failing = [k for k in keywords if k.original in missing]
    texts = dict(zip(failing, broader([k.text for k in failing]) if failing else (), strict=True))
    return tuple(replace(k, text=texts.get(k, k.text)) for k in keywords)


def refine(
    keywords: Sequence[Keyword], missing: Sequence[str], refinement: int, broader: Broader
) -> tuple[Keyword, ...]:
    """Algorithm 1, line 11: raise weights at the first refinement, generalise at the second, and so on in turn.

    The paper has both (section 4 and section 3.7) and no order; the gentler one comes first (methods 5.2).
    """
    return generalise(keywords, missing, broader) if refinement % 2 == 0 else raise_weights(keywords, missing)


def emphasise(description: str, keywords: Sequence[Keyword]) -> str:
    """Write each raised keyword's weight into the sentence itself, where it stands."""
    for keyword in keywords:
        if keyword.weight != 1.0:
            description = with_weight(description, keyword.original, keyword.weight)
    return description


def reworded(description: str, keywords: Sequence[Keyword]) -> str:
    """The description with each keyword that was put into other words said in those, wherever it stands."""
    for keyword in keywords:
        if keyword.text != keyword.original:
            new = render([Segment(keyword.text)])
            description = said(keyword.original).sub(lambda _, new=new: new, description)
    return description


def as_said(description: str, keyword: str) -> str:
    """The keyword with the article that it has in the description, where it has one: «a red fox» for «red fox»."""
    words = r"\s+".join(map(re.escape, keyword.split()))
    found = re.search(rf"(?<!\w)(?:(?:an?|the)\s+)?{words}(?!\w)", plain(description), re.IGNORECASE)
    return render([Segment(found[0] if found else keyword)])


def said_first(sentence: str, missing: Sequence[str]) -> str:
    """The sentence with what is missing of it said once more before it: a text encoder hears early words best."""
    return ", ".join((*(as_said(sentence, keyword) for keyword in missing), sentence))


def variants(
    description: str, keywords: Sequence[Keyword], missing: Sequence[str], broader: Sequence[Keyword] = ()
) -> list[Variant]:
    """Return the wordings worth trying for these missing keywords, the raw description first.

    The sentence stays a sentence: lists of keywords leave out how things belong together (docs/decisions/0005).
    `keywords` carry the weights reached so far, `broader` are the keywords after generalising. Wordings that come out
    equal are offered once.
    """
    offered = [Variant("description", description)]
    if missing:
        offered += [
            Variant("said first", said_first(description, missing)),
            Variant("emphasis", emphasise(description, keywords)),
            Variant("emphasis, said first", said_first(emphasise(description, keywords), missing)),
        ]
    if broader:
        offered.append(Variant("generalised", reworded(description, broader)))
    first: dict[str, Variant] = {}
    for variant in offered:
        first.setdefault(variant.prompt, variant)
    return list(first.values())


def choose_next(choices: Sequence[str], trials: Sequence[Trial], pending: Sequence[str] = ()) -> str:
    """Return what to try next by UCB1 (Auer et al. 2002): the best mean value, plus doubt about little-tried ones.

    The doubt is scaled by the spread of all values so far, because cosines live on no fixed scale. What was never
    tried comes first, in the order given. `pending` holds choices already made for the same batch.
    """
    tries = Counter([t.choice for t in trials] + list(pending))
    if untried := [choice for choice in choices if not tries[choice]]:
        return untried[0]
    values = [t.value for t in trials] or [0.0]
    typical, spread, total = statistics.fmean(values), statistics.pstdev(values), math.log(tries.total())

    def hope(choice: str) -> tuple[float, int]:
        mean = statistics.fmean([t.value for t in trials if t.choice == choice] or [typical])
        return mean + spread * math.sqrt(2 * total / tries[choice]), -tries[choice]

    return max(choices, key=hope)


def promising_seeds(pictures: Sequence[Drawn], limit: int) -> list[int]:
    """Seeds worth drawing again: those whose picture lacks least; each once, best first.

    The same seed is the same noise, and so mostly the same layout: what was good tends to stay.
    """
    order = sorted(pictures, key=lambda d: shortfall(d.card), reverse=True)
    return list(dict.fromkeys(d.recipe.seed for d in order))[:limit]


@dataclass(frozen=True, slots=True)
class Plan:
    """One picture to draw: how to word it and from which noise."""

    variant: Variant
    seed: int
    kept: bool = False


def plan_pictures(offered: Sequence[Variant], drawn: Sequence[Drawn], base_seed: int, number: int) -> list[Plan]:
    """Plan the next `number` pictures, choosing wording and noise (a fresh seed or a kept one) by what paid so far.

    Fresh seeds count up from `base_seed`, as everybody's batches do. A kept seed is never drawn twice with one prompt.
    """
    plans: list[Plan] = []
    for _ in range(number):
        name = choose_next(
            [v.name for v in offered],
            [Trial(d.variant, shortfall(d.card)) for d in drawn],
            [p.variant.name for p in plans],
        )
        variant = next(v for v in offered if v.name == name)
        plans.append(_plan_seed(variant, drawn, plans, base_seed))
    return plans


def _plan_seed(variant: Variant, drawn: Sequence[Drawn], plans: Sequence[Plan], base_seed: int) -> Plan:
    used = {d.recipe.seed for d in drawn if d.recipe.prompt == variant.prompt}
    used |= {p.seed for p in plans if p.variant.prompt == variant.prompt}
    again = [seed for seed in promising_seeds(drawn, KEPT_SEEDS) if seed not in used]
    trials = [Trial("kept" if d.kept else "fresh", shortfall(d.card)) for d in drawn]
    pending = ["kept" if p.kept else "fresh" for p in plans]
    if again and choose_next(("fresh", "kept"), trials, pending) == "kept":
        return Plan(variant, again[0], kept=True)
    fresh = [t.choice for t in trials].count("fresh") + pending.count("fresh")
    return Plan(variant, (base_seed + fresh) % SEEDS)
