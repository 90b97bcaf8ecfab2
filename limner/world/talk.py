"""How a random dialogue about a scene takes its course: a request, questions and answers until it is clear, its effect.

The half of `limner.world.dialogue` with state. What a trouble is: «several» or «none» of the things fit, the «value»
is missing, the thing is said but nothing else («vague»), nothing is said («open»), or what is said contradicts itself
(«torn»). "" is a clear request.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Literal

from limner.seen import Seen, whereabouts
from limner.types import Change, EditKind
from limner.world import sayings, wishes
from limner.world.clarity import (
    Referent,
    Request,
    can_be_told_apart,
    explicit,
    meant,
    nouns_of,
    unique_name,
    what_of,
    whereto,
    which,
)
from limner.world.sample import STAGES, Palette, sample_scene
from limner.world.scene import Scene, Thing, colour_of
from limner.world.vocabulary import COLOURS, concept
from limner.world.wishes import Wish

TROUBLES = ("several", "several", "several", "none", "none", "value", "value", "vague", "open", "torn")
_TWINS, _MOST = 0.5, 4
_LOCAL: tuple[EditKind, ...] = ("replace", "add", "remove", "recolour")
_WHOLE: tuple[EditKind, ...] = ("restyle", "background", "time", "weather")
_KINDS = (*_LOCAL, *_LOCAL, "recolour", "remove", *_WHOLE)
_PRONOUNS = ("it", "it", "it", "that", "this", "that one")


def opening_scene(rng: Random, palette: Palette, *, held_out: bool = False) -> Scene:
    """A scene to talk about, in every second one of which some things bear the same name."""
    scene = sample_scene(rng, rng.choice((*STAGES, "pair", "pair", "crowd")), palette, held_out=held_out)
    if len(scene.things) < 2 or rng.random() >= _TWINS:
        return scene
    first, second, *rest = scene.things
    second = replace(second, concept=first.concept, colour=_colour(rng, first.concept))
    return replace(scene, things=(replace(first, colour=_colour(rng, first.concept)), second, *rest))


def _colour(rng: Random, name: str) -> str | None:
    return rng.choice(list(COLOURS)) if concept(name).tintable and rng.random() < 0.8 else None


@dataclass(frozen=True, slots=True)
class Turn:
    """One system turn: what was seen, what the user had said, and whether the system asks, edits or takes back."""

    seen: tuple[Seen, ...]
    said: str
    what: Literal["ask", "edit", "undo"]
    reply: str


class Talk:
    """A conversation about one picture as it changes. `round` and `take_back` return False where they cannot be."""

    def __init__(self, rng: Random, palette: Palette, scene: Scene) -> None:
        self.rng, self.palette = rng, palette
        self.scenes, self.turns = list[Scene](), list[Turn]()
        self._past = list[Scene]()
        self._topic: Thing | None = None
        self._mute = False  # «it» would mean a thing that cannot be told from what was said
        self._colourless = rng.random() < 0.12
        self._show(scene)

    def _show(self, scene: Scene) -> None:
        """The picture as it is from now on, and what a detector would report of it."""
        self.scenes.append(scene)
        self.seen = tuple(map(self._see, scene.things))

    def _see(self, thing: Thing) -> Seen:
        colour = "" if self._colourless else colour_of(thing) or ""
        return Seen(concept(thing.concept).name, colour, whereabouts(thing.x, thing.y))

    def take_back(self) -> bool:
        """The last change is taken back."""
        said = sayings.as_people_write(self.rng, self.rng.choice(sayings.UNDO))
        self.turns.append(Turn(self.seen, said, "undo", ""))
        self._show(self._past.pop())
        self._topic, self._mute = None, False
        return True

    def round(self, trouble: str) -> bool:
        """One request with this trouble, the questions that it needs, and the change."""
        if not can_be_told_apart(self.seen):
            return False
        request = self._request(trouble)
        if request is None:
            return False
        if trouble == "open":
            return self._opened()
        return self._settle(wishes.worded(self.rng, request, self._spoken(request.request.referent)), request)

    def _spoken(self, referent: Referent | None) -> str:
        """«it», «the red car», «the car on the left»."""
        if referent is None or not referent.noun:
            return self.rng.choice(_PRONOUNS)
        if referent.where and self.rng.random() < 0.5:
            return f"the {Seen(referent.noun, referent.colour, referent.where).text}"
        return f"the {referent.where} {referent.text}".replace("  ", " ")

    def _request(self, trouble: str) -> Wish | None:
        """A wish that is clear but for the trouble."""
        if trouble == "open":
            return Wish(Request(None), ())
        if trouble == "vague":
            referent = self._referent("")
            return wishes.vague(referent) if referent else None
        kind = self.rng.choice(_KINDS)
        if trouble in ("several", "none") or (trouble == "torn" and self.rng.random() < 0.4):
            kind = self.rng.choice(_LOCAL)
        if kind == "add" and (len(self.seen) == _MOST or (trouble in ("several", "none") and not self.seen)):
            return None
        beside = kind == "add" and bool(self.seen) and (trouble in ("several", "none") or self.rng.random() < 0.4)
        relation = self.rng.choice(list(sayings.PLACES)) if beside else ""
        referent = None
        if kind in ("replace", "remove", "recolour") or relation:
            referent = self._referent(trouble if trouble in ("several", "none") else "", plain=bool(relation))
            if referent is None:
                return None
        return wishes.wish(self.rng, self.palette, Request(kind, referent, relation=relation), trouble)

    def _referent(self, trouble: str, *, plain: bool = False) -> Referent | None:
        """Words that fit one thing, or several or none; of equally good ones any. `plain` leaves out «it»."""
        if trouble == "none":
            return self._absent()
        wanted = [r for r in self._referents() if (len(self._meant(r)) > 1) == bool(trouble)]
        if plain or self._mute:
            wanted = [r for r in wanted if r.noun]
        return self.rng.choice(wanted) if wanted else None

    def _meant(self, referent: Referent) -> list[Seen]:
        return meant(referent, self.seen, self._see(self._topic) if self._topic else None)

    def _referents(self) -> list[Referent]:
        """Ways to speak of one of the things, the short ones more often."""
        thing = self.rng.choice(self.seen) if self.seen else None
        if thing is None:
            return []
        found = [Referent(thing.name)] * 3 + [Referent(noun) for noun in nouns_of(thing.name)[1:]]
        found += [Referent(thing.name, where=thing.where)]
        found += [Referent(thing.name, thing.colour)] * 2 if thing.colour else []
        return found + [Referent()] * (6 if self._topic else 2)

    def _absent(self) -> Referent | None:
        """A noun that nothing answers to, or a colour that none of its kind has."""
        if self.seen and self.rng.random() < 0.25:
            name = self.rng.choice(self.seen).name
            referent = Referent(name, self.rng.choice(list(COLOURS)))
        else:
            referent = Referent(wishes.noun(self.rng, self.palette))
        return None if meant(referent, self.seen) else referent

    def _opened(self) -> bool:
        """Nothing is said; the answer is a thing alone, or a whole request."""
        said = sayings.as_people_write(self.rng, self.rng.choice(sayings.OPEN))
        self._ask(said, what_of(self.seen))
        if len(self.seen) < 2 or self.rng.random() < 0.4:
            return self.round("")
        thing = self.rng.choice(self.seen)
        answer = wishes.pick(self.rng, thing, self.seen)
        return self._settle(answer, Wish(Request(None, Referent(thing.name))), thing)

    def _ask(self, said: str, question: str) -> None:
        self.turns.append(Turn(self.seen, said, "ask", question))

    def _settle(self, said: str, wish: Wish, thing: Seen | None = None) -> bool:
        """Ask which thing and to what, as far as it must be, and carry out what comes of it."""
        referent = wish.request.referent
        if referent and thing is None:
            fitting = self._meant(referent)
            if len(fitting) != 1:
                self._ask(said, which(referent, fitting, self.seen))
                if not self.seen:
                    return self.round("")
                thing = self.rng.choice(fitting or self.seen)
                return self._settle(self._answer(wish, thing, fitting or self.seen), wish, thing)
            thing = fitting[0]
        name = unique_name(thing, self.seen) if thing else ""
        if len(wish.request.values) != 1 and wish.request.kind != "remove":
            wish = wishes.with_name(wish, name)
            self._ask(said, whereto(wish.request, name, thing.colour if thing else ""))
            said, wish = wishes.completed(self.rng, self.palette, wish)
        return self._done(said, wish, thing, name)

    def _answer(self, wish: Wish, thing: Seen, among: Sequence[Seen]) -> str:
        """The thing alone, or now and then the whole request once more."""
        clear = len(wish.request.values) == 1 or wish.request.kind == "remove"
        if clear and self.rng.random() < 0.1:
            return wishes.worded(self.rng, wish, f"the {unique_name(thing, self.seen)}")
        return wishes.pick(self.rng, thing, among)

    def _done(self, said: str, wish: Wish, thing: Seen | None, name: str) -> bool:
        """The explicit instruction, and the picture as it is then."""
        request = wish.request
        kind, value = request.kind, "".join(request.values)
        if kind is None:
            return False
        instruction = explicit(kind, name, value, request.relation)
        self.turns.append(Turn(self.seen, said, "edit", instruction))
        index = self.seen.index(thing) if thing else None
        self._past.append(self.scenes[-1])
        change = Change(kind, "", "", value, request.relation)
        after, self._topic = wishes.applied(self.rng, self.scenes[-1], change, index)
        self._show(after)
        name = unique_name(self._see(self._topic), self.seen) if self._topic else ""
        self._mute = not set(name.split()) <= set(instruction.split())
        return can_be_told_apart(self.seen)
