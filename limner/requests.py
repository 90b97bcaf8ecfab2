"""A request for a change in a person's words, and what an answer makes of an open one.

What the grammar of `limner.instruction` understands is clear as to what is wanted; here are read as well the requests
that leave something open («another colour», «change it») or contradict themselves. `limner.world.clarity` says what is
asked then.
"""

from __future__ import annotations

import re
from dataclasses import replace

from PIL import ImageColor

from limner.concept import folded
from limner.instruction import parse_instruction
from limner.look import split_place
from limner.rules import singular
from limner.tagger import SPATIAL
from limner.types import BadInput, Change, EditKind
from limner.world.caption import RELATION_PHRASES
from limner.world.clarity import Referent, Request
from limner.world.vocabulary import BACKGROUNDS, COLOURS, CONCEPTS, STYLE_PHRASES, TIMES

_IT = r"(?:it|that|this|them|that one|this one|the thing|the object|the one)"
_ALL = r"(?:it|this|that|the picture|everything)"
_WORDS = {
    "X": rf"(?P<x>{_IT}|(?:the|my|your|this|that) .+?|(?:[\w ]|<[\w:.-]+>)+?)",
    "OTHER": r"(?:another|a different|some other|a new|other|different)",
    "ELSE": r"(?:something|anything) (?:else|different|new)",
    "HUE": r"colou?rs?",
}
# What is wanted, and how it is said without saying everything; the topmost that fits counts.
_UNSAID = r"""
recolour: (?:make|paint|turn|give|colou?r|want|i want|let) X (?:be |in |into |have )?OTHER HUE
recolour: (?:i want |in )?OTHER HUE for X
recolour: (?:i want |in )?OTHER HUE
recolour: (?:change|switch) the HUE of X
recolour: (?:change|switch) the HUE
recolour: (?:re)?(?:paint|colou?r) X
restyle: (?:.+ )?OTHER style
restyle: (?:change|switch) the style
background: (?:.+ )?OTHER (?:background|backdrop|place)
background: (?:change|switch|replace) the background
background: put .+ somewhere else
time: (?:.+ )?OTHER time(?: of (?:the )?day)?
time: (?:change|switch) (?:the )?time(?: of (?:the )?day)?
weather: (?:.+ )?OTHER weather
weather: (?:change|switch) (?:the )?weather
add: (?:add|put|draw|place) something(?: else)?
add: (?:add|put|draw|place) something(?: else)? (?P<p>(?!there|in place).+)
replace: put ELSE there
replace: put ELSE (?:in place|instead) of X
replace: ELSE instead of X
replace: (?:replace|swap|exchange|turn|change|make) X (?:with |for |to |into )?ELSE
replace: (?:replace|swap|exchange) X
move: (?:move|shift) (?!.*\b(?:to|into|from|behind|between|inside)\b)X(?: somewhere else| elsewhere| around| away)?
resize: (?:resize|scale) X
resize: change the size of X
: (?:change|alter|improve|do something with) (?!something\b)X
: (?:make|can|could|i want) X (?:look |be )?(?:different|nicer|better)
: i (?:do not|don['’]?t) like X
"""
_REMOVALS = r"""
remove: (?:remove|delete|erase|get rid of|take away|i (?:do not|don['’]?t) want) (?P<x>.+)
remove: take (?P<x>.+) (?:away|out)
remove: (?P<x>.+) should (?:go|be gone)
"""
_ANEW = tuple(
    (re.compile(pattern, re.IGNORECASE), said)
    for pattern, said in (
        (r"(?P<h>make|turn|redraw|draw|i want) (?P<p>picture|image)\b(?P<t>.*)", r"\g<h> the \g<p>\g<t>"),
        (r"(?:i want|can i have|give me|put|i(?:['’]d| would) like) (?P<v>.+) instead of (?P<x>.+)",
         r"replace \g<x> with \g<v>"),
        (r"(?:can i have|give me|could i have) (?P<v>.+)", r"add \g<v>"),
        (rf"(?:i want|let) {_ALL}(?: be)? in (?P<v>.+ style)", r"change the style to \g<v>"),
        (rf"(?:i want|let) {_ALL}(?: be)? (?P<v>(?:in|on|at|under|among|indoors)\b.*)", r"put it \g<v>"),
        (r"i want (?P<v>.+) as (?:the |a )?background", r"change the background to \g<v>"),
        (r"(?:change|switch|set) style (?:to|into) (?P<v>.+)", r"change the style to \g<v>"),
        (r"(?:can|could) (?P<x>.+?) be (?P<v>.+)", r"make \g<x> \g<v>"),
    )
)  # fmt: skip
"""Ways to say things that the grammar of instructions knows in other words."""

_EXCHANGE_IT = re.compile(
    rf"(?:replace|swap|exchange|substitute|change|turn|make) {_IT} (?:with |for |by |to |into )?"
    r"(?P<v>(?:an?|two|three|some) .+)|"
    rf"(?:replace|swap|exchange|substitute) {_IT} (?:with|for|by) (?P<w>.+)|put (?P<u>.+) in (?:the )?place of {_IT}",
    re.IGNORECASE,
)  # fmt: skip


def _rules(lines: str) -> list[tuple[str, re.Pattern[str]]]:
    split = (line.partition(":") for line in lines.strip().splitlines())
    spelled = (
        (kind, re.sub(r"\b(?:X|OTHER|ELSE|HUE)\b", lambda m: _WORDS[m[0]], text.strip())) for kind, _, text in split
    )
    return [(kind, re.compile(text, re.IGNORECASE)) for kind, text in spelled]


_UNSAID_RULES, _REMOVAL_RULES = _rules(_UNSAID), _rules(_REMOVALS)
_OPEN = re.compile(
    r"(?:(?:i want|do|make|change) )?(?:something|anything|another one)(?: (?:else|different|new))?|make (?:a )?change|"
    r"i like (?:that|it)|hello|hi|hey|thanks?(?:,? i like (?:that|it))?|nice|great",
    re.IGNORECASE,
)
_UNDO = re.compile(
    r"(?:(?:undo|revert)(?: (?:that|it|this|(?:the )?last (?:change|step|one|edit)))?|go back|"
    r"(?:take|put) (?:that|it) back|"
    r"forget (?:that|it|about (?:that|it)|(?:the )?last (?:change|step|one|edit)|what i (?:just )?said)|"
    r"i liked it better before|that was wrong,? (?:undo|revert)(?: (?:it|that))?)",
    re.IGNORECASE,
)
_BEFORE = re.compile(
    r"^(?:(?:please|pls|kindly|now|then|no|ok|okay|hi|hello|hey|and|also|just|nice|great|thanks|hmm+|well|oh|sorry|"
    r"i mean|"
    r"can you|could you|would you|i think you should|let['’]?s|so)\b[\s,.!]+)+",
    re.IGNORECASE,
)
_AFTER = re.compile(r"(?:[\s,.!?;:]|\b(?:please|pls|plz|thanks|thank you|for me|now|then)\b)+$", re.IGNORECASE)
_HUES = (*COLOURS, "brown", "white", "black", "grey", "gray", "gold", "golden", "turquoise")
_HUE = "|".join(_HUES)
_SHADES = frozenset(("light", "dark", "bright", "pale", "deep"))
_PAINT_IT = re.compile(rf"(?:paint|make|turn|colou?r|dye|can|could) {_IT} (?:be )?(?P<c>{_HUE})", re.IGNORECASE)
_PAINT = re.compile(rf"(?:paint|make|turn|colou?r) (?P<x>.+?) (?P<c>{'|'.join(COLOURS)})", re.IGNORECASE)
_IN_COLOUR = re.compile(rf"(?:{'|'.join(COLOURS)})(?: colou?r| one)?", re.IGNORECASE)
_BOTH = re.compile(r"(?P<a>.+?),? (?:and|but)(?: also| then)? (?P<b>.+)", re.IGNORECASE)
_RELATIONS = {said: relation for relation, phrases in RELATION_PHRASES.items() for said in (relation, *phrases)}
_ON_SIDE = re.compile(
    r"(?P<n>.+?) (?:on|at|in|to) (?:the )?(?P<w>left|right|top|bottom|middle)(?: side)?", re.IGNORECASE
)
_DEFINITE = re.compile(r"(?:the|this|that|my|your|it\b|them\b)", re.IGNORECASE)
_PRONOUN = re.compile(rf"{_IT}|everything", re.IGNORECASE)
_PICTURE = re.compile(r"(?:the |this )?(?:picture|image|photo|scene)", re.IGNORECASE)
_BEFORE_NOUN = re.compile(r"^(?:(?:all|both)(?: of)?(?: the)?|the|an?|my|your|this|that)\s+")
_IN_ORDER = re.compile(r"^(?:first|second|third|fourth|last|other)\s+")
_GROWN = re.compile(
    rf"(?:make|let) {_IT} (?:be |look |become )?(?P<q>(?:(?:a bit|a little|much) )?"
    r"(?:taller|shorter|longer|wider|thinner|thicker|fatter|older|younger|rounder))",
    re.IGNORECASE,
)
_EXCLUSIVE: dict[EditKind, frozenset[str]] = {
    "recolour": frozenset(_HUES),
    "time": frozenset(TIMES),
    "weather": frozenset(("rain", "snow", "fog", "clear")),
    "background": frozenset(name.removesuffix(" background") for name in BACKGROUNDS),
    "restyle": frozenset(said[0] for said in STYLE_PHRASES.values()),
}
"""Known values, of which a picture or a thing has one at a time."""

_LOOSE = frozenset("something anything else different another other new nicer better somewhere of style".split())
ORDINALS = {"first": 0, "second": 1, "third": 2, "fourth": 3, "last": -1, "1": 0, "2": 1, "3": 2, "4": 3}
THING = "thing"
"""What stands in a value for the name of the thing itself: «taller thing» where it was only called «it»."""

FRAMES: dict[EditKind | None, str] = {
    "recolour": "paint the thing {}",
    "replace": "replace the thing with {}",
    "move": "move the thing {}",
    "resize": "make the thing {}",
    "add": "add {}",
    "restyle": "change the style to {}",
    "background": "change the background to {}",
    "time": "make it {}",
    "weather": "make it {}",
}
"""A sentence for each kind of change, to read a bare value in."""

WEATHERS = {"rain": "rain", "snowfall": "snow", "snow": "snow", "fog": "fog", "clear": "clear"}


def tidied(said: str) -> str:
    """A sentence without what people put around it: «please», «now», a full stop."""
    return _AFTER.sub("", _BEFORE.sub("", " ".join(said.split())))


def is_undo(said: str) -> bool:
    """«undo», «go back», «forget that»."""
    return _UNDO.fullmatch(tidied(said)) is not None


def is_contradiction(said: str) -> bool:
    """«make it day and night», «remove the dog and paint it red»."""
    return _torn(tidied(said)) is not None


def read(said: str) -> Request:
    """What a sentence asks for, as far as it says it. Raises BadInput for what cannot be understood."""
    words = _said_anew(tidied(said))
    if not words or _OPEN.fullmatch(words):
        return Request(None)
    if torn := _torn(words):
        return torn
    if about_it := _of_it(words):
        return about_it
    for kind, pattern in _UNSAID_RULES:
        match = pattern.fullmatch(words)
        if match and not _is_clear(words, kind):
            return _unsaid(kind, match)
    for _, pattern in _REMOVAL_RULES:
        match = pattern.fullmatch(words)
        if match:
            return Request("remove", referent(match["x"]))
    change = parse_instruction(words)
    if change.kind == "restyle" and _names_a_thing(change.value):
        return Request("replace", Referent(), (change.value,))
    return of_change(change)


def _of_it(words: str) -> Request | None:
    """«paint it red», «replace it with a dog», «make it taller»: of a thing that only the conversation knows."""
    painted, exchanged, grown = (each.fullmatch(words) for each in (_PAINT_IT, _EXCHANGE_IT, _GROWN))
    if painted:
        return Request("recolour", Referent(), (painted["c"].casefold(),))
    if grown:
        return Request("replace", Referent(), (f"{grown['q']} {THING}",))
    value = article_off(next(filter(None, exchanged.groups()))) if exchanged else ""
    plainly = value and not _IN_COLOUR.fullmatch(value) and not _LOOSE & set(value.split())
    return Request("replace", Referent(), (value,)) if plainly and not _is_style(words) else None


def _is_style(words: str) -> bool:
    """«turn it into an oil painting»: the picture itself, and none of its things."""
    change = parsed(words)
    if change is None or change.kind != "restyle":
        return False
    return not _names_a_thing(change.value) and not re.match(r"(?:two|three|some)\b", change.value)


def _names_a_thing(value: str) -> bool:
    """«yellow watermelon»: a concept, with a colour perhaps."""
    first, _, rest = value.partition(" ")
    return value in CONCEPTS or (first in _HUES and rest in CONCEPTS)


def article_off(words: str) -> str:
    """A phrase without its article."""
    return re.sub(r"^(?:the|an?)\s+", "", words.strip(), flags=re.IGNORECASE)


def _said_anew(words: str) -> str:
    found = ((pattern.fullmatch(words), said) for pattern, said in _ANEW)
    return next((match.expand(said) for match, said in found if match), words)


def referent(words: str) -> Referent:
    """A thing as it is spoken of: «the red car on the left», «left car», «animals», «it»."""
    if not words or _PRONOUN.fullmatch(words.strip()):
        return Referent()
    bare = _BEFORE_NOUN.sub("", folded(words.strip(" .")))
    bare = bare if bare in CONCEPTS else _IN_ORDER.sub("", bare)  # «first quarter moon» is a name
    side = _ON_SIDE.fullmatch(bare)
    named = bare in CONCEPTS or singular(bare) in CONCEPTS  # «top hat» is no hat at the top
    where, noun = (side["w"], side["n"]) if side else ("", bare) if named else split_place(bare)
    first, _, rest = noun.partition(" ")
    colour, noun = (first, rest) if first in COLOURS and rest and not is_whole_name(noun) else ("", noun)
    noun = noun if noun in CONCEPTS else singular(noun)
    return Referent("" if noun in ("one", THING, "object") else noun, colour, where)


def is_whole_name(name: str) -> bool:
    """Whether a colour that a name begins with is part of it: of «green salad», but not of «blue whale»."""
    return name in CONCEPTS and name.partition(" ")[2] not in CONCEPTS


def renamed(target: str, colour: str) -> str:
    """What a thing is called when it has been painted: «blue car» for «red car» and for «left car»."""
    name = split_place(target)[1]
    first, _, rest = name.partition(" ")
    return f"{colour} {rest if first in _HUES and rest and not is_whole_name(name) else name}".strip()


def of_change(change: Change) -> Request:
    """The request that a change of the grammar is."""
    values = () if change.kind == "remove" else (_of_itself(change) or plain(change.kind, change.value),)
    if change.kind == "add":
        relation, anchor = _beside(change.place)
        return Request("add", referent(anchor) if anchor else None, values, relation)
    if change.local:
        return Request(change.kind, referent(change.target), values)
    return Request(change.kind, None, values)


def _of_itself(change: Change) -> str:
    """«taller thing» for «make the animal taller», which becomes no «animal»; "" for another change."""
    made = change.kind == "replace" and re.match(r"(?:make|render)\s", tidied(change.instruction), re.IGNORECASE)
    quality = change.value.removesuffix(f" {change.target}") if made and change.target else change.value
    return f"{quality} {THING}" if quality != change.value else ""


def _beside(place: str) -> tuple[str, str]:
    """«left of the castle» as ("left of", "the castle"); two "" for another kind of place."""
    for said in sorted({*_RELATIONS, *SPATIAL}, key=len, reverse=True):
        anchor = place.removeprefix(f"{said} ")
        if anchor != place and not _PICTURE.fullmatch(anchor) and (said in _RELATIONS or _DEFINITE.match(anchor)):
            return _RELATIONS.get(said, said), anchor
    return "", ""


def plain(kind: EditKind, value: str) -> str:
    """A value as the explicit instruction says it: «snow» for falling snow, «white» for a white background."""
    if kind == "weather":
        return WEATHERS.get(value, value)
    if kind == "restyle":
        return STYLE_PHRASES[value][0] if value in STYLE_PHRASES else value
    return value.removesuffix(" background") if kind == "background" else value


def _is_clear(words: str, kind: str) -> bool:
    """Whether the grammar reads a full request in words that also fit an unsaid one («paint it red»)."""
    found = parsed(words)
    if found is None:
        return False
    if found.kind in ("move", "resize"):
        return True
    told = set(found.value.split()) if found.kind != "remove" else {"-"}
    if found.kind == "recolour" and not told <= {*_HUES, *_SHADES, *ImageColor.colormap}:
        return False
    return found.kind != "add" and bool(told) and not told & _LOOSE


def _unsaid(kind: str, match: re.Match[str]) -> Request:
    parts = match.groupdict()
    wanted: EditKind | None = next((k for k in _KINDS if k == kind), None)
    if wanted == "add":
        relation, anchor = _beside(_spoken(parts.get("p") or ""))
        return Request("add", referent(anchor) if anchor else None, (), relation)
    local = wanted in (None, "replace", "recolour", "move", "resize")
    return Request(wanted, referent(parts.get("x") or "") if local else None)


_KINDS: tuple[EditKind, ...] = (
    *("replace", "add", "recolour", "move", "resize"),
    *("restyle", "background", "time", "weather"),
)


def _spoken(place: str) -> str:
    return re.sub(r"^(?:to |on )?(?:the )?(?=left of|right of)", "", place)


def parsed(words: str) -> Change | None:
    """What the grammar of instructions reads in words; None for nothing."""
    try:
        return parse_instruction(words)
    except BadInput:
        return None


def _torn(words: str) -> Request | None:
    """Two values where there can be one, or a thing that is to go and to be painted."""
    both = _BOTH.fullmatch(words)
    if both is None or "black and white" in words.casefold():
        return None
    acts = [_act(part) for part in (both["a"], both["b"])]
    if all(acts) and {kind for kind, _, _ in filter(None, acts)} == {"remove", "recolour"}:
        (_, first, one), (_, second, other) = (act for act in acts if act)
        about = first if first.noun else second
        return Request(None, about, (one, other)) if not first.noun or not second.noun or first == second else None
    whole = parsed(both["a"])
    other = parsed(FRAMES[whole.kind].format(both["b"])) if whole and whole.kind in FRAMES else None
    if whole is None or other is None or other.kind != whole.kind or whole.value == other.value:
        return None
    one, two = of_change(whole), of_change(other)
    known = _EXCLUSIVE.get(whole.kind, frozenset())
    return replace(one, values=one.values + two.values) if {*one.values, *two.values} <= known else None


def _act(words: str) -> tuple[str, Referent, str] | None:
    """A removal or a painting: its kind, its thing, and «remove» or the colour."""
    for _, pattern in _REMOVAL_RULES:
        if match := pattern.fullmatch(words):
            return "remove", referent(match["x"]), "remove"
    painted = _PAINT.fullmatch(words)
    return ("recolour", referent(painted["x"]), painted["c"].casefold()) if painted else None
