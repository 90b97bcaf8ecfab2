"""The policy that PPO trains, its value head, and the reference that it is compared with, on one shared trunk.

Only the last blocks are trained. All below them, the table of words too, is frozen and runs once a text: the policy,
its copy from before (the reference), and every later pass of the same rollouts begin from what the trunk gave.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from limner.train.writer.rollout import Layout, positions_of, takes_positions
from limner.types import ModelUnavailable

VALUE_HEAD = "value_head"
"""How the names of the value head's parameters begin."""

_NORMS = ("norm", "ln_f", "final_layer_norm", "final_layernorm")


@dataclass(frozen=True, slots=True)
class Trunk:
    """What goes into the first trained block, (n, tokens, width), and what each of them gets beside it."""

    hidden: Tensor
    others: tuple[tuple[tuple[Any, ...], dict[str, Any]], ...]
    layout: Layout

    def rows(self, chosen: Tensor) -> Trunk:
        """The trunk of some of the texts."""
        count = len(self.hidden)
        others = tuple(_rows(each, chosen, count) for each in self.others)
        here = chosen.to(self.layout.ids.device)
        layout = Layout(self.layout.ids[here], self.layout.mask[here], self.layout.width)
        return Trunk(self.hidden[chosen], others, layout)


def _rows(value: Any, chosen: Tensor, count: int) -> Any:
    """The chosen rows of every tensor in a value that has one row a text; what is shared by all stays."""
    if isinstance(value, Tensor):
        return _tensor_rows(value, chosen, count)
    if isinstance(value, tuple):
        return tuple(_rows(each, chosen, count) for each in cast(tuple[Any, ...], value))
    if isinstance(value, dict):
        return {name: _rows(each, chosen, count) for name, each in cast(dict[str, Any], value).items()}
    return value


def _tensor_rows(value: Tensor, chosen: Tensor, count: int) -> Tensor:
    if count > 1 and value.ndim > 1 and len(value) == count:
        return value[chosen]
    if count > 1 and value.ndim == 3 and len(value) > count and len(value) % count == 0:  # BLOOM's: texts times heads
        return value.view(count, -1, *value.shape[1:])[chosen].reshape(-1, *value.shape[1:])
    return value


@dataclass(frozen=True, slots=True)
class Judgement:
    """Log-probabilities of the targets' tokens under the whole softmax, and values before each: (n, length)."""

    logs: Tensor
    values: Tensor


class Policy:
    """A causal language model with its last `depth` blocks trained (0: all), or with the LoRA adapters that it has."""

    def __init__(self, model: Any, depth: int) -> None:
        self.model = model
        self.adapted = hasattr(model, "disable_adapter")
        self.plain: Any = model.get_base_model() if self.adapted else model
        self.decoder: Any = self.plain.base_model
        self.head: nn.Module = self.plain.get_output_embeddings()
        blocks = _blocks(self.decoder)
        self.blocks = blocks[len(blocks) - min(depth or len(blocks), len(blocks)) :]
        self.norm = _norm(self.decoder)
        width = int(self.plain.config.hidden_size)
        self.value_head = new_value_head(width).to(self.plain.device)
        self._freeze()
        self.reference_blocks = self.blocks if self.adapted else [_frozen_copy(block) for block in self.blocks]
        self.reference_norm = self.norm if self.adapted else _frozen_copy(self.norm)
        self._takes_positions = takes_positions(self.plain)
        model.eval()  # no dropout: the ratio of the first pass is 1

    def _freeze(self) -> None:
        if self.adapted:
            trained = {id(block) for block in self.blocks}
            below = [block for block in _blocks(self.decoder) if id(block) not in trained]
            if any(p.requires_grad for block in below for p in block.parameters()):
                raise ModelUnavailable("an adapter lies below the trained blocks", "train as many blocks as have one")
            return
        nn.Module.requires_grad_(self.plain, False)
        for part in (*self.blocks, self.norm):
            nn.Module.requires_grad_(part, True)

    def trained(self) -> Iterator[tuple[str, nn.Parameter]]:
        """What is trained, by name: of the last blocks, and the value head."""
        for name, parameter in nn.Module.named_parameters(self.model):
            if parameter.requires_grad:
                yield name, parameter
        for name, parameter in self.value_head.named_parameters():
            yield f"{VALUE_HEAD}.{name}", parameter

    @torch.no_grad()
    def look(self, layout: Layout) -> tuple[Trunk, Judgement, Tensor]:
        """One pass over texts: their trunk, the policy's judgement, and the reference's log-probabilities."""
        seen: dict[int, tuple[tuple[Any, ...], dict[str, Any]]] = {}
        handles = [
            block.register_forward_pre_hook(_recorder(seen, number), with_kwargs=True)
            for number, block in enumerate(self.blocks)
        ]
        try:
            last = self.decoder(**self._inputs(layout), use_cache=False).last_hidden_state
        finally:
            for handle in handles:
                handle.remove()
        hidden = _hidden(*seen[0])
        trunk = Trunk(hidden, tuple(_without_hidden(*seen[i]) for i in range(len(self.blocks))), layout)
        with self._as_reference():
            reference = self._top(trunk, self.reference_blocks, self.reference_norm)
        return trunk, self._judged(last, layout), self._logs(reference, layout)

    def judge(self, trunk: Trunk) -> Judgement:
        """The policy's judgement from the trunk on, with gradients."""
        return self._judged(self._top(trunk, self.blocks, self.norm), trunk.layout)

    def _as_reference(self) -> AbstractContextManager[Any]:
        return self.model.disable_adapter() if self.adapted else nullcontext()

    def _inputs(self, layout: Layout) -> dict[str, Tensor]:
        place = self.plain.device
        mask = layout.mask.to(place)
        inputs = {"input_ids": layout.ids.to(place), "attention_mask": mask}
        positions = {"position_ids": positions_of(mask)} if self._takes_positions else {}
        return inputs | positions

    def _top(self, trunk: Trunk, blocks: Sequence[nn.Module], norm: nn.Module) -> Tensor:
        hidden: Any = trunk.hidden
        for block, (arguments, named) in zip(blocks, trunk.others, strict=True):
            out: Any = block(hidden, *arguments, **named)
            hidden = cast(Any, out[0] if isinstance(out, tuple) else out)
        return norm(hidden)

    def _judged(self, last: Tensor, layout: Layout) -> Judgement:
        before = last[:, layout.width - 1 : -1]
        values = self.value_head(before.float())[..., 0]
        return Judgement(self._logs(last, layout), values)

    def _logs(self, last: Tensor, layout: Layout) -> Tensor:
        logits = self.head(last[:, layout.width - 1 : -1]).float()
        targets = layout.targets.to(logits.device)
        return logits.log_softmax(-1).gather(-1, targets[..., None])[..., 0]


def new_value_head(width: int) -> nn.Sequential:
    """Linear(d, 2d), ReLU, Linear(2d, 1), in float32; it says 0 of everything until it has learned (methods 2.4)."""
    head = nn.Sequential(nn.Linear(width, 2 * width), nn.ReLU(), nn.Linear(2 * width, 1))
    last = head[2]
    assert isinstance(last, nn.Linear)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    return head


def _blocks(decoder: nn.Module) -> list[nn.Module]:
    """The decoder's blocks: its longest list of modules."""
    lists = [child for child in decoder.children() if isinstance(child, nn.ModuleList)]
    if not lists:
        raise ModelUnavailable(f"{type(decoder).__name__} has no list of blocks", "take another causal language model")
    return list(max(lists, key=len))


def _norm(decoder: nn.Module) -> nn.Module:
    found = [child for name, child in decoder.named_children() if name in _NORMS]
    if len(found) != 1:
        raise ModelUnavailable(f"{type(decoder).__name__} has no last norm", "take another causal language model")
    return found[0]


def _frozen_copy(part: nn.Module) -> nn.Module:
    return nn.Module.requires_grad_(copy.deepcopy(part), False).eval()


def _recorder(seen: dict[int, tuple[tuple[Any, ...], dict[str, Any]]], number: int) -> Any:
    def record(_: nn.Module, arguments: tuple[Any, ...], named: dict[str, Any]) -> None:
        seen[number] = (arguments, dict(named))

    return record


def _hidden(arguments: tuple[Any, ...], named: dict[str, Any]) -> Tensor:
    return arguments[0] if arguments else named["hidden_states"]


def _without_hidden(arguments: tuple[Any, ...], named: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    return arguments[1:], {name: value for name, value in named.items() if name != "hidden_states"}
