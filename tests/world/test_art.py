"""The art: what is fetched is checked before it is kept, and what cannot be drawn is said plainly."""

from __future__ import annotations

import base64
import hashlib
import io
import os
import tarfile
from pathlib import Path

import numpy as np
import pytest

from limner.types import BadInput, LimnerError
from limner.world import art
from limner.world.shapes import SHAPES, shape_svg


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of this test's own; drawings remembered from elsewhere are forgotten."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    art.sprite.cache_clear()
    return art.art_folder()


def archive() -> bytes:
    """A package as npm packs it: everything under package/."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        body = b'{"icons": {}}'
        entry = tarfile.TarInfo("package/icons.json")
        entry.size = len(body)
        tar.addfile(entry, io.BytesIO(body))
    return buffer.getvalue()


def package_of(packed: bytes) -> art.Package:
    digest = base64.b64encode(hashlib.sha512(packed).digest()).decode()
    return art.Package("@a/drawings", "1.0.0", f"sha512-{digest}")


def install_npm(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Put an `npm` of our own first on PATH; it runs where npm would pack."""
    folder.mkdir()
    npm = folder / "npm"
    npm.write_text(f"#!/bin/sh\n{script}\n")
    npm.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


def deliver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, packed: bytes) -> None:
    delivery = tmp_path / "delivery.tgz"
    delivery.write_bytes(packed)
    install_npm(tmp_path / "bin", monkeypatch, f"cp '{delivery}' a-drawings-1.0.0.tgz")


def test_an_archive_with_the_right_hash_is_unpacked(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed = archive()
    deliver(tmp_path, monkeypatch, packed)
    folder = art.fetch(package_of(packed))
    assert folder.parent == cache
    assert (folder / "icons.json").read_text() == '{"icons": {}}'
    assert list(cache.iterdir()) == [folder]


def test_what_is_in_the_cache_is_not_fetched_again(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = package_of(b"")
    folder = cache / "@a+drawings-1.0.0"
    folder.mkdir(parents=True)
    monkeypatch.setenv("PATH", "")
    assert art.fetch(package) == folder


def test_one_altered_byte_is_refused_and_nothing_is_kept(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed = archive()
    altered = bytearray(packed)
    altered[4] ^= 1  # the time stamp of gzip: the archive still unpacks
    deliver(tmp_path, monkeypatch, bytes(altered))
    with pytest.raises(LimnerError, match="not the archive it should be"):
        art.fetch(package_of(packed))
    assert list(cache.iterdir()) == []


def test_a_failing_npm_is_reported_with_its_own_words(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_npm(tmp_path / "bin", monkeypatch, "echo no such package >&2; exit 1")
    with pytest.raises(LimnerError, match="could not fetch") as caught:
        art.fetch(package_of(b""))
    assert caught.value.hint == "no such package"
    assert list(cache.iterdir()) == []


def test_without_npm_one_is_told_to_install_it(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LimnerError, match="npm was not found") as caught:
        art.fetch_art()
    assert "install" in caught.value.hint


@pytest.mark.usefixtures("cache")
def test_shapes_need_no_art_and_other_styles_do() -> None:
    assert art.have_art("shapes")
    assert not any(art.have_art(style) for style in art.STYLE_PACKAGES)
    with pytest.raises(LimnerError, match="art of style «flat» is not here"):
        art.sprite("fox", "flat")


@pytest.mark.parametrize(("concept", "style"), [("fox", "oils"), ("blorp", "flat"), ("fox", "shapes")])
def test_an_unknown_style_concept_or_shape_is_bad_input(concept: str, style: str) -> None:
    with pytest.raises(BadInput):
        art.sprite(concept, style)


@pytest.mark.parametrize("name", SHAPES)
def test_a_sprite_is_cut_to_its_bounds(name: str) -> None:
    pixels = art.sprite(name, "shapes")
    assert pixels.dtype == np.uint8
    assert max(pixels.shape[:2]) == art.SPRITE_PIXELS
    opaque = pixels[..., 3] > 16
    assert all(edge.any() for edge in (opaque[:2], opaque[-2:], opaque[:, :2], opaque[:, -2:]))


def test_no_two_shapes_are_drawn_alike() -> None:
    assert len({shape_svg(name) for name in SHAPES}) == len(SHAPES) == 12


def test_every_package_is_pinned_by_version_and_hash() -> None:
    packages = (*art.STYLE_PACKAGES.values(), *art.NAME_PACKAGES)
    for package in packages:
        assert package.version.count(".") == 2
        assert len(base64.b64decode(package.integrity.removeprefix("sha512-"), validate=True)) == 64
