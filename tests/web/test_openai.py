"""OpenAI's own client, as it is, against a real server: pictures drawn, changed, streamed, refused and called off."""

from __future__ import annotations

import base64
import io
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import openai
import pytest
from PIL import Image

from limner.image import decode_picture, parse_parameters, png_bytes
from limner.image.files import read_recipe
from limner.types import Picture
from limner.web import files
from limner.web.openai_forms import Edit, Generation
from tests.painter import seen
from tests.retoucher import found_in, show
from tests.web.painted import PATIENCE_S, Painted, painted, serving, until
from tests.web.serving import service_in

PROMPT = "a red circle and a blue square"
BEFORE = show(("red circle", (4, 4, 20, 20)), ("blue square", (28, 28, 44, 44)))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Generator[Painted]:
    with painted(tmp_path_factory.mktemp("openai")) as made:
        yield made


@pytest.fixture(scope="module")
def client(server: Painted) -> openai.OpenAI:
    return client_of(server.url)


def client_of(url: str, **settings: Any) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0, **settings)


def content(image: Any) -> bytes:
    return base64.b64decode(image.b64_json)


def picture(image: Any) -> Picture:
    return decode_picture(content(image), "answer")


def things(picture: Picture) -> set[str]:
    return {region.label for region in found_in(picture)}


def mask_file(*clear: tuple[int, int, int, int], size: tuple[int, int] = (48, 48)) -> io.BytesIO:
    """A mask as OpenAI's: transparent where the picture may change."""
    image = Image.new("RGBA", size, (0, 0, 0, 255))
    for box in clear:
        image.paste((0, 0, 0, 0), box)
    return named("mask.png", image)


def named(name: str, image: Image.Image) -> io.BytesIO:
    file = io.BytesIO()
    image.save(file, "PNG")
    file.name = name
    file.seek(0)
    return file


def before() -> io.BytesIO:
    file = io.BytesIO(png_bytes(BEFORE))
    file.name = "before.png"
    return file


def test_it_draws_as_many_good_pictures_as_are_asked_for(client: openai.OpenAI) -> None:
    answer = client.images.generate(model="gpt-image-1", prompt=PROMPT, n=2, extra_body={"seed": 3})
    assert answer.data is not None
    assert [seen(picture(each)) >= {"red circle", "blue square"} for each in answer.data] == [True, True]
    assert answer.data[0].b64_json != answer.data[1].b64_json
    for each in answer.data:
        told: dict[str, Any] = each.model_dump()["limner"]
        assert told["passed"]
        assert told["scores"].keys() == told["threshold"].keys() == {"red circle", "blue square"}
        assert told["recipe"]["prompt"] == each.revised_prompt
        assert told["recipe"]["seed"] == told["seed"]
        recipe = parse_parameters(Image.open(io.BytesIO(content(each))).info["parameters"])
        assert (recipe.prompt, recipe.seed) == (each.revised_prompt, told["seed"])


def test_a_seed_gives_the_same_bytes_again(client: openai.OpenAI) -> None:
    first, again = (client.images.generate(prompt=PROMPT, extra_body={"seed": 8}).data for _ in range(2))
    assert first
    assert again
    assert first[0].b64_json == again[0].b64_json


def test_the_further_fields_reach_the_painter(client: openai.OpenAI, server: Painted) -> None:
    extra = {"seed": 5, "num_inference_steps": 7, "guidance": 2.5, "negative_prompt": "a triangle", "rounds": 1}
    client.images.generate(prompt=PROMPT, size="64x32", quality="high", style="vivid", user="me", extra_body=extra)
    last = server.painter.drawn[-1]
    assert (last.steps, last.guidance, last.negative_prompt) == (7, 2.5, "a triangle")
    assert (last.width, last.height) == (64, 32)


@pytest.mark.parametrize("form", ["jpeg", "webp"])
def test_files_of_other_forms_and_sizes_keep_their_recipe(client: openai.OpenAI, form: Any, tmp_path: Path) -> None:
    answer = client.images.generate(
        prompt=PROMPT, output_format=form, output_compression=90, size="100x60", extra_body={"seed": 3}
    )
    assert answer.data
    assert (answer.output_format, answer.size) == (form, "100x60")
    file = tmp_path / f"picture.{form}"
    file.write_bytes(content(answer.data[0]))
    with Image.open(file) as image:
        assert (image.format, image.size) == (form.upper(), (100, 60))
    assert read_recipe(file).prompt == answer.data[0].revised_prompt


def test_it_changes_a_picture_as_it_is_told(client: openai.OpenAI) -> None:
    answer = client.images.edit(image=before(), prompt="make the red circle green", n=2)
    assert answer.data
    for each in answer.data:
        assert things(picture(each)) == {"green circle", "blue square"}
        assert each.model_dump()["limner"]["passed"]
        assert each.revised_prompt == "make the red circle green"


def test_what_is_transparent_in_the_mask_may_change_and_nothing_else(client: openai.OpenAI) -> None:
    place = (2, 26, 22, 46)
    answer = client.images.edit(image=[before()], mask=mask_file(place), prompt="a green square, please")
    assert answer.data
    after = picture(answer.data[0])
    assert things(after) == {"red circle", "blue square", "green square"}
    kept = np.ones((48, 48), np.bool_)
    kept[26:46, 2:22] = False
    assert (after.pixels[kept] == BEFORE.pixels[kept]).all()


def test_pictures_come_as_they_are_drawn(client: openai.OpenAI) -> None:
    with client.images.generate(
        prompt=PROMPT, stream=True, partial_images=2, n=2, size="48x48", extra_body={"seed": 3, "steps": 9}
    ) as stream:
        events = list(stream)
    kinds = [event.type for event in events]
    assert kinds[-2:] == ["image_generation.completed"] * 2
    assert set(kinds[:-2]) <= {"image_generation.partial_image"}
    assert 1 <= len(kinds) - 2 <= 2
    for number, event in enumerate(events[:-2]):
        assert event.type == "image_generation.partial_image"
        assert event.partial_image_index == number
    for event in events:
        assert (event.size, event.background, event.output_format, event.quality) == ("48x48", "opaque", "png", "auto")
        assert picture(event).width == 48
    assert seen(picture(events[-1])) >= {"red circle", "blue square"}


def test_an_edit_is_streamed_as_well(client: openai.OpenAI) -> None:
    with client.images.edit(image=before(), prompt="remove the red circle", stream=True) as stream:
        [event] = list(stream)
    assert event.type == "image_edit.completed"
    assert event.usage.total_tokens == 0
    assert things(picture(event)) == {"blue square"}


def test_a_stream_that_fails_says_why(client: openai.OpenAI) -> None:
    with (
        pytest.raises(openai.APIError, match="yellow star"),
        client.images.edit(image=before(), prompt="remove the yellow star", stream=True) as stream,
    ):
        list(stream)


def test_the_model_is_listed(client: openai.OpenAI) -> None:
    assert [each.id for each in client.models.list()] == ["embedded"]
    assert client.models.retrieve("embedded").owned_by == "limner"
    with pytest.raises(openai.NotFoundError, match="/v1/models"):
        client.models.retrieve("another/one")


@pytest.mark.parametrize(
    ("asked", "status", "says"),
    [
        ({"prompt": ""}, 422, "prompt"),
        ({"prompt": "   "}, 422, "the prompt is empty"),
        ({"prompt": "x" * 5000}, 422, "prompt"),
        ({"prompt": "a\0b"}, 422, "control character"),
        ({"prompt": PROMPT, "n": 11}, 422, "n: "),
        ({"prompt": PROMPT, "size": "big"}, 422, "size"),
        ({"prompt": PROMPT, "size": "4096x4096"}, 422, "too large"),
        ({"prompt": PROMPT, "size": "9999x9999"}, 422, "too large"),
        ({"prompt": PROMPT, "response_format": "url"}, 400, "b64_json"),
        ({"prompt": PROMPT, "output_format": "gif"}, 422, "output_format"),
        ({"prompt": PROMPT, "model": "midjourney"}, 404, "midjourney"),
        ({"prompt": PROMPT, "extra_body": {"guidence": 3}}, 422, "guidence"),
        ({"prompt": PROMPT, "extra_body": {"seed": -1}}, 422, "seed"),
        ({"prompt": "a <nobody>"}, 422, "nobody"),
    ],
)
def test_what_cannot_be_drawn_is_refused(client: openai.OpenAI, asked: dict[str, Any], status: int, says: str) -> None:
    with pytest.raises(openai.APIStatusError, match=says) as refused:
        client.images.generate(**asked)
    assert refused.value.status_code == status
    assert refused.value.type == "invalid_request_error"


def test_what_cannot_be_changed_is_refused(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="not understood"):
        client.images.edit(image=before(), prompt="a nice day")
    with pytest.raises(openai.BadRequestError, match="2 pictures"):
        client.images.edit(image=[before(), before()], prompt="remove the red circle")
    with pytest.raises(openai.BadRequestError, match="48x48"):
        client.images.edit(image=before(), prompt="a dog", mask=mask_file((0, 0, 9, 9), size=(20, 20)))
    with pytest.raises(openai.BadRequestError, match="the mask is empty"):
        client.images.edit(image=before(), prompt="a dog", mask=mask_file())
    with pytest.raises(openai.BadRequestError, match="no transparency"):
        client.images.edit(image=before(), prompt="a dog", mask=named("mask.png", Image.new("RGB", (48, 48))))
    with pytest.raises(openai.APIStatusError, match="no PNG, JPEG or WebP") as refused:
        client.images.edit(image=io.BytesIO(b"%PDF-1.7 not a picture"), prompt="remove the red circle")
    assert refused.value.status_code == 415


def test_a_full_queue_says_when_to_come_again(tmp_path: Path) -> None:
    service = service_in(tmp_path, queue=1)
    service.submit("local", "draw", {"prompt": PROMPT})
    with serving(service) as url, pytest.raises(openai.RateLimitError, match="queue is full") as refused:
        client_of(url).images.generate(prompt=PROMPT)
    assert int(refused.value.response.headers["retry-after"]) >= 1


def test_an_edit_of_many_pictures_is_taken_whole_or_not_at_all(tmp_path: Path) -> None:
    service = service_in(tmp_path, queue=2)
    with serving(service) as url, pytest.raises(openai.RateLimitError):
        client_of(url).images.edit(image=before(), prompt="remove the red circle", n=3)
    assert [job.state for job in service.queue.list()] == ["cancelled", "cancelled"]


def test_a_client_that_goes_away_calls_its_picture_off(tmp_path: Path) -> None:
    with painted(tmp_path, gate=True) as server:
        with pytest.raises(openai.APITimeoutError):
            client_of(server.url, timeout=1.0).images.generate(prompt=PROMPT)
        until(lambda: [job.state for job in server.service.queue.list()] == ["cancelled"])


def test_a_picture_that_somebody_else_follows_is_drawn_on(tmp_path: Path) -> None:
    with painted(tmp_path, gate=True) as server:
        queue, gate = server.service.queue, server.painter.gate
        assert gate is not None
        with ThreadPoolExecutor() as pool:
            asked = pool.submit(client_of(server.url, timeout=3.0).images.generate, prompt=PROMPT)
            until(lambda: bool(queue.list()))
            [job] = queue.list()
            with httpx.stream("GET", f"{server.url}/api/jobs/{job.id}/events", timeout=PATIENCE_S) as events:
                lines = events.iter_lines()
                assert any("started" in line for line in lines)
                with pytest.raises(openai.APITimeoutError):
                    asked.result()
                gate.release(1000)
                assert any("event: done" in line for line in lines)
        assert queue.get(job.id).state == "done"


def test_a_server_that_closes_answers_and_keeps_the_picture_for_later(tmp_path: Path) -> None:
    with painted(tmp_path, gate=True) as server, ThreadPoolExecutor() as pool:
        queue = server.service.queue
        asked = pool.submit(client_of(server.url).images.generate, prompt=PROMPT)
        until(lambda: [job.state for job in queue.list()] == ["running"])
        server.service.close_streams()
        with pytest.raises(openai.InternalServerError, match="the server is closing"):
            asked.result()
        assert [(job.state, job.cancel) for job in queue.list()] == [("running", False)]


def test_sizes_that_the_model_cannot_draw_well_are_enlarged() -> None:
    assert files.drawing_size((1024, 1024), (128, 128)) == (128, 128)
    assert files.drawing_size((1792, 1024), (128, 128)) == (168, 96)
    assert files.drawing_size((160, 192), (128, 128)) == (160, 192)
    assert files.drawing_size((100, 60), None) == (96, 64)
    assert files.drawing_size(None, (128, 128)) is None


def test_a_form_has_texts_where_json_has_numbers() -> None:
    asked = Edit.model_validate({"prompt": "remove the cat", "n": "2", "stream": "true", "seed": "7"})
    assert (asked.n, asked.stream, asked.seed) == (2, True, 7)


def test_previews_are_only_for_streams() -> None:
    assert Generation(prompt=PROMPT, partial_images=3).previews == 0
    assert Generation(prompt=PROMPT, partial_images=3, stream=True).previews == 3
