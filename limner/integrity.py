"""Content integrity: how much of what a prompt must say it does say (DiffChat 3.3 and A.4, Listing 1).

The references are the short prompt x_o, the instruction i and the short prompt after it, y_o; what is judged is the
prompt y that was written. Where the listing is unclear: a keyword that the instruction brings in counts twice whichever
synonym says it, and the denominator is the listing's, so that such a keyword pays for one that is missing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from limner.lexicon import JOINERS, OWN, Lexicon, Term, accepted, forms, keywords, words

THRESHOLD = 0.7
"""The least integrity that is rewarded at all."""

_WORDS = re.compile(rf"\w+(?:[{re.escape(JOINERS)}]\w+)*")


@dataclass(frozen=True, slots=True)
class Reference:
    """What a prompt must say: the keywords of y_o, whether the instruction brings each in, the lemmas that say it."""

    keywords: tuple[Term, ...]
    highlighted: tuple[bool, ...]
    accepted: tuple[frozenset[str], ...]
    lexicon: Lexicon = OWN

    def score(self, covered: Sequence[bool], *, weighted: bool = False) -> float:
        """The integrity, 0 to 1, when these keywords are covered; 1 where there is none to cover.

        `weighted` divides by the weights of all keywords instead of their number, as the listing does not.
        """
        weights = [2 if highlighted else 1 for highlighted in self.highlighted]
        total = sum(weights) if weighted else len(weights)
        gained = sum(weight for weight, said in zip(weights, covered, strict=True) if said)
        return min(gained / total, 1.0) if total else 1.0


def reference(x_o: str, i: str, y_o: str, lexicon: Lexicon = OWN) -> Reference:
    """What y must say, found once for all the prompts that are judged by it."""
    before, asked = ({term.lemma for term in keywords(text, lexicon)} for text in (x_o, i))
    wanted = keywords(y_o, lexicon)
    highlighted = tuple(term.lemma not in before and term.lemma in asked for term in wanted)
    return Reference(wanted, highlighted, tuple(accepted(term, lexicon) for term in wanted), lexicon)


def covered(wanted: Reference, y: str) -> tuple[bool, ...]:
    """Which of the keywords y says, in their order."""
    said = {form for word in words(y) for form in forms(word, wanted.lexicon)}
    return tuple(not lemmas.isdisjoint(said) for lemmas in wanted.accepted)


def integrity(wanted: Reference, y: str, *, threshold: float = 0.0, weighted: bool = False) -> float:
    """The content integrity of y, 0 to 1; 0 below the threshold. Tables have no threshold, rewards THRESHOLD."""
    score = wanted.score(covered(wanted, y), weighted=weighted)
    return score if score >= threshold else 0.0


def ci_score(x_o: str, i: str, y_o: str, y: str, thres: float = THRESHOLD, lexicon: Lexicon = OWN) -> float:
    """Listing 1 in one call."""
    return integrity(reference(x_o, i, y_o, lexicon), y, threshold=thres)


def retained(raw: str, prompt: str, lexicon: Lexicon = OWN) -> float:
    """The share of the keywords of `raw` that `prompt` keeps (section 3.1, the choice of the template)."""
    return integrity(reference(raw, "", raw, lexicon), prompt)


class PrefixIntegrity:
    """The integrity of a prompt while it is written, piece by piece, for the value estimate V + alpha CI (Eq. 7).

    A word counts when it is finished, so that the score only rises, and each word is looked at once.
    """

    def __init__(self, wanted: Reference, *, threshold: float = 0.0, weighted: bool = False) -> None:
        self.wanted, self.threshold, self.weighted = wanted, threshold, weighted
        self._places: dict[str, list[int]] = {}
        for place, lemmas in enumerate(wanted.accepted):
            for each in lemmas:
                self._places.setdefault(each, []).append(place)
        self._covered = [False] * len(wanted.keywords)
        self._open = ""
        self._score = wanted.score(self._covered, weighted=weighted)

    @property
    def score(self) -> float:
        """The integrity of what was finished so far."""
        return self._score if self._score >= self.threshold else 0.0

    def add(self, piece: str) -> float:
        """Go on with a piece of text, such as one token's; the integrity of what is finished then."""
        text = self._open + piece
        found = list(_WORDS.finditer(text))
        unfinished = bool(found) and text[found[-1].end() :] in ("", *JOINERS)
        self._open = text[found[-1].start() :] if unfinished else ""
        self._say(text[: len(text) - len(self._open)])
        return self.score

    def end(self) -> float:
        """The text is at its end: the last word counts too."""
        self._say(self._open)
        self._open = ""
        return self.score

    def over(self, pieces: Iterable[str]) -> list[float]:
        """The score after each of the pieces, the last of which ends the text."""
        scores = [self.add(piece) for piece in pieces]
        return [*scores[:-1], self.end()] if scores else []

    def _say(self, text: str) -> None:
        lemmas = {form for word in words(text) for form in forms(word, self.wanted.lexicon)}
        places = [place for each in lemmas for place in self._places.get(each, ())]
        if any(not self._covered[place] for place in places):
            for place in places:
                self._covered[place] = True
            self._score = self.wanted.score(self._covered, weighted=self.weighted)
