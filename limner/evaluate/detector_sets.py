"""What small detectors learn from and are tested on: rendered scenes, and the pictures of a job of `limner synth`.

All pictures are square, SIZE pixels a side, and hold regions of the classes only, without masks.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import numpy.typing as npt

from limner.filters import OUTRANKED
from limner.image import decode_picture
from limner.image.paste import resize
from limner.ledger import JOB, SHARDS, read_shards
from limner.types import AnnotatedPicture, BadInput, Event, Picture, Region
from limner.world.render import annotate
from limner.world.sample import Palette, sample_scene
from limner.world.scene import Scene
from limner.world.vocabulary import PLAIN_BACKGROUNDS, concept

SIZE = 128
COMPLEX = ("pair", "crowd", "pair", "count")
"""The stages of complex scenes, in turn."""

STAGES = ("draw", "background", "fill", "dedupe")

Look = Callable[[Picture, Sequence[str]], Sequence[Region]]
"""Finds the named classes in a picture: the labels that a reject would have got."""


def simple_scenes(classes: Sequence[str], palette: Palette, count: int, seed: int) -> list[AnnotatedPicture]:
    """One large thing a picture, the classes in turn: untinted, by day, in clear weather, before a plain ground."""
    rng = Random(f"simple/{seed}")
    plain = [name for name in palette.backgrounds if name in PLAIN_BACKGROUNDS] or palette.backgrounds
    bare = replace(palette, backgrounds=plain, tint=0.0, other_time=0.0, weather=0.0)
    names = [classes[number % len(classes)] for number in range(count)]
    return [_labelled(sample_scene(rng, "single", replace(bare, concepts=(name,))), classes) for name in names]


def complex_scenes(
    classes: Sequence[str], palette: Palette, count: int, seed: int | str, *, new_grounds: bool = False
) -> list[AnnotatedPicture]:
    """Pairs, crowds and several of a kind, with the palette's colours, hours and weathers; other `seed`s, other scenes.

    With fewer classes than things the others are strangers, which have no label. With `new_grounds` they stand before
    colour patterns that are no background of the world's.
    """
    rng = Random(f"complex/{seed}")
    wide = replace(palette, concepts=tuple(dict.fromkeys((*classes, *palette.concepts))))
    stages = [COMPLEX[number % len(COMPLEX)] for number in range(count)]
    scenes = [_recast(sample_scene(rng, stage, wide), classes, rng) for stage in stages]
    return [_moved_out(scene, classes, rng) if new_grounds else _labelled(scene, classes) for scene in scenes]


def _recast(scene: Scene, classes: Sequence[str], rng: Random) -> Scene:
    """The scene with things of the classes in it, each kind of thing another class as far as they go."""
    kinds = list(dict.fromkeys(thing.concept for thing in scene.things))
    roles = dict(zip(kinds, rng.sample(list(classes), min(len(classes), len(kinds))), strict=False))
    named = [replace(thing, concept=roles.get(thing.concept, thing.concept)) for thing in scene.things]
    fitting = [thing if concept(thing.concept).tintable else replace(thing, colour=None) for thing in named]
    return replace(scene, things=tuple(fitting))


def _labelled(scene: Scene, classes: Sequence[str]) -> AnnotatedPicture:
    """The rendered scene; its labels are classes, whatever their colour."""
    seen = annotate(scene, SIZE)
    named = zip(scene.things, seen.regions, strict=True)
    regions = [Region(thing.concept, region.box) for thing, region in named if thing.concept in classes]
    return AnnotatedPicture(seen.picture, seen.caption, regions)


def _moved_out(scene: Scene, classes: Sequence[str], rng: Random) -> AnnotatedPicture:
    """The scene's things before waves of two random colours."""
    bare = replace(scene, background="grey background", time="day", weather="clear")
    things = np.zeros((SIZE, SIZE), np.bool_)
    for region in annotate(bare, SIZE).regions:
        things |= False if region.mask is None else region.mask
    seen = _labelled(bare, classes)
    return replace(seen, picture=Picture(np.where(things[..., None], seen.picture.pixels, _waves(rng))))


def _waves(rng: Random) -> npt.NDArray[np.uint8]:
    """A smooth pattern of two colours: uint8 (SIZE, SIZE, 3)."""
    numbers = np.random.default_rng(rng.getrandbits(32))
    y, x = np.mgrid[:SIZE, :SIZE] / SIZE
    waves = np.zeros((SIZE, SIZE))
    for a, b, c in numbers.uniform(-4, 4, (3, 3)).tolist():
        waves += np.sin(math.tau * (a * x + b * y + c))
    share = 1 / (1 + np.exp(-3 * waves[..., None]))
    first, second = numbers.integers(0, 256, (2, 3))
    return np.asarray(np.round(first * share + second * (1 - share)), np.uint8)


@dataclass(frozen=True, slots=True, eq=False)
class Stage:
    """How a stage of the job went: pictures that were `tried` and checked, those `kept`, and rejects by reason.

    Candidates and attempts that only a better one outranked were never judged by themselves: they count as rejects of
    that reason, but not as tried.
    """

    stage: str
    tried: int
    kept: int
    rejected: Mapping[str, int]

    @property
    def rate(self) -> float | None:
        """Kept of tried, 0 to 1; None where nothing was."""
        return self.kept / self.tried if self.tried else None


@dataclass(frozen=True, slots=True, eq=False)
class JobSet:
    """A job's pictures: those kept, each with the kinds of edits that made it; its rejects, labelled; its stages."""

    classes: tuple[str, ...]
    kept: Sequence[tuple[AnnotatedPicture, frozenset[str]]]
    rejects: Sequence[AnnotatedPicture]
    stages: Sequence[Stage]

    @property
    def pictures(self) -> list[AnnotatedPicture]:
        """All that was kept."""
        return [seen for seen, _ in self.kept]

    def without(self, edit: str) -> list[AnnotatedPicture]:
        """What was kept and not edited in that way: "background" or "fill"."""
        return [seen for seen, edits in self.kept if edit not in edits]


def job_folder(dataset: Path) -> Path:
    """Where the ledger of a synthesis lies: the folder itself or one within it. Raises BadInput where there is none."""
    for place in (dataset, *sorted(path for path in dataset.glob("*") if path.is_dir())):
        if (place / JOB).is_file():
            return place
    raise BadInput(f"{dataset} holds no job of limner synth", "name the folder that it was told with --out")


def read_job(dataset: Path, look: Look | None = None) -> Generator[Event, None, JobSet]:
    """The pictures of a job; without `look`, which labels the rejects, these are left out.

    Yields an Event a shard. Raises BadInput where there is no job or nothing was kept, LimnerError for damage.
    """
    folder = job_folder(dataset)
    classes, total = _classes(folder), len(list((folder / SHARDS).glob("*.tar")))
    kept, rejects = list[tuple[AnnotatedPicture, frozenset[str]]](), list[AnnotatedPicture]()
    passed, failed = Counter[str](), Counter[tuple[str, str]]()
    for number, shard in enumerate(read_shards(folder), 1):
        for row in shard.rows:
            kinds = [edit["kind"] for edit in row["lineage"].get("edits", [])]
            kept.append((_kept(row, shard.pictures, classes), frozenset(kinds)))
            passed.update([*kinds, "dedupe"] if row["parent"] else ["draw", "dedupe"])
        for reject in shard.rejects:
            failed[reject["stage"], reject["reason"]] += 1
            # A duplicate passed the filters and is there already.
            if look and reject["picture"] and reject["stage"] != "dedupe":
                picture = decode_picture(shard.pictures[reject["picture"]], reject["id"])
                rejects.append(_fitted(picture, "", look(picture, classes), classes))
        yield Event("read", "reading the job", number, total)
    if not kept:
        raise BadInput(f"{dataset} holds no picture that was kept", "run limner synth on it until it is done")
    return JobSet(classes, kept, rejects, [_stage(name, passed[name], failed) for name in STAGES])


def _classes(folder: Path) -> tuple[str, ...]:
    """All classes that pictures were asked for."""
    found: set[str] = set()
    for shard in read_shards(folder):
        found.update(row["label"] for row in shard.rows)
        found.update(label for reject in shard.rejects if (label := reject["lineage"].get("label")))
    return tuple(sorted(found))


def _kept(row: Mapping[str, Any], pictures: Mapping[str, bytes], classes: Sequence[str]) -> AnnotatedPicture:
    picture = decode_picture(pictures[row["picture"]], row["id"])
    regions = [Region(each["label"], tuple(each["box"]), each["score"]) for each in row["regions"]]
    return _fitted(picture, row["caption"], regions, classes)


def _fitted(picture: Picture, caption: str, regions: Sequence[Region], classes: Sequence[str]) -> AnnotatedPicture:
    """The picture with what it holds of the classes, at SIZE; sides that differ are squeezed."""
    across, down = SIZE / picture.width, SIZE / picture.height
    scaled: list[Region] = []
    for region in regions:
        if region.label in classes:
            x0, y0, x1, y1 = region.box
            scaled.append(Region(region.label, (x0 * across, y0 * down, x1 * across, y1 * down), region.score))
    return AnnotatedPicture(resize(picture, (SIZE, SIZE)), caption, scaled)


def _stage(name: str, kept: int, failed: Mapping[tuple[str, str], int]) -> Stage:
    rejected = {reason: count for (stage, reason), count in sorted(failed.items()) if stage == name}
    return Stage(name, kept + sum(rejected.values()) - rejected.get(OUTRANKED, 0), kept, rejected)
