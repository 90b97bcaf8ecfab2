"""What is seen in pictures of coloured shapes, and what is said of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from limner.seen import Seen
from limner.sight import answer, found, things_seen
from limner.types import Box, Picture, Region
from tests.retoucher import EYES, GROUNDS, ShapeDetector, show

LEFT: Box = (2, 16, 16, 30)
RIGHT: Box = (32, 16, 46, 30)
PICTURE = show(("red circle", LEFT), ("blue square", RIGHT))
SEEN = (Seen("circle", "red", "left"), Seen("square", "blue", "right"))


class Knows(ShapeDetector):
    """A detector that was taught a fixed set of names and is asked for nothing else."""

    things = frozenset({"circle", "square", "red circle", "blue square"})


def test_things_are_seen_from_left_to_right_with_colour_and_place() -> None:
    assert things_seen(EYES, PICTURE, ()) == SEEN
    assert things_seen(EYES, show(("red circle", RIGHT), ("blue square", LEFT)), ("a square",)) == (
        Seen("square", "blue", "left"),
        Seen("circle", "red", "right"),
    )


class KnowsNoColours(ShapeDetector):
    """A detector that finds shapes by their bare names only."""

    def detect(
        self, pictures: Sequence[Picture], queries: Sequence[Sequence[str]], *, threshold: float | None = None
    ) -> list[list[Region]]:
        bare = [[query for query in each if " " not in query] for each in queries]
        return super().detect(pictures, bare, threshold=threshold)


def test_what_is_of_one_colour_all_over_has_it_whatever_the_detector_says() -> None:
    eyes = replace(EYES, detector=KnowsNoColours())
    assert things_seen(eyes, PICTURE, ("a circle and a square",)) == SEEN


def test_a_detector_that_knows_its_nouns_is_asked_for_all_of_them() -> None:
    eyes = replace(EYES, detector=Knows())
    assert things_seen(eyes, PICTURE, ("a dragon",)) == SEEN
    assert things_seen(eyes, show(("green triangle", LEFT)), ()) == ()


def test_a_name_that_begins_with_a_colour_is_a_name_all_the_same() -> None:
    asked: list[str] = []

    class Envelopes(Knows):
        things = frozenset({"green salad", "red circle"})

        def detect(
            self, pictures: Sequence[Picture], queries: Sequence[Sequence[str]], *, threshold: float | None = None
        ) -> list[list[Region]]:
            asked.extend(queries[0])
            return super().detect(pictures, queries)

    things_seen(replace(EYES, detector=Envelopes()), PICTURE, ())
    assert asked == ["green salad"]


def test_what_texts_name_is_looked_for_as_well() -> None:
    picture = show(("red circle", (2, 2, 12, 12)), ("red triangle", (34, 34, 46, 46)))
    assert {each.name for each in things_seen(EYES, picture, ("two red circles and a blue square",))} == {
        "circle",
        "triangle",
    }


@pytest.mark.parametrize(
    ("box", "where"),
    [
        ((18, 2, 30, 14), "top"),
        ((18, 34, 30, 46), "bottom"),
        ((18, 18, 30, 30), "middle"),
        ((2, 2, 14, 14), "left"),
    ],
)
def test_a_thing_stands_where_its_centre_is(box: Box, where: str) -> None:
    assert things_seen(EYES, show(("green square", box)), ()) == (Seen("square", "green", where),)


def test_what_fills_the_picture_is_no_thing_in_it() -> None:
    assert things_seen(EYES, show(("blue square", (0, 0, 48, 46))), ()) == ()
    assert things_seen(EYES, show(), ()) == ()


@pytest.mark.parametrize(
    ("boxes", "places"),
    [
        ([LEFT, RIGHT], ["left", "right"]),
        ([(1, 2, 9, 10), (1, 20, 9, 28)], ["left", "right"]),
        ([(1, 2, 9, 10), (11, 2, 19, 10), RIGHT], ["left", "middle", "right"]),
        ([(2, 2, 10, 10), (12, 30, 20, 38)], ["left", "right"]),
    ],
)
def test_things_of_one_name_are_told_apart(boxes: list[Box], places: list[str]) -> None:
    picture = show(*[("red square", box) for box in boxes])
    seen = things_seen(EYES, picture, ())
    assert [each.where for each in seen] == places
    assert len({each.text for each in seen}) == len(boxes)


def test_things_of_two_colours_keep_their_own_places() -> None:
    seen = things_seen(EYES, show(("red square", (1, 2, 11, 12)), ("blue square", (3, 30, 13, 40))), ())
    assert [each.text for each in seen] == ["red square on the left", "blue square on the left"]


ALL = "I see a red circle on the left and a blue square on the right."
CAPTION = "a red circle and a blue square"


@pytest.mark.parametrize(
    ("question", "reply"),
    [
        ("how many circles are there?", "I see one circle."),
        ("How many foxes do you see?", "I see no foxes."),
        ("is there a circle?", "Yes: a red circle on the left."),
        ("do you see a square", "Yes: a blue square on the right."),
        ("is there a dragon?", f"No, I see no dragon. {ALL}"),
        ("where is the red circle?", "The red circle is on the left."),
        ("what colour is the square?", "The square is blue."),
        ("what is in the picture?", f"{ALL} It looks like {CAPTION}."),
        ("where is the dragon?", f"{ALL} It looks like {CAPTION}."),
        ("describe the picture.", f"{ALL} It looks like {CAPTION}."),
    ],
)
def test_questions_have_short_answers(question: str, reply: str) -> None:
    assert answer(EYES, PICTURE, question, SEEN) == reply


def said(question: str, *seen: Seen) -> str:
    return answer(EYES, PICTURE, question, seen)


def test_several_things_are_all_spoken_of() -> None:
    twins = (Seen("fox", "red", "left"), Seen("fox", "", "right"))
    assert said("how many foxes are there?", *twins) == "I see two foxes."
    assert said("how many foxes are there?", *twins * 6) == "I see 12 foxes."
    assert said("are there foxes?", *twins) == "Yes: a red fox on the left and a fox on the right."
    assert said("where are the foxes?", *twins) == "The red fox is on the left. The fox is on the right."
    assert said("what color are the foxes?", *twins) == "The fox is red. The fox is in no colour that I can name."
    assert said("is there a unicorn?", Seen("unicorn", "", "top")) == "Yes: a unicorn at the top."
    assert said("where is the boat?", Seen("boat")) == "The boat is somewhere in it."


def look(named: str, picture: Picture = PICTURE) -> dict[str, object]:
    return found(EYES, picture, named, SEEN)


def test_looking_says_the_caption_and_what_is_seen() -> None:
    assert look("") == {"text": f"{CAPTION}\n{ALL}", "caption": CAPTION, "seen": [each.text for each in SEEN]}
    night = show(("red circle", LEFT), ground=GROUNDS["night"])
    assert look("", night)["caption"] == "a red circle in the night"


def test_looking_for_things_says_where_they_are() -> None:
    report = look("circle, dragon")
    assert report["regions"] == [{"label": "circle", "score": 0.95, "box": [2.0, 16.0, 16.0, 30.0]}]
    assert report["text"] == "circle  0.95  2 16 16 30"
    assert look("dragon") == {"text": "no dragon was found", "regions": []}
