"""Synonyms from WordNet's own files, where a machine has them: Debian's wordnet-base, or the data that NLTK downloads.

NLTK itself refuses the folder of Debian's package, and loads all of WordNet before the first answer; both hold the
same files of the documented form, of which only an index in memory and one line a sense are needed here.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO

FOLDERS = (
    Path("/usr/share/wordnet"),
    Path("/usr/share/nltk_data/corpora/wordnet"),
    Path("/usr/local/share/nltk_data/corpora/wordnet"),
    Path("~/nltk_data/corpora/wordnet"),
)
"""Where WordNet may lie, the first that has it counts."""

_PARTS = ("noun", "verb", "adj")


def find(folders: Sequence[Path] = FOLDERS) -> Path | None:
    """The first folder that holds the files of all parts of speech, None where there is none."""
    names = [f"{kind}.{part}" for kind in ("index", "data") for part in _PARTS]
    whole = (path.expanduser() for path in folders)
    return next((path for path in whole if all((path / name).is_file() for name in names)), None)


def reader(folder: Path) -> Callable[[str, str], frozenset[str]]:
    """A function (lemma, part) -> all lemmas that share a sense with it; part is "noun", "verb" or "adj".

    In lower case, of one word each, without the lemma itself unless it is known. Files are opened at first use;
    raises OSError and ValueError then, for files that are gone or not WordNet's.
    """

    @functools.cache
    def index(part: str) -> dict[str, tuple[int, ...]]:
        with (folder / f"index.{part}").open(encoding="utf-8") as lines:
            return dict(_indexed(line) for line in lines if not line.startswith(" "))

    @functools.lru_cache(maxsize=20_000)
    def synonyms(lemma: str, part: str) -> frozenset[str]:
        offsets = index(part).get(lemma, ())
        if not offsets:
            return frozenset()
        with (folder / f"data.{part}").open("rb") as file:
            return frozenset(word for offset in offsets for word in _words_at(file, offset))

    return synonyms


def _indexed(line: str) -> tuple[str, tuple[int, ...]]:
    """«fox n 7 ...»: the lemma, and as many offsets at the line's end as it has senses (wndb(5))."""
    fields = line.split()
    return fields[0], tuple(map(int, fields[-int(fields[2]) :]))


def _words_at(file: BinaryIO, offset: int) -> list[str]:
    """The words of one sense: after offset, file number and kind comes their count, in hexadecimal."""
    file.seek(offset)
    fields = file.readline().decode("utf-8").split()
    words = fields[4 : 4 + 2 * int(fields[3], 16) : 2]
    return [word.split("(")[0].lower() for word in words if "_" not in word]
