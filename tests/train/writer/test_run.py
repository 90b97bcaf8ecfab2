"""A whole run: rows to a writer's folder, resumed, and other bases than the small one."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch
from safetensors.torch import load_file  # pyright: ignore[reportUnknownVariableType]

from limner.instructpe import TEMPLATE, write_rows
from limner.staging import sole
from limner.train.libraries import to_folder
from limner.train.writer.base import Sizes, load_base, megabytes, new_model, new_tokenizer
from limner.train.writer.exam import written
from limner.train.writer.fit import pieces_of
from limner.train.writer.plan import Plan, plan_of
from limner.train.writer.ppo import Options
from limner.train.writer.rows import corpus, estranged, read_pairs, rows_for
from limner.train.writer.run import train_beautifier, train_writer
from limner.types import BadInput, ModelUnavailable
from tests.train.writer.tiny import SIZES, model, rows, tokenizer

OPTIONS = Options(rollouts=8, minibatch=4, epochs=2, longest=12)


def plan(out: Path, **changes: Any) -> Plan:
    return replace(Plan(out, rows=60, unseen=8, exam=4, steps=3, minutes=9, sizes=SIZES, options=OPTIONS), **changes)


def test_the_shipped_sizes_fit_and_copy_what_they_never_saw() -> None:
    known: Any = new_tokenizer(corpus(rows()), Sizes().tokens, pieces_of(TEMPLATE))
    assert megabytes(new_model(known, Sizes())) < 3.9
    for text in (" a quokka on a velociraptor, 12,5 % off – «ça»", " 日本 \t tabs"):
        assert known.decode(known(text)["input_ids"]) == text
    assert len(known(rows()[0].prefix)["input_ids"]) < len(rows()[0].prefix.split()) + 12


def scores_in(folder: Path) -> Path:
    path = folder / "scores.jsonl"
    scored = [
        {"prompt": row.y, "raw": row.x_o, "aesthetic": i % 3, "preference": 19 + i % 7} for i, row in enumerate(rows())
    ]
    path.write_text("\n".join(map(json.dumps, scored)))
    return path


def test_a_run_from_rows_to_a_sharpened_writer(tmp_path: Path) -> None:
    report = train_writer(plan(tmp_path / "out", scores=scores_in(tmp_path)))
    for stage in ("sft", "ppo"):
        folder = Path(report[stage]["model"])
        note = json.loads((folder / "writer.json").read_text())
        assert note["template"] == TEMPLATE
        assert note["stage"] == stage
        assert len(note["hash"]) == 16
        assert len(written(load_base(str(folder)), rows()[:3])) == 3
        assert 0 <= report[stage]["slots"] <= 1
    assert set(report["reward"]) == {"aesthetic", "preference"}
    log = [json.loads(line) for line in (tmp_path / "out" / "ppo" / "log.jsonl").read_text().splitlines()]
    assert [row["step"] for row in log] == [1, 2, 3]
    assert {"reward", "kl", "beta", "policy_loss", "value_loss", "norm"} <= set(log[0])


@pytest.mark.parametrize("good", [True, False])
def test_the_best_texts_for_rows_without_a_target_become_targets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, good: bool
) -> None:
    import limner.train.writer.run as module

    fitted: list[tuple[str, str]] = []
    real = module.fit_pairs

    def seen(plan: Plan, folder: Path, base: Any, learned: Any, *others: Any) -> float:
        fitted[:] = learned
        return real(plan, folder, base, learned, *others)

    def least(judge: Any, labelled: Any) -> float:
        return -1.0 if good else 100.0

    monkeypatch.setattr(module, "as_good_as_targets", least)
    monkeypatch.setattr(module, "fit_pairs", seen)
    report = train_writer(plan(tmp_path, rows=30, labelled=20, texts=2))
    assert (report["rows"], report["labelled"], report["raft"]["texts"]) == (30, 20, 20)
    assert report["raft"]["kept"] == (10 if good else 0)
    assert len(fitted) == (30 if good else 20)
    own = {row.y for row in rows()[20:30]}
    assert not own & {target for _, target in fitted}  # a target that was taken away is nowhere
    for stage in ("sft", "raft"):
        assert json.loads((Path(report[stage]["model"]) / "writer.json").read_text())["stage"] == stage
    last = load_file(Path(report["raft"]["model"]) / "model.safetensors")
    assert not same(load_file(Path(report["sft"]["model"]) / "model.safetensors"), last)
    sharpened = load_file(Path(report["ppo"]["model"]) / "model.safetensors")
    assert bool((sharpened["model.embed_tokens.weight"] == last["model.embed_tokens.weight"]).all())  # begins there


def test_where_all_rows_have_targets_there_is_nothing_to_choose(tmp_path: Path, tuned: Path) -> None:
    (tmp_path / "sft").symlink_to(tuned / "sft")
    with pytest.raises(BadInput, match="0 without"):
        train_writer(plan(tmp_path, stage="raft"))


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny writer, fine-tuned, and with rewards."""
    folder = tmp_path_factory.mktemp("tuned")
    train_writer(plan(folder, stage="sft"))
    train_writer(plan(folder, stage="reward", scores=scores_in(folder)))
    return folder


def sharpened(folder: Path, tuned: Path, **changes: Any) -> dict[str, Any]:
    folder.mkdir()
    for stage in ("sft", "reward"):
        (folder / stage).symlink_to(tuned / stage)
    train_writer(plan(folder, stage="ppo", **changes))
    return load_file(folder / "ppo" / "model" / "model.safetensors")


def same(one: dict[str, Any], two: dict[str, Any]) -> bool:
    return all(bool((one[name] == two[name]).all()) for name in one)


def test_a_stopped_run_goes_on_as_it_would_have(tmp_path: Path, tuned: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The curve hangs on the share of the run, so both are runs of four iterations; one is killed after two."""
    whole = sharpened(tmp_path / "a", tuned, steps=4)
    assert same(whole, sharpened(tmp_path / "b", tuned, steps=4))
    assert not same(whole, sharpened(tmp_path / "c", tuned, steps=4, seed=1))
    import limner.train.writer.improve as module

    real, calls = module.learn, [0]

    def killed(*given: Any) -> Any:
        calls[0] += 1
        if calls[0] == 3:
            raise KeyboardInterrupt
        return real(*given)

    monkeypatch.setattr(module, "CHECKPOINT", 2)
    monkeypatch.setattr(module, "learn", killed)
    with pytest.raises(KeyboardInterrupt):
        sharpened(tmp_path / "d", tuned, steps=4)
    train_writer(plan(tmp_path / "d", stage="ppo", steps=4))
    resumed = load_file(tmp_path / "d" / "ppo" / "model" / "model.safetensors")
    # Several threads add up in an order that hangs on where in memory the numbers lie; a step moves weights by 1e-4.
    assert all(torch.allclose(whole[name], resumed[name], rtol=0, atol=1e-6) for name in whole)


def test_another_base_by_a_file_of_rows(tmp_path: Path) -> None:
    for part in (model(), tokenizer()):
        to_folder(part, tmp_path / "base")
    write_rows(tmp_path / "rows.json", rows())
    other = plan(tmp_path / "out", base=str(tmp_path / "base"), data=str(tmp_path / "rows.json"), lora=2, rate=0.1)
    report = train_writer(replace(other, stage="sft"))
    assert report["rows"] == 37
    assert report["sft"]["perplexity"] > 1
    folder = Path(report["sft"]["model"])
    assert not (folder / "adapter_config.json").exists()
    tuned = load_file(folder / "model.safetensors")
    assert not same(tuned, load_file(tmp_path / "base" / "model.safetensors"))
    train_writer(replace(other, stage="reward", scores=scores_in(tmp_path)))
    sharper = train_writer(replace(other, stage="ppo"))["ppo"]
    assert not same(tuned, load_file(Path(sharper["model"]) / "model.safetensors"))


def test_a_beautifier(tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl"
    path.write_text("\n".join(json.dumps({"simple": row.x_o, "long": row.x}) for row in rows()))
    report = train_beautifier(plan(tmp_path / "out", data=str(path)))
    note = json.loads((Path(report["model"]) / "writer.json").read_text())
    assert "{raw}" in note["template"]
    path.write_text('{"simple": "a"}')
    with pytest.raises(BadInput, match="no pairs"):
        read_pairs(path)


def test_strange_words_stand_wherever_the_old_one_did() -> None:
    rng = Random(0)
    for row in rows()[:20]:
        other = estranged(row, rng)
        new = set(other.y.replace(",", "").split()) - set(row.y.replace(",", "").split())
        assert len(new) <= 2  # a word may stand in a compound too
        assert other.x != row.x
        assert other.more == row.more


def test_ablations_switch_one_thing_off_each() -> None:
    full = plan_of({"out": Path("x")})
    assert (full.negatives, full.options.mass, full.options.alpha) == (True, 0.97, 0.05)
    assert not plan_of({"out": Path("x"), "no_negatives": True}).negatives
    assert plan_of({"out": Path("x"), "no_typical": True}).options.mass == 1.0
    one = plan_of({"out": Path("x"), "no_vci": True, "seed": 3})
    assert (one.options.alpha, one.seed, one.ppo_name, full.ppo_name) == (0.0, 3, "ppo-no-vci", "ppo")


def test_the_constants_of_reinforcement_can_be_set() -> None:
    chosen = plan_of({"out": Path("x"), "gamma": 1.0, "lam": 0.9, "warm": 3, "truth": 2.0, "preference": 0.0})
    assert (chosen.options.gamma, chosen.options.lam, chosen.options.warm, chosen.options.epochs) == (1.0, 0.9, 3, 5)
    assert (chosen.weights.aesthetic, chosen.weights.preference, chosen.weights.truth) == (0.3, 0.0, 2.0)


def test_two_runs_in_one_folder_are_one_too_many(tmp_path: Path, tuned: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "sft").symlink_to(tuned / "sft")
    with sole(folder / "ppo"), pytest.raises(BadInput, match="another process is at work"):
        train_writer(plan(folder, stage="ppo"))
    assert not (folder / "ppo" / "log.jsonl").exists()


def test_what_cannot_be_trained_says_so(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no fine-tuned writer"):
        train_writer(plan(tmp_path / "out", stage="ppo"))
    with pytest.raises(ModelUnavailable):
        train_writer(plan(tmp_path / "other", stage="sft", base="./nowhere"))
    with pytest.raises(BadInput, match="another base"):
        train_writer(plan(tmp_path / "other", stage="sft"))
    with pytest.raises(BadInput, match="scores of prompts are missing"):
        train_writer(plan(tmp_path / "out", stage="reward"))
    with pytest.raises(BadInput, match="0 minutes"):
        train_writer(plan(tmp_path / "third", minutes=0))
    (tmp_path / "taken").write_text("")
    with pytest.raises(BadInput, match="cannot be used"):
        train_writer(plan(tmp_path / "taken" / "out"))
    (tmp_path / "rows.jsonl").write_text("")
    with pytest.raises(BadInput):
        rows_for(str(tmp_path / "rows.jsonl"), 1, 1, 0)
