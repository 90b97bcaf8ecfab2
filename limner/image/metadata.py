"""A recipe as text: A1111's `parameters`, which many programs read, and Limner's own JSON, which is exact."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, cast

from pydantic import TypeAdapter, ValidationError

from limner.types import BadInput, Recipe

# One `Name: value` of the settings line; a quoted value is a JSON string.
_SETTING = re.compile(r'(\w[\w \-/]*):[ ]*("(?:\\.|[^"\\])*"|[^,]*)(?:,[ ]*|$)')
_MUST_QUOTE = re.compile(r'[,:\n"]|^\s|\s$')
_NEGATIVE = "Negative prompt:"
_RECIPE = TypeAdapter(Recipe)


@dataclass(frozen=True, slots=True)
class Metadata:
    """What a picture file says about its making: A1111's text, and Limner's JSON (empty when there is none)."""

    parameters: str = ""
    limner: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @property
    def recipe(self) -> Recipe:
        """The recipe, from Limner's JSON if there, else from A1111's text. Raises BadInput without either."""
        if self.limner:
            return _checked(self.limner.get("recipe"))
        if self.parameters:
            return parse_parameters(self.parameters)
        raise BadInput("the picture holds no recipe", "it was saved without metadata, or another program took it out")


def format_parameters(recipe: Recipe) -> str:
    """The recipe in A1111's form: prompt, `Negative prompt:` if any, one line of settings.

    Values that hold a comma, colon, quote or newline are written as JSON strings.
    """
    guidance = int(recipe.guidance) if recipe.guidance == int(recipe.guidance) else recipe.guidance
    settings: dict[str, object] = {
        "Steps": recipe.steps,
        "Sampler": recipe.sampler,
        "CFG scale": guidance,
        "Seed": recipe.seed,
        "Size": f"{recipe.width}x{recipe.height}",
        "Model hash": recipe.model_hash,
        "Model": recipe.model,
    }
    line = ", ".join(f"{name}: {_quoted(str(value))}" for name, value in settings.items() if value != "")
    negative = [f"{_NEGATIVE} {recipe.negative_prompt}"] if recipe.negative_prompt else []
    return "\n".join([recipe.prompt, *negative, line])


def _quoted(value: str) -> str:
    return json.dumps(value, ensure_ascii=False) if _MUST_QUOTE.search(value) else value


def parse_parameters(text: str) -> Recipe:
    """Read A1111's text, whoever wrote it; settings that a Recipe does not have are left out.

    Raises BadInput when steps, seed, size or guidance are missing or are not numbers.
    """
    body, _, last = text.strip("\n").rpartition("\n")
    settings = {name: _unquoted(value) for name, value in _SETTING.findall(last)}
    prompt, _, negative = f"\n{body}".partition(f"\n{_NEGATIVE}")
    width, _, height = settings.get("Size", "").partition("x")
    return _checked(
        {
            "prompt": prompt.removeprefix("\n"),
            "negative_prompt": negative.removeprefix(" "),
            "steps": settings.get("Steps"),
            "sampler": settings.get("Sampler", ""),
            "guidance": settings.get("CFG scale"),
            "seed": settings.get("Seed"),
            "width": width,
            "height": height,
            "model": settings.get("Model", ""),
            "model_hash": settings.get("Model hash", ""),
        }
    )


def _unquoted(value: str) -> str:
    try:
        read = json.loads(value) if value.startswith('"') else value
    except ValueError:
        return value
    return cast(str, read)


def _checked(values: object) -> Recipe:
    try:
        return _RECIPE.validate_python(values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "recipe"
        raise BadInput(f"the picture's recipe cannot be read: {where}: {first['msg']}") from error


def recipe_values(recipe: Recipe) -> dict[str, Any]:
    """The recipe as JSON reads it back; without `parts` where nothing was put in, as before recipes had them."""
    values: dict[str, Any] = json.loads(json.dumps(asdict(recipe)))
    return values if values["parts"] else {k: v for k, v in values.items() if k != "parts"}


def format_json(recipe: Recipe | None, extra: Mapping[str, Any]) -> str:
    """Limner's own chunk: the recipe and everything in `extra`, as ASCII JSON with sorted keys."""
    content = dict(extra)
    if recipe is not None:
        # No concepts are left out, so that what was drawn before a recipe named them has the same bytes again.
        content["recipe"] = {k: v for k, v in recipe_values(recipe).items() if v or k != "concepts"}
    return json.dumps(content, sort_keys=True, allow_nan=False)


def parse_json(text: str) -> Mapping[str, Any]:
    """Read Limner's own chunk; raises BadInput when it is not a JSON object."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadInput("the picture's limner chunk is not JSON") from error
    if not isinstance(content, dict):
        raise BadInput("the picture's limner chunk is not a JSON object")
    return cast(dict[str, Any], content)
