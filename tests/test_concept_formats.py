"""Concepts go to other programs and come back, and those programs' own loaders read them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file  # pyright: ignore[reportUnknownVariableType]

from limner.concept import About, Array, Concept, Factors, Side
from limner.concept_file import save
from limner.concept_formats import Export, export, left_out, read_foreign
from limner.foreign_files import embedding_from_table
from limner.tensorfile import encode, read_tensors
from limner.types import BadInput
from tests import concepts
from tests.concepts import MODULES, TEXT_FC, TEXT_OUT, TEXT_QUERY, UNET_CONV, UNET_KEY, UNET_OUT, gizmo, plain_lora

diffusers = import_module("diffusers")
SDXL_MODULES = MODULES | {"text_encoder_2.text_model.encoder.layers.0.self_attn.q_proj": (48, 48)}


def sdxl() -> Concept:
    words: dict[Side, dict[str, Array]] = {
        "positive": {"text_encoder": concepts.values(1, 2, 32), "text_encoder_2": concepts.values(2, 2, 48)}
    }
    return Concept("gizmo", words, about=About(family="sdxl"))


@pytest.mark.parametrize("form", ["diffusers", "kohya", "peft"])
def test_round_trip(form: Export, tmp_path: Path) -> None:
    files = export(gizmo(), form, tmp_path / "out")
    tensors = [path for path in files if path.suffix == ".safetensors"]
    back, matched = read_foreign(tensors, "other", MODULES)
    assert (back.name, back.about.method, back.about.family) == ("other", "imported", "sd")
    assert concepts.same_words(back, gizmo())
    assert back.adapters.keys() == {"positive", "negative"}
    for side, table in gizmo().adapters.items():
        concepts.assert_same_adapters(table, back.adapters[side])
    assert (matched.found, matched.total, matched.unknown) == (16, 16, ())
    expected = {"diffusers": 1.0, "kohya": 1 / 3, "peft": 0.25}  # the rest is inside a factor
    assert back.adapters["positive"][UNET_OUT].scale == pytest.approx(expected[form])


def test_round_trip_of_words_for_a1111(tmp_path: Path) -> None:
    files = export(gizmo(), "a1111", tmp_path)
    assert [path.name for path in files] == ["gizmo.safetensors", "gizmo-neg.safetensors"]
    tensors, metadata = read_tensors(files[1])
    assert tensors.keys() == {"emb_params"}
    assert metadata["modelspec.is_negative_embedding"] == "true"
    assert (metadata["modelspec.trigger_phrase"], metadata["modelspec.title"]) == ("gizmo-neg", "gizmo-neg")
    assert read_tensors(files[0])[1]["modelspec.is_negative_embedding"] == "false"
    back, matched = read_foreign(files, "gizmo", MODULES)
    assert concepts.same_words(back, gizmo())
    assert (matched.found, matched.total) == (2, 2)
    assert left_out(gizmo(), "a1111") == ("adapters",)
    assert left_out(gizmo(adapters=False), "a1111") == left_out(gizmo(), "kohya") == ()


@pytest.mark.parametrize("form", ["a1111", "diffusers", "kohya"])
def test_round_trip_of_sdxl_words(form: Export, tmp_path: Path) -> None:
    (file,) = export(sdxl(), form, tmp_path)
    assert read_tensors(file)[0].keys() == {"clip_l", "clip_g"}
    back, matched = read_foreign([file], "gizmo", SDXL_MODULES)
    assert concepts.same_words(back, sdxl())
    assert (back.about.family, matched.total) == ("sdxl", 2)


def test_plain_lora_keeps_having_no_sides(tmp_path: Path) -> None:
    files = export(plain_lora(), "kohya", tmp_path)
    assert [str(path.relative_to(tmp_path)) for path in files] == ["Lora/gizmo.safetensors"]
    back, _ = read_foreign(files, "gizmo", MODULES)
    assert back.adapters.keys() == {"both"}
    concepts.assert_same_adapters(plain_lora().adapters["both"], back.adapters["both"])


def test_sides_beside_the_whole(tmp_path: Path) -> None:
    adapters: dict[Side, Mapping[str, Factors]] = {**gizmo().adapters, "both": plain_lora().adapters["both"]}
    files = export(Concept("gizmo", {}, adapters), "kohya", tmp_path)
    assert {path.stem for path in files} == {"gizmo", "gizmo-neg", "gizmo-both"}
    back, _ = read_foreign(files, "gizmo", MODULES)
    assert back.adapters.keys() == {"positive", "negative", "both"}


def test_kohya_names_and_metadata(tmp_path: Path) -> None:
    files = export(gizmo(), "kohya", tmp_path)
    tensors, metadata = read_tensors(tmp_path / "Lora" / "gizmo.safetensors")
    stem = "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn1_to_out_0"
    assert tensors[f"{stem}.lora_down.weight"].shape == (3, 64)
    assert tensors[f"{stem}.lora_up.weight"].shape == (64, 3)
    assert {value.item() for key, value in tensors.items() if key.endswith(".alpha")} == {1.0}
    assert tensors["lora_unet_down_blocks_0_resnets_0_conv1.lora_up.weight"].shape == (32, 2, 1, 1)
    assert "lora_te_text_model_encoder_layers_0_self_attn_q_proj.alpha" in tensors
    assert metadata["ss_network_module"] == "networks.lora"
    assert metadata["modelspec.architecture"] == "stable-diffusion-v1/lora"
    assert {str(path.relative_to(tmp_path)) for path in files} == {
        *("embeddings/gizmo.safetensors", "embeddings/gizmo-neg.safetensors"),
        *("Lora/gizmo.safetensors", "Lora/gizmo-neg.safetensors"),
    }
    xl = replace(plain_lora(), name="xl", about=About(family="sdxl"))
    export(xl, "kohya", tmp_path)
    assert any(key.startswith("lora_te1_text_model_") for key in read_tensors(tmp_path / "Lora" / "xl.safetensors")[0])


def test_what_learned_values_export_to_is_exact(tmp_path: Path) -> None:
    """Values that half precision would change are kept in full."""
    rough = np.random.default_rng(0).normal(size=(2, 32)).astype(np.float32)
    each = replace(concepts.factors(1, UNET_KEY), down=rough)
    export(Concept("a", {}, {"both": {UNET_KEY: each}}), "kohya", tmp_path)
    tensors, _ = read_tensors(tmp_path / "Lora" / "a.safetensors")
    stem = "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn2_to_k"
    np.testing.assert_array_equal(tensors[f"{stem}.lora_down.weight"], rough)
    np.testing.assert_array_equal(tensors[f"{stem}.lora_up.weight"], each.up)


@pytest.mark.parametrize("scale", [0.0, -1.5])
def test_scales_that_take_away_or_do_nothing(scale: float, tmp_path: Path) -> None:
    table = {UNET_KEY: concepts.factors(1, UNET_KEY, 2, scale)}
    files = export(Concept("a", {}, {"both": table}), "kohya", tmp_path)
    concepts.assert_same_adapters(table, read_foreign(files, "a", MODULES)[0].adapters["both"])


def test_nothing_is_overwritten_and_nothing_is_left_of_a_failure(tmp_path: Path) -> None:
    taken = tmp_path / "gizmo-neg.safetensors"
    taken.write_bytes(b"mine")
    with pytest.raises(BadInput, match="gizmo-neg.safetensors already exists"):
        export(gizmo(), "diffusers", tmp_path)
    assert list(tmp_path.iterdir()) == [taken]
    taken.rename(tmp_path / "embeddings")  # a file where a folder must be
    with pytest.raises(BadInput, match="cannot write"):
        export(gizmo(), "kohya", tmp_path)
    assert [path.name for path in tmp_path.rglob("*")] == ["embeddings"]


def test_nothing_to_export(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="nothing that a1111 files can hold"):
        export(plain_lora(), "a1111", tmp_path / "out")
    changed = Concept("a", {}, changes={"unet.conv_in.bias": np.ones(4, np.float32)})
    with pytest.raises(BadInput, match="nothing that kohya files can hold"):
        export(changed, "kohya", tmp_path / "out")
    assert left_out(changed, "kohya") == ("changes",)
    assert not (tmp_path / "out").exists()


# What other programs' own loaders make of the files.


@pytest.fixture
def peft() -> Any:
    return pytest.importorskip("peft")


@pytest.fixture(scope="module")
def folder(checkpoints: Path) -> Path:
    return checkpoints / "stable_diffusion"


def pipeline(folder: Path) -> Any:
    return diffusers.StableDiffusionPipeline.from_pretrained(folder, safety_checker=None)


def modules_of(loaded: Any) -> dict[str, tuple[int, ...]]:
    kinds = (torch.nn.Linear, torch.nn.Conv2d)
    return {
        f"{part}.{path}": tuple(module.weight.shape)
        for part in ("unet", "text_encoder")
        for path, module in getattr(loaded, part).named_modules()
        if isinstance(module, kinds)
    }


def test_modules_are_those_of_the_tiny_model(folder: Path) -> None:
    assert MODULES.items() <= modules_of(pipeline(folder)).items()


@pytest.mark.parametrize(("form", "said"), [("diffusers", "<gizmo>"), ("a1111", "gizmo")])
def test_diffusers_loads_the_words(form: Export, said: str, folder: Path, tmp_path: Path) -> None:
    export(gizmo(adapters=False), form, tmp_path)
    loaded = pipeline(folder)
    negative = "<gizmo-neg>" if form == "diffusers" else "gizmo-neg"
    tokens = (None, None) if form == "diffusers" else (said, negative)
    for name, token in zip(("gizmo", "gizmo-neg"), tokens, strict=True):
        loaded.load_textual_inversion(str(tmp_path), weight_name=f"{name}.safetensors", token=token)
    table = loaded.text_encoder.get_input_embeddings().weight
    for token, side in ((said, "positive"), (negative, "negative")):
        rows = gizmo().words[cast(Side, side)]["text_encoder"]
        names = [token, *(f"{token}_{number}" for number in range(1, len(rows)))]
        ids = loaded.tokenizer.convert_tokens_to_ids(names)
        assert loaded.maybe_convert_prompt(f"a {token}", loaded.tokenizer) == f"a {' '.join(names)}"
        np.testing.assert_array_equal(table[ids].detach().numpy(), rows)


def applied(loaded: Any) -> dict[str, Array]:
    """What each adapted layer of a pipeline adds to its weight."""
    found: dict[str, Array] = {}
    for part in ("unet", "text_encoder"):
        for path, module in getattr(loaded, part).named_modules():
            if hasattr(module, "lora_A") and len(module.lora_A):
                (adapter,) = module.lora_A
                delta = module.get_delta_weight(adapter).detach().numpy()
                found[f"{part}.{path}"] = delta.reshape(len(delta), -1)
    return found


def assert_applied(found: Mapping[str, Array], concept: Concept, side: Side) -> None:
    table = concept.adapters[side]
    assert found.keys() == table.keys()
    for path, each in table.items():
        np.testing.assert_allclose(found[path], concepts.change(each), rtol=1e-3, atol=1e-4)


@pytest.mark.usefixtures("peft")
@pytest.mark.parametrize("side", ["positive", "negative"])
def test_diffusers_loads_its_own_form(side: Side, folder: Path, tmp_path: Path) -> None:
    export(gizmo(), "diffusers", tmp_path)
    loaded = pipeline(folder)
    name = "gizmo.lora.safetensors" if side == "positive" else "gizmo-neg.lora.safetensors"
    loaded.load_lora_weights(str(tmp_path), weight_name=name)
    assert_applied(applied(loaded), gizmo(), side)


@pytest.mark.usefixtures("peft")
def test_diffusers_loads_kohya(folder: Path, tmp_path: Path) -> None:
    """It tells old names of a text encoder by its output layers, which every file of kohya's has."""
    mixed = Concept("gizmo", {}, {"both": {**gizmo().adapters["positive"], TEXT_OUT: concepts.factors(10, TEXT_OUT)}})
    export(mixed, "kohya", tmp_path)
    loaded = pipeline(folder)
    loaded.load_lora_weights(str(tmp_path / "Lora"), weight_name="gizmo.safetensors")
    assert_applied(applied(loaded), mixed, "both")


def test_peft_loads_its_own_form(peft: Any, folder: Path, tmp_path: Path) -> None:
    export(gizmo(), "peft", tmp_path)
    loaded = pipeline(folder)
    found: dict[str, Array] = {}
    for part in ("unet", "text_encoder"):
        model = peft.PeftModel.from_pretrained(getattr(loaded, part), str(tmp_path / "gizmo" / part))
        for path, module in model.named_modules():
            if hasattr(module, "lora_A"):
                delta = module.get_delta_weight("default").detach().numpy()
                found[f"{part}.{path.removeprefix('base_model.model.')}"] = delta.reshape(len(delta), -1)
    assert_applied(found, gizmo(), "positive")


def test_a_folder_of_peft_is_read(tmp_path: Path) -> None:
    export(gizmo(), "peft", tmp_path)
    assert set(json.loads((tmp_path / "gizmo" / "unet" / "adapter_config.json").read_text())["target_modules"]) == {
        path.removeprefix("unet.") for path in (UNET_KEY, UNET_OUT, UNET_CONV)
    }
    back, matched = read_foreign([tmp_path / "gizmo", tmp_path / "gizmo-neg"], "gizmo", MODULES)
    assert matched.found == matched.total == 14
    for side, table in gizmo().adapters.items():
        concepts.assert_same_adapters(table, back.adapters[side])
    single, _ = read_foreign([tmp_path / "gizmo" / "text_encoder"], "gizmo", MODULES)
    assert single.adapters["both"].keys() == {TEXT_QUERY, TEXT_FC}


# Files that these programs wrote themselves.


@pytest.mark.parametrize("rank_stabilised", [False, True])
def test_what_diffusers_saved(rank_stabilised: bool, peft: Any, folder: Path, tmp_path: Path) -> None:
    """Since 0.34 it keeps alpha in the metadata only."""
    loaded, utilities = pipeline(folder), import_module("peft.utils")
    for part, targets in (("unet", ["to_k", "to_out.0"]), ("text_encoder", ["q_proj", "fc1"])):
        config = peft.LoraConfig(r=2, lora_alpha=8, target_modules=targets, use_rslora=rank_stabilised)
        getattr(loaded, part).add_adapter(config)
        for name, weight in getattr(loaded, part).named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(weight.data)
    state = {part: utilities.get_peft_model_state_dict(getattr(loaded, part)) for part in ("unet", "text_encoder")}
    loaded.save_lora_weights(
        str(tmp_path),
        unet_lora_layers=state["unet"],
        text_encoder_lora_layers=state["text_encoder"],
        unet_lora_adapter_metadata=loaded.unet.peft_config["default"].to_dict(),
        text_encoder_lora_adapter_metadata=loaded.text_encoder.peft_config["default"].to_dict(),
    )
    clean = modules_of(pipeline(folder))
    back, matched = read_foreign([tmp_path / "pytorch_lora_weights.safetensors"], "gizmo", clean)
    assert matched.unknown == ()
    assert_applied(applied(loaded), back, "both")


def test_bfloat16(tmp_path: Path) -> None:
    stem = "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn2_to_k"
    kept = {
        f"{stem}.lora_down.weight": torch.randn(2, 32).bfloat16(),
        f"{stem}.lora_up.weight": torch.randn(64, 2).bfloat16(),
        f"{stem}.alpha": torch.tensor(1.0).bfloat16(),
    }
    save_file(kept, tmp_path / "a.safetensors")
    back, _ = read_foreign([tmp_path / "a.safetensors"], "a", MODULES)
    found = back.adapters["both"][UNET_KEY]
    np.testing.assert_array_equal(found.down, kept[f"{stem}.lora_down.weight"].float().numpy())
    assert found.scale == 0.5


def pair(stem: str, middle: tuple[str, str], path: str = UNET_KEY) -> dict[str, Array]:
    each = concepts.factors(1, path)
    return {f"{stem}{middle[0]}.weight": each.down, f"{stem}{middle[1]}.weight": each.up}


KOHYA, PEFT, OLD = (".lora_down", ".lora_up"), (".lora_A", ".lora_B"), ("_lora.down", "_lora.up")
SPELLINGS = {
    "peft": (f"base_model.model.{UNET_KEY.removeprefix('unet.')}", PEFT, UNET_KEY),
    "diffusers": (UNET_KEY, PEFT, UNET_KEY),
    "diffusers 0.15": (UNET_KEY.replace("attn2", "attn2.processor"), OLD, UNET_KEY),
    "old output": (UNET_OUT.replace("attn1", "attn1.processor").removesuffix(".0"), OLD, UNET_OUT),
    "old text": ("text_encoder.text_model.encoder.layers.0.self_attn.to_q", OLD, TEXT_QUERY),
    "deeper text": (
        "text_encoder.text_model.encoder.layers.0.self_attn.q_proj",
        (".lora_linear_layer.down", ".lora_linear_layer.up"),
        TEXT_QUERY,
    ),
    "flat text": (TEXT_QUERY, PEFT, TEXT_QUERY),
    "kohya": ("lora_te_text_model_encoder_layers_1_mlp_fc1", KOHYA, TEXT_FC),
    "kohya, flat": ("lora_te_encoder_layers_1_mlp_fc1", KOHYA, TEXT_FC),
    "kohya of SDXL": ("lora_te1_text_model_encoder_layers_1_mlp_fc1", KOHYA, TEXT_FC),
    "original": ("lora_unet_input_blocks_3_1_transformer_blocks_0_attn2_to_k", KOHYA, UNET_KEY),
    "original resnet": ("lora_unet_input_blocks_1_0_in_layers_2", KOHYA, UNET_CONV),
}


@pytest.mark.parametrize(("stem", "middle", "path"), SPELLINGS.values(), ids=SPELLINGS.keys())
def test_spellings(stem: str, middle: tuple[str, str], path: str, tmp_path: Path) -> None:
    file = tmp_path / "a.safetensors"
    file.write_bytes(encode(pair(stem, middle, path) | {f"{stem}.alpha": np.float32(3) * np.ones((), np.float32)}, {}))
    back, matched = read_foreign([file], "a", MODULES)
    assert back.adapters["both"].keys() == {path}
    assert back.adapters["both"][path].scale == pytest.approx(1.5)
    assert (matched.found, matched.total, matched.unknown) == (2, 2, ())


def test_original_names_agree_with_diffusers(folder: Path) -> None:
    """Every module of an SDXL UNet with two layers a block, by the names that diffusers takes for kohya's."""
    from limner.module_names import resolve, spellings

    convert = import_module("diffusers.loaders.lora_conversion_utils")
    unet = diffusers.UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(32, 64),
        layers_per_block=2,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        attention_head_dim=4,
        cross_attention_dim=32,
    )
    paths = [path for path, each in unet.named_modules() if isinstance(each, (torch.nn.Linear, torch.nn.Conv2d))]
    names = spellings(f"unet.{path}" for path in paths)
    originals = [name for name in names if name.startswith(("unet_input_blocks", "unet_middle_block", "unet_output"))]
    assert len(originals) > 80
    attention = [name for name in originals if "transformer_blocks" in name]
    for name in attention:
        key = f"lora_{name}.lora_down.weight"
        mapped = convert._maybe_map_sgm_blocks_to_diffusers({key: 0}, unet.config)
        (expected,) = (convert._convert_unet_lora_key(each) for each in mapped)
        ours = names[name].removeprefix("unet.")
        theirs = expected.replace(".processor", "").replace("_lora.down.weight", "").replace(".lora.down.weight", "")
        assert theirs in (ours, ours.removesuffix(".0"))
        assert resolve(f"lora_{name}", names) == names[name]


def test_a_name_that_two_modules_share_is_not_guessed(tmp_path: Path) -> None:
    modules = {"unet.a.b_c": (4, 4), "unet.a_b.c": (4, 4), "unet.d": (4, 4)}
    rows = np.ones((1, 4), np.float32)
    tensors = {
        f"lora_unet_{n}.lora_{k}.weight": (rows if k == "down" else rows.T)
        for n in ("a_b_c", "d")
        for k in ("down", "up")
    }
    (tmp_path / "a.safetensors").write_bytes(encode(tensors, {}))
    back, matched = read_foreign([tmp_path / "a.safetensors"], "a", modules)
    assert back.adapters["both"].keys() == {"unet.d"}
    assert (matched.found, matched.total) == (2, 4)
    assert set(matched.unknown) == {"lora_unet_a_b_c.lora_down.weight", "lora_unet_a_b_c.lora_up.weight"}


def refused(tensors: Mapping[str, Any], folder: Path, metadata: Mapping[str, str] | None = None) -> str:
    file = folder / "a.safetensors"
    file.write_bytes(encode({key: np.asarray(value, np.float32) for key, value in tensors.items()}, metadata or {}))
    with pytest.raises(BadInput) as caught:
        read_foreign([file], "a", MODULES)
    assert str(caught.value).isprintable()
    return caught.value.message


def test_what_matches_nothing_is_refused(tmp_path: Path) -> None:
    message = refused(pair("lora_unet_no_such_layer", KOHYA) | {"\x1b[2J": [1]}, tmp_path)
    assert "matched 0 of 3 keys" in message
    assert "lora_unet_no_such_layer.lora_down.weight" in message


def test_files_that_would_draw_nonsense_are_refused(tmp_path: Path) -> None:
    stem = "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn2_to_k"
    good = pair(stem, KOHYA)
    assert "not a plain LoRA" in refused(good | {f"{stem}.dora_scale": [1]}, tmp_path)
    assert "not a plain LoRA" in refused(good | {f"{stem}.lora_mid.weight": [1]}, tmp_path)
    assert "the model's (64, 32)" in refused(good | {f"{stem}.lora_down.weight": np.ones((2, 48))}, tmp_path)
    assert "the model's (64, 32)" in refused(good | {f"{stem}.lora_up.weight": np.ones(128)}, tmp_path)
    assert "the model's (64, 32)" in refused(good | {f"{stem}.lora_down.weight": 1.0}, tmp_path)
    assert "alpha" in refused(good | {f"{stem}.alpha": [1, 2]}, tmp_path)
    assert "not finite" in refused(good | {f"{stem}.alpha": np.nan}, tmp_path)
    assert "not finite" in refused(good | {f"{stem}.lora_up.weight": np.full((64, 2), np.inf)}, tmp_path)
    config = json.dumps({"unet.use_dora": True, "unet.r": 2})
    assert "DoRA" in refused(pair(UNET_KEY, PEFT), tmp_path, {"lora_adapter_metadata": config})
    assert "config" in refused(pair(UNET_KEY, PEFT), tmp_path, {"lora_adapter_metadata": "[]"})
    for alpha in ("Infinity", '"x"', "-1", "1e300"):
        text = f'{{"unet.lora_alpha": {alpha}}}'
        assert "config" in refused(pair(UNET_KEY, PEFT), tmp_path, {"lora_adapter_metadata": text})
    pattern = json.dumps({"unet.alpha_pattern": {"(a+)+$": 2}})
    assert "alpha_pattern" in refused(pair(UNET_KEY, PEFT), tmp_path, {"lora_adapter_metadata": pattern})


def test_words_that_do_not_fit(tmp_path: Path) -> None:
    assert "the model's 32" in refused({"emb_params": np.ones((2, 768))}, tmp_path)
    assert "1 to 64 vectors" in refused({"emb_params": np.ones((65, 32))}, tmp_path)
    assert "not finite" in refused({"<a>": np.full((1, 32), np.nan)}, tmp_path)
    assert "as many" in refused({"clip_l": np.ones((2, 32)), "clip_g": np.ones((1, 48))}, tmp_path)
    assert "matched 0 of 0 keys" in refused({}, tmp_path)


def test_one_vector_without_a_dimension_for_it(tmp_path: Path) -> None:
    (tmp_path / "a.safetensors").write_bytes(encode({"<cat-toy>": concepts.values(1, 32)}, {}))
    back, _ = read_foreign([tmp_path / "a.safetensors"], "b", MODULES)
    assert back.words["positive"]["text_encoder"].shape == (1, 32)


def test_two_files_for_the_same(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.safetensors").write_bytes(encode({"emb_params": concepts.values(1, 1, 32)}, {}))
    with pytest.raises(BadInput, match="two files give words"):
        read_foreign([tmp_path / "a.safetensors", tmp_path / "b.safetensors"], "a", MODULES)


def test_our_own_file(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save(gizmo(), path)
    back, matched = read_foreign([path], "other", {})
    assert (back.name, back.about) == ("other", gizmo().about)
    assert matched.found == matched.total == 23
    other = tmp_path / "b.safetensors"
    other.write_bytes(encode({"emb_params": concepts.values(1, 1, 32)}, {}))
    with pytest.raises(BadInput, match="Limner's own"):
        read_foreign([path, other], "a", MODULES)


def test_pickled_files_need_leave(tmp_path: Path) -> None:
    path = tmp_path / "a-neg.pt"
    with pytest.raises(BadInput, match="can run code") as caught:
        read_foreign([path], "a", MODULES)
    assert "--unsafe-load" in caught.value.hint
    rows = concepts.values(1, 2, 32)
    back, _ = read_foreign([path], "a", MODULES, unpickle=lambda _: {"string_to_param": {"*": rows}, "name": "x"})
    np.testing.assert_array_equal(back.words["negative"]["text_encoder"], rows)


@pytest.mark.parametrize(
    ("table", "shape"),
    [
        ({"string_to_token": {"*": 265}, "string_to_param": {"*": np.ones((3, 8))}, "name": "a"}, (3, 8)),
        ({"<a>": np.ones(8)}, (1, 8)),
        ({"emb_params": np.ones((2, 8))}, (2, 8)),
    ],
)
def test_embedding_from_table(table: dict[str, object], shape: tuple[int, int]) -> None:
    vectors = embedding_from_table(table)
    assert (vectors.shape, vectors.dtype) == (shape, np.float32)


@pytest.mark.parametrize(
    "table",
    [
        *({}, {"a": 1}, {"a": "text"}, {"a": None}, {"a": np.ones(8), "b": np.ones(8)}, {"a": np.ones((1, 1, 8))}),
        *({"string_to_param": 3}, {"string_to_param": {}}, {"a": [[1], [2, 3]]}, {"a": {"b": 1}}),
        {"a": np.full((1, 8), np.nan)},
    ],
)
def test_tables_without_vectors(table: dict[str, object]) -> None:
    with pytest.raises(BadInput, match="no vectors of one token"):
        embedding_from_table(table)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40)
@given(data=st.data())
def test_damaged_files_only_raise_bad_input(tmp_path: Path, data: st.DataObject) -> None:
    content = bytearray(encode(pair("lora_unet_down_blocks_0_resnets_0_conv1", KOHYA, UNET_CONV), {"a": "b"}))
    for at in data.draw(st.lists(st.integers(0, 300), min_size=1, max_size=4)):
        content[at] ^= data.draw(st.integers(1, 255))
    file = tmp_path / "a.safetensors"
    file.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    try:
        back, _ = read_foreign([file], "a", MODULES)
    except BadInput:
        return
    assert back.adapters or back.words


def test_a_file_of_torch_and_ours_agree(tmp_path: Path) -> None:
    (file,) = export(plain_lora(), "diffusers", tmp_path)
    ours, _ = read_tensors(file)
    theirs = load_file(file)
    assert ours.keys() == theirs.keys()
    assert all(np.array_equal(ours[key], theirs[key].float().numpy()) for key in ours)
