"""Rating in a browser: blind, by key and by button, gone on with after a reload, and the file says what was chosen."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from limner.rating_files import RatingFolder, open_rating
from limner.web.app import create_app
from limner.web.rate import Server
from limner.web.rate import create_app as create_rating
from limner.web.server import address, bind
from tests.test_rating_files import folders
from tests.web.browsing import PHONE, opened
from tests.web.painted import serving_app, until
from tests.web.serving import service_in

pytestmark = pytest.mark.web
Serve = Callable[[RatingFolder], AbstractContextManager[str]]
BLACK = """async image => {
  await image.decode();
  const pen = document.createElement("canvas").getContext("2d");
  pen.drawImage(image, 0, 0);
  return pen.getImageData(0, 0, 1, 1).data[0] === 0;
}"""
"""Whether an image is of the first folder: its pictures are black, the second's white."""


@pytest.fixture
def rating(tmp_path: Path) -> RatingFolder:
    return open_rating(*folders(tmp_path), tmp_path / "ratings.jsonl", 0)


@contextmanager
def alone(rating: RatingFolder) -> Generator[str]:
    """The address of the page of `limner rate`."""
    listening, server = bind("127.0.0.1", 0), Server(create_rating(rating))
    thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
    thread.start()
    until(lambda: server.started)
    yield address("127.0.0.1", listening)
    server.should_exit = True
    thread.join()
    listening.close()


@contextmanager
def within(rating: RatingFolder) -> Generator[str]:
    """The address of the page «Rate» of `limner serve --rate`."""
    service = service_in(rating.file.parent / "served")
    app = create_app(service)
    app.state.rating = rating
    with serving_app(app, service) as url:
        yield f"{url}/"


def kept(rating: RatingFolder) -> list[str]:
    """The verdicts in the file."""
    return [json.loads(line)["verdict"] for line in rating.file.read_text().splitlines()[1:]]


def side_of_the_first(page: Page) -> int:
    """0 where the first folder's picture stands at the left, 1 at the right: only a pixel tells."""
    images = page.locator("main img")
    expect(images).to_have_count(2)
    return 0 if images.nth(0).evaluate(BLACK) else 1


@pytest.mark.parametrize("serve", [alone, within])
def test_pairs_are_rated_by_key_and_button_and_nothing_is_lost(
    browser: Browser, rating: RatingFolder, serve: Serve
) -> None:
    with serve(rating) as url, opened(browser, url) as page:
        if serve is within:
            page.get_by_role("link", name="Rate").click()
        told = page.locator("main")
        expect(told).to_contain_text("0 of 4 rated")
        assert str(rating.first) not in page.content()
        page.keyboard.press("13"[side_of_the_first(page)])
        expect(told).to_contain_text("1 of 4 rated")
        page.get_by_role("button", name=("Right", "Left")[side_of_the_first(page)]).click()
        expect(told).to_contain_text("2 of 4 rated")
        page.reload()
        expect(told).to_contain_text("2 of 4 rated")
        page.keyboard.press("2")
        expect(told).to_contain_text("3 of 4 rated")
        page.get_by_role("button", name="As good").focus()
        page.keyboard.press("Enter")
        expect(told).to_contain_text("All 4")
        expect(told).to_contain_text(rating.first.name)
        expect(page.locator("main img:visible, main button:visible")).to_have_count(0)
    assert kept(rating) == ["win", "lose", "tie", "tie"]
    assert kept(open_rating(rating.first, rating.second, rating.file, 0)) == ["win", "lose", "tie", "tie"]


def test_a_key_that_is_held_down_rates_one_pair(browser: Browser, rating: RatingFolder) -> None:
    with within(rating) as url, opened(browser, f"{url}#/rate") as page:
        expect(page.locator("main")).to_contain_text("0 of 4 rated")
        page.keyboard.down("1")
        expect(page.locator("main")).to_contain_text("1 of 4 rated")
        page.keyboard.down("1")  # what a keyboard does as long as the key is down
        page.wait_for_timeout(300)
        page.keyboard.up("1")
    assert len(kept(rating)) == 1


@pytest.mark.parametrize("serve", [alone, within])
def test_a_phone_shows_both_pictures_and_all_answers(browser: Browser, rating: RatingFolder, serve: Serve) -> None:
    with serve(rating) as url, opened(browser, f"{url}#/rate", **PHONE) as page:
        side_of_the_first(page)
        assert page.evaluate("document.documentElement.scrollWidth") == 390
        for name in ("Left", "As good", "Right"):
            expect(page.get_by_role("button", name=name)).to_be_in_viewport()
