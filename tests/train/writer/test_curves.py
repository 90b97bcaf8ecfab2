"""Curves of rewards: what is steady, and logs that are damaged."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from limner.train.writer.curves import compared, main, read_curve, steadiness
from limner.train.writer.log import Log
from limner.types import BadInput

CALM = [0.5, 0.51, 0.52, 0.53, 0.54, 0.55, 0.56, 0.57]
WILD = [0.5, 0.7, 0.3, 0.8, 0.2, 0.9, 0.4, 0.6]


def run(folder: Path, curve: Sequence[float]) -> Path:
    log = Log(folder)
    for step, reward in enumerate(curve, 1):
        log.add(step, {"reward": reward, "kl": 0.1})
    return folder


def test_a_steady_rise_is_told_from_a_restless_one() -> None:
    calm, wild = steadiness("calm", [CALM]), steadiness("wild", [WILD])
    assert calm.rounds < 0.001 < 0.02 < wild.rounds
    assert (calm.first, calm.last) == pytest.approx((0.515, 0.555))
    assert calm.seeds is None


def test_seeds_that_differ_are_told_from_those_that_do_not() -> None:
    other = [reward + 0.2 for reward in CALM]
    assert steadiness("alike", [CALM, CALM]).seeds == 0
    assert steadiness("apart", [CALM, other]).seeds == pytest.approx(0.02)
    assert steadiness("apart", [CALM, other]).rounds == pytest.approx(steadiness("calm", [CALM]).rounds)


def test_of_runs_of_unlike_length_the_common_rounds_count() -> None:
    assert steadiness("cut", [CALM, CALM[:6]]).last == pytest.approx(0.54)


def test_folders_of_one_name_are_seeds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folders = [run(tmp_path / seed / name, CALM) for seed in ("5", "6") for name in ("ppo", "ppo-no-vci")]
    assert [(each.recipe, each.runs) for each in compared(folders)] == [("ppo", 2), ("ppo-no-vci", 2)]
    main([*map(str, folders), "--skip", "2"])
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(line["recipe"], line["seeds"]) for line in lines] == [("ppo", 0.0), ("ppo-no-vci", 0.0)]


def test_a_round_that_was_lost_and_done_again_counts_once(tmp_path: Path) -> None:
    run(tmp_path / "ppo", CALM)
    Log(tmp_path / "ppo").add(8, {"reward": 0.9})
    assert read_curve(tmp_path / "ppo") == [*CALM[:7], 0.9]


@pytest.mark.parametrize("content", ["", "{", '{"step": 1}\n', '{"step": 1, "reward": 0.5}\n', "[1]\n", "\x00"])
def test_what_is_no_curve_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "log.jsonl").write_text(content)
    with pytest.raises(BadInput, match="curve|rounds"):
        read_curve(tmp_path)
    with pytest.raises(BadInput, match="no curve"):
        read_curve(tmp_path / "nowhere")
