"""Where a picture attends to each word of its prompt: DAAM (Tang et al. 2022, «What the DAAM»).

A cross-attention layer gives every place of the picture a distribution over the prompt's tokens. Summed over layers
and steps, a token's share of it is a map of where that token was looked at (their section 2.2).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from diffusers.models.attention_processor import Attention
from torch import Tensor

from limner.backends.diffusion import DiffusionModel
from limner.backends.pipelines import latent_scale
from limner.backends.words import unknown_words
from limner.concept import bare, uses
from limner.prompt import parse
from limner.protocols import DrawRequest
from limner.types import LimnerError, Picture

MOST_WORDS = 40
"""Maps are of the picture's size: so many of SDXL's are 160 MB, and more would not be looked at."""

_CONCEPT = re.compile(r"(<[A-Za-z0-9][A-Za-z0-9_-]*>)")
_WORD = re.compile(r"\w+(?:['’-]\w+)*")


@dataclass(frozen=True, slots=True, eq=False)
class HeatMaps:
    """`maps`: float32 (words, height, width) of the picture's size, in [0, 1]; one for each of `words`, in order.

    Every map is divided by its own maximum, of which DAAM's threshold for a word's region is a share: it says where a
    word was looked at, not how much more than another. `left_out` are the words after the first MOST_WORDS.
    """

    words: tuple[str, ...]
    maps: npt.NDArray[np.float32]
    left_out: tuple[str, ...] = ()


def heat_of(model: DiffusionModel, request: DrawRequest) -> tuple[Picture, HeatMaps]:
    """Draw a request while looking at its cross-attention: the same picture that `model.draw` gives, and its maps.

    Words are those of `word_spans`, a word's map is the mean of its tokens'. Raises as `model.draw` does, and
    LimnerError for a U-Net whose layers are not the latent halved.
    """
    # Which batch sizes are safe is tried out at a shape's first picture: those trials are not to be looked at.
    model.draw([replace(request, steps=1)])
    prompts, pipeline = model.loaded.prompts, model.loaded.pipeline
    tokens = prompts.pair(request.prompt, request.negative_prompt)[0].states.shape[1]
    size = request.height // latent_scale(pipeline), request.width // latent_scale(pipeline)
    total = torch.zeros((tokens, *size), device=pipeline.unet.device)
    with _watched(pipeline.unet, total):
        [picture] = model.draw([request])
    tokenizer = pipeline.tokenizer or pipeline.tokenizer_2  # SDXL's refiner has only the second
    spans = word_spans(tokenizer, request.prompt, prompts.length_of)
    words, shown = tuple(word for word, _ in spans), spans[:MOST_WORDS]
    maps = _word_maps(total, [places for _, places in shown], (request.height, request.width))
    return picture, HeatMaps(words[:MOST_WORDS], maps, words[MOST_WORDS:])


@contextmanager
def _watched(unet: Any, total: Tensor) -> Generator[None]:
    """Within the block every cross-attention of the U-Net is added to `total` (tokens, height, width).

    Hooks look on beside the attention processors instead of replacing them: what is drawn keeps all its bits.
    """
    with ExitStack() as stack:
        for layer in unet.modules():
            if isinstance(layer, Attention):
                hook: Any = partial(_add, total)
                stack.callback(layer.register_forward_hook(hook, with_kwargs=True).remove)
        yield


def _add(total: Tensor, layer: Any, args: tuple[Tensor, ...], kwargs: dict[str, Any], _: Tensor) -> None:
    text = kwargs.get("encoder_hidden_states")
    if text is None:  # self-attention
        return
    shares = attention(layer, args[0], text)
    grid = shares.reshape(1, len(shares), *_grid(shares.shape[1], *total.shape[1:]))
    total += F.interpolate(grid, size=total.shape[1:], mode="bicubic").clamp(min=0)[0]


def attention(layer: Any, places: Tensor, text: Tensor) -> Tensor:
    """Softmax(q k / sqrt(d)), the mean over heads, of the batch's last row: float32 (tokens, places).

    Guided batches are [negative, positive] and unguided ones positive, so that the last row always is the prompt's.
    Both sides are projected even so: an adapter on a projection may need to see the whole batch.
    """
    text = layer.norm_encoder_hidden_states(text) if layer.norm_cross else text
    query, key = layer.to_q(places), layer.to_k(text)
    heads = [layer.head_to_batch_dim(each[-1:]).float() for each in (query, key)]
    return layer.get_attention_scores(*heads).mean(dim=0).T


def _grid(places: int, height: int, width: int) -> tuple[int, int]:
    """Height and width of a layer with so many places: the latent's, halved as often as needed."""
    rows, columns = height, width
    while rows * columns > places:
        rows, columns = (rows + 1) // 2, (columns + 1) // 2
    if rows * columns != places:
        raise LimnerError(f"a layer looks at {places} places of a latent of {width}x{height}", "draw without heat maps")
    return rows, columns


def _word_maps(total: Tensor, spans: Sequence[Sequence[int]], size: tuple[int, int]) -> npt.NDArray[np.float32]:
    if not spans:
        return np.zeros((0, *size), np.float32)
    means = torch.stack([total[list(places)].mean(dim=0) for places in spans])
    large = F.interpolate(means[None], size=size, mode="bicubic").clamp(min=0)[0]
    return (large / large.amax(dim=(1, 2), keepdim=True).clamp(min=1e-12)).cpu().numpy()


def word_spans(
    tokenizer: Any, prompt: str, length_of: Callable[[str], int] = lambda word: 0
) -> list[tuple[str, list[int]]]:
    """The words of a prompt (A1111 syntax) in order, each with the places of its tokens in the text's hidden states.

    Places count the start and end tokens of all windows (see prompts.py). Numbers, punctuation and words that only join
    others are left out; a word said twice is there twice. A concept `<name>` is one word of `length_of("<name>")`
    tokens; one of which that is 0 is tokenized as text.
    """
    room, spans, count = tokenizer.model_max_length - 2, list[tuple[str, list[int]]](), 0
    for piece, silent in _pieces(prompt):
        length = length_of(piece)
        found, taken = ([(piece, range(length))], length) if length else _words(tokenizer, piece)
        if silent and length:
            continue
        for word, tokens in found:
            places = [count + token for token in tokens]
            spans.append((word, [place + 1 + 2 * (place // room) for place in places]))
        count += taken
    return spans


def _pieces(prompt: str) -> Iterator[tuple[str, bool]]:
    """A prompt's texts as they are tokenized, and whether each is a concept of strength 0, which takes no tokens."""
    silent = {f"<{use.name}>" for use in uses(prompt) if not use.positive}
    for segment in parse(bare(prompt)):
        yield from ((piece, piece in silent) for piece in _CONCEPT.split(segment.text))


def _words(tokenizer: Any, text: str) -> tuple[list[tuple[str, Sequence[int]]], int]:
    """The words of a text that say what to draw, each with the numbers of its tokens, and how many tokens there are."""
    plainly = {"add_special_tokens": False, "verbose": False, "return_offsets_mapping": True}
    spans: list[tuple[int, int]] = tokenizer(text, **plainly).offset_mapping
    # A word that a model without any words does not know is one that says something.
    said = [word for word in _WORD.finditer(text) if unknown_words(word[0], frozenset())]
    found = [(w[0], [i for i, (a, b) in enumerate(spans) if a < w.end() and b > w.start()]) for w in said]
    return [(word, tokens) for word, tokens in found if tokens], len(spans)
