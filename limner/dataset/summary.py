"""What there is to say of a dataset: counts, licences and some examples, gathered in one pass."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from limner.dataset.folder import read_info, read_items, read_rejects
from limner.dataset.items import Info, Item, Model, Reject

_EXAMPLES, _PER_CLASS, _PER_REASON = 24, 4, 2


@dataclass(frozen=True, slots=True)
class Summary:
    """Counts of pictures by split, of regions and of pictures by class, of rejects by reason; models; examples.

    Up to 24 examples, so that each class has up to 4, and up to
    2 rejects with a picture for each reason, 24 in all.
    """

    info: Info
    splits: Counter[str] = field(default_factory=Counter[str])
    regions: Counter[str] = field(default_factory=Counter[str])
    pictures: Counter[str] = field(default_factory=Counter[str])
    masks: Counter[str] = field(default_factory=Counter[str])
    reasons: Counter[str] = field(default_factory=Counter[str])
    models: dict[Model, None] = field(default_factory=dict[Model, None])
    examples: list[Item] = field(default_factory=list[Item])
    rejected: list[Reject] = field(default_factory=list[Reject])


def summarise(root: Path) -> Summary:
    """Read all rows of a dataset of Limner's own form, no pictures. Raises BadInput for a damaged row."""
    info = read_info(root)
    summary = Summary(info, models=dict.fromkeys(info.models))
    shown: Counter[str] = Counter()
    for item in read_items(root):
        _count(summary, item)
        labels = {content.label for content in item.regions}
        wanted = any(shown[label] < _PER_CLASS for label in labels) or (not labels and shown[""] < _PER_CLASS)
        if wanted and len(summary.examples) < _EXAMPLES:
            shown.update(labels or {""})
            summary.examples.append(item)
    _add_rejects(summary, root)
    return summary


def _count(summary: Summary, item: Item) -> None:
    summary.splits[item.split] += 1
    summary.regions.update(content.label for content in item.regions)
    summary.masks.update(content.label for content in item.regions if content.mask is not None)
    summary.pictures.update({content.label for content in item.regions})
    summary.models.update(dict.fromkeys(item.lineage.models))


def _add_rejects(summary: Summary, root: Path) -> None:
    shown: Counter[str] = Counter()
    for reject in read_rejects(root):
        summary.reasons[reject.reason] += 1
        few = shown[reject.reason] < _PER_REASON and len(summary.rejected) < _EXAMPLES
        if reject.item is not None and few:
            shown[reject.reason] += 1
            summary.rejected.append(reject)


def classes(summary: Summary) -> list[str]:
    """The dataset's classes, then labels that are none of them."""
    return list(dict.fromkeys([*summary.info.classes, *sorted(summary.regions)]))


Table = tuple[str, tuple[str, ...], list[tuple[object, ...]]]
"""A heading, the names of columns, rows."""


def counts(summary: Summary) -> str:
    """How much there is of everything, in a line."""
    pictures, regions, rejects = (each.total() for each in (summary.splits, summary.regions, summary.reasons))
    return f"{pictures} pictures, {regions} regions, {rejects} rejects, seed {summary.info.seed}."


def tables(summary: Summary) -> list[Table]:
    """What the card tells in tables, in whatever form it is written."""
    by_class = [(name, summary.regions[name], summary.masks[name], summary.pictures[name]) for name in classes(summary)]
    models = [(model.role, model.name, model.licence or "unknown") for model in summary.models]
    return [
        ("Splits", ("split", "pictures"), [*sorted(summary.splits.items())]),
        ("Classes", ("class", "regions", "with a mask", "pictures"), [*by_class]),
        ("Rejects", ("reason", "number"), [*reasons(summary)]),
        ("Models and licences", ("role", "model", "licence"), [*models]),
    ]


def reasons(summary: Summary) -> list[tuple[str, int]]:
    """The reasons of rejects with their numbers, most first."""
    return sorted(summary.reasons.items(), key=lambda reason: (-reason[1], reason[0]))


def mark(summary: Summary) -> str:
    """What is said of where the pictures come from."""
    if not summary.info.generated:
        return ""
    return (
        "The pictures of this dataset are AI-generated, and its labels were found by models. Nobody has checked them."
    )
