"""The card says what there is, shows it, and can do no harm."""

from __future__ import annotations

import base64
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from limner.dataset import Annotation, Edit, Info, Lineage, Model, write_card
from limner.dataset.card import escaped
from limner.dataset.page import data_url, mask_path
from limner.image import decode_picture, png_bytes, to_rle
from tests.dataset.samples import CLASSES, MODELS, TEXT, entry, picture, rejected, save
from tests.dataset.test_forms import MASK, MIXED

EVIL = "<script>alert(1)</script>\"><img src=x onerror=alert(2)>' ![x](http://evil.example/a.png) </svg></style>"


class Page(HTMLParser):
    """All tags with their attributes, and all text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.tags if name == tag]


def evil(root: Path) -> Path:
    """Hostile text wherever there is text."""
    lineage = Lineage((EVIL,), (1,), (Model(EVIL, EVIL, EVIL, EVIL),), (Edit(EVIL, EVIL),), (), {EVIL: 0.5})
    item = entry("a", caption=EVIL, regions=(replace(MASK, label=EVIL),), lineage=lineage)
    info = Info(name=EVIL, classes=(EVIL,), models=lineage.models, generated=True)
    return save(root, [item], [rejected("r", EVIL, EVIL)], info)


def test_no_text_becomes_markup(tmp_path: Path) -> None:
    _, html = write_card(evil(tmp_path / "data"))
    page = Page(html.read_text(encoding="utf-8"))
    assert page.all("script") == page.all("img") == page.all("a") == page.all("link") == []
    assert len(page.all("style")) == len(page.all("html")) == 1
    assert page.text.count("<script>alert(1)</script>") >= 10
    names = {name for _, attributes in page.tags for name in attributes}
    assert not [name for name in names if name.startswith("on")]
    assert page.all("meta")[1]["content"].startswith("default-src 'none'")


def test_nothing_is_fetched(tmp_path: Path) -> None:
    _, html = write_card(evil(tmp_path / "data"))
    page = Page(html.read_text(encoding="utf-8"))
    links = [value for _, one in page.tags for name, value in one.items() if name in ("src", "href", "xlink:href")]
    assert len(links) == 2
    assert all(link.startswith("data:image/png;base64,") for link in links)
    assert "url(" not in html.read_text(encoding="utf-8")


def test_markdown_has_no_markup_from_texts(tmp_path: Path) -> None:
    markdown, _ = write_card(evil(tmp_path / "data"))
    text = markdown.read_text(encoding="utf-8")
    assert "<" not in text
    assert "://" not in text
    assert re.findall(r"(?<!\\)!(?<!\\)\[", text) == ["!["]
    assert re.findall(r"(?<!\\)\]\(([^)]*)\)", text) == ["items/00000/a.png"]


@given(TEXT | st.text(st.sampled_from("\\`*_{}[]()#+-.!|~$<>&\n\r\t :/@ab"), max_size=20))
def test_markdown_stays_on_its_line_and_in_its_cell(text: str) -> None:
    line = escaped(text)
    assert not set(line) & set("\n\r<>\u2028\x85")
    assert re.sub(r"\\[^A-Za-z0-9\s]", "", line).count("|") == 0


def test_what_there_is_is_counted(tmp_path: Path) -> None:
    root = save(tmp_path / "data", MIXED, [rejected("r1", "ssim"), rejected("r2", "clip"), rejected("r3", "ssim")])
    markdown, html = write_card(root)
    text = markdown.read_text(encoding="utf-8")
    assert "4 pictures, 4 regions, 3 rejects" in text
    assert "| train | 2 |" in text
    assert "| no | 2 | 2 | 2 |" in text
    assert "| red panda | 0 | 0 | 0 |" in text
    assert text.index("| ssim | 2 |") < text.index("| clip | 1 |")
    assert r"| draw | sd15 | CreativeML OpenRAIL\-M |" in text
    assert "| detect | owl | unknown |" in text
    assert "AI-generated" in text
    page = Page(html.read_text(encoding="utf-8"))
    assert "AI-generated" in page.text
    assert len(page.all("figure")) == len(MIXED) + 3
    assert len(page.all("path")) == 2
    assert len(page.all("rect")) == 4
    assert all(name in page.text for name in CLASSES)
    assert MODELS[0].licence in page.text


def test_pictures_that_no_model_drew_are_not_marked(tmp_path: Path) -> None:
    for file in write_card(save(tmp_path / "data", MIXED, info=Info(classes=CLASSES))):
        assert "AI-generated" not in file.read_text(encoding="utf-8")


def test_an_empty_dataset_and_the_same_bytes(tmp_path: Path) -> None:
    first = [path.read_bytes() for path in write_card(save(tmp_path / "one", [], info=Info()))]
    assert first == [path.read_bytes() for path in write_card(save(tmp_path / "two", [], info=Info()))]
    assert b"None." in first[0]
    assert first[1].count(b"<p>None.</p>") == 6


def test_examples_are_bounded(tmp_path: Path) -> None:
    root = save(tmp_path / "data", [entry(f"i{n}", regions=(MASK,)) for n in range(40)])
    _, html = write_card(root)
    assert len(Page(html.read_text(encoding="utf-8")).all("figure")) == 4


@pytest.mark.parametrize("seed", range(5))
def test_a_path_covers_the_mask_exactly(seed: int) -> None:
    mask = np.random.default_rng(seed).random((7, 9)) < 0.5
    drawn = np.zeros_like(mask)
    for x, y, height in re.findall(
        r"M(\d+) (\d+)h1v(\d+)h-1z", mask_path(Annotation("a", (0, 0, 9, 7), 1, to_rle(mask)))
    ):
        drawn[int(y) : int(y) + int(height), int(x)] = True
    np.testing.assert_array_equal(drawn, mask)


def test_large_pictures_are_made_smaller() -> None:
    url = data_url(png_bytes(picture(800, 400)), "a.png")
    head, _, content = url.partition(",")
    shown = decode_picture(base64.b64decode(content), "a.jpg")
    assert head == "data:image/jpeg;base64"
    assert (shown.width, shown.height) == (384, 192)
