"""Whether a rewritten prompt says all that it must: every fact of the scene after the edit, and nothing that is gone.

The exact counterpart of content integrity for rows of the picture world: integrity counts keywords wherever they stand,
here a colour, a number and a side must belong to the right thing.
"""

from __future__ import annotations

from collections.abc import Iterable
from statistics import fmean

from limner.evaluate.claims import Claims, Mention, claims
from limner.instructpe import Row
from limner.world.instructions import Slots, slots_of
from limner.world.scene import Fact
from limner.world.vocabulary import concept
from limner.world.wording import SILENT


def slot_accuracy(y: str, row: Row) -> tuple[float, tuple[str, ...]]:
    """The share of a row's slots that the prompt y gets right, 0 to 1, and what it gets wrong, in words.

    A slot is a fact that must be said, or one that was true before and must not be said any more («no red fox»). Words
    for a thing, place, hour or style are free; a number, colour or side that contradicts the scene spoils the slot.
    Raises BadInput for a row that is none of the world's.
    """
    slots = slots_of(row)
    wrong = _wrong(slots, y)
    total = len(slots.present) + len(slots.absent)
    return (1 - len(wrong) / total if total else 1.0), wrong


def all_slots_right(y: str, row: Row) -> bool:
    """Whether y says exactly what it must, as far as slots tell."""
    return not slot_accuracy(y, row)[1]


def slot_scores(written: Iterable[tuple[str, Row]]) -> tuple[float, float]:
    """Over pairs (y, row): the mean slot accuracy, and the share of prompts with all slots right; 0 for none."""
    scores = [slot_accuracy(y, row)[0] for y, row in written]
    return (fmean(scores), fmean(score == 1.0 for score in scores)) if scores else (0.0, 0.0)


def _wrong(slots: Slots, y: str) -> tuple[str, ...]:
    facts = (*slots.present, *slots.absent)
    said = claims(y, [name for fact in facts for name in (fact.concept, fact.other) if name])
    lacking = [fact.text for fact in slots.present if not _says(said, fact, slots)]
    return (*lacking, *(f"no {fact.text}" for fact in slots.absent if _still_says(said, fact)))


def _says(said: Claims, fact: Fact, slots: Slots) -> bool:
    """Whether a fact is said and nothing against it. What is still said although it is gone is a slot of its own."""
    match fact.kind:
        case "relation":
            return fact.relation is not None and said.related(fact.concept, fact.relation, fact.other)
        case "object" | "colour" | "count":
            alike = [each for each in slots.present if each.concept == fact.concept and each.kind != "relation"]
            mentions = [mention for mention in said.things if mention.concept == fact.concept]
            new = [mention for mention in mentions if not any(_names(mention, gone) for gone in slots.absent)]
            return not any(_contradicts(m, alike) for m in new) and any(_is(m, fact) for m in mentions)
        case _:
            values = said.whole[fact.kind]
            return values <= {fact.value} if fact.value == SILENT.get(fact.kind) else values == frozenset([fact.value])


def _is(mention: Mention, fact: Fact) -> bool:
    return mention.count == fact.count and _wears(mention, fact)


def _wears(mention: Mention, fact: Fact) -> bool:
    """The colour that is told, and no other; an untinted thing may be called by the colour that it has anyway."""
    if fact.colour:
        return mention.colours == frozenset([fact.colour])
    return mention.colours <= set(concept(fact.concept).native.values())


def _contradicts(mention: Mention, alike: Iterable[Fact]) -> bool:
    """Whether a mention gives a thing a colour or a number that none of its name has. Saying less is no contradiction:
    «the fox» speaks of the red fox again."""
    facts = list(alike)
    coloured = bool(mention.colours) and not any(_wears(mention, fact) for fact in facts)
    return coloured or (mention.numbered and mention.count not in [fact.count for fact in facts])


def _still_says(said: Claims, fact: Fact) -> bool:
    if fact.kind in ("object", "colour"):
        return any(_names(mention, fact) for mention in said.things)
    return fact.value in said.whole[fact.kind]


def _names(mention: Mention, gone: Fact) -> bool:
    """Whether a mention speaks of a thing that is gone, in whatever number."""
    return mention.concept == gone.concept and (gone.colour is None or gone.colour in mention.colours)
