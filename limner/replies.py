"""What a request comes to among the things seen: a change that names its thing, or a question, and its answer.

The other half of `limner.requests`: there a sentence is read, here it is weighed (`limner.world.clarity`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from limner.concept import folded
from limner.instruction import parse_instruction
from limner.look import head_noun, split_place
from limner.requests import FRAMES, ORDINALS, THING, WEATHERS, article_off, parsed, plain, read, tidied
from limner.seen import Seen
from limner.types import BadInput, Change, EditKind
from limner.world.clarity import Referent, Request, choices_of, explicit, meant, unique_name, what_of, whereto, which
from limner.world.vocabulary import COLOURS, CONCEPTS

_YES = frozenset("yes y yeah yep sure right exactly ok okay correct".split())
_VALUE = re.compile(
    r"^(?:(?:make|turn|paint|let|colou?r) (?:it|that|this|them)(?: be)?|it should be|"
    r"i want(?: it)?(?: to be| to have)?|put|use|take|maybe|how about|with|to|into|in|be)\s+",
    re.IGNORECASE,
)
_THERE = re.compile(r"\s+(?:there|instead|in its place)$", re.IGNORECASE)
_NTH = re.compile(rf"(?:the )?(?:{'|'.join(ORDINALS)})(?: one)?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Pending:
    """A request that is not settled: what is asked, the thing if that is known, and the things offered if not."""

    request: Request
    question: str
    thing: Seen | None = None
    among: tuple[Seen, ...] = ()


def decide(
    request: Request, seen: Sequence[Seen], topic: Seen | None, *, thing: Seen | None = None, said: str = ""
) -> Change | Pending:
    """The change, its thing named beyond doubt, or what has to be asked first: which thing, then what it shall become.

    `topic` is what was last spoken of, `thing` what the request is known to mean. A request that was clear keeps its
    own words, `said`.
    """
    if request == Request(None):
        return Pending(request, what_of(seen), among=tuple(seen))
    if request.referent and thing is None:
        fitting = _fitting(request.referent, seen, topic)
        if len(fitting) != 1:
            return Pending(request, which(request.referent, fitting, seen), among=tuple(fitting or seen))
        thing = fitting[0]
    name = unique_name(thing, seen) if thing else ""
    if thing:
        own = split_place(name)[1]  # a taller red car where that tells it from others
        request = replace(request, values=tuple(re.sub(rf"(?<= ){THING}$", own, value) for value in request.values))
    if request.kind is None and request.values and request.values[0] in ("remove", *COLOURS):
        request = replace(request, values=tuple(_action(value, name) for value in request.values))
    if request.kind is None or (len(request.values) != 1 and request.kind != "remove"):
        return Pending(request, whereto(request, name, thing.colour if thing else ""), thing)
    return _change(request, request.kind, name, tidied(said))


def _fitting(referent: Referent, seen: Sequence[Seen], topic: Seen | None) -> list[Seen]:
    """The things meant: by what the world knows of them, by their own words, or by the noun of a longer name."""
    if not referent.noun and (referent.colour or referent.where):
        return [s for s in seen if referent.colour in ("", s.colour) and referent.where in ("", s.where)]
    alike = [replace(s, name=head_noun(s.name)) for s in seen if s.name not in CONCEPTS]
    called = [s for s in seen if s.noun == referent.text and referent.where in ("", s.where)]
    found = meant(referent, seen, topic) or called
    if found or not alike:
        return found
    again = meant(referent, alike)
    return [s for s in seen if s.name not in CONCEPTS and replace(s, name=head_noun(s.name)) in again]


def answered(pending: Pending, said: str, seen: Sequence[Seen]) -> Change | Pending | None:
    """What an answer makes of an open request; None when it answers something else."""
    words = tidied(said)
    if pending.request == Request(None):
        thing = None if _wants_something(words) else _picked(words, pending.among)
        return _what_now(thing, seen) if thing else None
    if pending.among:
        thing = _picked(words, pending.among)
        return decide(pending.request, seen, None, thing=thing) if thing else None
    if pending.request.kind is None:
        return _acted(pending, words, seen)
    values = _chosen_values(pending, words)
    return decide(replace(pending.request, values=values), seen, None, thing=pending.thing) if values else None


def _wants_something(words: str) -> bool:
    try:
        return read(words).kind is not None
    except BadInput:
        return False


def _what_now(thing: Seen, seen: Sequence[Seen]) -> Pending:
    request = Request(None, Referent(thing.name))
    return Pending(request, whereto(request, unique_name(thing, seen)), thing)


def _action(value: str, name: str) -> str:
    return explicit("remove", name) if value == "remove" else explicit("recolour", name, value)


def _acted(pending: Pending, words: str, seen: Sequence[Seen]) -> Change | Pending | None:
    """An answer to «What should I do with the car?», or the choice between two actions on it."""
    offered = pending.request.values
    if not offered and pending.thing and words.casefold() in COLOURS:
        words = f"paint it {words}"
    try:
        request = read(_ordinal(words, offered) or _named(words, offered) or words)
    except BadInput:
        return None
    if offered and all(read(action).kind != request.kind for action in offered):
        return None
    about_it = request.referent is not None and not request.referent.noun
    return decide(request, seen, None, thing=pending.thing if about_it else None)


def _picked(words: str, among: Sequence[Seen]) -> Seen | None:
    """The thing that an answer picks: all that it says of name, colour and place fits that one only."""
    if words.casefold().split(",")[0] in _YES and len(among) == 1:
        return among[0]
    bare = article_off(folded(words))
    exact = [each for each in among if bare in (each.noun, each.text)]
    if len(exact) == 1:
        return exact[0]
    said = set(re.findall(r"\w+", bare))
    colours, places = said & set(COLOURS), {split_place(f"{word} x")[0] for word in said} - {""}
    names = said & {word for each in among for word in _words_of(each.name)}
    fits = [s for s in among if colours <= {s.colour} and places <= {s.where} and names <= _words_of(s.name)]
    if len(fits) == 1 and (colours or places or names):
        return fits[0]
    ordinals = [ORDINALS[word] for word in said if word in ORDINALS]
    within = [place for place in ordinals if -len(among) <= place < len(among)]
    return among[within[0]] if within and not colours | names else None


def _words_of(name: str) -> set[str]:
    """What may be said of a name, «gizmo» for «<gizmo>»."""
    return set(re.findall(r"\w+", name.casefold()))


def _ordinal(words: str, values: Sequence[str]) -> str | None:
    found = [ORDINALS[word] for word in words.casefold().split() if word in ORDINALS]
    return values[found[0]] if found and -len(values) <= found[0] < len(values) else None


def _named(words: str, actions: Sequence[str]) -> str | None:
    """The one action that all the words of an answer are of: «paint the dog red» for «red» and for «paint it»."""
    said = set(words.casefold().split()) - {"it", "the"}
    found = [action for action in actions if said and said <= set(action.split())]
    return found[0] if len(found) == 1 else None


def _chosen_values(pending: Pending, words: str) -> tuple[str, ...]:
    """What an answer gives: one of the values offered, or those of the wanted kind that it says."""
    kind, values = pending.request.kind, pending.request.values
    if values:
        picked = [value for value in values if re.search(rf"\b{re.escape(value)}\b", words.casefold())]
        return tuple(picked if len(picked) == 1 else filter(None, [_ordinal(words, values)]))
    if _NTH.fullmatch(words) and (nth := _ordinal(words, choices_of(pending.question, ()))):
        return (nth,)
    bare = _THERE.sub("", _VALUE.sub("", words))
    for sentence in (words, bare, FRAMES[kind].format(bare)) if kind in FRAMES else ():
        try:
            found = read(sentence)
        except BadInput:
            continue
        if found.kind == kind and found.values:
            return found.values
    return ()


def _change(request: Request, kind: EditKind, name: str, said: str) -> Change:
    """The change in the user's own words where these say just that, else in the explicit ones."""
    value, own = "".join(request.values), parsed(said)
    if own and own.kind == kind and (not value or plain(own.kind, own.value) == value):
        where = f"{request.relation} the {name}" if name else own.place
        if own.place == where if kind == "add" else own.target == name:
            return own
    return parse_instruction(_worded(kind, name, value, request.relation))


def _worded(kind: EditKind, name: str, value: str, relation: str) -> str:
    """The explicit instruction; values that `explicit` has no words for are said plainly."""
    if kind == "weather" and value not in WEATHERS.values():
        return f"change the weather to {value}"
    if kind in ("replace", "add") and re.match(r"(?:two|three|four|five|six|some|many|several)\b", value):
        beside = f" {relation} the {name}" if name else ""
        return f"replace the {name} with {value}" if kind == "replace" else f"add {value}{beside}"
    return explicit(kind, name, value, relation)
