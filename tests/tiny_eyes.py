"""Tiny checkpoints of the models that look at pictures, with random weights, saved to disk as users find them.

Each builder returns the folder it wrote; tests load it through the same `from_pretrained` path as a real model.
"""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from tokenizers.pre_tokenizers import ByteLevel

# As a module of unknown types: the library's own annotations refuse arguments that its documentation asks for.
transformers = import_module("transformers")

OWL_LENGTH = 32
WORDS = ("red", "blue", "fox", "car", "castle", "snow")
_SIZE: dict[str, Any] = {"hidden_size": 32, "intermediate_size": 37, "num_hidden_layers": 2, "num_attention_heads": 4}
_MEAN, _STD = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]


def owlvit(folder: Path) -> Path:
    """An OwlViTForObjectDetection that stretches pictures to 32 x 32 and proposes 16 boxes."""
    return _owl(folder, "OwlViT", {"resample": 3, "image_processor_type": "OwlViTImageProcessor"})


def owlv2(folder: Path) -> Path:
    """An Owlv2ForObjectDetection that pads pictures to a square of 32 x 32 and proposes 16 boxes."""
    return _owl(folder, "Owlv2", {"resample": 2, "do_pad": True, "image_processor_type": "Owlv2ImageProcessor"})


def _owl(folder: Path, name: str, settings: dict[str, Any]) -> Path:
    tokenizer = _owl_tokenizer()
    text = _SIZE | {"vocab_size": len(tokenizer), "max_position_embeddings": OWL_LENGTH}
    text |= {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id, "pad_token_id": 0}
    vision = _SIZE | {"image_size": 32, "patch_size": 8}
    config = getattr(transformers, f"{name}Config")(text_config=text, vision_config=vision, projection_dim=32)
    _save(getattr(transformers, f"{name}ForObjectDetection"), config, folder, std=0.1)
    tokenizer.save_pretrained(folder)
    _write_preprocessor(folder, {"height": 32, "width": 32}, settings)
    return folder


def _owl_tokenizer() -> Any:
    """A byte-level CLIP tokenizer with its special tokens last, as in CLIP's own: OWL reads at the highest id."""
    letters = sorted(ByteLevel.alphabet())
    vocabulary = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    table = {token: index for index, token in enumerate(vocabulary)}
    return transformers.CLIPTokenizer(vocab=table, merges=[], model_max_length=OWL_LENGTH, pad_token="!")


def grounding_dino(folder: Path) -> Path:
    """A GroundingDinoForObjectDetection with a Swin backbone that proposes 12 boxes."""
    return _grounding(folder, "GroundingDino")


def mm_grounding_dino(folder: Path) -> Path:
    """The same as an MMGroundingDinoForObjectDetection."""
    return _grounding(folder, "MMGroundingDino")


def _grounding(folder: Path, name: str) -> Path:
    tokenizer = _bert_tokenizer()
    swin = transformers.SwinConfig(
        image_size=32,
        patch_size=2,
        embed_dim=8,
        depths=[1, 1, 1],
        num_heads=[2, 2, 2],
        window_size=4,
        out_features=["stage2", "stage3"],
    )
    config = getattr(transformers, f"{name}Config")(
        backbone_config=swin,
        text_config=transformers.BertConfig(**_SIZE, vocab_size=len(tokenizer), max_position_embeddings=64),
        d_model=32,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        encoder_ffn_dim=32,
        decoder_ffn_dim=32,
        num_queries=12,
        num_feature_levels=3,
        max_text_len=32,
    )
    _save(getattr(transformers, f"{name}ForObjectDetection"), config, folder, std=0.2)
    tokenizer.save_pretrained(folder)
    settings = {"do_pad": True, "resample": 2, "image_processor_type": "GroundingDinoImageProcessor"}
    _write_preprocessor(folder, {"shortest_edge": 48, "longest_edge": 80}, settings)
    return folder


def _bert_tokenizer() -> Any:
    """BERT's, with its special ids where the real one has them: Grounding DINO knows separators by their ids."""
    entries = [f"[unused{index}]" for index in range(1030)]
    special = {0: "[PAD]", 100: "[UNK]", 101: "[CLS]", 102: "[SEP]", 103: "[MASK]", 1012: ".", 1029: "?"}
    for index, token in special.items():
        entries[index] = token
    letters = "abcdefghijklmnopqrstuvwxyz"
    entries += [*letters, *(f"##{letter}" for letter in letters), *WORDS]
    return transformers.BertTokenizer(vocab={entry: index for index, entry in enumerate(entries)})


def sam(folder: Path) -> Path:
    """A SamModel of 32-pixel pictures, with 8-pixel masks."""
    config = transformers.SamConfig(
        vision_config={
            **_SIZE,
            "output_channels": 16,
            "image_size": 32,
            "patch_size": 16,
            "window_size": 2,
            "global_attn_indexes": [1],
            "mlp_dim": 37,
            "num_pos_feats": 8,
        },
        prompt_encoder_config={"hidden_size": 16, "image_size": 32, "patch_size": 16, "mask_input_channels": 4},
        mask_decoder_config={
            "hidden_size": 16,
            "mlp_dim": 32,
            "num_attention_heads": 2,
            "iou_head_hidden_dim": 16,
        },
    )
    _save(transformers.SamModel, config, folder, std=0.4)
    settings = {"pad_size": {"height": 32, "width": 32}, "resample": 2, "image_processor_type": "SamImageProcessor"}
    _write_preprocessor(folder, {"longest_edge": 32}, settings)
    return folder


def blip_captioner(folder: Path) -> Path:
    """A BlipForConditionalGeneration of 32-pixel pictures, as Salesforce/blip-image-captioning-base is laid out."""
    entries = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ".", *WORDS]
    tokenizer = transformers.BertTokenizer(vocab={entry: index for index, entry in enumerate(entries)})
    # BLIP starts from a token that its decoder knows and its tokenizer does not.
    special = {"bos_token_id": len(entries), "eos_token_id": 3, "sep_token_id": 3, "pad_token_id": 0}
    config = transformers.BlipConfig(
        text_config=_SIZE
        | special
        | {"vocab_size": len(entries) + 2, "encoder_hidden_size": 32, "max_position_embeddings": 64},
        vision_config=_SIZE | {"image_size": 32, "patch_size": 8},
    )
    _save(transformers.BlipForConditionalGeneration, config, folder, std=0.4)
    tokenizer.save_pretrained(folder)
    _write_preprocessor(folder, {"height": 32, "width": 32}, {"image_processor_type": "BlipImageProcessor"})
    return folder


def blip2_captioner(folder: Path) -> Path:
    """A Blip2ForConditionalGeneration around a tiny OPT, as Salesforce/blip2-opt-2.7b is laid out."""
    entries = ["<s>", "<pad>", "</s>", "<unk>", "<image>", *WORDS, *(f"Ġ{word}" for word in WORDS), "."]
    tokenizer = transformers.GPT2Tokenizer(
        vocab={entry: index for index, entry in enumerate(entries)},
        merges=[],
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
        additional_special_tokens=["<image>"],
    )
    text = {"hidden_size": 32, "word_embed_proj_dim": 32, "ffn_dim": 37, "num_hidden_layers": 2}
    text |= {"num_attention_heads": 4, "vocab_size": len(entries), "max_position_embeddings": 64}
    text |= {"bos_token_id": 0, "pad_token_id": 1, "eos_token_id": 2}
    config = transformers.Blip2Config(
        vision_config=_SIZE | {"image_size": 32, "patch_size": 8},
        qformer_config=_SIZE | {"vocab_size": 8, "encoder_hidden_size": 32},
        text_config=transformers.OPTConfig(**text),
        num_query_tokens=3,
        image_token_index=4,
    )
    _save(transformers.Blip2ForConditionalGeneration, config, folder, std=0.4)
    tokenizer.save_pretrained(folder)
    _write_preprocessor(folder, {"height": 32, "width": 32}, {"image_processor_type": "BlipImageProcessor"})
    return folder


def _save(kind: Any, config: Any, folder: Path, *, std: float) -> None:
    """Larger matrices than at the start of training, or all pictures and texts would look the same."""
    transformers.set_seed(0)
    model = kind(config)
    for weight in model.parameters():
        if weight.dim() > 1:
            torch.nn.init.normal_(weight.data, std=std)
    model.save_pretrained(folder)


def _write_preprocessor(folder: Path, size: dict[str, int], settings: dict[str, Any]) -> None:
    common = {
        "do_resize": True,
        "size": size,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": _MEAN,
        "image_std": _STD,
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(common | settings))
