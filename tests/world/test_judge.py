"""The judge: from logits written by hand to things, to disk and back, and the shipped weights on true pictures."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

import pytest
import torch
from safetensors.torch import save_file  # pyright: ignore[reportUnknownVariableType]
from torch import Tensor

import limner.world
from limner.types import Picture
from limner.world.art import have_art
from limner.world.caption import facts
from limner.world.judge import COLOUR_NAMES, GLOBALS, GRID, Judge, JudgeNet
from limner.world.render import render
from limner.world.sample import STAGES, Palette, sample_scene
from limner.world.scene import Fact, Scene
from tests.world.small import SHAPES, shape

CONCEPTS, STYLES = ("circle", "square", "star"), ("shapes", "flat")
SHIPPED = Path(limner.world.__path__[0]) / "weights" / "judge"


class Scripted(JudgeNet):
    """A net that sees what a test has written down, whatever the picture."""

    def __init__(self) -> None:
        super().__init__(len(CONCEPTS), len(STYLES), width=8)
        self.written = torch.full((len(CONCEPTS) + len(COLOUR_NAMES) + 4, GRID, GRID), -9.0)
        self.said = torch.zeros(len(STYLES) + sum(map(len, GLOBALS.values())))

    def write(self, name: str, colour: str | None, x: int, y: int, *, heat: float = 4.0, size: float = 0.4) -> None:
        """A peak in cell (x, y) whose centre is the cell's."""
        cell = self.written[:, y, x]
        cell[CONCEPTS.index(name)] = heat
        cell[len(CONCEPTS) + COLOUR_NAMES.index(colour)] = 5.0
        cell[-4:] = torch.tensor([0.5, 0.5, size, size / 2])
        cell[-2:] = cell[-2:].log()

    def say(self, style: str, **known: str) -> None:
        """Style, background, time and weather of the whole picture."""
        names = [*STYLES, *(f"{key}={name}" for key, values in GLOBALS.items() for name in values)]
        for said in (style, *(f"{key}={name}" for key, name in known.items())):
            self.said[names.index(said)] = 5.0

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        count = len(pictures)
        return self.written.expand(count, -1, -1, -1), self.said.expand(count, -1)


@pytest.fixture
def net() -> Scripted:
    return Scripted()


def untrained(width: int = 160) -> JudgeNet:
    torch.manual_seed(1)  # pyright: ignore[reportUnknownMemberType]
    return JudgeNet(len(CONCEPTS), len(STYLES), width)


def blank(size: int = 128) -> Picture:
    return render(Scene((shape("circle"),), "sea"), size)


def read(net: JudgeNet) -> Scene:
    return Judge(net, CONCEPTS, STYLES).read([blank()])[0]


def test_a_peak_is_a_thing_at_its_place_in_its_colour_and_size(net: Scripted) -> None:
    net.write("star", "blue", 4, 11, size=0.5)
    (thing,) = read(net).things
    assert (thing.concept, thing.colour) == ("star", "blue")
    assert (thing.x, thing.y, thing.size) == pytest.approx((4.5 / GRID, 11.5 / GRID, 0.5))


def test_things_come_strongest_first(net: Scripted) -> None:
    net.write("circle", None, 3, 3, heat=1.0)
    net.write("star", "red", 12, 12, heat=3.0)
    assert [thing.concept for thing in read(net).things] == ["star", "circle"]


def test_what_is_below_the_threshold_is_not_seen(net: Scripted) -> None:
    net.write("circle", None, 3, 3, heat=-1.0)  # a sigmoid of 0.27
    assert read(net).things == ()


def test_two_peaks_of_one_thing_are_one_thing(net: Scripted) -> None:
    net.write("circle", None, 6, 6, heat=3.0, size=0.5)
    net.write("circle", None, 8, 6, heat=2.0, size=0.5)
    assert len(read(net).things) == 1


def test_the_whole_picture_is_read_too(net: Scripted) -> None:
    net.write("star", None, 8, 8)
    net.say("flat", background="desert", time="night", weather="rain")
    scene = read(net)
    assert (scene.background, scene.time, scene.weather, scene.style) == ("desert", "night", "rain", "flat")


def test_facts_are_judged_of_what_was_read(net: Scripted) -> None:
    net.write("star", "blue", 3, 8)
    net.write("circle", None, 12, 8)
    asked = [
        Fact("colour", "blue star", "star", "blue"),
        Fact("relation", "star left of a circle", "star", relation="left of", other="circle"),
        Fact("object", "square", "square"),
    ]
    assert Judge(net, CONCEPTS, STYLES).judge([blank(), blank(64)], [asked, asked[:1]]) == [[True, True, False], [True]]


def test_an_empty_picture_satisfies_no_object(net: Scripted) -> None:
    assert Judge(net, CONCEPTS, STYLES).judge([blank()], [[Fact("object", "star", "star")]]) == [[False]]


def test_a_net_gives_one_answer_a_cell_and_starts_out_seeing_little() -> None:
    with torch.inference_mode():
        cells, whole = untrained(width=8).eval()(torch.zeros(2, 3, 128, 128))
    assert cells.shape == (2, len(CONCEPTS) + len(COLOUR_NAMES) + 4, GRID, GRID)
    assert whole.shape == (2, len(STYLES) + sum(map(len, GLOBALS.values())))
    assert float(cells[:, : len(CONCEPTS)].sigmoid().mean()) < 0.1


def test_a_saved_judge_reads_as_it_did(tmp_path: Path) -> None:
    net = untrained()
    save_file(net.state_dict(), tmp_path / "judge.safetensors")
    (tmp_path / "judge.json").write_text(json.dumps({"concepts": CONCEPTS, "styles": STYLES}))
    pictures = [render(sample_scene(Random(seed), "pair", SHAPES)) for seed in range(3)]
    before, after = Judge(net, CONCEPTS, STYLES, threshold=0.01), Judge.load(tmp_path)
    after.threshold = 0.01  # low enough for an untrained net to see things
    assert any(scene.things for scene in before.read(pictures))
    assert after.read(pictures) == before.read(pictures)


def test_a_picture_is_read_alike_alone_and_in_a_batch() -> None:
    judge = Judge(untrained(width=8), CONCEPTS, STYLES)
    pictures = [render(sample_scene(Random(seed), "pair", SHAPES)) for seed in range(34)]
    together = judge.read(pictures)
    assert [judge.read([picture])[0].background for picture in pictures] == [scene.background for scene in together]


@pytest.mark.skipif(not (have_art("flat") and have_art("3d") and SHIPPED.is_dir()), reason="needs the fetched art")
def test_the_shipped_judge_reads_true_pictures() -> None:
    judge = Judge.load(SHIPPED)
    palette = Palette(tint=0.0, weather=0.0)
    scenes = [sample_scene(Random(seed), STAGES[seed % 4], palette) for seed in range(48)]
    verdicts = judge.judge([render(scene) for scene in scenes], [facts(scene) for scene in scenes])
    assert sum(all(row) for row in verdicts) / len(scenes) >= 0.9
