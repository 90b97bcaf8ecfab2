"""The keywords of a text as content integrity counts them, and which words say the same (DiffChat A.4, Listing 1).

Keywords are the nouns, verbs, adjectives and numbers of a text as lemmas. The tagger, the lemmatiser and the
dictionary of synonyms are plain functions that can be exchanged; without any given all of them work offline.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import simplemma

from limner import wordnet
from limner.synonyms import GROUPS
from limner.tagger import Token, tag

Pos = Literal["noun", "verb", "adjective", "number"]
_POS: dict[str, Pos] = {"n": "noun", "s": "noun", "Q": "noun", "V": "verb", "J": "adjective", "N": "number"}
_NUMBERS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen twenty"
).split()
_DIGITS = {str(value): word for value, word in enumerate(_NUMBERS)}
# Words that the tagger may take for content. «One» is among them because «a fox» says it as well.
_STOP = frozenset(
    "of one zero thing things something anything everything someone somebody lot lots kind kinds type types sort "
    "number variety series way other others another such same own more most much many few several all some any every "
    "each let lets please thanks pls want would like do get go use be have make there here it that this should must "
    "can could will shall may might else".split()
)
# Nouns that end as verbs do, or as the plurals of others.
_NOUNS = {"leaves": "leaf", "saw": "saw", "saws": "saw", "ground": "ground", "wound": "wound", "left": "left"}
_SIDES = ("left", "right")
_WORD = re.compile(r"\w+(?:[-'’.&:]\w+)*")
JOINERS = "-'’.&:"
"""The marks that may stand inside a word, so that a word before one of them may yet go on."""

_WEIGHT = re.compile(r":[\d.]+")


class Term(NamedTuple):
    """A keyword: its lemma in lower case, and what part of speech it is."""

    lemma: str
    pos: Pos


class Mention(NamedTuple):
    """A keyword where it stands: text[start:end]."""

    term: Term
    start: int
    end: int


Tagger = Callable[[str], Sequence[Token]]
Lemmatiser = Callable[[str, Pos], str]
Synonyms = Callable[[Term], frozenset[str]]


@functools.lru_cache(maxsize=50_000)
def lemma(word: str, pos: Pos) -> str:
    """The lemma of a word in lower case: «foxes» fox, «glowing» glow as a verb only, «2» two."""
    if pos == "number":
        return _DIGITS.get(word, word)
    if pos == "adjective":
        return word
    if pos == "noun":
        if word in _NOUNS or word.endswith("ing"):
            return _NOUNS.get(word, word)
        if word.endswith("ings"):
            return word[:-1]
    return simplemma.lemmatize(word, lang="en").lower()


@functools.cache
def _own() -> dict[str, frozenset[str]]:
    found: dict[str, frozenset[str]] = {}
    for line in GROUPS.strip().splitlines():
        group = frozenset(line.split())
        found |= {word: found.get(word, frozenset()) | group for word in group}
    return found


def own_synonyms(term: Term) -> frozenset[str]:
    """The synonyms in Limner's own small table: colours, sizes, and what people call the things of the world."""
    return _own().get(term.lemma, frozenset())


@dataclass(frozen=True, slots=True)
class Lexicon:
    """What tells keywords and synonyms. `name` says in reports which dictionary of synonyms it was."""

    name: str = "limner"
    tag: Tagger = tag
    lemma: Lemmatiser = lemma
    synonyms: Synonyms = own_synonyms


OWN = Lexicon()
"""The same everywhere, whatever a machine has installed."""


@functools.cache
def default_lexicon() -> Lexicon:
    """The lexicon with WordNet's synonyms beside the own ones where WordNet's files are found, else OWN."""
    folder = wordnet.find()
    return Lexicon("wordnet", synonyms=with_wordnet(wordnet.reader(folder))) if folder else OWN


def with_wordnet(known: Callable[[str, str], frozenset[str]]) -> Synonyms:
    """Synonyms from a function of `wordnet.reader`, and the own ones."""
    parts = {"noun": "noun", "verb": "verb", "adjective": "adj"}

    def synonyms(term: Term) -> frozenset[str]:
        own = own_synonyms(term)
        return own if term.pos == "number" else own | known(term.lemma, parts[term.pos])

    return synonyms


def mentions(text: str, lexicon: Lexicon = OWN) -> Iterator[Mention]:
    """Every keyword of a text where it stands, in order, as often as it stands there."""
    for token in lexicon.tag(text):
        if token.code == "R":
            yield from _sides(token)
        elif found := _term(token, lexicon):
            yield Mention(found, token.start, token.end)


def keywords(text: str, lexicon: Lexicon = OWN) -> tuple[Term, ...]:
    """The keywords of a text in order, each once (Listing 1, extract_keywords)."""
    return tuple(dict.fromkeys(mention.term for mention in mentions(text, lexicon)))


def accepted(term: Term, lexicon: Lexicon = OWN) -> frozenset[str]:
    """The lemmas that say the keyword: its synonyms and itself."""
    return lexicon.synonyms(term) | {term.lemma}


def words(text: str) -> list[str]:
    """The words of a text in lower case, with the weights of prompt syntax left off."""
    return [found.lower() for found in _WORD.findall(_WEIGHT.sub("", text))]


def forms(word: str, lexicon: Lexicon = OWN) -> frozenset[str]:
    """Every lemma that a word in lower case may have, whatever part of speech it is where it stands.

    A prompt is a list of phrases more than a sentence, so that a tagger is often wrong about it; and a word that has
    the right lemma says the keyword either way. The parts of a compound count as well.
    """
    return _forms(word, lexicon.lemma)


@functools.lru_cache(maxsize=50_000)
def _forms(word: str, lemmatise: Lemmatiser) -> frozenset[str]:
    whole = word.removesuffix("'s").removesuffix("’s")
    parts = [whole, *(part for part in re.split("[-&:]", whole) if part and part != whole)]
    every: tuple[Pos, ...] = ("noun", "verb", "number")
    return frozenset([*parts, *(lemmatise(part, pos) for part in parts for pos in every)])


def _sides(token: Token) -> Iterator[Mention]:
    """Of «to the left of» only the side is content."""
    for side in _SIDES:
        found = re.search(rf"\b{side}\b", token.text, re.IGNORECASE)
        if found:
            yield Mention(Term(side, "noun"), token.start + found.start(), token.start + found.end())


def _term(token: Token, lexicon: Lexicon) -> Term | None:
    word = token.text.lower().strip("<>").split(":")[0]
    pos: Pos | None = "number" if word.isdecimal() or word in _NUMBERS else _POS.get(token.code)
    if word.endswith(("'s", "’s")):
        word, pos = word[:-2], "noun"  # the tagger takes a genitive for an adjective
    if pos is None or word in _STOP or not word[:1].isalnum() or re.fullmatch(r"\d+\.\d+", word):
        return None  # a fraction is the weight of a phrase
    return Term(lexicon.lemma(word, pos), pos)
