"""The concepts that one pipeline can be told to use, brought into its memory when a prompt first names them."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from limner.backends.branches import Change, Layout, changed
from limner.backends.pseudo_words import PseudoWords, pseudo_words
from limner.concept import Concept, Side, Use, uses
from limner.concept_file import digest
from limner.protocols import Learned
from limner.types import BadInput

Find = Callable[[str], Concept]


def nothing(name: str) -> Concept:
    """The concepts of a pipeline that was given none."""
    raise BadInput(f"there is no concept <{name}>", "limner learn PICTURE --name NAME teaches one")


@dataclass(frozen=True, slots=True)
class _Hung:
    """A concept whose numbers lie where the pipeline computes; all keys begin with the name of a part."""

    concept: Concept
    digest: str
    factors: Mapping[str, Sequence[Change]]
    whole: Mapping[str, Tensor]


class Rack:
    """Concepts by name. `find` gives them; one that it gives anew under an old name replaces the old one.

    `parts` are the pipeline's modules: «unet», «text_encoder», for Stable Diffusion XL «text_encoder_2».
    """

    def __init__(self, parts: Mapping[str, nn.Module], find: Find = nothing) -> None:
        self.parts, self.find = parts, find
        self._hung: dict[str, _Hung] = {}
        self.version = 0

    def hang(self, prompt: str, negative: str = "") -> tuple[Use, ...]:
        """Make ready all concepts that are named; returns how the prompt uses its own.

        Raises BadInput for a name that nobody learned and for a concept that does not fit this kind of model.
        """
        wanted = uses(prompt)
        for use in (*wanted, *uses(negative)):
            concept = self.find(use.name)
            if use.name not in self._hung or self._hung[use.name].concept is not concept:
                self._hung[use.name] = self._fitted(concept)
                self.version += 1
        return wanted

    def concept(self, name: str) -> Concept:
        """A concept that was hung up."""
        return self._hung[name].concept

    def learned(self, prompt: str, model_hash: str) -> list[Learned]:
        """The concepts that a prompt names, made ready for the model of this hash; raises BadInput like `hang`."""
        return [_learned(self._hung[use.name], model_hash) for use in self.hang(prompt)]

    def weights(self) -> dict[str, Tensor]:
        """All weights that an adapter may change, by part and path of their layer: «unet.down_blocks.0...to_k»."""
        parts: dict[str, Any] = dict(self.parts)
        layers = ((f"{p}.{path}", m) for p, part in parts.items() for path, m in part.named_modules())
        return {path: layer.weight for path, layer in layers if isinstance(layer, nn.Linear | nn.Conv2d)}

    def words(self, part: str) -> PseudoWords:
        """The pseudo-words that a text encoder knows: «gizmo», and «gizmo-neg» for its negative side."""
        return pseudo_words(self.parts[part])

    @contextmanager
    def acting(self, part: str, wanted: Sequence[Use], layout: Layout, portion: int | None = None) -> Generator[None]:
        """Let the adapters of concepts act on a part within the block, each on the rows of its side.

        They take `portion` rows of a side at a time, so that their bits do not depend on the batch either.
        """
        if not wanted:  # most prompts: nothing is looked up for them
            yield
            return
        found: dict[str, list[Change]] = {}
        for use in wanted:
            for path, changes in self._hung[use.name].factors.items():
                if path.startswith(f"{part}."):
                    found.setdefault(path.removeprefix(f"{part}."), []).extend(_scaled(changes, use))
        with changed(self.parts[part], found, layout, portion), self._swapped(part, wanted):
            yield

    @contextmanager
    def _swapped(self, part: str, wanted: Sequence[Use]) -> Generator[None]:
        """Whole parameters with their changes added, put back bit by bit afterwards."""
        state = self.parts[part].state_dict()
        kept: dict[str, Tensor] = {}
        try:
            for use in wanted:
                for path, change in self._hung[use.name].whole.items():
                    name = path.removeprefix(f"{part}.")
                    if path.startswith(f"{part}."):
                        kept.setdefault(name, state[name].clone())
                        state[name].copy_(state[name].float() + use.positive * change)
            yield
        finally:
            for name, value in kept.items():
                state[name].copy_(value)

    def _fitted(self, concept: Concept) -> _Hung:
        """The concept's numbers as tensors, after a look at whether they fit; its words are put into the encoders."""
        factors: dict[str, list[Change]] = {}
        weights = self.weights() if concept.adapters else {}
        for side, table in concept.adapters.items():
            for path, found in table.items():
                sides = len(found.up), found.down.size // len(found.down)
                if path not in weights or (len(weights[path]), weights[path][0].numel()) != sides:
                    raise _strange(concept, f"changes {path}, which this one does not have so")
                tensors = (torch.tensor(part, device=weights[path].device) for part in (found.down, found.up))
                factors.setdefault(path, []).append(Change(side, *tensors, scale=found.scale))
        for side, table in concept.words.items():
            for part, vectors in table.items():
                self._put(concept, side, part, torch.tensor(vectors))
        whole = {path: self._difference(concept, path, torch.tensor(value)) for path, value in concept.changes.items()}
        return _Hung(concept, digest(concept), factors, whole)

    def _put(self, concept: Concept, side: Side, part: str, vectors: Tensor) -> None:
        name = f"{concept.name}-neg" if side == "negative" else concept.name
        if part not in self.parts:
            raise _strange(concept, f"has words for {part}, which this one does not have")
        if vectors.shape[1] != self.words(part).width:
            raise _strange(concept, f"has words of {vectors.shape[1]} numbers, not {self.words(part).width}")
        self.words(part).put(name, vectors.to(next(self.parts[part].parameters()).device))

    def _difference(self, concept: Concept, path: str, value: Tensor) -> Tensor:
        part, _, inside = path.partition(".")
        state = self.parts[part].state_dict() if part in self.parts else {}
        if inside not in state or state[inside].shape != value.shape:
            raise _strange(concept, f"changes {path}, which this one does not have so")
        return value.to(state[inside].device)


def _learned(hung: _Hung, model_hash: str) -> Learned:
    about = hung.concept.about
    return Learned(hung.concept.word, about.like, about.guidance, _doubt(hung.concept, model_hash), hung.digest)


def _doubt(concept: Concept, model_hash: str) -> str:
    base = concept.about.base_hash
    if base in ("", model_hash):
        return ""
    return f"{concept.word} was learned on {concept.about.base or 'another model'}, not on this one as it is"


def _strange(concept: Concept, reason: str) -> BadInput:
    learned = f"it was learned on {concept.about.base}" if concept.about.base else "it was learned on another model"
    return BadInput(f"<{concept.name}> was made for another kind of model: it {reason}", learned)


def _scaled(changes: Sequence[Change], use: Use) -> list[Change]:
    strength = {"positive": use.positive, "negative": use.negative, "both": use.positive}
    return [Change(c.side, c.down, c.up, c.scale * strength[c.side]) for c in changes if strength[c.side]]
