import errno
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from limner.image import format_parameters, open_picture, png_bytes, read_metadata, read_recipe, save_png
from limner.image.files import MAX_FILE_BYTES, decode_picture
from limner.types import BadInput, LimnerError, Picture, Recipe

RECIPE = Recipe("a (fox:1.2) «in» snow", 7, 20, 3.5, 24, 16, "embedded", "abc", "DPM++ 2M", "blurry", {"torch": "2"})
PICTURE = Picture(np.random.default_rng(0).integers(0, 256, (16, 24, 3), dtype=np.uint8))


def test_a_saved_picture_comes_back_with_its_recipe(tmp_path: Path) -> None:
    path = tmp_path / "fox.png"
    save_png(path, PICTURE, RECIPE, {"scores": {"fox": 0.25}})
    assert open_picture(path).sha256 == PICTURE.sha256
    assert read_recipe(path) == RECIPE
    assert read_metadata(path).limner["scores"] == {"fox": 0.25}
    assert read_metadata(path).parameters == format_parameters(RECIPE)


def test_the_same_picture_gives_the_same_bytes() -> None:
    assert png_bytes(PICTURE, RECIPE, {"b": 1, "a": 2}) == png_bytes(PICTURE, RECIPE, {"a": 2, "b": 1})


def test_without_metadata_a_file_holds_only_pixels(tmp_path: Path) -> None:
    path = tmp_path / "fox.png"
    save_png(path, PICTURE)
    assert b"tEXt" not in path.read_bytes()
    assert b"iTXt" not in path.read_bytes()
    with pytest.raises(BadInput, match="no recipe"):
        read_recipe(path)


def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "fox.png"
    path.write_bytes(b"old")

    def full(_number: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(LimnerError, match="No space left") as caught:
        save_png(path, PICTURE)
    assert caught.value.exit_code == 1
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [("fox.png", b"old")]


def test_a_place_that_cannot_be_written_to_is_bad_input(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "nowhere" / "fox.png", tmp_path / "file" / "fox.png", tmp_path):
        with pytest.raises(BadInput, match="cannot write"):
            save_png(path, PICTURE)
    assert [file.name for file in tmp_path.iterdir()] == ["file"]


def test_a_saved_file_has_the_permissions_of_any_new_file(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    save_png(tmp_path / "fox.png", PICTURE)
    assert (tmp_path / "fox.png").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_transparency_lies_over_white(tmp_path: Path) -> None:
    layer = np.zeros((1, 3, 4), np.uint8)
    layer[0, :, 3] = (0, 255, 51)
    Image.fromarray(layer).save(tmp_path / "layer.png")
    assert open_picture(tmp_path / "layer.png").pixels[0, :, 0].tolist() == [255, 0, 204]


def test_exif_orientation_turns_the_picture(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (24, 16)).save(tmp_path / "turned.jpg", exif=exif)
    assert open_picture(tmp_path / "turned.jpg").pixels.shape == (24, 16, 3)


def test_sixteen_bit_grey_keeps_its_range(tmp_path: Path) -> None:
    Image.fromarray(np.array([[0, 128 * 256, 65535]], np.uint16)).save(tmp_path / "grey.png")
    assert open_picture(tmp_path / "grey.png").pixels[0, :, 0].tolist() == [0, 128, 255]


@pytest.mark.parametrize("name", ["fox.jpg", "fox.webp"])
def test_a1111s_text_is_found_in_exif(tmp_path: Path, name: str) -> None:
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x9286] = b"UNICODE\0" + format_parameters(RECIPE).encode("utf-16-be")
    Image.fromarray(PICTURE.pixels).save(tmp_path / name, exif=exif)
    assert read_recipe(tmp_path / name).prompt == RECIPE.prompt


def png(width: int, height: int, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG whose header claims a size, whatever follows."""
    header = (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    body = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in (header, *chunks, (b"IEND", b""))
    )
    return b"\x89PNG\r\n\x1a\n" + body


def ztxt(size: int) -> tuple[bytes, bytes]:
    return b"zTXt", b"parameters\0\0" + zlib.compress(b"x" * size)


HOSTILE = {
    "empty": b"",
    "text": b"hello",
    "gif": b"GIF89a" + bytes(100),
    "cut short": png_bytes(PICTURE)[:100],
    "claims 65535 x 65535 pixels": png(65535, 65535, (b"IDAT", zlib.compress(bytes(1000)))),
    "claims 6000 x 6000 pixels": png(6000, 6000, (b"IDAT", zlib.compress(bytes(1000)))),
    "a text of 100 MB": png(1, 1, ztxt(100_000_000), (b"IDAT", zlib.compress(bytes(4)))),
    "two thousand texts": png(1, 1, *[ztxt(1_000_000)] * 2000, (b"IDAT", zlib.compress(bytes(4)))),
    "damaged pixels": png(8, 8, (b"IDAT", b"not zlib")),
}


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE)
def test_hostile_files_are_bad_input(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "hostile.png"
    path.write_bytes(content)
    with pytest.raises(BadInput, match=r"hostile\.png"):
        open_picture(path)


@pytest.mark.parametrize("name", ["a text of 100 MB", "two thousand texts", "claims 65535 x 65535 pixels", "gif"])
def test_hostile_files_have_no_metadata_either(tmp_path: Path, name: str) -> None:
    path = tmp_path / "hostile.png"
    path.write_bytes(HOSTILE[name])
    with pytest.raises(BadInput, match=r"hostile\.png"):
        read_metadata(path)


def test_what_a_file_says_is_checked(tmp_path: Path) -> None:
    chunks = PngInfo()
    chunks.add_text("limner", '{"recipe": {"prompt": ["x"], "seed": "__import__"}}')
    Image.fromarray(PICTURE.pixels).save(tmp_path / "odd.png", pnginfo=chunks)
    with pytest.raises(BadInput, match="prompt"):
        read_recipe(tmp_path / "odd.png")


def test_missing_and_huge_files_are_bad_input(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="No such file"):
        open_picture(tmp_path / "none.png")
    with (tmp_path / "huge.png").open("wb") as file:
        file.truncate(MAX_FILE_BYTES + 1)
    with pytest.raises(BadInput, match="larger than 64 MiB"):
        open_picture(tmp_path / "huge.png")


def test_bytes_are_read_as_files_are(tmp_path: Path) -> None:
    content = png_bytes(PICTURE, RECIPE)
    assert decode_picture(content, "a picture").sha256 == PICTURE.sha256
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (24, 16)).save(tmp_path / "turned.jpg", exif=exif)
    assert decode_picture((tmp_path / "turned.jpg").read_bytes(), "turned").pixels.shape == (24, 16, 3)


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE)
def test_hostile_bytes_are_bad_input_by_the_name_that_was_given(content: bytes) -> None:
    with pytest.raises(BadInput, match="picture 0123abcd") as caught:
        decode_picture(content, "picture 0123abcd")
    assert "BytesIO" not in str(caught.value)


def test_too_many_bytes_are_bad_input() -> None:
    with pytest.raises(BadInput, match="picture is larger than 64 MiB"):
        decode_picture(bytes(MAX_FILE_BYTES + 1), "picture")
