"""What A1111's API takes for pictures: the fields that mean something here are bounded, dozens of others ignored."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from limner.types import BadInput
from limner.web.errors import Refused
from limner.web.files import Size, check_file_size, drawing_size
from limner.web.foreign import TRIES, instruction_for, seeds

MOST = 10
"""Pictures that one request may ask for."""

_LORA = re.compile(r"<lora:([^<>:]+)(?=[:>])")
_Number = Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)]
_Side = Annotated[int, Field(ge=8, le=4096)]
_BASE64 = "the bytes of a PNG, JPEG or WebP as base64 text, a data URL as well"


class Asked(BaseModel):
    """What a request may have, whether it starts from words or from a picture. None: the model's own."""

    model_config = ConfigDict(extra="ignore")

    prompt: Annotated[str, Field(max_length=4000, examples=["a red fox to the left of a castle in the snow"])] = ""
    negative_prompt: Annotated[str, Field(max_length=4000)] | None = None
    seed: Annotated[int, Field(ge=-1, lt=2**32)] | None = None
    steps: Annotated[int, Field(ge=1, le=200)] | None = None
    cfg_scale: _Number | None = None
    width: _Side | None = None
    height: _Side | None = None
    batch_size: Annotated[int, Field(ge=1, le=MOST)] | None = None
    n_iter: Annotated[int, Field(ge=1, le=MOST)] | None = None
    send_images: bool | None = None
    override_settings: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _size(self) -> Asked:
        check_file_size(self.wanted)
        return self

    @property
    def said(self) -> str:
        """The prompt in Limner's words: A1111 calls a concept by <lora:NAME:1>."""
        return _LORA.sub(r"<\1", self.prompt)

    @property
    def count(self) -> int:
        """How many pictures are wanted. Raises BadInput for more than MOST."""
        count = (self.batch_size or 1) * (self.n_iter or 1)
        if count > MOST:
            raise BadInput(f"batch_size × n_iter is {count}", f"at most {MOST} pictures are made at once")
        return count

    @property
    def wanted(self) -> Size | None:
        """The size of the files; None for that of the pictures."""
        return (self.width, self.height) if self.width and self.height else None

    @property
    def first_seed(self) -> int | None:
        """The seed, None where it is left to the lot (-1)."""
        return None if self.seed == -1 else self.seed

    @property
    def checkpoint(self) -> object:
        """The model that this request alone is to have."""
        return (self.override_settings or {}).get("sd_model_checkpoint")

    def echo(self) -> dict[str, Any]:
        """What was understood, as A1111 repeats it in its answer."""
        return self.model_dump(exclude={"override_settings", "init_images", "mask"})


class FromText(Asked):
    """Draw a prompt."""

    def params(self, own: Size | None) -> dict[str, Any]:
        """The params of the job, for a model that draws at the size `own`; None for what was not said."""
        width, height = drawing_size(self.wanted, own) or (None, None)
        said = {"prompt": self.said, "negative_prompt": self.negative_prompt or None, "seed": self.first_seed}
        how = {"steps": self.steps, "guidance": self.cfg_scale, "many": self.count}
        return said | how | {"width": width, "height": height, "partial_images": 3}


class FromPicture(Asked):
    """Change a picture: as an instruction says, or in a mask to what the prompt says."""

    init_images: Annotated[list[Annotated[str, Field(description=_BASE64)]], Field(max_length=MOST)] = []
    mask: Annotated[str, Field(description=_BASE64)] | None = None
    inpainting_mask_invert: Annotated[int, Field(ge=0, le=1)] | None = None
    denoising_strength: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] | None = None
    image_cfg_scale: _Number | None = None

    def params(self, picture: str, mask: str | None, llm: str) -> list[dict[str, Any]]:
        """The params of a job for each picture that is wanted; None for what was not said.

        Raises Refused (422) for a prompt that says of no change, without a mask.
        """
        try:
            instruction = instruction_for(self.said, masked=mask is not None, llm=llm)
        except BadInput as error:
            hint = f"{error.hint}; or send a mask, and say what is to be there".removeprefix("; ")
            raise Refused(422, error.message, hint) from None
        said = {"picture": picture, "mask": mask, "instruction": instruction, "steps": self.steps, "attempts": TRIES}
        scales = {"text_guidance": _above_one(self.cfg_scale), "image_guidance": _above_one(self.image_cfg_scale)}
        return [said | scales | {"seed": seed} for seed in seeds(self.first_seed, self.count)]


def _above_one(scale: float | None) -> float | None:
    """A guidance that an editor can work with; A1111's clients say 1 or 0 for none."""
    return scale if scale and scale > 1 else None


class PngInfo(BaseModel):
    """Read what a picture says of its making."""

    image: Annotated[str, Field(description=_BASE64)]
