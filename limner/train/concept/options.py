"""What to learn, and how: the methods of DreamArtist's tables 2 and 3, and all that can be set."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from limner.concept import Kind, check_name
from limner.types import BadInput


@dataclass(frozen=True, slots=True)
class Method:
    """What a method trains, and by which loss.

    `guided`: both sides of the guidance are in the loss (Eq. 3); else the plain loss of the positive side (Eq. 2).
    `words`: the pseudo-words' vectors are trained. `adapter`: factors of low rank for each side (4.3), or for the
    whole model. `whole`: all weights of the U-Net are trained.
    """

    guided: bool = False
    words: bool = False
    adapter: Literal["sides", "whole", "none"] = "none"
    whole: bool = False


METHODS: Mapping[str, Method] = {
    "dreamartist": Method(guided=True, words=True, adapter="sides"),
    "dreamartist-words": Method(guided=True, words=True),
    "textual-inversion": Method(words=True),
    "lora": Method(adapter="whole"),
    "dreambooth": Method(whole=True),
}
"""«dreamartist-words» is the paper's «w/o Adapter»."""

TEMPLATES: Mapping[Kind, tuple[str, ...]] = {
    "thing": (
        "{}",
        "a {}",
        "one {}",
        "a picture of a {}",
        "a photo of a {}",
        "a rendering of a {}",
        "a close-up of a {}",
    ),
    "style": ("{}", "a picture, {}", "a painting, art by {}", "a rendering in the style of {}", "a picture in {}"),
}
"""What a pseudo-word is said in while it is learned; a model with a closed vocabulary reads those that it knows."""


@dataclass(frozen=True, slots=True)
class Options:
    """How one concept is learned. Everything has the paper's value, or where it gives none the one that worked here.

    `like`: words to begin from. `positive_words` and `negative_words`: vectors of each pseudo-word (6.6). `gamma`: the
    guidance of Eq. 3, None for 3, and 5 for a style (5.1). `reconstruction`: weight of Eq. 6, used for timesteps below
    `reconstruction_until` (a share of the noise schedule); `decoder`: what decodes for it. Rates are AdamW's;
    `negative_share` is what the negative side's are of the positive side's, for words and adapters.
    `min_snr`: clamp of the signal-to-noise weight (HCP: 2), None for the plain loss. `ema`: decay of averaged values,
    None for none. `regularise`: so many pictures of `like`, drawn by the model itself, are learned beside, with no
    concept said. `steps` and `minutes`: the first to be reached ends it. `preview_every`: steps between two looks.
    `checkpointing`: recompute activations instead of keeping them. Raises BadInput for what cannot be learned with.
    """

    name: str
    kind: Kind = "thing"
    like: str = ""
    method: str = "dreamartist"
    positive_words: int = 3
    negative_words: int = 3
    gamma: float | None = None
    reconstruction: float = 1.0
    reconstruction_until: float = 1.0
    decoder: Literal["full", "light"] = "full"
    rate: float = 2.5e-3
    adapter_rate: float = 5e-4
    whole_rate: float = 1e-5
    negative_share: float = 1.0
    negative_adapter_share: float = 0.4
    rank: int = 6
    text_rank: int = 2
    targets: tuple[str, ...] = ("to_k", "to_v", "ff.net.0.proj", "ff.net.2")
    text_targets: tuple[str, ...] = ("q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2")
    min_snr: float | None = None
    ema: float | None = None
    regularise: int = 0
    steps: int = 500
    minutes: float = math.inf
    seed: int = 114514
    preview_every: int = 0
    checkpointing: bool = False

    def __post_init__(self) -> None:
        check_name(self.name)
        if self.method not in METHODS:
            raise BadInput(f"no method {self.method!r}", f"methods: {', '.join(METHODS)}")
        least = {"positive_words": 1, "negative_words": 1, "steps": 1, "rank": 1, "text_rank": 1, "regularise": 0}
        for name, lowest in least.items():
            if getattr(self, name) < lowest:
                raise BadInput(f"{name} is {getattr(self, name)}", f"it must be at least {lowest}")
        for name in ("positive_words", "negative_words"):
            if getattr(self, name) > 32:
                raise BadInput(f"{name} is {getattr(self, name)}", "at most 32 fit beside other words")
        _check_numbers(self)

    @property
    def guidance(self) -> float:
        """Gamma, with the paper's defaults."""
        return self.gamma if self.gamma is not None else 5.0 if self.kind == "style" else 3.0

    @property
    def how(self) -> Method:
        """What the method trains."""
        return METHODS[self.method]

    @property
    def settings(self) -> dict[str, Any]:
        """All of it as JSON values; no limit on the time is null."""
        return {name: None if value == math.inf else value for name, value in asdict(self).items()}

    def same_lesson(self, settings: Mapping[str, Any]) -> bool:
        """Whether a lesson begun with `settings` may go on with these: all but its length and looks is equal."""
        free = ("steps", "minutes", "preview_every", "checkpointing")
        mine: dict[str, Any] = json.loads(json.dumps(self.settings))
        return all(name in free or mine[name] == settings.get(name) for name in mine)


def _check_numbers(options: Options) -> None:
    """Raises BadInput unless all numbers are finite (but `minutes`) and none that must not be is zero or below."""
    above = ("rate", "adapter_rate", "whole_rate", "minutes", "reconstruction_until")
    for each in fields(options):
        value: Any = getattr(options, each.name)
        if not isinstance(value, float):
            continue
        if math.isnan(value) or (value == math.inf and each.name != "minutes") or value < 0:
            raise BadInput(f"{each.name} is {value}", "give a finite number from 0 on")
        if not value and each.name in above:
            raise BadInput(f"{each.name} is 0", "give a number above 0")
    if options.guidance < 1:
        raise BadInput(f"gamma is {options.guidance:g}", "1 and more; the paper takes 3, and 5 for a style")
    if options.ema is not None and options.ema >= 1:
        raise BadInput(f"ema is {options.ema:g}", "a decay below 1, such as 0.97")
