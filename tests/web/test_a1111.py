"""A1111's API as its clients call it, against a real server in the painter's world."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from limner.image import decode_picture, parse_parameters, png_bytes
from limner.types import Picture
from limner.web.a1111_forms import FromPicture, FromText
from limner.web.files import as_file, parameters_in
from tests import concepts
from tests.painter import seen
from tests.retoucher import found_in, show
from tests.web.painted import PATIENCE_S, Painted, painted, until
from tests.web.serving import bearer, with_tokens

PROMPT = "a red circle and a blue square"
BEFORE = show(("red circle", (4, 4, 20, 20)), ("blue square", (28, 28, 44, 44)))

# What Open WebUI sends, and what a plug-in sends that fills in every field it knows.
OPEN_WEBUI: dict[str, Any] = {
    "prompt": PROMPT,
    "batch_size": 1,
    "width": 96,
    "height": 96,
    "steps": 3,
    "sampler_name": "Euler a",
}
PLUG_IN: dict[str, Any] = {
    "prompt": PROMPT, "negative_prompt": "", "styles": [], "seed": -1, "subseed": -1, "subseed_strength": 0,
    "seed_resize_from_h": -1, "seed_resize_from_w": -1, "sampler_name": "DPM++ 2M", "scheduler": "Karras",
    "batch_size": 2, "n_iter": 1, "steps": 5, "cfg_scale": 7, "width": 48, "height": 48, "restore_faces": False,
    "tiling": False, "do_not_save_samples": True, "do_not_save_grid": True, "eta": 0, "s_churn": 0, "s_tmax": None,
    "override_settings": {"CLIP_stop_at_last_layers": 2}, "override_settings_restore_afterwards": True,
    "refiner_checkpoint": None, "disable_extra_networks": False, "comments": {}, "enable_hr": False,
    "script_name": None, "script_args": [], "send_images": True, "save_images": False, "alwayson_scripts": {},
}  # fmt: skip


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Generator[Painted]:
    with painted(tmp_path_factory.mktemp("a1111")) as made:
        yield made


@pytest.fixture(scope="module")
def client(server: Painted) -> Generator[httpx.Client]:
    with client_of(server) as made:
        yield made


def client_of(server: Painted, **headers: str) -> httpx.Client:
    return httpx.Client(base_url=f"{server.url}/sdapi/v1", timeout=PATIENCE_S, headers=headers)


def coded(picture: Picture) -> str:
    return base64.b64encode(png_bytes(picture)).decode()


def decoded(image: str) -> Picture:
    return decode_picture(base64.b64decode(image), "answer")


def things(image: str) -> set[str]:
    return {region.label for region in found_in(decoded(image))}


def mask(*bright: tuple[int, int, int, int], ground: int = 0, side: int = 48) -> str:
    image = Image.new("L", (side, side), ground)
    for box in bright:
        image.paste(255 - ground, box)
    file = io.BytesIO()
    image.save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def test_a_client_of_a_few_fields_draws(client: httpx.Client) -> None:
    answer = client.post("/txt2img", json=OPEN_WEBUI | {"seed": 3}).raise_for_status().json()
    [image] = answer["images"]
    assert decoded(image).width == 96
    info = json.loads(answer["info"])
    assert (info["width"], info["height"], info["steps"], info["sampler_name"]) == (96, 96, 3, "brush")
    assert info["limner"][0]["passed"]
    assert info["seed"] == info["all_seeds"][0] == info["limner"][0]["seed"]


def test_a_client_of_all_fields_draws_several_good_pictures(client: httpx.Client) -> None:
    answer = client.post("/txt2img", json=PLUG_IN | {"seed": 3}).raise_for_status().json()
    info = json.loads(answer["info"])
    assert len(answer["images"]) == len(info["all_seeds"]) == len(info["infotexts"]) == 2
    assert answer["images"][0] != answer["images"][1]
    for image, text, seed in zip(answer["images"], info["infotexts"], info["all_seeds"], strict=True):
        assert seen(decoded(image)) >= {"red circle", "blue square"}
        assert parse_parameters(text).seed == seed
        assert Image.open(io.BytesIO(base64.b64decode(image))).info["parameters"] == text
    assert FromText.model_validate(PLUG_IN).first_seed is None
    assert (answer["parameters"]["steps"], answer["parameters"]["cfg_scale"]) == (5, 7.0)


def test_an_instruction_changes_the_picture(client: httpx.Client) -> None:
    asked = {"init_images": [f"data:image/png;base64,{coded(BEFORE)}"], "prompt": "make the red circle green"}
    answer = client.post("/img2img", json=asked | {"denoising_strength": 0.7, "cfg_scale": 7}).raise_for_status().json()
    assert things(answer["images"][0]) == {"green circle", "blue square"}
    assert "init_images" not in answer["parameters"]


@pytest.mark.parametrize("inverted", [0, 1])
def test_a_mask_is_filled_with_what_the_prompt_says(client: httpx.Client, inverted: int) -> None:
    place = (2, 26, 22, 46)
    asked = {"init_images": [coded(BEFORE)], "prompt": "a green square", "inpainting_mask_invert": inverted}
    marked = mask(place, ground=255 * inverted)
    answer = client.post("/img2img", json=asked | {"mask": marked, "mask_blur": 4}).raise_for_status().json()
    after = decoded(answer["images"][0])
    assert things(answer["images"][0]) == {"red circle", "blue square", "green square"}
    kept = np.ones((48, 48), np.bool_)
    kept[26:46, 2:22] = False
    assert (after.pixels[kept] == BEFORE.pixels[kept]).all()


def test_a_mask_of_another_size_is_brought_to_the_pictures(client: httpx.Client) -> None:
    asked = {"init_images": [coded(BEFORE)], "prompt": "a green square", "mask": mask((4, 52, 44, 92), side=96)}
    answer = client.post("/img2img", json=asked).raise_for_status().json()
    assert things(answer["images"][0]) == {"red circle", "blue square", "green square"}


@pytest.mark.parametrize(
    ("path", "asked", "status", "says"),
    [
        ("txt2img", {"prompt": ""}, 422, "the prompt is empty"),
        ("txt2img", {"prompt": PROMPT, "steps": 10**9}, 422, "steps"),
        ("txt2img", {"prompt": PROMPT, "width": 4096, "height": 4096}, 422, "too large"),
        ("txt2img", {"prompt": PROMPT, "batch_size": 4, "n_iter": 4}, 400, "at most 10"),
        ("txt2img", {"prompt": PROMPT, "override_settings": {"sd_model_checkpoint": "sdxl"}}, 400, "'embedded'"),
        ("txt2img", {"prompt": "a <lora:nobody:0.8>"}, 422, "nobody"),
        ("img2img", {"prompt": "a nice day", "init_images": [coded(BEFORE)]}, 422, "mask"),
        ("img2img", {"prompt": "remove the red circle"}, 422, "init_images"),
        ("img2img", {"prompt": "remove the red circle", "init_images": ["http://127.0.0.1/x.png"]}, 400, "base64"),
        ("img2img", {"prompt": "remove the red circle", "init_images": ["aGVsbG8="]}, 415, "no PNG"),
        ("img2img", {"prompt": "a dog", "init_images": [coded(BEFORE)], "mask": mask()}, 400, "mask is empty"),
        ("img2img", {"prompt": "remove the yellow star", "init_images": [coded(BEFORE)]}, 422, "yellow star"),
        ("png-info", {"image": "%%%"}, 400, "base64"),
    ],
)
def test_what_cannot_be_done_is_refused(
    client: httpx.Client, path: str, asked: dict[str, Any], status: int, says: str
) -> None:
    answer = client.post(f"/{path}", json=asked)
    assert answer.status_code == status
    assert says in answer.json()["detail"]


def test_settings_are_sent_back_whole_by_clients(client: httpx.Client) -> None:
    options = client.get("/options").raise_for_status().json()
    assert options["sd_model_checkpoint"] == client.get("/sd-models").json()[0]["title"] == "embedded"
    assert client.post("/options", json=options | {"unknown": [1]}).status_code == 200
    refused = client.post("/options", json=options | {"sd_model_checkpoint": "v1-5-pruned.ckpt [e1441589a6]"})
    assert refused.status_code == 400
    assert client.post("/options", json={"sd_model_checkpoint": "embedded [0123]"}).status_code == 200


@pytest.mark.parametrize("name", ["sd-vae", "upscalers", "hypernetworks", "prompt-styles", "face-restorers"])
def test_what_there_is_none_of_is_an_empty_list(client: httpx.Client, name: str) -> None:
    assert client.get(f"/{name}").raise_for_status().json() == []


def test_the_rest_that_clients_ask_for_is_there(client: httpx.Client) -> None:
    assert [row["name"] for row in client.get("/samplers").json()] == ["Automatic"]
    assert [row["name"] for row in client.get("/schedulers").json()] == ["automatic"]
    assert client.get("/memory").json()["ram"]["total"] > 0
    assert client.get("/cmd-flags").json()["api"] is True
    assert client.get("/scripts").json() == {"txt2img": [], "img2img": []}
    assert client.post("/refresh-checkpoints").status_code == 200


def test_concepts_are_listed_as_clients_say_them(client: httpx.Client, server: Painted) -> None:
    server.service.studio.tools.shelf.put(concepts.gizmo())
    (server.service.settings.data / "concepts" / "broken.safetensors").write_bytes(b"no")
    assert [row["name"] for row in client.get("/loras").json()] == ["gizmo"]
    told = client.get("/embeddings").json()
    assert (list(told["loaded"]), list(told["skipped"])) == (["<gizmo>"], ["<broken>"])
    assert FromText(prompt="a <lora:gizmo:0.8> and <lora:b>").said == "a <gizmo:0.8> and <b>"


def test_a_picture_tells_its_recipe_in_every_form(client: httpx.Client) -> None:
    image = client.post("/txt2img", json={"prompt": PROMPT, "seed": 3}).json()["images"][0]
    told = client.post("/png-info", json={"image": image}).raise_for_status().json()
    assert told["parameters"]["Prompt"].replace("(", "").startswith("a red circle")
    assert told["items"]["parameters"] == told["info"] == parameters_in(base64.b64decode(image))
    jpeg = base64.b64encode(as_file(base64.b64decode(image), "jpeg")).decode()
    assert client.post("/png-info", json={"image": jpeg}).json()["info"] == told["info"]
    assert client.post("/png-info", json={"image": coded(BEFORE)}).json() == {"info": "", "items": {}, "parameters": {}}


@contextmanager
def asked(client: httpx.Client, steps: int = 4) -> Generator[Future[httpx.Response]]:
    with ThreadPoolExecutor() as pool:
        yield pool.submit(client.post, "/txt2img", json={"prompt": PROMPT, "steps": steps, "n_iter": 1})


def test_progress_is_told_with_a_picture_on_the_way(tmp_path: Path) -> None:
    with painted(tmp_path, gate=True, count=2) as server, client_of(server) as client:
        assert client.get("/progress").json()["progress"] == 0
        with asked(client) as answer:
            until(lambda: bool(client.get("/progress").json()["state"]["job"]))
            assert server.painter.gate is not None
            server.painter.gate.release(2)
            until(lambda: client.get("/progress").json()["progress"] > 0)
            until(lambda: client.get("/progress").json()["current_image"] is not None)
            told = client.get("/progress").json()
            assert 0 < told["progress"] < 1
            assert 0 < told["state"]["sampling_step"] < told["state"]["sampling_steps"]
            assert decoded(told["current_image"]).width > 0
            assert client.get("/progress?skip_current_image=true").json()["current_image"] is None
            server.painter.gate.release(1000)
            assert len(answer.result().raise_for_status().json()["images"]) == 1
        assert client.get("/progress").json()["state"]["job"] == ""


@pytest.mark.parametrize("way", ["interrupt", "skip"])
def test_interrupting_ends_ones_own_pictures_only(tmp_path: Path, way: str) -> None:
    with (
        painted(tmp_path, gate=True, allowed=with_tokens()) as server,
        client_of(server, **bearer("ann")) as ann,
        client_of(server, **bearer("bob")) as bob,
    ):
        queue, gate = server.service.queue, server.painter.gate
        assert gate is not None
        with asked(ann) as hers, asked(bob) as his:
            # In the queue a request may not be listed under its user yet, and what is not listed cannot be stopped.
            until(lambda: all(each.get("/progress").json()["state"]["job"] for each in (ann, bob)))
            assert ann.post(f"/{way}").raise_for_status().json() == {}
            answer = hers.result().raise_for_status().json()
            assert answer["images"] == []
            assert json.loads(answer["info"])["all_seeds"] == []
            gate.release(1000)
            assert len(his.result().raise_for_status().json()["images"]) == 1
        assert {job.user: job.state for job in queue.list()} == {"ann": "cancelled", "bob": "done"}


def test_scales_that_mean_none_are_left_to_the_editor() -> None:
    [params] = FromPicture(prompt="remove the cat", cfg_scale=1, image_cfg_scale=0).params("0" * 64, None, "rules")
    assert params["text_guidance"] is None
    assert params["image_guidance"] is None
