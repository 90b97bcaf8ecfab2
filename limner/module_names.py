"""How other programs call the modules of a model, as tables built from the modules that it has.

Limner calls a module by part and path, «unet.down_blocks.0.attentions.0.proj_in», as diffusers and transformers do.
Kohya's files write underscores for dots, from which no dot can be told again, and for SDXL the names of the original
code; older diffusers files leave out «.0» of `to_out`; a CLIPTextModel was one level deeper («text_model.») before
transformers 5.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Literal

PARTS = ("unet", "text_encoder", "text_encoder_2")
_PREFIXES = {
    "lora_unet_": "unet_",
    "lora_te1_": "text_encoder_",
    "lora_te2_": "text_encoder_2_",
    "lora_te_": "text_encoder_",
}
_DEEPER = ("embeddings.", "encoder.", "final_layer_norm")
_OLD_ATTENTION = {"q_proj": "to_q", "k_proj": "to_k", "v_proj": "to_v", "out_proj": "to_out", "to_out.0": "to_out"}
_BLOCK = re.compile(r"(down|up)_blocks\.(\d+)\.(attentions|resnets|downsamplers|upsamplers)\.(\d+)\.(.+)")
_MIDDLE = re.compile(r"mid_block\.(attentions|resnets)\.(\d+)\.(.+)")
_IN_RESNET = {
    "conv1": "in_layers.2",
    "conv2": "out_layers.3",
    "time_emb_proj": "emb_layers.1",
    "conv_shortcut": "skip_connection",
}
_OUTSIDE = {
    "conv_in": "input_blocks.0.0",
    "conv_out": "out.2",
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
}


def spellings(modules: Iterable[str]) -> Mapping[str, str]:
    """Every name by which a module may be called, with underscores for dots, and the module that it means.

    A name that two modules share is left out.
    """
    paths = sorted(modules)
    layers = len({path for path in paths if re.fullmatch(r"unet\.down_blocks\.0\.resnets\.\d+\.conv1", path)})
    upsampled = {path.split(".")[2] for path in paths if re.match(r"unet\.up_blocks\.\d+\.attentions\.", path)}
    found: dict[str, str] = {}
    shared: set[str] = set()
    for path in paths:
        for name in {spelling.replace(".", "_") for spelling in _names(path, layers, upsampled)}:
            shared |= {name} if found.setdefault(name, path) != path else set()
    return {name: path for name, path in found.items() if name not in shared}


def _names(path: str, layers: int, attending: set[str]) -> Iterator[str]:
    part, _, rest = path.partition(".")
    if part == "unet":
        yield from (path, f"unet.{_original(rest, layers, attending)}")
    else:
        yield from (f"{part}.{deeper(rest)}", f"{part}.{rest.removeprefix('text_model.')}")
    for ending, old in _OLD_ATTENTION.items():
        if path.endswith(f".{ending}"):
            stem = path.removesuffix(ending) + old
            yield from (stem, f"{part}.{deeper(stem.partition('.')[2])}")


def deeper(rest: str) -> str:
    """A text encoder's module with the «text_model.» that files carry, whatever this transformers calls it."""
    return f"text_model.{rest}" if rest.startswith(_DEEPER) else rest


def _original(rest: str, layers: int, attending: set[str]) -> str:
    """A UNet module as the original code of Stable Diffusion calls it; `layers` are the resnets of a down block."""
    if middle := _MIDDLE.fullmatch(rest):
        kind, index, inner = middle.groups()
        return f"middle_block.{1 if kind == 'attentions' else 2 * int(index)}.{_in_block(kind, inner)}"
    if not (block := _BLOCK.fullmatch(rest)):
        return _OUTSIDE.get(rest, rest)
    direction, number, kind, index, inner = block.groups()
    within = layers if kind.endswith("samplers") else int(index)
    place = int(number) * (layers + 1) + within
    if kind == "downsamplers":
        return f"input_blocks.{1 + place}.0.op"
    if kind == "upsamplers":
        return f"output_blocks.{place}.{2 if number in attending else 1}.{inner}"
    stem = f"input_blocks.{1 + place}" if direction == "down" else f"output_blocks.{place}"
    return f"{stem}.{int(kind == 'attentions')}.{_in_block(kind, inner)}"


def _in_block(kind: str, inner: str) -> str:
    return _IN_RESNET.get(inner, inner) if kind == "resnets" else inner


def resolve(stem: str, names: Mapping[str, str], part: str = "") -> str:
    """The module that a file calls `stem`, or "" where it cannot be told; `part` is what the file is about, if known.

    `names` are the `spellings` of the model.
    """
    flat = stem.removeprefix("base_model.model.").replace(".processor.", ".").replace(".", "_")
    for prefix, ours in _PREFIXES.items():
        if flat.startswith(prefix):
            return names.get(ours + flat.removeprefix(prefix), "")
    if flat in names and not part:
        return names[flat]
    found = {names[name] for name in (f"{each}_{flat}" for each in ([part] if part else PARTS)) if name in names}
    return found.pop() if len(found) == 1 else ""


def kohya_name(path: str, family: Literal["sd", "sdxl"]) -> str:
    """A module as kohya's files call it: `lora_unet_`, `lora_te_` (SDXL: `lora_te1_`, `lora_te2_`) and underscores."""
    part, _, rest = path.partition(".")
    first = "lora_te1" if family == "sdxl" else "lora_te"
    prefix = {"unet": "lora_unet", "text_encoder": first, "text_encoder_2": "lora_te2"}[part]
    return f"{prefix}_{(rest if part == 'unet' else deeper(rest)).replace('.', '_')}"
