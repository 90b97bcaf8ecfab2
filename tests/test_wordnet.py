"""WordNet's files as they are laid out, in a small copy of the same form."""

from __future__ import annotations

from pathlib import Path

import pytest

from limner import wordnet

SENSES = {
    "noun": [("car", "auto", "motor_car"), ("car", "Railcar"), ("fox",)],
    "verb": [("run", "race")],
    "adj": [("large", "big"), ("galore(ip)", "plenty")],
}


def write(folder: Path) -> Path:
    """The files of wndb(5): data lines, and an index with the byte at which each begins."""
    folder.mkdir(parents=True)
    for part, senses in SENSES.items():
        text, index = "  1 This software and database is being provided to you\n", dict[str, list[int]]()
        for words in senses:
            for word in words:
                index.setdefault(word.split("(")[0].lower(), []).append(len(text.encode()))
            fields = " ".join(f"{word} 0" for word in words)
            text += f"{len(text):08d} 05 {part[0]} {len(words):02x} {fields} 001 @ 00001740 n 0000 | a gloss\n"
        (folder / f"data.{part}").write_text(text)
        lines = [
            f"{word} {part[0]} {len(at)} 1 @ {len(at)} 0 " + " ".join(f"{place:08d}" for place in at)
            for word, at in sorted(index.items())
        ]
        (folder / f"index.{part}").write_text("\n".join(["  1 This software", *lines]) + "  \n")
    return folder


def test_lemmas_that_share_a_sense_are_synonyms(tmp_path: Path) -> None:
    synonyms = wordnet.reader(write(tmp_path / "dict"))
    assert synonyms("car", "noun") == {"car", "auto", "railcar"}  # of one word each, in lower case
    assert synonyms("auto", "noun") == {"car", "auto"}
    assert synonyms("run", "verb") == {"run", "race"}
    assert synonyms("galore", "adj") == {"galore", "plenty"}
    assert synonyms("run", "noun") == synonyms("dragon", "noun") == set()


def test_a_folder_with_some_of_the_files_is_not_wordnet(tmp_path: Path) -> None:
    half, whole = write(tmp_path / "half"), write(tmp_path / "whole")
    (half / "data.verb").unlink()
    assert wordnet.find([tmp_path / "nowhere", half, whole]) == whole
    assert wordnet.find([half]) is None


@pytest.mark.skipif(wordnet.find() is None, reason="WordNet is not installed")
def test_the_installed_wordnet_is_read() -> None:
    folder = wordnet.find()
    assert folder is not None
    assert "automobile" in wordnet.reader(folder)("car", "noun")
