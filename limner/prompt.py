"""Prompts: what is refused, and the weighted syntax that people know from A1111's web UI.

`(text:1.3)` gives text the weight 1.3; `(text)` multiplies it by 1.1 and `[text]` divides it by 1.1;
brackets nest by multiplying; `\\(` is a bracket to be drawn as it stands. A bracket without a partner is
text, so that «a cat :)» needs no escaping.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from limner.types import BadInput, Keyword

MAX_PROMPT_CHARS = 4000
"""Longer than any prompt that a text encoder could use, short enough to never slow anything down."""

MIN_WEIGHT, MAX_WEIGHT = 0.1, 2.0
"""Below the first a word might as well be left out; above the second pictures fall apart."""

_STEP = 1.1
_CLOSES = {"(": ")", "[": "]"}
_BLANKS = "\t\n\r"
_TOKEN = re.compile(
    r"""\\(?P<escaped>[()\[\]\\])      # a bracket or backslash meant as itself
      | (?P<open>[(\[])
      | (?::\s*(?P<weight>[+-]?(?:\d+(?:\.\d*)?|\.\d+))\s*)?(?P<close>\))
      | (?P<bracket>\])
      | (?P<text>[^\\()\[\]:]+|.)""",
    re.VERBOSE | re.DOTALL,
)
_SPECIAL = re.compile(r"[()\[\]\\]")


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of a prompt and its weight, 1.0 when nothing was said."""

    text: str
    weight: float = 1.0


def check_prompt(text: str) -> str:
    """Return `text` with runs of white space made one space and its ends trimmed.

    Raises BadInput for a prompt that is empty, longer than MAX_PROMPT_CHARS, holds control characters
    or half a surrogate pair, or weighs a part outside MIN_WEIGHT to MAX_WEIGHT.
    """
    if len(text) > MAX_PROMPT_CHARS:
        raise BadInput(f"the prompt has {len(text)} characters", f"at most {MAX_PROMPT_CHARS} can be drawn")
    bad = next((c for c in text if unicodedata.category(c) in ("Cc", "Cs") and c not in _BLANKS), None)
    if bad is not None:
        raise BadInput(f"the prompt holds the control character {bad!r}", "take it out")
    prompt = " ".join(text.split())
    if not plain(prompt).strip():
        raise BadInput("the prompt is empty", "say what to draw, such as «a red fox in the snow»")
    return prompt


def parse(prompt: str) -> tuple[Segment, ...]:
    """Split `prompt` into segments; neighbours of equal weight are one, and none is empty.

    A `[text]` knows no number of its own: «[text:0.5]» is the text «text:0.5», weakened. Weights are
    rounded to four decimals. Raises BadInput for a weight outside MIN_WEIGHT to MAX_WEIGHT.
    """
    tokens = list(_TOKEN.finditer(prompt))
    factors = _factors(tokens)
    weights = [1.0]
    pieces: list[Segment] = []
    for index, token in enumerate(tokens):
        if index not in factors:
            pieces.append(Segment(token["escaped"] or token[0], _checked(weights[-1], token[0])))
        elif token["open"]:
            weights.append(weights[-1] * factors[index])
        else:
            weights.pop()
    return _merged(pieces)


def render(segments: Sequence[Segment]) -> str:
    """Write segments as a prompt; `parse` gives them back (merged, and weights to four decimals)."""
    return "".join(_rendered(s) for s in segments)


def plain(prompt: str) -> str:
    """Return the words of `prompt` without its weights; raises BadInput as `parse` does."""
    return "".join(segment.text for segment in parse(prompt))


def said(keyword: str) -> re.Pattern[str]:
    """Finds a keyword in a text: whole words, in any case, however they are spaced."""
    words = r"\s+".join(map(re.escape, keyword.split()))
    return re.compile(rf"(?<!\w){words}(?!\w)", re.IGNORECASE)


def with_weight(prompt: str, keyword: str, weight: float) -> str:
    """Give `keyword` the weight `weight` wherever it stands in `prompt` as whole words, in any case.

    A weight that it had there is replaced; one that does not occur is appended. The result is in the form
    that `render` writes. Raises BadInput for a weight out of range and for a keyword without words.
    """
    words = keyword.split()
    if not words:
        raise BadInput("cannot weigh an empty keyword")
    wanted = round(_checked(weight, keyword), 4)
    segments = parse(prompt)
    text = "".join(s.text for s in segments)
    weights = [s.weight for s in segments for _ in s.text]
    spans = [match.span() for match in said(keyword).finditer(text)]
    if not spans:
        return render([*segments, Segment(", " if segments else ""), Segment(keyword, wanted)])
    for start, end in spans:
        weights[start:end] = [wanted] * (end - start)
    return render(_merged([Segment(c, w) for c, w in zip(text, weights, strict=True)]))


def join_keywords(keywords: Sequence[Keyword]) -> str:
    """Return the prompt of GPTDrawer's Eq. I = StableDiffusion(W): all keywords, weighted, joined by commas."""
    return ", ".join(_rendered(Segment(k.text, _checked(k.weight, k.text))) for k in keywords)


def unwanted(prompt: str, rivals: Sequence[Sequence[str]]) -> str:
    """The negative prompt for a prompt that names one of several rivals, such as styles: the others' first names.

    `rivals` has the names of each. "" where the prompt names none of them or several. Raises BadInput as `parse`.
    """
    words = plain(prompt)
    patterns = ["|".join(map(re.escape, names)) for names in rivals]
    named = [bool(re.search(rf"(?<!\w)(?:{each})(?!\w)", words, re.IGNORECASE)) for each in patterns]
    if sum(named) != 1:
        return ""
    return ", ".join(names[0] for names, wanted in zip(rivals, named, strict=True) if not wanted)


def _factors(tokens: Sequence[re.Match[str]]) -> dict[int, float]:
    """For each bracket with a partner, by index: what it multiplies the weight by (closing ones: 1)."""
    waiting: list[int] = []
    factors: dict[int, float] = {}
    for index, token in enumerate(tokens):
        closing = token["close"] or token["bracket"]
        if token["open"]:
            waiting.append(index)
        elif closing and waiting and _CLOSES[tokens[waiting[-1]][0]] == closing:
            inside = float(token["weight"]) if token["weight"] else _STEP
            factors |= {waiting.pop(): 1 / _STEP if token["bracket"] else inside, index: 1.0}
    return factors


def _checked(weight: float, text: str) -> float:
    if not MIN_WEIGHT <= round(weight, 4) <= MAX_WEIGHT:
        raise BadInput(f"the weight {weight:g} of «{text.strip()}» is out of range", f"{MIN_WEIGHT} to {MAX_WEIGHT}")
    return weight


def _merged(pieces: Sequence[Segment]) -> tuple[Segment, ...]:
    def joined() -> Iterator[Segment]:
        for weight, run in groupby(pieces, lambda piece: round(piece.weight, 4)):
            if text := "".join(piece.text for piece in run):
                yield Segment(text, weight)

    return tuple(joined())


def _rendered(segment: Segment) -> str:
    escaped = _SPECIAL.sub(r"\\\g<0>", segment.text)
    return escaped if segment.weight == 1.0 else f"({escaped}:{round(segment.weight, 4):g})"
