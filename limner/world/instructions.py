"""Exact rows of InstructPE from the picture world: prompts before and after an edit, and what the second must say.

Both prompts of a row are worded alike, so that they differ in what the edit changes and nowhere else; DiffChat 3.1 has
a language model write one from the other and hopes for that.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from random import Random
from typing import Any, Literal, get_args

from limner.instructpe import Row
from limner.types import BadInput, EditKind
from limner.world import sayings
from limner.world.caption import RELATION_PHRASES, article, facts
from limner.world.edits import EditTriple, sample_edit
from limner.world.sample import Palette
from limner.world.scene import Fact, Scene, relations
from limner.world.vocabulary import INDOOR_BACKGROUNDS, STYLE_PHRASES
from limner.world.wording import SILENT, Stated, Told, Wording, long_prompt, pick, quality_tags, short_prompt

PALETTE = Palette(tint=0.5, other_time=0.3, weather=0.25)
"""Rather more colours, hours and weathers than pictures are drawn of, since each is something to keep."""

_OPENINGS = ("please ", "can you ", "could you ", "could you please ", "now ", "please now ")
_CLOSINGS = (" please", ", please", ".", "!", " now", ", thanks")
_MOST_RELATED = 3  # as in captions: with more kinds of things a relation is one detail too many
_NO_VERBS = ("i", "there", "can", "the")
_WholeKind = Literal["background", "time", "weather", "style"]


@dataclass(frozen=True, slots=True)
class Slots:
    """What a prompt must say, and what it must not say any more."""

    present: tuple[Fact, ...]
    absent: tuple[Fact, ...] = ()


def world_rows(count: int, seed: int, *, held_out: bool = False, palette: Palette = PALETTE) -> Iterator[Row]:
    """`count` rows; row n depends on the seed and n only. `held_out` rows are about combinations never trained on."""
    side = "held out" if held_out else "training"
    for number in range(count):
        yield sample_row(Random(f"instructions/{side}/{seed}/{number}"), palette=palette, held_out=held_out)


def sample_row(rng: Random, kind: EditKind | None = None, palette: Palette = PALETTE, *, held_out: bool = False) -> Row:
    """A random row. `more` has its kind of edit, and the facts that `slots_of` reads.

    Raises BadInput when the palette allows no such edit.
    """
    edit = sample_edit(rng, kind, palette, held_out=held_out)
    while _cannot_be_worded(edit):
        edit = sample_edit(rng, kind, palette, held_out=held_out)
    before, after = _told(rng, edit)
    wording = Wording(rng.getrandbits(32), rng.choice(("clause", "clause", "list", "head")))
    wording = replace(wording, quality=quality_tags(rng, [long_prompt(told, wording) for told in (before, after)]))
    slots = _slots(before, after, edit)
    more: dict[str, Any] = {"kind": edit.change.kind}
    more |= {"present": [_to_json(fact) for fact in slots.present], "absent": [_to_json(fact) for fact in slots.absent]}
    restyled = f", {pick(wording, 'style', STYLE_PHRASES[edit.after.style])}" if edit.change.kind == "restyle" else ""
    return Row(
        x_o=short_prompt(before, wording),
        i=_instruction(rng, edit),
        x=long_prompt(before, wording),
        y=long_prompt(after, wording),
        y_o=short_prompt(after, wording) + restyled,
        more=more,
    )


def slots_of(row: Row) -> Slots:
    """The facts of a row of the world. Raises BadInput for a row of another kind."""
    try:
        return Slots(*(tuple(Fact(**fact) for fact in row.more[side]) for side in ("present", "absent")))
    except (KeyError, TypeError) as error:
        raise BadInput("the row does not say what is to be in its picture", "take rows of the picture world") from error


def _to_json(fact: Fact) -> dict[str, Any]:
    plain = asdict(Fact(fact.kind, fact.text))
    return {name: value for name, value in asdict(fact).items() if name in ("kind", "text") or value != plain[name]}


def _cannot_be_worded(edit: EditTriple) -> bool:
    """A place is said of one thing, not of one among several that are named together."""
    new = edit.after.things[-1] if edit.after.things else None
    return bool(edit.change.place and new and sum(t.concept == new.concept for t in edit.after.things) > 1)


def _told(rng: Random, edit: EditTriple) -> tuple[Told, Told]:
    """Both scenes, with the relation that both state while both its things are there, and the one that is added."""
    before, after = edit.before, edit.after
    order = tuple(rng.random() for _ in before.things)
    holding = [Stated(*each) for each in relations(before)] if len(before.counts()) <= _MOST_RELATED else []
    stated = rng.choice(holding) if holding and rng.random() < 0.75 else None
    kept = _kept_things(before, after)
    carried = None
    if stated and stated.first in kept and stated.second in kept:
        carried = Stated(kept[stated.first], stated.relation, kept[stated.second])
    ranks = {new: order[old] for old, new in kept.items()}
    order_after = tuple(ranks.get(place, 1.0) for place in range(len(after.things)))
    return Told(before, order, stated), Told(after, order_after, carried, _added(edit))


def _kept_things(before: Scene, after: Scene) -> dict[int, int]:
    """Where each thing of the first scene is in the second; what was replaced or painted has the old one's place."""
    old, new = before.things, after.things
    if len(old) <= len(new):
        return {place: place for place in range(len(old))}
    gone = next(place for place in range(len(old)) if old[:place] + old[place + 1 :] == new)
    return {place: place - (place > gone) for place in range(len(old)) if place != gone}


def _added(edit: EditTriple) -> Stated | None:
    """The relation in which an instruction puts what it adds."""
    fact = next((fact for fact in edit.present if fact.kind == "relation"), None)
    if fact is None or fact.relation is None:
        return None
    things = edit.after.things
    return Stated(len(things) - 1, fact.relation, next(i for i, t in enumerate(things) if t.concept == fact.other))


def _slots(before: Told, after: Told, edit: EditTriple) -> Slots:
    """What is true of the scene after and said of it; and what was true before, said then, and is so no more."""
    new, old = after.scene, before.scene
    things = [fact for fact in facts(new) if fact.kind in ("object", "colour", "count")]
    placed = [_relation_fact(new, each) for each in (after.stated, after.added) if each]
    gone = [fact for fact in edit.absent if fact.kind in ("object", "colour")]
    gone += [fact for fact in _whole_facts(old) if fact.value != getattr(new, fact.kind)]
    loud = [fact for fact in gone if not fact.value or fact.value != SILENT.get(fact.kind)]
    return Slots((*things, *placed, *_whole_facts(new)), tuple(loud))


def _relation_fact(scene: Scene, stated: Stated) -> Fact:
    first, second = (scene.things[place].concept for place in (stated.first, stated.second))
    text = f"{first} {RELATION_PHRASES[stated.relation][0]} {article(second)}"
    return Fact("relation", text, first, relation=stated.relation, other=second)


def _whole_facts(scene: Scene) -> list[Fact]:
    kinds = [kind for kind in get_args(_WholeKind) if getattr(scene, kind)]
    if scene.background in INDOOR_BACKGROUNDS:
        kinds = [kind for kind in kinds if kind not in SILENT]
    return [Fact(kind, getattr(scene, kind), value=getattr(scene, kind)) for kind in kinds]


def _instruction(rng: Random, edit: EditTriple) -> str:
    """The edit's own words or other ones of the same meaning, now and then with a courtesy."""
    change = edit.change
    text = change.instruction
    if change.local and rng.random() < 0.4:
        relation: Any = change.place.partition(" the ")[0]
        beside = change.place[len(relation) :]
        place = f" {rng.choice(sayings.PLACES[relation])}{beside}" if change.place else ""
        value = change.value if change.kind == "recolour" or not change.value else article(change.value)
        text = rng.choice(sayings.CLEAR[change.kind]).format(t=f"the {change.target}", v=value, p=place)
    if rng.random() < 0.2 and text.split()[0] not in _NO_VERBS:
        text = rng.choice(_OPENINGS) + text
    elif rng.random() < 0.15:
        text += rng.choice(_CLOSINGS)
    return text[0].upper() + text[1:] if rng.random() < 0.25 else text
