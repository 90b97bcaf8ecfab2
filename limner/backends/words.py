"""Which words of a prompt a model with a closed vocabulary never learned."""

from __future__ import annotations

import re

from limner.prompt import parse

_WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")
# Words that only join others: a picture is the same without them.
_FUNCTION_WORDS = frozenset(
    "a an the this that these those some any and or but of in on at by to from with without for as into onto "
    "over under is are was be been being has have having it its his her their there who which while where "
    "very really just one please show draw me picture image".split()
)


def unknown_words(prompt: str, known: frozenset[str]) -> list[str]:
    """The content words of `prompt` (A1111 syntax) outside `known`, lower case, in order, each once.

    `known` holds lower-case words in every form that was learned, plurals included. A hyphenated word is
    known when it is, or all of its parts are.
    """
    text = " ".join(segment.text for segment in parse(prompt)).lower()
    words = [word for word in _WORD.findall(text) if word not in _FUNCTION_WORDS]
    return list(dict.fromkeys(word for word in words if not (word in known or known.issuperset(word.split("-")))))
