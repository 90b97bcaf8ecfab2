"""What is trained: pseudo-words and adapters hung onto a pipeline that stays as it is, and the prediction with them."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn

from limner.backends.branches import Change, Layout, changed, layers_named
from limner.backends.pipelines import Loaded
from limner.backends.prompts import TextTower, read, token_rows
from limner.concept import Side
from limner.train.concept.options import Options

Group = Literal["words", "negative words", "adapters", "negative adapters", "whole"]


@dataclass(slots=True)
class Student:
    """A pipeline with what one concept trains of it.

    `words["positive.text_encoder"]` are vectors (n, dim); `factors["unet"]["down_blocks.0...to_k"]` the changes of a
    layer. All that is trained is float32, whatever precision the pipeline computes in. `originals` are the U-Net's
    weights where all of them are trained, and `precision` is what it computed in before.
    """

    loaded: Loaded
    options: Options
    layout: Layout
    words: dict[str, nn.Parameter] = field(default_factory=dict[str, nn.Parameter])
    factors: dict[str, dict[str, list[Change]]] = field(default_factory=dict[str, dict[str, list[Change]]])
    originals: dict[str, Tensor] = field(default_factory=dict[str, Tensor])
    precision: torch.dtype = torch.float32

    @property
    def unet(self) -> Any:
        """The pipeline's U-Net."""
        return self.loaded.pipeline.unet

    def named(self) -> Iterator[tuple[str, Group, nn.Parameter]]:
        """All that is trained, by name and by the rate it gets, in a fixed order."""
        for name, vectors in self.words.items():
            if vectors.requires_grad:
                yield f"words.{name}", "negative words" if name.startswith("negative") else "words", vectors
        for part, layers in self.factors.items():
            for path, changes in layers.items():
                for change in changes:
                    group: Group = "negative adapters" if change.side == "negative" else "adapters"
                    yield f"adapters.{change.side}.{part}.{path}.down", group, _parameter(change.down)
                    yield f"adapters.{change.side}.{part}.{path}.up", group, _parameter(change.up)
        if self.originals:
            for name, parameter in self.unet.named_parameters():
                yield f"whole.{name}", "whole", parameter

    @contextmanager
    def attached(self) -> Generator[None]:
        """Let the adapters act within the block, which must hold the backward pass too: checkpointing runs the layers
        again there, and without their adapters they would give other numbers."""
        with ExitStack() as stack:
            stack.enter_context(changed(self.unet, self.factors.get("unet", {}), self.layout))
            for tower in self.loaded.prompts.towers:
                stack.enter_context(changed(tower.encoder, self.factors.get(tower.part, {}), self.layout))
            yield

    @contextmanager
    @torch.no_grad()
    def resting(self) -> Generator[None]:
        """Within the block the pipeline draws as it did before; what all methods but DreamBooth's train hangs beside it
        anyway."""
        weights = dict(self.unet.named_parameters()) if self.originals else {}
        trained = {name: weight.detach().clone() for name, weight in weights.items()}
        self._put_back(weights, self.originals, self.precision)
        try:
            yield
        finally:
            self._put_back(weights, trained, torch.float32)

    @torch.no_grad()
    def dismiss(self) -> None:
        """Leave the pipeline as it was before, for good."""
        self._put_back(dict(self.unet.named_parameters()) if self.originals else {}, self.originals, self.precision)
        self.unet.requires_grad_(False)
        self.unet.disable_gradient_checkpointing()
        for name in self.words:
            side, _, part = name.partition(".")
            self.loaded.prompts.rack.words(part).drop(self.word(side))

    def _put_back(self, weights: Mapping[str, Tensor], values: Mapping[str, Tensor], precision: torch.dtype) -> None:
        if weights:
            self.unet.to(precision)
            for name, weight in weights.items():
                weight.copy_(values[name])

    def word(self, side: str) -> str:
        """What the pseudo-word of a side is called."""
        return f"{self.options.name}-neg" if side == "negative" else self.options.name

    def predict(self, noised: Tensor, timestep: int, template: str, *, said: bool = True) -> Tensor:
        """The U-Net's predictions for one noised latent (1, c, h, w), one row a side of the layout, in one batch.

        To be called inside `attached`.
        `template` has {} for the word. Without `said` the words to begin from stand there, and nothing on the
        negative side: that is for pictures that are none of the concept.
        """
        states, pooled = self.read([self.text(side, template, said=said) for side in self.layout])
        rows = noised.expand(len(self.layout), *noised.shape[1:])
        states = states.to(self.unet.dtype)
        return self.unet(rows, timestep, states, **self._conditions(pooled, noised), return_dict=False)[0]

    def text(self, side: Literal["positive", "negative"], template: str, *, said: bool = True) -> str:
        """One side's prompt: the same template, with the negative word on the negative side as in the authors' code."""
        if not said:
            return template.format(self.options.like) if side == "positive" else ""
        return template.format(f"<{self.word(side)}>")

    def read(self, texts: Sequence[str]) -> tuple[Tensor, Tensor | None]:
        """Hidden states (sides, length, dim) of the sides' texts, and the pooled texts where the U-Net takes them."""
        outputs = [self._read(tower, texts) for tower in self.loaded.prompts.towers]
        return torch.cat([states for states, _ in outputs], -1), outputs[-1][1]

    def _read(self, tower: TextTower, texts: Sequence[str]) -> tuple[Tensor, Tensor | None]:
        encoder = self.loaded.prompts
        ids = [[token for token, _ in encoder.tokens(tower, text, {})] for text in texts]
        return read(tower, token_rows(tower, ids))

    def _conditions(self, pooled: Tensor | None, noised: Tensor) -> dict[str, Any]:
        """What XL's U-Net is told beside: pooled text, and the picture's size as seen, uncropped and wanted."""
        if pooled is None:
            return {}
        scale = self.loaded.pipeline.vae_scale_factor
        height, width = (scale * side for side in noised.shape[-2:])
        sizes = torch.tensor([[height, width, 0, 0, height, width]] * len(self.layout), device=pooled.device)
        return {"added_cond_kwargs": {"text_embeds": pooled, "time_ids": sizes.to(pooled.dtype)}}


def enrol(loaded: Loaded, options: Options) -> Student:
    """Freeze a pipeline and hang onto it, freshly initialised, what the options' method trains."""
    pipeline, how = loaded.pipeline, options.how
    parts = [pipeline.unet, pipeline.vae, *(tower.encoder for tower in loaded.prompts.towers)]
    for part in parts:
        part.requires_grad_(False)
    if options.checkpointing:
        pipeline.unet.enable_gradient_checkpointing()
    layout: Layout = ("negative", "positive") if how.guided else ("positive",)
    student = Student(loaded, options, layout, precision=pipeline.unet.dtype)
    generator = torch.Generator().manual_seed(options.seed)
    _add_words(student, generator)
    if how.adapter != "none":
        sides: tuple[Side, ...] = ("negative", "positive") if how.adapter == "sides" else ("both",)
        _add_factors(student, sides, generator)
    if how.whole:
        # In bfloat16 an update of a thousandth of a weight would be rounded away.
        pipeline.unet.float().requires_grad_(True)
        student.originals = {name: p.detach().clone() for name, p in pipeline.unet.named_parameters()}
    return student


def _add_words(student: Student, generator: torch.Generator) -> None:
    """The vectors that the paper begins from: positive from words, negative from the end token and a little noise.

    Where vectors are not trained, a rare one, as far from all words as words are from each other, and the words
    themselves stand for the concept: DreamBooth's «a [V] robot».
    """
    options, prompts = student.options, student.loaded.prompts
    for tower in prompts.towers:
        table = tower.encoder.get_input_embeddings().weight.detach().float()
        like = [token for token, _ in prompts.tokens(tower, options.like, {})]
        start = table[like] if like else table.mean(0, keepdim=True)
        if options.how.words:
            count = options.positive_words
            begin = torch.stack([start[i * len(start) // count] for i in range(count)])
        else:
            rare = torch.randn(1, table.shape[1], generator=generator).to(table) * table.std()
            begin = torch.cat([rare, start])
        _put(student, tower, "positive", begin)
        if options.how.guided:
            end = table[tower.tokenizer.eos_token_id].expand(options.negative_words, -1)
            _put(student, tower, "negative", end + 1e-3 * torch.randn(end.shape, generator=generator).to(end))


def _put(student: Student, tower: TextTower, side: str, vectors: Tensor) -> None:
    vectors = nn.Parameter(vectors.clone(), requires_grad=student.options.how.words)
    student.words[f"{side}.{tower.part}"] = vectors
    student.loaded.prompts.rack.words(tower.part).put(student.word(side), vectors)


def _add_factors(student: Student, sides: tuple[Side, ...], generator: torch.Generator) -> None:
    """LoRA's start: `down` uniform as a linear layer's weights, `up` zeros, so that at first nothing is changed."""
    options = student.options
    unread = {path for tower in student.loaded.prompts.towers for path in _unread(tower)}
    parts = [("unet", student.unet, options.targets, options.rank)]
    parts += [(t.part, t.encoder, options.text_targets, options.text_rank) for t in student.loaded.prompts.towers]
    for part, module, targets, rank in parts:
        layers = {path: shape for path, shape in layers_named(module, targets).items() if path not in unread}
        student.factors[part] = {
            path: [_factors(side, shape, rank, generator, module.device) for side in sides]
            for path, shape in layers.items()
        }


def _unread(tower: TextTower) -> set[str]:
    """The layers of a text encoder that nothing is read from: the last block's, of XL's first encoder."""
    if not tower.penultimate or hasattr(tower.encoder, "text_projection"):
        return set()
    last = f"layers.{tower.encoder.config.num_hidden_layers - 1}."
    return {path for path, _ in tower.encoder.named_modules() if last in path}


def _factors(side: Side, shape: tuple[int, int], rank: int, generator: torch.Generator, device: torch.device) -> Change:
    bound = 1 / math.sqrt(shape[1])
    down = (2 * torch.rand(rank, shape[1], generator=generator) - 1) * bound
    return Change(side, nn.Parameter(down.to(device)), nn.Parameter(torch.zeros(shape[0], rank, device=device)))


def _parameter(tensor: Tensor) -> nn.Parameter:
    assert isinstance(tensor, nn.Parameter)
    return tensor
