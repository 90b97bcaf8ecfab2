"""The job «draw»: the loop of limner.draw, run with other seeds until there are as many good pictures as wanted."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from limner.draw import Drawn, DrawOptions, DrawResult, draw
from limner.image import png_bytes
from limner.prompt import check_prompt
from limner.refine import SEEDS, rank
from limner.service.desk import Desk
from limner.service.telling import drawn_json
from limner.types import BadInput, Event

MOST = 16
"""More good pictures than this are not for one job."""

_APART = 1009
"""How far apart the seeds of two runs are: further than a run draws pictures."""

_OPTIONS = ("count", "rounds", "threshold", "seed", "steps", "guidance", "baseline", "budget", "negative_prompt")


def draw_well(desk: Desk, params: Mapping[str, Any]) -> Generator[Event, None, dict[str, Any]]:
    """Draw a prompt until `params["many"]` different pictures (default 1) show all of it, or trying more is no use.

    Returns the best of them, best first; only they are kept. It ends with fewer good ones, and then gives the nearest,
    when the budget is spent, and after a run of the loop that found none. Raises as limner.draw.draw.
    """
    options, many = _options(desk, params), params.get("many") or 1
    if not 1 <= many <= MOST:
        raise BadInput(f"{many} pictures are wanted", f"ask for 1 to {MOST}")
    first = yield from draw(desk.tools.models, options)
    drawn, results = list(first.pictures), [first]
    while len(results) < many and _is_worth(results, drawn, many) and (again := _next(options, first, results)):
        results.append((yield from draw(desk.tools.models, again)))
        drawn += results[-1].pictures
    best = _best(drawn)[:many]
    if len(best) < many:
        yield Event("warning", f"there are only {len(best)} different pictures")
    return _report(desk, results, best, len(drawn))


def _options(desk: Desk, params: Mapping[str, Any]) -> DrawOptions:
    """The server's settings, and what was given for this picture."""
    settings = desk.settings
    given = settings.model_dump(include={*_OPTIONS}, exclude_none=True)
    given |= {"threshold": desk.tools.profile.scorer.threshold} if settings.threshold is None else {}
    given |= dict(zip(("width", "height"), settings.size, strict=True)) if settings.size else {}
    wanted = (*_OPTIONS, "width", "height")
    given |= {name: params[name] for name in wanted if params.get(name) is not None}
    return DrawOptions(check_prompt(params["prompt"]), **given)


def _is_worth(results: Sequence[DrawResult], drawn: Sequence[Drawn], many: int) -> bool:
    """Whether another run may help: there are too few good pictures, and the last run found one, or drew too few."""
    different = _best(drawn)
    good = [each for each in different if each.card.passed]
    return len(good) < many and (results[-1].best.card.passed or len(different) < many)


def _next(options: DrawOptions, first: DrawResult, results: Sequence[DrawResult]) -> DrawOptions | None:
    """The options of another run; None when the budget is spent."""
    seed = (first.seed + _APART * len(results)) % SEEDS
    if options.budget is None:
        return replace(options, seed=seed)
    left = options.budget - sum(result.pictures_drawn for result in results)
    return replace(options, seed=seed, budget=left) if left > 0 else None


def _best(drawn: Sequence[Drawn]) -> list[Drawn]:
    """Different pictures, the best first."""
    different = dict[str, Drawn]()
    for each in drawn:
        different.setdefault(each.picture.sha256, each)
    return sorted(different.values(), key=lambda each: rank(each.card), reverse=True)


def _report(desk: Desk, results: Sequence[DrawResult], best: Sequence[Drawn], number: int) -> dict[str, Any]:
    first = results[0]
    return {
        "prompt": first.prompt,
        "keywords": [asdict(keyword) for keyword in results[-1].keywords],
        "threshold": dict(first.threshold),
        "scorer": first.scorer,
        "llm": first.llm,
        "warnings": list(dict.fromkeys(warning for result in results for warning in result.warnings)),
        "pictures": [_kept(desk, each) for each in best],
        "drawn": number,
        "seed": first.seed,
    }


def _kept(desk: Desk, drawn: Drawn) -> dict[str, Any]:
    """A picture put into the store, its recipe inside, and what is told of it."""
    recipe, extra = None, None
    if desk.settings.metadata:
        recipe = replace(drawn.recipe, versions=desk.tools.versions)
        extra = {"scores": dict(drawn.card.scores), "threshold": dict(drawn.card.threshold)}
    sha256 = desk.blobs.put(png_bytes(drawn.picture, recipe, extra))
    size = {"width": drawn.picture.width, "height": drawn.picture.height}
    return {"picture": sha256, **drawn_json(drawn), **size}
