"""Regressors of scores: read at the end of a text, learned, saved."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

import pytest
import torch

from limner.train.libraries import to_folder
from limner.train.writer.reward import (
    Recipe,
    Regressor,
    Scored,
    keep_regressor,
    load_regressor,
    new_regressor,
    read_scores,
    text_for,
    train_regressor,
)
from limner.types import BadInput, ModelUnavailable
from tests.train.writer.tiny import model, tokenizer


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base")
    to_folder(model(), folder)
    to_folder(tokenizer(), folder)
    return folder


def scored(count: int) -> list[Scored]:
    """Prompts that score 20 with «fox» in them and 19 without."""
    rng = Random(0)
    words = "a red car in the snow two blue dogs".split()
    rows: list[Scored] = []
    for _ in range(count):
        text = [*rng.choices(words, k=rng.randint(3, 9))]
        good = rng.random() < 0.5
        if good:
            text[rng.randrange(len(text))] = "fox"
        rows.append(Scored(" ".join(text), "raw", 19.0 + good, 6.0))
    return rows


def ignore(_: str) -> None:
    pass


def learner(base: Path, kind: str = "aesthetic") -> Regressor:
    made = new_regressor("aesthetic" if kind == "aesthetic" else "preference", base, [19.0, 20.0])
    made.model.eval()
    return made


def test_padding_and_order_do_not_matter(base: Path) -> None:
    made = learner(base)
    prompts = [row.prompt for row in scored(9)]
    together = made.score(prompts, ["raw"] * 9, batch=4)
    apart = torch.cat([made.score([prompt], ["raw"]) for prompt in prompts])
    assert torch.allclose(together, apart, atol=1e-5)
    assert float(together.std()) > 1e-4


def test_what_is_read_ends_with_the_end(base: Path) -> None:
    made = learner(base)
    assert made.encode("a fox", "raw")[-1] == tokenizer().eos_token_id
    assert made.encode("fox " * 900, "raw")[-1] == tokenizer().eos_token_id
    assert len(made.encode("fox " * 900, "raw")) == 384
    assert text_for("aesthetic", "a", "b") == "a"
    assert text_for("preference", "a", "b") == "Input: b\nOutput: a"


def test_scores_are_learned_in_their_own_units(base: Path, tmp_path: Path) -> None:
    recipe = Recipe(rate=3e-3, batch=16, epochs=6)
    made, reached = train_regressor("aesthetic", base, scored(300), recipe, 0, ignore)
    assert reached["correlation"] > 0.8
    found = made.score(["a red fox", "a red car"], ["raw"] * 2)
    assert 19.6 < float(found[0]) < 20.5
    assert 18.5 < float(found[1]) < 19.4
    keep_regressor(made, tmp_path / "kept", reached)
    again = load_regressor(tmp_path / "kept")
    assert torch.allclose(again.score(["a red fox", "a red car"], ["raw"] * 2), found, atol=1e-4)
    with pytest.raises(ModelUnavailable):
        load_regressor(tmp_path)


def test_files_of_scores(tmp_path: Path) -> None:
    path = tmp_path / "scores.jsonl"
    row = {"prompt": "a", "raw": "b", "aesthetic": 5, "preference": 19.5, "more": 1}
    path.write_text("\n".join([json.dumps(row)] * 20) + "\n\n")
    assert read_scores(path)[3] == Scored("a", "b", 5.0, 19.5)
    path.write_text(json.dumps({"prompt": "a"}))
    with pytest.raises(BadInput, match="line 1: no score"):
        read_scores(path)
    path.write_text(json.dumps(row))
    with pytest.raises(BadInput, match="has 1 scores"):
        read_scores(path)
    with pytest.raises(BadInput, match="cannot be read"):
        read_scores(tmp_path / "none")
