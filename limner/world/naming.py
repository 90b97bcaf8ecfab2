"""Builds concepts.json, the table of the world's nouns, from the name packages: `python -m limner.world.naming`.

A concept is an emoji of the groups animals-nature, food-drink, travel-places, activities or objects that all
five styles draw. Its name is what people say («car», not «automobile»); its plural comes from inflect.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import inflect
import numpy as np
import numpy.typing as npt
from PIL import Image

from limner.world.art import NAME_PACKAGES, STYLE_PACKAGES, drawing, fetch_art, icon_set, package_folder

_PLURALS = inflect.engine()

CONCRETE_GROUPS = (3, 4, 5, 6, 7)
PLAIN_NAMES = {
    "automobile": "car", "deciduous tree": "tree", "evergreen tree": "pine tree", "doughnut": "donut",
    "red apple": "apple", "birthday cake": "cake", "closed book": "book", "wrapped gift": "gift",
    "honeybee": "bee", "lady beetle": "ladybug", "ewe": "sheep", "spouting whale": "whale", "whale": "blue whale",
    "soft ice cream": "ice cream", "ice cream": "ice cream bowl", "camping": "campsite",
    "sport utility vehicle": "jeep", "articulated lorry": "truck", "ear of corn": "corn", "hot beverage": "coffee",
    "poultry leg": "chicken leg", "meat on bone": "meat", "sauropod": "dinosaur", "two-hump camel": "bactrian camel",
    "snowman": "snowman in snowfall", "snowman without snow": "snowman", "tropical drink": "cocktail",
    "motor scooter": "scooter", "high-speed train": "fast train", "locomotive": "steam train",
    "beverage box": "juice box", "t-shirt": "shirt", "one-piece swimsuit": "swimsuit", "running shoe": "sneaker",
    "magnifying glass tilted left": "magnifying glass", "cloud with lightning and rain": "thunderstorm",
    "flying saucer": "ufo", "passenger ship": "cruise ship", "ring buoy": "life ring", "american football": "football",
    "couch and lamp": "couch", "musical keyboard": "piano", "flower playing cards": "playing cards",
    "pool 8 ball": "billiard ball", "paw prints": "paw print", "snow-capped mountain": "snowy mountain",
    "Statue of Liberty": "statue of liberty", "Tokyo tower": "tower", "T-Rex": "t-rex", "mantelpiece clock": "clock",
}  # fmt: skip
GENERAL = {
    "animal-mammal": "animal", "animal-bird": "bird", "animal-amphibian": "animal", "animal-reptile": "reptile",
    "animal-marine": "sea animal", "animal-bug": "insect", "plant-flower": "flower", "plant-other": "plant",
    "food-fruit": "fruit", "food-vegetable": "vegetable", "food-prepared": "food", "food-asian": "food",
    "food-sweet": "dessert", "drink": "drink", "dishware": "dishes", "place-building": "building",
    "place-religious": "building", "transport-ground": "vehicle", "transport-water": "boat",
    "transport-air": "aircraft", "time": "clock", "sport": "sports gear", "game": "toy", "clothing": "clothing",
    "musical-instrument": "instrument", "phone": "device", "computer": "device", "tool": "tool",
    "household": "furniture",
}  # fmt: skip
TINTABLE_SUBGROUPS = frozenset(
    "animal-mammal animal-bird animal-amphibian animal-reptile animal-marine animal-bug place-building place-other "
    "transport-ground transport-water transport-air hotel sport game clothing sound music musical-instrument phone "
    "computer light-video book-paper mail writing office lock tool science household event plant-flower".split()
)

HUES = (
    ("red", 8), ("orange", 27), ("yellow", 45), ("green", 120),
    ("blue", 178), ("purple", 208), ("pink", 240), ("red", 255),
)  # fmt: skip
"""Colour words and the last hue (0-255) of each."""


def build() -> dict[str, dict[str, Any]]:
    """The table name -> {hexcode, group, general, plural, tintable}, in the order of the name package."""
    fetch_art()
    english = package_folder(NAME_PACKAGES[0]) / "en" / "data.json"
    subgroups = json.loads((package_folder(NAME_PACKAGES[0]) / "meta" / "groups.json").read_text())["subgroups"]
    table: dict[str, dict[str, Any]] = {}
    for entry in json.loads(english.read_text()):
        if entry.get("group") in CONCRETE_GROUPS and _drawn_in_all(entry["hexcode"].lower()):
            label = str(entry["label"])
            name = PLAIN_NAMES.get(label, label.lower())
            table[name] = _row(name, entry["hexcode"].lower(), subgroups[str(entry["subgroup"])])
    return table


def _row(name: str, hexcode: str, group: str) -> dict[str, Any]:
    """All that the table says of one noun, as `vocabulary.Concept` wants it."""
    return {
        "hexcode": hexcode,
        "group": group,
        "general": GENERAL.get(group, "thing"),
        "plural": plural(name),
        "tintable": group in TINTABLE_SUBGROUPS,
        "native": native_colours(hexcode),
    }


def plural(name: str) -> str:
    """The plural of a name; a name that is one already («grapes») stays, where inflect would add an s to it."""
    many = str(_PLURALS.plural_noun(name))
    return name if many == f"{name}s" and name.endswith("s") else many


def native_colours(hexcode: str) -> dict[str, str]:
    """The colour word for more than half of a drawing, by style, where one word says so much of it."""
    found = {style: _main_colour(np.asarray(drawing(hexcode, style, 48))) for style in STYLE_PACKAGES}
    return {style: colour for style, colour in found.items() if colour}


def _main_colour(pixels: npt.NDArray[np.uint8]) -> str | None:
    hsv = np.asarray(Image.fromarray(pixels[..., :3]).convert("HSV"))[pixels[..., 3] > 128].astype(int)
    vivid = hsv[(hsv[:, 1] > 100) & (hsv[:, 2] > 80)]
    brown = (vivid[:, 0] > 8) & (vivid[:, 0] <= 27) & (vivid[:, 2] < 205)
    names = [next(name for name, last in HUES if hue <= last) for hue in vivid[~brown, 0].tolist()]
    colour, pixels_of = Counter(names).most_common(1)[0] if names else ("", 0)
    return colour if pixels_of > 0.5 * len(hsv) else None


def _drawn_in_all(hexcode: str) -> bool:
    bare = hexcode.replace("-fe0f", "")
    vectors = all(hexcode in icon_set(s)[1] or bare in icon_set(s)[1] for s in STYLE_PACKAGES if s != "3d")
    assets = package_folder(STYLE_PACKAGES["3d"]) / "assets"
    return vectors and any((assets / f"{name}.webp").is_file() for name in (hexcode, bare, f"{hexcode}-fe0f"))


if __name__ == "__main__":
    rows = build()
    lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(row)}" for name, row in rows.items())
    Path(__file__).with_name("concepts.json").write_text("{\n" + lines + "\n}\n")
