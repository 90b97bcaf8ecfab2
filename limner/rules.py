"""What can be done for a prompt without a language model: find its keywords, and make one more general.

Deterministic, offline, a millisecond a prompt once loaded. docs/decisions/0002-rules.md tells what else was tried.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from limner.concept import bare
from limner.tagger import SPATIAL, Token, tag

MAX_KEYWORDS = 24
"""More things than anybody has yet seen in one generated picture."""

MAX_KEYWORD_CHARS = 80
"""A keyword is a phrase; BLIP would cut it at 35 tokens."""

NO_CATEGORIES: Mapping[str, str] = {}
"""For `generalise` without a vocabulary."""

_NOUN_PHRASE = r"N?(?:J(?:,?C?J)*)?[ns]+"
_DETERMINERS = "[DQ]*"
# «a fox in a red hat sitting to the left of» ... «a castle»: the user's own words from end to end.
_LEFT = re.compile(rf"{_NOUN_PHRASE}(?:P{_DETERMINERS}{_NOUN_PHRASE})*W?[UVA]*$")
_RIGHT = re.compile(rf"A?{_DETERMINERS}{_NOUN_PHRASE}")
_RIGHT_OF_BETWEEN = re.compile(rf"{_DETERMINERS}{_NOUN_PHRASE}(?:C{_DETERMINERS}{_NOUN_PHRASE})?")
# Nouns that name a place in the picture or the picture itself, when nothing is said of them.
_EMPTY = frozenset(
    "background foreground top bottom left right side sides front middle center centre corner edge photo photograph "
    "picture image drawing view close-up style scene something anything everything someone thing things way "
    "other others".split()
)
_NEGATIONS = ("no", "without")
# «X is visible», «a glass is full of»: said of a thing, but nothing that it looks like.
_PLAIN_ADJECTIVES = frozenset("visible full able next alone".split())
_PREDICATE = re.compile(r"W?UA?(?P<adjective>J)(?![CJns])")
_CONTENT = "NJnsVA"
_COLOURS = {
    "red": "crimson scarlet ruby maroon burgundy vermilion",
    "orange": "amber tangerine apricot",
    "yellow": "golden lemon mustard",
    "green": "emerald lime olive jade mint",
    "blue": "navy azure turquoise teal cyan cobalt sapphire indigo",
    "purple": "violet lilac lavender mauve",
    "pink": "magenta fuchsia rose salmon coral",
    "brown": "tan beige chestnut bronze",
    "white": "ivory cream",
    "grey": "silver slate",
    "black": "jet ebony charcoal",
}
# Nouns in -s that are singular although their ending does not tell, and those in -u and -i whose plural ends in -s.
# The second half are one thing each, though they end like several: «a cat with glasses» has no glass.
_SINGULAR = frozenset(
    "rhinoceros cosmos chaos asbestos glasses sunglasses eyeglasses goggles binoculars headphones scissors pliers "
    "tweezers tongs trousers pants jeans shorts leggings tights pyjamas pajamas clothes".split()
)
_WITH_U_OR_I = frozenset(
    "menu emu gnu guru haiku tofu tutu flu bayou caribou tiramisu zebu kudu ski taxi kiwi bikini zucchini yeti "
    "safari rabbi alibi koi sari wasabi tsunami martini salami origami daiquiri okapi".split()
)
_BASIC_COLOUR = {shade: basic for basic, shades in _COLOURS.items() for shade in shades.split()}
_NUMBERS = frozenset("one two three four five six seven eight nine ten eleven twelve".split())
_LINK = re.compile(
    rf"\s+({'|'.join(SPATIAL)}|of|in|on|with|at|from|and|wearing|holding)\s+(?:an?\s+|the\s+)?", re.IGNORECASE
)


def extract_keywords(prompt: str) -> tuple[str, ...]:
    """Return the noun phrases of `prompt` with their attributes, then its spatial relations as whole phrases.

    In order of appearance, each once, at most MAX_KEYWORDS and at least one: without a noun the other content
    words serve, and without a word (an emoji, say) the prompt itself. What must be absent («no cows») is left out.
    """
    tokens = tag(prompt)
    codes = "".join(token.code for token in tokens)
    found = [*_phrases(prompt, tokens, codes), *_relations(prompt, tokens, codes)]
    found = found or [token.text for token in tokens if token.code in _CONTENT]
    short = (keyword for keyword in found if len(keyword) <= MAX_KEYWORD_CHARS)
    keywords = tuple({keyword.casefold(): keyword for keyword in short}.values())[:MAX_KEYWORDS]
    return keywords or (prompt[:MAX_KEYWORD_CHARS].strip(),)


def content_words(text: str) -> frozenset[str]:
    """Return the stems of all words of `text` that carry meaning: no articles, prepositions or auxiliaries."""
    return frozenset(_stemmer().stem(token.text.lower()) for token in tag(bare(text)) if token.code in _CONTENT)


def without_article(phrase: str) -> str:
    """Return `phrase` as one line without articles or marks at its ends; empty when no content word is in it."""
    tokens = tag("".join(" " if unicodedata.category(c) in ("Cc", "Cs") else c for c in phrase))
    if not any(token.code in _CONTENT or token.code == "x" for token in tokens):
        return ""
    inner = [token for token in tokens if token.code not in ",."]
    first = next(i for i, token in enumerate(inner) if token.code != "D")
    words = _words(phrase, inner, first, len(inner))
    return words if words == phrase else without_article(words)  # what is left may begin with an article again


def singular(phrase: str) -> str:
    """Return one of what `phrase` names: «two red cats» as «red cat»."""
    words = phrase.split()
    if words and (words[0].isdigit() or words[0].lower() in _NUMBERS):
        words = words[1:]
    one = _one_of(words[-1]) if words else ""
    return " ".join([*words[:-1], one] if one else words)


def generalise(keyword: str, categories: Mapping[str, str] = NO_CATEGORIES) -> str:
    """Return `keyword` one step more general, or as it is when nothing is left to drop (section 3.7).

    A shade becomes its basic colour, then attributes go one by one from the left, numbers last; what stands
    behind a preposition goes before anything else; a bare noun becomes its category by `categories`
    (singular noun -> broader noun).
    """
    keyword = " ".join(keyword.split())
    head = _LINK.split(keyword, maxsplit=1)[0]
    return head if head != keyword or not keyword else " ".join(_broader(keyword.split(), categories))


def _phrases(prompt: str, tokens: Sequence[Token], codes: str) -> Iterator[str]:
    heads: set[str] = set()
    for match in re.finditer(_NOUN_PHRASE, codes):
        phrase = _words(prompt, tokens, match.start(), match.end())
        head = tokens[match.end() - 1].text.casefold()
        before = [token.text.casefold() for token in tokens[max(match.start() - 2, 0) : match.start()]]
        said = _predicate(tokens, codes, match)
        again = not said and before[-1:] == ["the"] and phrase.casefold() == head and head in heads
        if phrase.casefold() in _EMPTY or again or _negated(before):
            continue
        heads.add(head)
        yield f"{said} {phrase}" if said else phrase


def _predicate(tokens: Sequence[Token], codes: str, noun_phrase: re.Match[str]) -> str:
    """The adjective of «the car is red», which belongs to its noun like one before it; empty when there is none."""
    match = _PREDICATE.match(codes, noun_phrase.end())
    adjective = tokens[match.start("adjective")].text if match else ""
    return "" if adjective.lower() in _PLAIN_ADJECTIVES or noun_phrase[0].startswith("N") else adjective


def _negated(before: Sequence[str]) -> bool:
    """Whether these two words ask for the absence of what follows: «no cows», «without any leaves»."""
    return bool(before) and (before[-1] in _NEGATIONS or before[0] == "without")


def _relations(prompt: str, tokens: Sequence[Token], codes: str) -> Iterator[str]:
    for index, token in enumerate(tokens):
        if token.code != "R":
            continue
        right = (_RIGHT_OF_BETWEEN if token.text.lower() == "between" else _RIGHT).match(codes, index + 1)
        left = _LEFT.search(codes[:index])
        if left and right:
            yield _words(prompt, tokens, left.start(), right.end())


def _words(prompt: str, tokens: Sequence[Token], start: int, end: int) -> str:
    """The user's words from token `start` to before token `end`; a capital that only begins a sentence goes."""
    text = " ".join(prompt[tokens[start].start : tokens[end - 1].end].split())
    first = tokens[start].text
    rest = text[len(first) :]
    begins = start == 0 or tokens[start - 1].code == "."
    return first.lower() + rest if begins and first.istitle() and rest == rest.lower() else text


def _broader(words: list[str], categories: Mapping[str, str]) -> list[str]:
    for index, word in enumerate(words[:-1]):
        if basic := _BASIC_COLOUR.get(word.lower()):
            return [*words[:index], basic, *words[index + 1 :]]
    if category := _category(" ".join(words), categories):
        return [category]
    if len(words) == 1:
        return words
    counted = words[0].isdigit() or words[0].lower() in _NUMBERS
    return [words[0], *words[2:]] if counted and len(words) > 2 else words[1:]


def _category(noun: str, categories: Mapping[str, str]) -> str:
    """The broader noun, in the plural for a plural; empty when there is none."""
    if noun in categories:
        return categories[noun]
    one = _one_of(noun)
    return str(_inflections().plural_noun(categories[one])) if one in categories else ""


def _one_of(noun: str) -> str:
    """The singular of a plural, "" for what is singular: inflect takes the s from «bus», «octopus» and «tennis» too."""
    one = str(_inflections().singular_noun(noun) or "")
    ending = noun.lower()[-2:]
    return "" if noun.lower() in _SINGULAR or (ending in ("us", "is") and one.lower() not in _WITH_U_OR_I) else one


@lru_cache(maxsize=1)
def _stemmer() -> Any:
    from nltk.stem.porter import PorterStemmer  # pyright: ignore

    return PorterStemmer()


@lru_cache(maxsize=1)
def _inflections() -> Any:
    import inflect

    return inflect.engine()
