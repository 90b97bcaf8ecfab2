"""The page in a browser, against `limner serve` as people run it, with the embedded models: `make test-web`.

Chromium is Debian's. With PAGE_SHOTS=FOLDER in the environment the pictures of the documentation are made on the way.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Generator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.web.browsing import FAINT_TEXTS, PATIENCE_MS, PHONE, opened, served
from tests.web.serving import picture

pytestmark = pytest.mark.web
PROMPT = "a red fox to the left of a castle in the snow"
TOKEN = "t" * 32


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Generator[str]:
    with served(tmp_path_factory.mktemp("page")) as address:
        yield address


@pytest.fixture
def page(browser: Browser, address: str) -> Generator[Page]:
    with opened(browser, address) as page:
        yield page


@pytest.fixture(scope="module")
def drawn(browser: Browser, address: str) -> str:
    """The address of a session with a picture, for tests that only look at it."""
    with opened(browser, address) as page:
        say(page, PROMPT)
        settled(page)
        return page.url


def at(page: Page, url: str) -> None:
    page.goto(url)
    expect(page.locator(".large")).to_be_visible()


def say(page: Page, text: str) -> None:
    page.fill("#say", text)
    page.keyboard.press("Enter")
    expect(page.locator(".pending .progress")).to_be_visible()


def settled(page: Page) -> None:
    """Wait until nothing is going on any more."""
    expect(page.locator(".pending .progress")).to_have_count(0)
    expect(page.locator(".turn").last).to_be_visible()


def apart(page: Page, url: str, name: str) -> None:
    """A session of one's own whose picture is the one of another: to be changed without changing that."""
    sha = page.request.get(f"{url.split('#')[0]}api/sessions/{url.split('/')[-1]}").json()["now"]["picture"]
    here = url.split("#")[0]
    assert page.request.post(f"{here}api/sessions", data={"name": name}).ok
    job = page.request.post(f"{here}api/sessions/{name}/open", data={"picture": sha}).json()
    page.request.get(f"{here}{job['links']['events'][1:]}", timeout=PATIENCE_MS)
    at(page, f"{here}#/s/{name}")


def test_a_first_visit_explains_itself_and_draws(page: Page) -> None:
    expect(page.locator(".example")).to_have_count(3)
    page.get_by_role("button", name=PROMPT).click()
    expect(page.locator(".pending .progress")).to_contain_text("Cancel")
    expect(page.locator(".said")).to_have_text(f"You: {PROMPT}")
    settled(page)
    chips = page.locator(".chip")
    expect(chips.first).to_be_visible()
    assert {"castle", "red fox", "snow"} <= {text.split("\n")[0].strip() for text in chips.all_inner_texts()}
    chips.first.focus()
    expect(chips.first.locator(".tip")).to_contain_text("score")
    assert re.search(r"#/s/red-fox-left-castle", page.url)
    expect(page.locator(".node")).to_have_count(1)
    expect(page.locator(".about")).to_contain_text("keywords by rules")


def test_a_picture_is_seen_while_it_is_drawn_and_drawing_can_be_stopped(page: Page) -> None:
    say(page, "a penguin in space")
    expect(page.locator(".preview")).to_be_visible()
    page.locator(".pending").get_by_role("button", name="Cancel").click()
    expect(page.locator(".alert")).to_contain_text("Stopped")
    expect(page.locator(".pending .progress")).to_have_count(0)
    expect(page.locator(".node")).to_have_count(0)


def test_a_page_that_is_loaded_again_goes_on_waiting_and_keeps_the_draft(page: Page) -> None:
    say(page, "a house by the sea at sunset")
    page.fill("#say", "and then make it night")
    page.reload()
    expect(page.locator(".pending .progress")).to_be_visible()
    expect(page.locator(".said")).to_contain_text("a house by the sea")
    assert page.input_value("#say") == "and then make it night"
    settled(page)
    expect(page.locator(".large")).to_be_visible()


def test_an_unclear_change_is_asked_back_with_choices(page: Page, drawn: str) -> None:
    apart(page, drawn, "asked")
    say(page, "make it bigger")
    expect(page.locator(".choices .choice").first).to_be_visible()
    assert page.locator(".choices .choice").count() >= 2
    page.locator(".choices .choice").first.click()
    settled(page)
    expect(page.locator(".verdict")).not_to_have_count(0)
    expect(page.locator(".choices")).to_have_count(0)


def test_undo_branch_goto_and_compare(page: Page, drawn: str) -> None:
    apart(page, drawn, "moving")
    say(page, "make it night")
    settled(page)
    night = page.get_attribute(".large", "data-sha")
    page.keyboard.press("Control+z")
    expect(page.locator(".turn")).to_have_count(1)
    page.keyboard.press("Control+Shift+Z")
    expect(page.locator(".turn")).to_have_count(2)
    more = page.locator(".tree li").nth(1).locator(".more")
    more.focus()
    page.keyboard.press("Enter")
    page.get_by_role("menuitem", name="Name this place").click()
    page.fill("#field-name", "dark")
    page.keyboard.press("Enter")
    expect(page.locator(".tag")).to_have_text("dark")
    page.locator(".node").first.click()
    expect(page.locator(".turn")).to_have_count(1)
    say(page, "make it sunset")
    settled(page)
    expect(page.locator(".tree .depth-1")).to_have_count(2)
    page.locator(".node", has_text="dark").click()
    expect(page.locator(".large")).to_have_attribute("data-sha", str(night))
    page.get_by_role("button", name="Compare", exact=True).click()
    page.get_by_label("How much of the left picture is seen").press("ArrowLeft")
    assert page.eval_on_selector(".over", "image => image.style.clipPath") == "inset(0px 51% 0px 0px)"
    expect(page.locator(".compare-view ins")).to_contain_text("night")


def test_what_is_forgotten_is_asked_about_first(page: Page, drawn: str) -> None:
    apart(page, drawn, "forgetting")
    say(page, "make it night")
    settled(page)
    for answer, turns in (("Keep it", 2), ("Forget it", 1)):
        page.locator(".tree li").nth(1).locator(".more").click()
        page.get_by_role("menuitem", name="Forget this").click()
        page.get_by_role("dialog").get_by_role("button", name=answer).click()
        settled(page)
        expect(page.locator(".turn")).to_have_count(turns)


def test_a_part_is_marked_without_a_pointer_and_changed_there(page: Page, drawn: str) -> None:
    apart(page, drawn, "marked")
    page.get_by_role("button", name="Mark", exact=True).press("Enter")
    thing = page.locator(".found .choice", has_text="castle").first
    thing.press("Enter")
    expect(thing).to_have_attribute("aria-pressed", "true")
    page.get_by_role("button", name="Use it").press("Enter")
    expect(page.locator(".marked")).to_contain_text("Only inside the marked part")
    say(page, "replace the castle with a house")
    settled(page)
    expect(page.locator(".turn").last).to_contain_text("house")


def test_things_in_the_picture_are_shown_over_it(page: Page, drawn: str) -> None:
    at(page, drawn)
    page.get_by_role("button", name="Find", exact=True).click()
    regions = page.locator(".region")
    expect(regions.first).to_be_visible()
    regions.first.focus()
    assert float(regions.first.locator(".region-mask").evaluate("mask => getComputedStyle(mask).opacity")) > 0.3
    page.get_by_role("button", name="Find", exact=True).click()
    expect(regions).to_have_count(0)


def test_a_picture_of_ones_own_is_taken_and_others_are_not(page: Page, tmp_path: Path) -> None:
    good, bad = tmp_path / "mine.png", tmp_path / "mine.gif"
    good.write_bytes(picture(128, 128))
    bad.write_bytes(b"GIF89a")
    for file, told in ((bad, ".alert"), (good, "dialog .offer")):
        with page.expect_file_chooser() as chooser:
            page.get_by_role("button", name="Bring a picture along").click()
        chooser.value.set_files(file)
        expect(page.locator(told).first).to_be_visible()
    page.get_by_role("button", name="Change it").click()
    settled(page)
    expect(page.locator(".turn")).to_contain_text("It seems to show")


def test_a_thing_is_learned_before_ones_eyes_said_and_deleted(page: Page, drawn: str) -> None:
    at(page, drawn)
    page.get_by_role("button", name="Learn", exact=True).click()
    for name, value in {"name": "foxy", "like": "fox", "steps": "30"}.items():
        page.fill(f"#field-{name}", value)
    page.get_by_role("button", name="Learn it").click()
    expect(page.locator(".pending .look img").first).to_be_visible()
    expect(page.locator(".pending .curve")).to_be_visible()
    page.locator(".pending .look").first.click()
    large = page.get_by_role("dialog").locator("figure")
    expect(large.first).to_contain_text("a <foxy>")
    assert large.first.locator("img").evaluate("image => image.decode().then(() => image.naturalWidth)") == 128
    page.keyboard.press("Escape")
    settled(page)
    expect(page.locator(".turn").last).to_contain_text("<foxy>")
    page.get_by_role("link", name="Concepts").click()
    card = page.locator(".card", has_text="<foxy>")
    with page.expect_download() as download:
        card.get_by_role("link", name="Export").click()
    assert download.value.suggested_filename == "foxy.safetensors"
    card.get_by_role("button", name="Use it").click()
    expect(page.locator("#say")).to_have_value("a <foxy> ")
    page.fill("#say", "")
    page.get_by_role("link", name="Concepts").click()
    card.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete it").click()
    expect(card).to_have_count(0)


def test_a_dropped_picture_is_learned_and_what_is_known_when_it_is_stopped_stays(page: Page) -> None:
    dropped = page.evaluate_handle(_DROPPED, list(picture(128, 128)))
    page.dispatch_event("body", "drop", {"dataTransfer": dropped})
    page.get_by_role("button", name="Learn what it shows").click()
    for name, value in {"name": "grain", "like": "fox", "steps": "500"}.items():
        page.fill(f"#field-{name}", value)
    page.get_by_role("button", name="Learn it").click()
    lesson = page.locator(".lesson", has_text="<grain>")
    expect(lesson.locator(".curve")).to_be_visible()
    page.reload()
    expect(lesson.locator(".curve")).to_be_visible()
    lesson.get_by_role("button", name="Cancel").click()
    expect(lesson).to_have_count(0)
    expect(page.locator(".alert")).to_contain_text("learned by then")
    expect(page.locator(".card", has_text="<grain>")).to_contain_text("like fox")


def test_a_dataset_is_ordered_and_looked_at(page: Page) -> None:
    page.get_by_role("link", name="Datasets").click()
    for name, value in {"name": "two", "classes": "fox, car", "count": "2"}.items():
        page.fill(f"#field-{name}", value)
    page.get_by_role("button", name="Make it").click()
    expect(page.locator(".grid figure").first).to_be_visible()
    expect(page.locator(".grid figure")).to_have_count(2)
    expect(page.locator(".tally").last).to_contain_text("kept")
    page.get_by_role("button", name="Rejected").click()
    expect(page.locator(".grid strong, .grid p").first).to_be_visible()


def test_downloads_have_their_recipe_or_nothing(page: Page, drawn: str) -> None:
    at(page, drawn)
    sizes: list[int] = []
    for item in ("Picture with its recipe", "Picture alone"):
        page.get_by_role("button", name="Save", exact=True).click()
        with page.expect_download() as download:
            page.get_by_role("menuitem", name=item).click()
        content = download.value.path().read_bytes()
        assert content.startswith(b"\x89PNG")
        sizes.append(content.count(b"tEXt") + content.count(b"iTXt"))
    assert sizes[1] == 0


def test_what_was_said_is_text_and_nothing_else(page: Page) -> None:
    hostile = '<img src=x onerror="window.broken=1"> a fox <script>window.broken=1</script>'
    page.fill("#say", hostile)
    page.keyboard.press("Enter")
    expect(page.locator(".alert, .turn").first).to_be_visible()
    assert page.evaluate("window.broken") is None
    assert page.locator("main script, main img[src='x']").count() == 0


def test_a_lost_connection_is_told_and_taken_up_again(browser: Browser, address: str, drawn: str) -> None:
    visit = browser.new_context()
    page = visit.new_page()
    at(page, drawn)
    page.fill("#say", "make it night")
    visit.set_offline(True)
    expect(page.locator("#connection")).to_contain_text("Reconnecting")
    page.keyboard.press("Enter")
    expect(page.locator("#say")).to_have_value("make it night")
    visit.set_offline(False)
    expect(page.locator("#connection")).to_be_hidden(timeout=20_000)
    assert page.input_value("#say") == "make it night"
    visit.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_can_be_read(browser: Browser, address: str, drawn: str, scheme: str) -> None:
    with opened(browser, address, color_scheme=scheme) as page:
        at(page, drawn)
        assert json.loads(page.evaluate(FAINT_TEXTS)) == []
        page.get_by_role("link", name="Datasets").click()
        expect(page.locator(".order")).to_be_visible()
        assert json.loads(page.evaluate(FAINT_TEXTS)) == []


def test_a_phone_has_one_column_and_a_composer_at_the_end(browser: Browser, address: str, drawn: str) -> None:
    with opened(browser, address, **PHONE) as page:
        at(page, drawn)
        assert page.evaluate("document.documentElement.scrollWidth") == 390
        expect(page.locator(".about").last).to_be_in_viewport()
        composer, large = page.locator(".composer").bounding_box(), page.locator(".large").bounding_box()
        assert composer
        assert large
        assert 780 < composer["y"] + composer["height"] <= 844
        assert large["width"] > 200
        page.get_by_role("button", name="History").tap()
        expect(page.locator(".history")).to_be_visible()
        page.get_by_role("button", name="Close the history").tap()
        expect(page.locator(".history")).to_be_hidden()
        page.get_by_role("button", name="Pages").tap()
        page.get_by_role("link", name="Concepts").tap()
        expect(page.get_by_role("heading", name="Concepts")).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") == 390


def test_a_session_is_deleted_only_after_a_yes(page: Page, address: str, drawn: str) -> None:
    apart(page, drawn, "doomed")
    page.get_by_role("button", name="Session doomed").click()
    page.get_by_role("menuitem", name="Delete this session").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete it").click()
    expect(page.locator(".welcome h1")).to_be_visible()
    assert "doomed" not in [row["name"] for row in page.request.get(f"{address}api/sessions").json()]


def test_a_server_with_a_token_asks_for_it(browser: Browser, tmp_path: Path) -> None:
    with served(tmp_path, LIMNER_TOKEN=TOKEN) as address, opened(browser, address) as page:
        for token, told in (("wrong" * 8, "That is not the token"), (TOKEN, "")):
            page.get_by_label("Token").fill(token)
            page.get_by_role("button", name="Enter").click()
            if told:
                expect(page.get_by_role("dialog")).to_contain_text(told)
        expect(page.get_by_role("dialog")).to_have_count(0)
        expect(page.locator(".knows")).to_contain_text("things")
        assert TOKEN not in page.evaluate("document.cookie + JSON.stringify(localStorage)")


@pytest.mark.skipif("PAGE_SHOTS" not in os.environ, reason="the documentation's pictures were not asked for")
def test_the_pictures_of_the_documentation(browser: Browser, tmp_path: Path) -> None:
    folder = Path(os.environ["PAGE_SHOTS"])
    with served(tmp_path, LIMNER_COUNT="4", LIMNER_STEPS="20", LIMNER_ROUNDS="4") as address:
        with opened(browser, address) as page:
            for text in (PROMPT, "make it night"):
                say(page, text)
                settled(page)
            page.locator(".node").first.click()
            expect(page.locator(".turn")).to_have_count(1)
            say(page, "make it sunset")
            settled(page)
            shot(page, folder / "page-desktop.png")
            page.locator(".node", has_text="night").click()
            expect(page.locator(".prompt")).to_contain_text("night")
            page.emulate_media(color_scheme="dark")
            shot(page, folder / "page-dark.png")
            page.emulate_media(color_scheme="light")
            say(page, "make it bigger")
            expect(page.locator(".choice").first).to_be_visible()
            shot(page, folder / "page-question.png")
            url = page.url
        with opened(browser, address, **PHONE) as page:
            at(page, url)
            shot(page, folder / "page-phone.png")


def shot(page: Page, file: Path) -> None:
    page.mouse.move(0, 0)
    page.wait_for_timeout(600)
    page.screenshot(path=file)


_DROPPED = """bytes => {
  const data = new DataTransfer();
  data.items.add(new File([new Uint8Array(bytes)], "mine.png", { type: "image/png" }));
  return data;
}"""
"""What a browser tells of a file that is dropped onto a page."""
