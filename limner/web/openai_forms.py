"""What OpenAI's API takes for pictures, checked; fields that only its own models know are read and change nothing."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from limner.config import Guidance, Steps, Threshold
from limner.web.files import Form, Size, as_file, check_file_size, drawing_size
from limner.web.foreign import TRIES, instruction_for, seeds

MOST = 10
"""Pictures that one request may ask for, as in the original."""

_PROMPT = "a red fox to the left of a castle in the snow"
_Word = Annotated[str, Field(max_length=512)]
_MostSteps = Annotated[Steps, Field(le=200)]


class Asked(BaseModel):
    """What a request may have, whether it draws or edits."""

    model_config = ConfigDict(extra="forbid")

    prompt: Annotated[str, Field(min_length=1, max_length=32_000, examples=[_PROMPT])]
    model: _Word | None = None
    n: Annotated[int, Field(ge=1, le=MOST)] | None = None
    size: Annotated[str, Field(pattern=r"^(auto|[1-9][0-9]{1,3}x[1-9][0-9]{1,3})$", examples=["512x512"])] | None = None
    response_format: Literal["b64_json", "url"] | None = None
    output_format: Form | None = None
    output_compression: Annotated[int, Field(ge=0, le=100)] | None = None
    stream: bool | None = None
    partial_images: Annotated[int, Field(ge=0, le=3)] | None = None
    quality: _Word | None = None
    style: _Word | None = None
    background: _Word | None = None
    moderation: _Word | None = None
    complexity: _Word | None = None
    user: _Word | None = None
    safety_identifier: _Word | None = None
    seed: Annotated[int, Field(ge=0, lt=2**32)] | None = None
    steps: _MostSteps | None = None
    num_inference_steps: _MostSteps | None = None
    guidance: Guidance | None = None
    guidance_scale: Guidance | None = None

    @model_validator(mode="after")
    def _size(self) -> Asked:
        check_file_size(self.wanted)
        return self

    @property
    def wanted(self) -> Size | None:
        """The size of the files; None for that of the pictures."""
        if self.size in (None, "auto"):
            return None
        width, _, height = str(self.size).partition("x")
        return int(width), int(height)

    @property
    def form(self) -> Form:
        """The form of the files."""
        return self.output_format or "png"

    @property
    def previews(self) -> int:
        """How many pictures are shown before they are finished."""
        return self.partial_images or 0 if self.stream else 0

    @property
    def denoising(self) -> int | None:
        """Denoising steps, by the name that was used."""
        return self.steps or self.num_inference_steps

    @property
    def strictness(self) -> float | None:
        """How strictly to follow the words, by the name that was used."""
        return self.guidance_scale if self.guidance is None else self.guidance

    def file(self, png: bytes) -> bytes:
        """A picture of the store as the client wants it."""
        quality = 100 if self.output_compression is None else self.output_compression
        return as_file(png, self.form, quality=quality, size=self.wanted)


class Generation(Asked):
    """Draw a prompt."""

    threshold: Threshold | None = None
    negative_prompt: Annotated[str, Field(max_length=4000)] | None = None
    rounds: Annotated[int, Field(ge=1, le=20)] | None = None

    def params(self, own: Size | None) -> dict[str, Any]:
        """The params of the job, for a model that draws at the size `own`; None for what was not said."""
        width, height = drawing_size(self.wanted, own) or (None, None)
        said = {"prompt": self.prompt, "negative_prompt": self.negative_prompt, "seed": self.seed}
        how = {"steps": self.denoising, "guidance": self.strictness, "threshold": self.threshold, "rounds": self.rounds}
        return said | how | {"width": width, "height": height, "many": self.n or 1, "partial_images": self.previews}


class Edit(Asked):
    """Change a picture: the fields of the form but for its files."""

    input_fidelity: _Word | None = None

    def params(self, picture: str, mask: str | None, llm: str) -> list[dict[str, Any]]:
        """The params of a job for each picture that is wanted; None for what was not said."""
        instruction = instruction_for(self.prompt, masked=mask is not None, llm=llm)
        said = {"picture": picture, "mask": mask, "instruction": instruction, "steps": self.denoising}
        return [
            said | {"text_guidance": self.strictness, "seed": seed, "attempts": TRIES}
            for seed in seeds(self.seed, self.n or 1)
        ]


def _fields(model: type[BaseModel], **files: dict[str, Any]) -> dict[str, Any]:
    """A form's fields and files as OpenAPI tells them."""
    schema = model.model_json_schema()
    properties = {**schema["properties"], **files}
    required = [*schema["required"], "image"]
    return {**schema, "properties": properties, "required": required}


_FILE = {"type": "string", "format": "binary"}
EDIT_FORM: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"multipart/form-data": {"schema": _fields(Edit, image=_FILE, mask=_FILE)}},
    }
}
"""OpenAPI's words for the form that edits."""
