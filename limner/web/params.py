"""What may be asked for, checked before it becomes a job: bounds that no honest request meets, and nothing unknown."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, Field, model_validator

from limner.concept import check_name
from limner.config import Guidance, Side, Steps, Threshold
from limner.factory import parse_forms
from limner.look import parse_queries
from limner.prompt import MAX_PROMPT_CHARS, check_prompt
from limner.service.values import Kind
from limner.types import BadInput

SHA256 = "^[0-9a-f]{64}$"
JOB_ID = "^[0-9a-f]{32}$"
NAME = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,47}$"
"""Of a dataset, and of a concept but for those that `check_name` turns down as well."""

_PROMPT = "a red fox to the left of a castle in the snow"
_MOST_PIXELS = 2**22


def _sentence(error: BadInput) -> ValueError:
    """What pydantic makes of Limner's own complaint: a message of the 422 that names the field."""
    return ValueError(str(error))


def _prompt(text: str) -> str:
    try:
        return check_prompt(text)
    except BadInput as error:
        raise _sentence(error) from None


def _things(text: str) -> str:
    try:
        return ", ".join(parse_queries(_prompt(text)))
    except BadInput as error:
        raise _sentence(error) from None


def _concept(text: str) -> str:
    try:
        return check_name(text)
    except BadInput as error:
        raise _sentence(error) from None


def _forms(text: str) -> str:
    try:
        return ", ".join(parse_forms(text))
    except BadInput as error:
        raise _sentence(error) from None


Sha256 = Annotated[str, Field(pattern=SHA256, examples=["0" * 64])]
Prompt = Annotated[str, Field(max_length=MAX_PROMPT_CHARS, examples=[_PROMPT]), AfterValidator(_prompt)]
Things = Annotated[str, Field(max_length=4000, examples=["red car, cat"]), AfterValidator(_things)]
ConceptName = Annotated[str, Field(max_length=50, examples=["gizmo"]), AfterValidator(_concept)]
DatasetName = Annotated[str, Field(pattern=NAME, examples=["foxes"])]
SessionName = Annotated[str, Field(min_length=1, max_length=64, examples=["main"])]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
_Corner = Annotated[float, Field(ge=0, le=8192, allow_inf_nan=False)]
PixelBox = Annotated[list[_Corner], Field(min_length=4, max_length=4, examples=[[10, 20, 60, 90]])]
_Share = Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)]
_Rate = Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)]


class Params(BaseModel, extra="forbid", frozen=True, strict=True):
    """What every kind of job has in common: nothing unknown is taken, and a number is a number, not a text."""

    kind: Kind

    def given(self) -> dict[str, Any]:
        """The fields that were given, as JSON values, but for the kind itself."""
        return self.model_dump(mode="json", exclude_none=True, exclude={"kind"})


class _Marked(Params, frozen=True):
    """A place in a picture, by `box` (x0, y0, x1, y1 in pixels) or by `mask`, a picture that is bright there."""

    mask: Sha256 | None = None
    box: PixelBox | None = None

    @model_validator(mode="after")
    def _one_place(self) -> _Marked:
        if self.mask and self.box:
            raise ValueError("box and mask were both given")
        if self.box and not (self.box[0] < self.box[2] and self.box[1] < self.box[3]):
            raise ValueError("box is x0, y0, x1, y1 with x0 < x1 and y0 < y1")
        return self


class Draw(Params, frozen=True):
    """Draw until every word of the prompt is in the picture; `many` is how many good pictures are wanted."""

    kind: Literal["draw"] = "draw"
    prompt: Prompt
    negative_prompt: Annotated[str, Field(max_length=MAX_PROMPT_CHARS)] | None = None
    count: Annotated[int, Field(ge=1, le=64)] | None = None
    rounds: Annotated[int, Field(ge=1, le=20)] | None = None
    budget: Annotated[int, Field(ge=1, le=256)] | None = None
    many: Annotated[int, Field(ge=1, le=10)] | None = None
    seed: Seed | None = None
    steps: Annotated[Steps, Field(le=200)] | None = None
    guidance: Guidance | None = None
    width: Annotated[Side, Field(le=2048)] | None = None
    height: Annotated[Side, Field(le=2048)] | None = None
    threshold: Threshold | None = None
    baseline: bool | None = None
    partial_images: Annotated[int, Field(ge=0, le=3)] | None = None

    @model_validator(mode="after")
    def _size(self) -> Draw:
        if (self.width is None) != (self.height is None):
            raise ValueError("width and height go together")
        if self.width and self.height and self.width * self.height > _MOST_PIXELS:
            raise ValueError(f"at most {_MOST_PIXELS} pixels are drawn")
        if self.negative_prompt:
            _prompt(self.negative_prompt)
        return self


class Edit(_Marked, frozen=True):
    """Change a picture as an instruction says, and nothing else in it."""

    kind: Literal["edit"] = "edit"
    picture: Sha256
    instruction: Prompt
    seed: Seed | None = None
    steps: Annotated[Steps, Field(le=200)] | None = None
    text_guidance: Annotated[Guidance, Field(ge=1)] | None = None
    image_guidance: Annotated[Guidance, Field(ge=1)] | None = None
    attempts: Annotated[int, Field(ge=1, le=16)] | None = None


class Look(Params, frozen=True):
    """Say what is in a picture and where; `find` names what to look for, with commas between."""

    kind: Literal["look"] = "look"
    picture: Sha256
    find: Things | None = None


class Say(Params, frozen=True):
    """Say a sentence in a session, which begins where there is none; or `open` a picture in it to be changed."""

    kind: Literal["say"] = "say"
    session: SessionName
    text: Prompt | None = None
    mask: Sha256 | None = None
    open: Sha256 | None = None

    @model_validator(mode="after")
    def _one(self) -> Say:
        if (self.text is None) == (self.open is None):
            raise ValueError("give text, or a picture to open")
        if self.mask and not self.text:
            raise ValueError("a mask goes with a text")
        return self


class Forget(Params, frozen=True):
    """Remove a turn's influence from the way to where a session is; `turn` is its number, branch or id."""

    kind: Literal["forget"] = "forget"
    session: SessionName
    turn: Annotated[str, Field(min_length=1, max_length=64, examples=["2"])]


class Learn(_Marked, frozen=True):
    """Teach a thing or a style from one picture, or from the one that a session shows; see `limner learn --help`."""

    kind: Literal["learn"] = "learn"
    name: ConceptName
    picture: Sha256 | None = None
    session: SessionName | None = None
    like: Annotated[str, Field(max_length=200)] | None = None
    style: bool | None = None
    method: Literal["dreamartist", "dreamartist-words", "textual-inversion", "lora", "dreambooth"] | None = None
    positive_words: Annotated[int, Field(ge=1, le=32)] | None = None
    negative_words: Annotated[int, Field(ge=1, le=32)] | None = None
    gamma: Annotated[float, Field(ge=1, le=100, allow_inf_nan=False)] | None = None
    reconstruction: Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)] | None = None
    decoder: Literal["full", "light"] | None = None
    rate: _Rate | None = None
    adapter_rate: _Rate | None = None
    rank: Annotated[int, Field(ge=1, le=128)] | None = None
    min_snr: Annotated[float, Field(gt=0, le=100, allow_inf_nan=False)] | None = None
    ema: _Share | None = None
    regularise: Annotated[int, Field(ge=0, le=64)] | None = None
    steps: Annotated[int, Field(ge=1, le=20_000)] | None = None
    minutes: Annotated[float, Field(gt=0, le=24 * 60, allow_inf_nan=False)] | None = None
    preview_every: Annotated[int, Field(ge=1, le=20_000)] | None = None
    checkpointing: bool | None = None
    again: bool | None = None
    seed: Seed | None = None

    @model_validator(mode="after")
    def _from_one(self) -> Learn:
        if (self.picture is None) == (self.session is None):
            raise ValueError("give a picture, or a session whose picture is meant")
        if self.like:
            _prompt(self.like)
        return self

    def given(self) -> dict[str, Any]:
        """Options of a lesson call a style a kind."""
        fields = super().given()
        return fields | ({"kind": "style"} if fields.pop("style", False) else {})


class Synth(Params, frozen=True):
    """Make a dataset of labelled pictures; a job of the same name goes on where it was stopped."""

    kind: Literal["synth"] = "synth"
    name: DatasetName
    classes: Things
    count: Annotated[int, Field(ge=1, le=100_000)] = 100
    formats: Annotated[str, Field(max_length=80, examples=["coco, yolo"]), AfterValidator(_forms)] | None = None
    mode: Literal["complex", "centric", "both"] | None = None
    candidates: Annotated[int, Field(ge=1, le=64)] | None = None
    scenes: Annotated[int, Field(ge=0, le=16)] | None = None
    objects: Annotated[int, Field(ge=0, le=16)] | None = None
    background: bool | None = None
    filters: bool | None = None
    seed: Seed | None = None


AnyJob = Annotated[Draw | Edit | Look | Say | Forget | Learn | Synth, Field(discriminator="kind")]
"""A job by its `kind`, with the params of that kind beside it."""
