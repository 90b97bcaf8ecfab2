from pathlib import Path
from typing import Any

import pytest
import torch

from limner.backends.hardware import Plan
from limner.backends.pipelines import Loaded, load_pipeline
from limner.backends.prompts import weigh
from tests.tiny import TEXT_LENGTH

PLAN = Plan("cpu", 1, "float32", "")


@pytest.fixture(scope="module", params=["stable_diffusion", "stable_diffusion_xl"])
def loaded(request: pytest.FixtureRequest, checkpoints: Path) -> Loaded:
    return load_pipeline(str(checkpoints / request.param), plan=PLAN)


def diffusers_states(pipeline: Any, text: str) -> tuple[torch.Tensor, torch.Tensor | None]:
    """(states, pooled or None) as diffusers' own encode_prompt makes them."""
    with torch.inference_mode():
        encoded = pipeline.encode_prompt(text, device="cpu", num_images_per_prompt=1, do_classifier_free_guidance=False)
    return encoded[0], encoded[2] if len(encoded) == 4 else None


@pytest.mark.parametrize("text", ["a red fox", "", "Castle in the SNOW!"])
def test_plain_prompts_encode_as_in_diffusers(loaded: Loaded, text: str) -> None:
    states, pooled = diffusers_states(loaded.pipeline, text)
    ours = loaded.prompts.encode(text)
    assert torch.equal(ours.states, states)
    assert (ours.pooled is None) == (pooled is None)
    assert pooled is None or (ours.pooled is not None and torch.equal(ours.pooled, pooled))


def test_a_weight_scales_its_words_only(loaded: Loaded) -> None:
    plain, raised = loaded.prompts.encode("red fox").states, loaded.prompts.encode("red (fox:1.5)").states
    ratio = (raised / plain)[0].median(dim=1).values  # start, red, fox, end, padding
    assert ratio[2] / ratio[1] == pytest.approx(1.5, rel=1e-4)
    assert [float(ratio[i]) for i in (0, 3, 4)] == pytest.approx([float(ratio[1])] * 3, rel=1e-4)
    assert float(raised.abs().mean()) == pytest.approx(float(plain.abs().mean()), rel=1e-4)


def test_weights_of_one_change_nothing() -> None:
    states = torch.randn(1, 4, 8)
    assert weigh(states, torch.ones(4)) is states


def test_long_prompts_are_encoded_to_their_last_word(loaded: Loaded) -> None:
    words = ["red", "fox"] * 20
    long, other = (loaded.prompts.encode(" ".join([*words, last])) for last in ("castle", "snow"))
    assert long.windows == 3
    assert long.states.shape[1] == 3 * TEXT_LENGTH
    first_two = 2 * TEXT_LENGTH
    assert torch.equal(long.states[:, :first_two], other.states[:, :first_two])
    assert not torch.equal(long.states[:, first_two:], other.states[:, first_two:])


def test_a_weight_reaches_beyond_the_first_window(loaded: Loaded) -> None:
    filler = "red " * 20
    plain, raised = (loaded.prompts.encode(filler + text).states for text in ("fox", "(fox:2)"))
    ratio = (raised / plain)[0].median(dim=1).values
    heavy = TEXT_LENGTH + 1 + 20 - (TEXT_LENGTH - 2)
    assert int(ratio.argmax()) == heavy
    assert float(ratio[heavy] / ratio[1]) == pytest.approx(2, rel=1e-4)


def test_both_sides_get_as_many_windows(loaded: Loaded) -> None:
    for prompt, negative in [("fox", "snow " * 40), ("snow " * 40, "fox")]:
        sides = loaded.prompts.pair(prompt, negative)
        assert [side.windows for side in sides] == [3, 3]
        assert sides[0].states.shape == sides[1].states.shape
    empty = loaded.prompts.encode("").states
    assert torch.equal(sides[1].states[:, -TEXT_LENGTH:], empty)


def test_a_text_is_encoded_once(checkpoints: Path) -> None:
    loaded = load_pipeline(str(checkpoints / "stable_diffusion"), plan=PLAN)
    runs: list[None] = []

    def note(_module: object, _args: object) -> None:
        runs.append(None)

    loaded.pipeline.text_encoder.register_forward_pre_hook(note)
    for prompt in ("red fox", "castle", "red fox"):
        loaded.prompts.pair(prompt, "")
    assert len(runs) == 3  # two prompts and the negative one
