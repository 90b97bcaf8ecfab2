"""What an edit instruction means: «make the car blue» recolours the car, «put it in the snow» is a new background.

A grammar understands what people mostly say, whatever nouns, colours and styles they name. Phrasings of the picture
world get its own names («dusk» is «sunset»), all other words are kept as they were said.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable

from PIL import ImageColor

from limner.moving import SIDE_WORDS, SIZE_WORDS, side_said, size_said
from limner.tagger import SPATIAL, tag
from limner.types import BadInput, Change, EditKind
from limner.world.caption import RELATION_PHRASES
from limner.world.vocabulary import BACKGROUNDS, COLOURS, CONCEPTS, STYLE_PHRASES, TIMES, WEATHERS

MAX_INSTRUCTION_CHARS = 2000
"""An instruction names one change; whoever says more than this means several."""

EXAMPLES = "such as «make the car blue», «add a dog next to the house», «remove the cat» or «put it in the snow»"

_Meaning = tuple[EditKind, str, str, str]
"""Kind, target, value and place, as in Change."""

_BLANKS = "\t\n\r"
_THE = r"(?:the|an?|some|another|this|that|these|those|my|your|our|his|her|its|their|any)"
_NUMBER = r"(?:one|two|three|four|five|six)"
_DETERMINERS = re.compile(rf"^(?:(?:all|both)\s+(?:of\s+)?)?(?:{_THE}\s+)?", re.IGNORECASE)
_SCENE = r"(?:picture|image|photo|photograph|scene|drawing|painting|illustration|view)"
_THESE = r"(?:this|that|these|those)(?= (?:an?|into|to|look|at|in|on|be|as)\b| \S+$|$)"
_ALL = rf"(?:it|them|everything|all of (?:it|them)|all(?! )|{_THESE}|(?:the|this|my) (?:whole )?{_SCENE})"
_IS_ALL = re.compile(_ALL, re.IGNORECASE)
_IT, _PICTURE = (
    re.compile(words, re.IGNORECASE)
    for words in ("it|them|this|that", rf"everything|all of .+|(?:the|this|my) .*?{_SCENE}")
)
_PLACE_WORD = r"(?:in front of|into|onto|in|on|at|by|to|among|inside|against)"
_INTO_PLACE = re.compile(rf"^{_PLACE_WORD}\s+", re.IGNORECASE)
_SPATIAL = "|".join(SPATIAL)
_PLACE = re.compile(
    rf"(?P<thing>.+?)\s+(?P<place>(?:{_SPATIAL})\s+\S.*|(?:in|at|to|into|inside)\s+(?:the|th(?:is|at|ese|ose)|it|them)\b.*"
    rf"|(?:on|onto|upon|around|against)\s+(?:{_THE}|it|them)\b.*)",
    re.IGNORECASE,
)
_RELATIONS: dict[str, str] = {said: relation for relation, phrases in RELATION_PHRASES.items() for said in phrases}
_RELATION = re.compile(rf"(?:{_SPATIAL})(?=\s)", re.IGNORECASE)
_POLITE = re.compile(
    r"^(?:(?:please|kindly|(?:what|how) about|now|then|ok|okay|hey|and|also|just|let'?s|"
    r"(?:can|could|would|will) (?:you|we|i)|i(?: would|'d)? (?:want|like) (?:you )?to)\b[\s,]*)+",
    re.IGNORECASE,
)
_THANKS = re.compile(r"(?:[\s,.!?;:]|\b(?:please|thanks|thank you|for me|now|as well|too|instead)\b)+$", re.IGNORECASE)
_VERBS = (
    "make|turn|change|replace|swap|add|put|draw|remove|delete|erase|take away|take|paint|colou?r|let|move|shift|"
    "enlarge|shrink"
)
_SEVERAL = re.compile(
    rf"(?!(?:instead of|{_PLACE_WORD}|{_SPATIAL})\s).+?(?:\band|\bthen|[,;.])\s+(?:then |also )?(?:{_VERBS})\s+"
    rf"(?:{_THE}|{_NUMBER}|it|them)\b",
    re.IGNORECASE,
)
_ART = re.compile(
    r"\b(?:style|painting|drawing|illustration|sketch|render(?:ing)?|photo(?:graph)?|cartoon|comic|anime|manga|poster|art"
    r"|mosaic|watercolou?r|pastel|engraving|woodcut|icon|sticker|black and white|gr[ea]yscale|sepia|3d|collage)\b",
    re.IGNORECASE,
)
_HUES = "|".join(sorted({*ImageColor.colormap, *COLOURS, "golden", "scarlet", "#[0-9a-f]{6}"}, key=len, reverse=True))
_SHADE = rf"(?:(?:(?:light|dark|bright)(?:er)?|pale|deep|hot|neon|sky|royal)[ -])*(?:{_HUES})(?:[ -]colou?red)?"
_COLOUR = f"{_SHADE}(?: and {_SHADE})?"
_IN_COLOUR = re.compile(rf"(?P<x>{_COLOUR})(?: colou?r| one)?|an? (?P<y>{_COLOUR}) (?:colou?r|one)", re.IGNORECASE)

# What else people call the world's times and weathers, and words for some that it does not know, kept as said.
_SYNONYMS: dict[str, dict[str, str]] = {
    "background": {"mountain": "mountains", "field": "meadow", "skyline": "city", "under the sea": "underwater"},
    "time": dict.fromkeys("daytime daylight midday".split(), "day")
    | dict.fromkeys(("nighttime", "night time", "dark"), "night")
    | {word: word for word in "dawn sunrise morning noon afternoon evening twilight midnight".split()},
    "weather": dict.fromkeys("rainy raining rainfall".split(), "rain")
    | dict.fromkeys(("snow", "snowy", "snowing", "falling snow", "snowflakes"), "snowfall")
    | dict.fromkeys("foggy mist misty".split(), "fog")
    | dict.fromkeys(("sunny", "sunshine", "cloudless", "stop raining", "stop snowing"), "clear")
    | {word: word for word in "cloudy overcast storm stormy thunderstorm windy hail".split()},
}
_TAIL = re.compile(r"\s+(?:background|backdrop|scene|landscape|environment|weather|style|day|sky|skies)$")


def parse_instruction(text: str) -> Change:
    """Return what an instruction asks for, by a fixed grammar of English.

    `target` and `value` are without article; a change of the whole picture («make it blue») has no target. Raises
    BadInput for an instruction that is empty, too long, holds control characters, asks for several changes or is
    not understood.
    """
    instruction = checked_instruction(text)
    words = _THANKS.sub("", _POLITE.sub("", instruction))
    if _SEVERAL.match(words):
        raise BadInput("the instruction asks for several changes", "ask for one at a time")
    for pattern, meaning in _RULES:
        match = pattern.fullmatch(words)
        groups = {"x": "", "y": ""} | match.groupdict() if match else {}
        found = _MEANINGS[meaning](groups["x"], groups["y"]) if match else None
        if found:
            return Change(found[0], instruction, *found[1:])
    raise BadInput(f"the instruction was not understood: «{instruction[:80]}»", EXAMPLES)


def change_of(kind: EditKind, instruction: str, target: str, value: str, place: str) -> Change | None:
    """A change in the grammar's words, of which only what its kind needs is taken over; None where that is missing."""
    target = _bare(target) if kind in ("replace", "remove", "recolour", "move", "resize") else ""
    value = _value(kind, value) if kind != "remove" else ""
    needed = {"replace": target and value, "remove": target}.get(kind, value)
    place = _settled_place(place.strip()) if kind == "add" else ""
    return Change(kind, instruction, target, value, place) if needed else None


def checked_instruction(text: str) -> str:
    """The instruction as one line. Raises BadInput for one that is empty, too long or holds control characters."""
    if len(text) > MAX_INSTRUCTION_CHARS:
        raise BadInput(f"the instruction has {len(text)} characters", f"at most {MAX_INSTRUCTION_CHARS} can be read")
    bad = next((c for c in text if unicodedata.category(c) in ("Cc", "Cs") and c not in _BLANKS), None)
    if bad is not None:
        raise BadInput(f"the instruction holds the control character {bad!r}", "take it out")
    if not text.strip():
        raise BadInput("the instruction is empty", f"say what to change, {EXAMPLES}")
    return " ".join(text.split())


def _bare(words: str) -> str:
    """Words without articles in front."""
    return _DETERMINERS.sub("", words.strip(" ,.:;!?\"'«»“”"))


def _key(words: str) -> str:
    """What a phrase is looked up by: «in the forest», «a forest» and «forest» are one."""
    return _bare(_INTO_PLACE.sub("", words.strip().casefold()))


def _names(table: dict[str, tuple[str, ...]], kind: str) -> dict[str, str]:
    phrases = {_key(phrase): name for name, said in table.items() for phrase in (name, *said)}
    return {_TAIL.sub("", key): name for key, name in phrases.items()} | phrases | _SYNONYMS.get(kind, {})


_NAMES: dict[EditKind, dict[str, str]] = {
    "time": _names(TIMES, "time"),
    "weather": _names(WEATHERS, "weather"),
    "restyle": _names(STYLE_PHRASES, "restyle"),
    "background": _names(BACKGROUNDS, "background"),
}


def _known(kind: EditKind, words: str) -> str:
    """The name of the time, weather, style or background that these words say, "" for none."""
    return _NAMES[kind].get(_key(words)) or _NAMES[kind].get(_TAIL.sub("", _key(words)), "")


def _value(kind: EditKind, words: str) -> str:
    """The known name for the words, else the words without preposition and article."""
    if kind in ("move", "resize"):
        return size_said(words) if kind == "resize" else _goal(words)
    if kind not in _NAMES:
        return _bare(words).casefold() if kind == "recolour" else _bare(words)
    return _known(kind, words) or re.sub(
        r"(?<! the) (?:background|backdrop)$", "", _bare(_INTO_PLACE.sub("", words.strip()))
    )


def _settled_place(place: str) -> str:
    """«left of the castle» for «to the left of the castle»; "" for «to the picture»."""
    if re.fullmatch(f"(in|to|into|on|onto) {_ALL}", place, re.IGNORECASE):
        return ""
    return _RELATION.sub(lambda match: _RELATIONS.get(match[0].casefold(), match[0]), place, count=1)


def _goal(words: str) -> str:
    """Where something is to go, as a side of the picture or beside a thing; "" for what is neither."""
    place = _settled_place(re.sub(r"^(?:closer|nearer) to ", "next to ", words.strip(), flags=re.IGNORECASE))
    beside = place != words or any(place.startswith(f"{said} ") for said in SPATIAL)
    return side_said(words) or (place if beside and not place.startswith(("behind", "between", "inside")) else "")


def _arranged(kind: EditKind, thing: str, value: str) -> _Meaning | None:
    """A thing moved or resized, «it» being whatever the picture shows best; the picture itself is not meant."""
    meant = "" if _IT.fullmatch(thing) else _bare(thing)
    return (
        (kind, meant, value, "")
        if value and (meant or _IT.fullmatch(thing)) and not _PICTURE.fullmatch(thing)
        else None
    )


def _colour(words: str) -> str:
    """The colour that the words name and nothing else, as «blue», «a blue one»; "" when they do not."""
    match = _IN_COLOUR.fullmatch(words.strip())
    return (match["x"] or match["y"]).casefold() if match and not _ART.search(words) else ""


def _named(words: str) -> _Meaning | None:
    """A property of the whole picture that the words name; after a preposition they rather say where it is set."""
    placed = _INTO_PLACE.match(words) is not None
    order = sorted(_NAMES, key=lambda kind: kind != "background") if placed else _NAMES
    for key in (_key(words), _TAIL.sub("", _key(words))):
        for kind in order:
            if key in _NAMES[kind] and (placed or kind != "background" or not _colour(words)):
                return kind, "", _NAMES[kind][key], ""
    return None


def _as(kind: EditKind, words: str) -> _Meaning | None:
    return (kind, "", _value(kind, words), "") if _bare(words) else None


def _as_said(kind: EditKind, words: str) -> _Meaning | None:
    """What the words name or, when they name nothing known, a property of this kind."""
    return _named(words) or _as("recolour" if _colour(words) else kind, words)


def _whole(words: str) -> _Meaning | None:
    """What the whole picture is to become: «night», «a 3d render», «a forest», «blue», «a dog» (its one thing)."""
    if not _ART.search(words) and not _colour(words):
        if _INTO_PLACE.match(words):
            return _as_said("background", words)
        if re.match(r"an?\s", words, re.IGNORECASE):
            return _as_said("replace", words)
    return _as_said("restyle", words)


def _painted(target: str, words: str) -> _Meaning | None:
    thing = "" if _IS_ALL.fullmatch(target) else _bare(re.sub(r"\s+from \S+$", "", target))
    colour = _colour(words) or _bare(words).casefold()
    return ("recolour", thing, colour, "") if colour and (thing or _IS_ALL.fullmatch(target)) else None


def _exchanged(target: str, value: str) -> _Meaning | None:
    """One thing for another, or «day» for «night»."""
    if _IS_ALL.fullmatch(target):
        return _whole(value)
    for kind in ("time", "weather", "background"):
        if _known(kind, target) and _known(kind, value):
            return _as(kind, value)
    return ("replace", _bare(target), _bare(value), "") if _bare(target) and _bare(value) else None


def _become(target: str, value: str) -> _Meaning | None:
    return _painted(target, value) if _colour(value) else _exchanged(target, value)


def _added(words: str, place: str) -> _Meaning | None:
    """Something new. Rain, fog and the like are weather; where it stands may be said behind it."""
    found = None if place else _named(words)
    if found and found[0] in ("time", "weather"):
        return found
    match = None if place or _bare(words).casefold() in CONCEPTS else _PLACE.fullmatch(words)
    thing, place = (match["thing"], match["place"]) if match else (words, place)
    thing = re.sub(r"\s+(?:there|here|somewhere)$", "", thing)
    return ("add", "", _bare(thing), _settled_place(place)) if _bare(thing) and not _IS_ALL.fullmatch(thing) else None


def _made(words: str) -> _Meaning | None:
    """«make the house bigger»: the thing is to become one of that quality, as far as the tagger can see a quality."""
    tokens = tag(words)
    end = next((i for i in range(len(tokens), 0, -1) if tokens[i - 1].code not in "JVA"), 0)
    if end in (0, len(tokens)):
        return None
    target, quality = (
        _bare(re.sub(r" (?:look|be|become)? ?$", "", words[: tokens[end].start])),
        words[tokens[end].start :],
    )
    return ("replace", target, f"{quality} {target}", "") if target else None


_CLEAR: _Meaning = ("weather", "", "clear", "")
_MEANINGS: dict[str, Callable[[str, str], _Meaning | None]] = {
    "restyle": lambda x, _: _as("restyle", x),
    "background": lambda x, _: _as("background", x),
    "time": lambda x, _: _as("time", x),
    "weather": lambda x, _: _as("weather", x),
    "redrawn": lambda x, _: _as_said("restyle", x),
    "set": lambda x, _: _as_said("background", x),
    "moved": lambda _, y: _as("background", y) if _known("background", y) else None,
    "emptied": lambda _x, _y: ("background", "", "white background", ""),
    "cleared": lambda _x, _y: _CLEAR,
    "ended": lambda x, _: _CLEAR if _known("weather", x) not in ("", "clear") else None,
    "named": lambda x, _: _named(x),
    "whole": lambda x, _: _whole(x),
    "arranged": lambda x, y: _arranged("move", x, _goal(y)),
    "resized": lambda x, y: _arranged("resize", x, size_said(y)),
    "grown": lambda x, _: _arranged("resize", x, "bigger"),
    "shrunk": lambda x, _: _arranged("resize", x, "smaller"),
    "doubled": lambda x, y: _arranged("resize", x, "much bigger" if y.casefold() == "double" else "much smaller"),
    "removed": lambda x, _: ("remove", _bare(x), "", "") if _bare(x) and not _IS_ALL.fullmatch(x) else None,
    "given": lambda x, y: None if _IS_ALL.fullmatch(x) else ("add", "", _bare(y), f"on the {_bare(x)}"),
    "quality": lambda x, _: _made(x),
    "become": _become,
    "exchanged": _exchanged,
    "painted": _painted,
    "added": _added,
}

# One rule a line: what it means, and a pattern in which capitals stand for what _WORDS says. Of the rules that fit, the
# topmost counts that does not decline: what says its own kind comes first, what fits nearly anything last.
_GRAMMAR = r"""
become: (?P<x>([^<>]|<[\w:.-]+>)+?) ?(->|→|=>) ?Y
restyle: ((make|(re)?draw|paint|render|show|do|turn|put) (.+ )?)?in (the )?style of X
restyle: (change|set|switch|make) (the|its) style (of ALL )?(to |into |be )?X
arranged: (move|shift|slide|push|drag|pull|bring) X WHITHER
resized: (make|let|have|turn|render|i want) X ((to be|be|look|become|appear) )?SIZE
resized: X (should|must|could) be SIZE
grown: (enlarge|magnify|blow up|scale up) X
shrunk: (shrink|scale down|reduce) X( in size)?
doubled: (?P<y>double|halve) the size of X
doubled: (?P<y>double|halve) X in size
restyle: (apply|use|give ALL) (?P<x>.+ style)( (to|for|on) ALL)?
redrawn: (make|let|have) ALL (look|appear) (more )?(like|as if|as) (it('s| is) )?X
redrawn: (re)?(draw|paint|render|style|do) ALL (as|in|like|to look like) X
emptied: (remove|delete|erase|cut out|get rid of|take away|no) BACKDROP
background: (change|make|set|turn|switch|swap|replace|paint|colou?r) BACKDROP ((to be|to|into|with|for|by|be|as) )?X
background: use X (as|for) (an? )?BACKDROP
background: (add|use|give ALL|(put|place|set) ALL (on|in front of|against|before)) (?P<x>.+(?<! the) background)
weather: (change|make|set|turn) (the )?weather ((to be|to|be|into) )?X
time: (change|make|set|turn) (the )?time (of (the )?day )?((to be|to|be|into) )?X
cleared: clear( up)? (the )?(sky|weather|skies)
ended: (stop|end|lift|clear( away| up)?|remove|delete|erase|take away|get rid of|no more|no) X
painted: (change|make|set|turn) (the )?colou?r of X (to|into|be) Y
painted: (change|make|set|turn) (the )?colou?r of THING HUE
painted: (change|make|set|turn) X(['’]s?)? colou?r (to |into |be )?Y
painted: give X an? Y colou?r
painted: (re)?(paint|colou?r|dye|tint|spray) THING (in |to |as |with )?HUE
exchanged: substitute AY for (?P<x>the .+)
exchanged: (replace|swap( out)?|exchange|switch|substitute) X (with|for|by|to|into) AY
exchanged: (replace|swap( out)?|exchange|switch|substitute) X (with|for|by|to|into) Y
exchanged: (put|place|draw|add|use|insert|have) Y (in (the )?place of|instead of) X
exchanged: instead of X,? (put|place|draw|add|use|have|i want) Y
exchanged: Y instead of X
become: (turn|change|transform|convert|morph|make) X (into|to be|to|for|become|look like) Y
removed: (make|let) X (disappear|vanish|go away)
removed: X (should|must) (be gone|be removed|disappear|vanish|go|go away)
added: (let there be|there should be) X
whole: (let |can |could |i want |i(['’]d| would) like )?ALL (should |must |to )?be X
become: (let |can |could |i want |i(['’]d| would) like )?X (should |must |to )?(be|become) ANY
removed: (remove|delete|erase|eliminate|hide|clear away|get rid of|take (away|out|off)|cut out) GONE( (from|in) ALL)?
removed: take X (away|out|off)( .+)?
removed: (no more|no|without|i (do not|don['’]t) want) X
set: (put|place|move|set|show|bring|take) ALL X
whole: (convert|change|turn|switch) (in)?to X
whole: MAKE ALL (look |be |become |appear |to be |into |to |as )?(a bit |more |very )?X
moved: (put|place|move|set|bring|take) the X WHERE
given: (give|(make|let|have) (?=.+ wear )) ?X (wear )?AY
added: WHERE,? (add|insert|put|place|draw|paint|show) X
added: (add|insert|put|place|draw|include|paint|show( me)?|sketch|create|i want|i would like|i['’]d like) X
painted: MAKE THING (be |become |look )?HUE
become: (make|let|have) X (?P<y>an? .+)
quality: (make|render) X
named: X
"""
_WORDS = {
    "X": "(?P<x>.+?)",
    "Y": "(?P<y>.+?)",
    "AY": f"(?P<y>({_THE}|{_NUMBER}) .+?)",
    "ANY": f"(?P<y>{_COLOUR}|({_THE}|{_NUMBER}) .+?)",
    "THING": rf"(?P<x>({_THE} )?(?!{_THE}\b)\S.*?)",
    "HUE": f"(?P<y>(an? )?{_COLOUR}( colou?r)?)",
    "ALL": _ALL,
    "GONE": "(?P<x>(?!everything |all (but|except) ).+?)",
    "MAKE": "(make|turn|let|have|render|change|get)",
    "BACKDROP": "((the |its )?(background|backdrop|scenery|setting|location|surroundings))",
    "WHITHER": rf"(?P<y>{SIDE_WORDS}|({_SPATIAL}|(closer|nearer) to) .+)",
    "SIZE": f"(?P<y>{SIZE_WORDS})",
    "WHERE": f"(?P<y>({_SPATIAL}|{_PLACE_WORD}) .+?)",
}


def _rule(line: str) -> tuple[re.Pattern[str], str]:
    meaning, pattern = line.split(": ", 1)
    return re.compile(re.sub(r"[A-Z]+(?![A-Z<])", lambda match: _WORDS[match[0]], pattern), re.IGNORECASE), meaning


_RULES = [_rule(line) for line in _GRAMMAR.strip().splitlines()]
