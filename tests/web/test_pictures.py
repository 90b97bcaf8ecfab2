"""Pictures over HTTP: what is taken from strangers, what is kept of it, and what is given."""

from __future__ import annotations

import hashlib
import io
import json
import struct
import zlib
from dataclasses import asdict
from typing import Any

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from starlette.testclient import TestClient

from limner.image import decode_picture, png_bytes
from limner.image.metadata import parse_json
from limner.types import Recipe
from limner.web.service import Service
from tests.web.serving import picture

RECIPE = Recipe("a red circle", 7, 4, 5.0, 8, 8, "painter", versions={"painter": "1"})
PNG = {"Content-Type": "image/png"}


def sent(client: TestClient, content: bytes, kind: str = "image/png") -> Any:
    return client.post("/api/pictures", content=content, headers={"Content-Type": kind})


def kept(client: TestClient, content: bytes) -> bytes:
    """The file that is kept of an upload."""
    answer = sent(client, content)
    assert answer.status_code == 201, answer.text
    return client.get(f"/api/pictures/{answer.json()['picture']}").content


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png_that_says(width: int, height: int, pixels: bytes = b"") -> bytes:
    """A PNG whose head promises a size, whatever comes after it."""
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = zlib.compress(pixels or b"\0" * 100)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def with_texts(**texts: str) -> bytes:
    info = PngInfo()
    for name, text in texts.items():
        info.add_text(name, text, zip=len(text) > 1000)
    return picture(pnginfo=info)


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP"])
def test_three_forms_come_in_and_a_png_goes_out(client: TestClient, form: str) -> None:
    content = picture(12, 9, form)
    answer = sent(client, content, f"image/{form.lower()}").json()
    assert (answer["width"], answer["height"], answer["recipe"]) == (12, 9, None)
    back = client.get(f"/api/pictures/{answer['picture']}")
    assert back.headers["content-type"] == "image/png"
    assert hashlib.sha256(back.content).hexdigest() == answer["picture"]
    assert decode_picture(back.content, "x").sha256 == decode_picture(content, "x").sha256


def test_a_form_does_as_well(client: TestClient) -> None:
    content = picture(11, 11)
    answer = client.post("/api/pictures", files={"file": ("../../etc/passwd\0.png", content, "text/html")})
    assert answer.json()["picture"] == sent(client, content).json()["picture"]


def test_what_a_stranger_wrote_into_it_is_gone(client: TestClient) -> None:
    exif = Image.Exif()
    exif[0x010E] = "secret place"
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, "JPEG", exif=exif, comment=b"secret comment")
    for content in (file.getvalue(), with_texts(parameters="secret, Steps: 1", Comment="secret", XML="<secret/>")):
        assert b"secret" not in kept(client, content)


def test_a_recipe_of_ours_stays(client: TestClient) -> None:
    small = decode_picture(picture(), "x")
    content = png_bytes(small, RECIPE, {"scores": {"circle": 0.9}, "stranger": "gone"})
    answer = sent(client, content).json()
    assert answer["recipe"] == {k: v for k, v in asdict(RECIPE).items() if k != "parts"}
    with Image.open(io.BytesIO(client.get(f"/api/pictures/{answer['picture']}").content)) as image:
        told = parse_json(image.info["limner"])
    said = {k: v for k, v in asdict(RECIPE).items() if k not in ("concepts", "parts")}
    assert told == {"recipe": said, "scores": {"circle": 0.9}}


@pytest.mark.parametrize(
    "text",
    ["{", "[]", "null", "[" * 10**5, '{"recipe": {}}', '{"recipe": null, "scores": 1}', "x" * 10**6,
     json.dumps({"recipe": asdict(RECIPE) | {"seed": "x"}}),
     json.dumps({"recipe": asdict(RECIPE), "scores": float("nan")}),
     json.dumps({"recipe": asdict(RECIPE) | {"prompt": "\ud800"}}),
     json.dumps({"recipe": asdict(RECIPE) | {"guidance": float("inf")}})],
)  # fmt: skip
def test_what_only_looks_like_one_does_not(client: TestClient, text: str) -> None:
    answer = sent(client, with_texts(limner=text))
    assert (answer.status_code, answer.json()["recipe"]) == (201, None)
    assert "limner" not in Image.open(io.BytesIO(client.get(f"/api/pictures/{answer.json()['picture']}").content)).info


GIF, BMP, TIFF = (picture(8, 8, form) for form in ("GIF", "BMP", "TIFF"))
HOSTILE = {
    "gif": GIF,
    "bmp": BMP,
    "tiff": TIFF,
    "svg": b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>",
    "pdf": b"%PDF-1.7\n1 0 obj\n<<>>\nendobj\n",
    "html": b"<html><script>alert(1)</script></html>",
    "eps": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n",
    "zip": b"PK\x03\x04" + b"\0" * 40,
    "empty": b"",
    "noise": bytes(range(256)) * 40,
    "cut": picture(64, 64)[:-200],
    "cut at the head": picture()[:20],
    "zero": png_that_says(0, 0),
    "jpeg cut": picture(64, 64, "JPEG")[:400],
    "webp cut": picture(64, 64, "WEBP")[:100],
    "a pickle": b"\x80\x04\x95" + b"\0" * 60,
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("way", ["body", "form"])
def test_nothing_else_is_taken(client: TestClient, name: str, way: str) -> None:
    if way == "body":
        answer = sent(client, HOSTILE[name])
    else:
        answer = client.post("/api/pictures", files={"file": ("picture.png", HOSTILE[name], "image/png")})
    assert (answer.status_code, answer.json()["error"]["type"]) == (415, "unsupported_type")


@pytest.mark.parametrize(("width", "height"), [(30_000, 1), (30_000, 30_000), (5000, 5000), (2**31 - 1, 2**31 - 1)])
def test_size_is_looked_at_before_anything_is_decoded(client: TestClient, width: int, height: int) -> None:
    answer = sent(client, png_that_says(width, height))
    assert answer.status_code in (413, 415)
    assert "error" in answer.json()


def test_a_picture_that_promises_little_and_brings_much(client: TestClient) -> None:
    """50 MB of zeros behind the head of 8 x 8 pixels: what was promised is read, and no more."""
    answer = sent(client, png_that_says(8, 8, b"\0" * 50_000_000))
    assert answer.status_code in (201, 415)


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/json", "image/gif", "image/svg+xml", "", "multipart/form-data", "multipart/x"]
)
def test_other_types_of_content(client: TestClient, kind: str) -> None:
    assert sent(client, picture(), kind).status_code in (400, 415)


def test_forms_without_one_picture(client: TestClient) -> None:
    png = ("x.png", picture(), "image/png")
    assert client.post("/api/pictures", files={"other": png}).status_code == 400
    assert client.post("/api/pictures", files=[("file", png), ("file", png)]).status_code == 400
    assert client.post("/api/pictures", data={"file": "text"}, files={"x": png}).status_code == 400


def test_a_picture_never_changes_so_it_is_kept(client: TestClient) -> None:
    sha256 = sent(client, picture(10, 10)).json()["picture"]
    answer = client.get(f"/api/pictures/{sha256}")
    assert "immutable" in answer.headers["cache-control"]
    again = client.get(f"/api/pictures/{sha256}", headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert client.get(f"/api/pictures/{sha256}?size=16").headers["etag"] != answer.headers["etag"]


def test_smaller_and_without_what_it_says(client: TestClient) -> None:
    small = decode_picture(picture(100, 50), "x")
    sha256 = sent(client, png_bytes(small, RECIPE)).json()["picture"]
    with Image.open(io.BytesIO(client.get(f"/api/pictures/{sha256}?size=40").content)) as image:
        assert (image.size, "limner" in image.info) == ((40, 20), False)
    bare = client.get(f"/api/pictures/{sha256}?metadata=0").content
    assert decode_picture(bare, "x").sha256 == small.sha256
    assert b"red circle" not in bare


@pytest.mark.parametrize(("name", "file"), [("fox", "fox.png"), ("a fox-1.PNG", "a fox-1.PNG")])
def test_offered_as_a_file(client: TestClient, name: str, file: str) -> None:
    sha256 = sent(client, picture()).json()["picture"]
    answer = client.get(f"/api/pictures/{sha256}", params={"download": name})
    assert answer.headers["content-disposition"] == f'attachment; filename="{file}"'


@pytest.mark.parametrize("query", ["download=../x", 'download="x"', "download=a%0d%0ab", "size=15", "size=9999",
                                   "size=x", "metadata=maybe", "size=" + "9" * 5000])  # fmt: skip
def test_what_a_picture_may_be_asked_for(client: TestClient, query: str) -> None:
    sha256 = sent(client, picture()).json()["picture"]
    assert client.get(f"/api/pictures/{sha256}?{query}").status_code == 422


@pytest.mark.parametrize("name", ["0" * 64, "0" * 63, "G" * 64, "..%2f..%2fetc%2fpasswd", "%00", "0" * 64 + ".png"])
def test_names_that_are_none(client: TestClient, name: str) -> None:
    assert client.get(f"/api/pictures/{name}").status_code in (404, 422)


def test_uploads_that_nothing_names_are_no_turns(client: TestClient, service: Service) -> None:
    sha256 = sent(client, picture(13, 13)).json()["picture"]
    assert service.blobs.has(sha256)
    assert service.store.check() == []
