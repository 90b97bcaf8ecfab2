"""Slots: the true prompt says all, in any wording; what is wrong in one place is wrong there and nowhere else."""

from __future__ import annotations

import pytest

from limner.evaluate.claims import claims
from limner.evaluate.slots import all_slots_right, slot_accuracy, slot_scores
from limner.instructpe import Row
from limner.types import BadInput
from limner.world.instructions import slots_of, world_rows
from limner.world.scene import Fact
from limner.world.vocabulary import COLOURS

ROWS = [*world_rows(1500, 21), *world_rows(500, 21, held_out=True)]


def row(*present: Fact, absent: tuple[Fact, ...] = ()) -> Row:
    def plain(fact: Fact) -> dict[str, object]:
        return {name: getattr(fact, name) for name in Fact.__dataclass_fields__}

    return Row("a", "b", "c", "d", more={"present": [*map(plain, present)], "absent": [*map(plain, absent)]})


RED_CAR = Fact("colour", "red car", "car", "red")
FOX = Fact("object", "fox", "fox")
TWO_DOGS = Fact("count", "two dogs", "dog", None, 2)
LEFT = Fact("relation", "fox to the left of a car", "fox", relation="left of", other="car")
NIGHT = Fact("time", "night", value="night")
SNOW = Fact("background", "snow", value="snow")


def test_the_true_prompt_says_everything() -> None:
    wrong = {each.y: missing for each in ROWS if (missing := slot_accuracy(each.y, each)[1])}
    assert wrong == {}


def test_the_prompt_before_lacks_what_was_asked_for_and_keeps_the_rest() -> None:
    for each in ROWS:
        score, missing = slot_accuracy(each.x, each)
        assert missing, each
        assert score < 1
    kept = [each for each in ROWS if each.more["kind"] in ("recolour", "background")]
    for each in kept:  # such an edit leaves all things as they are named, so that only few slots are wrong
        slots, missing = slots_of(each), slot_accuracy(each.x, each)[1]
        assert len(missing) <= (len(slots.absent) + (1 if each.more["kind"] == "recolour" else 3))


def test_the_short_prompt_says_all_but_the_style() -> None:
    for each in ROWS[:500]:
        missing = set(slot_accuracy(each.y_o, each)[1])
        assert missing <= {fact.text for fact in slots_of(each).present if fact.kind == "style"}


def test_colours_that_change_places_are_wrong() -> None:
    tried = 0
    for each in ROWS:
        facts = [fact for fact in slots_of(each).present if fact.colour]
        colours = [str(fact.colour) for fact in facts]
        if (
            len(set(colours)) < 2
            or len({fact.concept for fact in facts}) < len(facts)
            or any(each.y.count(colour) != colours.count(colour) for colour in set(colours))
        ):
            continue
        turned = dict(zip(colours, [*colours[1:], colours[0]], strict=True))
        words = [turned.get(word, word) for word in each.y.split(" ")]
        assert not all_slots_right(" ".join(words), each), each.y
        tried += 1
    assert tried > 50


def test_a_colour_put_before_another_thing_is_wrong() -> None:
    for each in ROWS[:300]:
        colour = next((fact.colour for fact in slots_of(each).present if fact.colour), None)
        if colour:
            other = next(c for c in COLOURS if c != colour)
            assert not all_slots_right(each.y.replace(colour, other), each)


@pytest.mark.parametrize(
    "y",
    [
        "a red car",
        "photo of a big shiny red car, 8k",
        "the car is red, sharp focus",
        "a car painted red",
        "(a crimson automobile:1.2)",
        "A RED CAR.",
        "one red car and the car again",
        "a red   car\nin a street",
    ],
)
def test_a_red_car_is_one_however_it_is_said(y: str) -> None:
    assert slot_accuracy(y, row(RED_CAR)) == (1.0, ())


@pytest.mark.parametrize(
    "y",
    [
        "",
        "a car",
        "red, a car",
        "a red bus and a car",
        "a blue car",
        "two red cars",
        "red cars",
        "a red car and a blue car",
        "a red and blue car",
        "a carpet, red",
        "a red-brick car",
        "a car in red light",
    ],
)
def test_what_is_not_quite_a_red_car_is_none(y: str) -> None:
    assert slot_accuracy(y, row(RED_CAR)) == (0.0, ("red car",))


@pytest.mark.parametrize(
    ("y", "right"),
    [
        ("two dogs", True),
        ("2 dogs", True),
        ("a pair of dogs", True),
        ("two happy puppies and dogs", True),
        ("dogs", False),
        ("three dogs", False),
        ("a dog", False),
        ("two dogs, three dogs", False),
        ("two cats and dogs", False),
    ],
)
def test_numbers(y: str, right: bool) -> None:
    assert all_slots_right(y, row(TWO_DOGS)) == right


@pytest.mark.parametrize(
    ("y", "right"),
    [
        ("a fox to the left of a car", True),
        ("a fox sitting on the left side of the red car", True),
        ("a car to the right of a fox", True),
        ("a fox, left of a car", False),
        ("a fox right of a car", False),
        ("a car left of a fox", False),
        ("a fox and a car", False),
        ("a fox left of a car, the car left of the fox", False),
    ],
)
def test_sides(y: str, right: bool) -> None:
    assert ("fox to the left of a car" not in slot_accuracy(y, row(LEFT))[1]) == right


def test_behind_is_in_front_from_the_other_side() -> None:
    said = claims("a fox behind a car")
    assert said.related("car", "in front of", "fox")
    assert not said.related("fox", "in front of", "car")


@pytest.mark.parametrize(
    ("y", "kind", "values"),
    [
        ("a snowman at the seaside, stars, night", "background", set[str]()),
        ("a fox in the snow at night", "background", {"snow"}),
        ("a fox, snow, night", "time", {"night"}),
        ("a fox while it snows", "background", set[str]()),
        ("a fox while it snows", "weather", {"snowfall"}),
        ("a fox in a snowy landscape while it snows", "background", {"snow"}),
        ("a whale at the bottom of the sea", "background", {"underwater"}),
        ("a whale under water", "background", {"underwater"}),
        ("a whale on the ocean", "background", {"sea"}),
        ("a fox in a green field, depth of field", "background", {"meadow"}),
        ("a fox on plain white", "background", {"white background"}),
        ("a fox, negative space", "background", set[str]()),
        ("a fox in space", "background", {"space"}),
        ("a fox at dusk", "time", {"sunset"}),
        ("a moonlit fox by day", "time", {"night", "day"}),
        ("a flat vector illustration of a fox", "style", {"flat"}),
        ("a black and white icon of a fox", "style", {"line"}),
        ("a rainbow and a foggy idea", "weather", {"fog"}),
    ],
)
def test_places_hours_weather_and_styles(y: str, kind: str, values: set[str]) -> None:
    assert claims(y).whole[kind] == values


def test_what_is_gone_must_not_be_said() -> None:
    gone = row(RED_CAR, absent=(FOX, Fact("colour", "blue car", "car", "blue"), NIGHT))
    assert slot_accuracy("a red car", gone) == (1.0, ())
    assert slot_accuracy("a red car and a fox", gone) == (0.75, ("no fox",))
    assert slot_accuracy("a red car by night", gone) == (0.75, ("no night",))
    assert slot_accuracy("a blue car, a red car", gone) == (0.75, ("no blue car",))
    assert slot_accuracy("a green car, a red car", gone) == (0.75, ("red car",))


def test_day_and_clear_weather_go_without_saying_but_not_against_them() -> None:
    plain = row(Fact("time", "day", value="day"), Fact("weather", "clear", value="clear"), SNOW)
    assert all_slots_right("a fox in the snow", plain)
    assert all_slots_right("a fox in the snow in bright daylight, clear sky", plain)
    assert slot_accuracy("a fox in the snow at night", plain)[1] == ("day",)
    assert slot_accuracy("a fox in the snow in the rain", plain)[1] == ("clear",)


def test_a_thing_may_wear_the_colour_that_it_has_anyway() -> None:
    assert all_slots_right("an orange fox", row(FOX))
    assert not all_slots_right("a purple fox", row(FOX))


def test_two_of_a_name_are_each_asked_for() -> None:
    cars = row(RED_CAR, Fact("count", "two blue cars", "car", "blue", 2))
    assert all_slots_right("a red car and two blue cars", cars)
    assert slot_accuracy("two red cars and a blue car", cars)[0] == 0.0
    assert slot_accuracy("a red car", cars) == (0.5, ("two blue cars",))


def test_means_over_rows() -> None:
    assert slot_scores([]) == (0.0, 0.0)
    pair = row(RED_CAR, FOX)
    assert slot_scores([("a red car, a fox", pair), ("a red car", pair)]) == (0.75, 0.5)


def test_rows_of_another_kind_are_refused() -> None:
    with pytest.raises(BadInput):
        slot_accuracy("a fox", Row("a", "b", "c", "d"))


@pytest.mark.parametrize("y", ["\x00", "(((", "a " * 2000, "fox" * 1000, "left of left of", "·", "𝟚 foxes ②"])
def test_nothing_is_too_strange(y: str) -> None:
    assert slot_accuracy(y, row(FOX, LEFT, NIGHT))[0] <= 1
