"""The tools of an agent: a real client over a process's stdin and stdout, and what the tools refuse."""

from __future__ import annotations

import base64
import json
import os
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import anyio
import numpy as np
import pytest
from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.types import CallToolResult, ImageContent, TextContent

from limner import agent
from limner.config import Settings
from limner.image import decode_picture, save_png
from limner.service.desk import Shop
from limner.types import BadInput, Picture
from tests.painter import seen
from tests.retoucher import found_in, show
from tests.web.painted import PaintersShop, SizedPainter

PROMPT = "a red circle and a blue square"
TOOLS = {"draw", "look", "edit", "learn", "say", "undo"}
BEFORE = show(("red circle", (4, 4, 20, 20)), ("blue square", (28, 28, 44, 44)))


@pytest.fixture
def painter() -> SizedPainter:
    return SizedPainter()


@pytest.fixture(autouse=True)
def the_painters_models(monkeypatch: pytest.MonkeyPatch, painter: SizedPainter) -> None:
    """The agent's tools are the real ones; what they draw with is the painter's."""

    def shop(settings: Settings) -> Shop:
        return PaintersShop(settings, painter)

    monkeypatch.setattr(agent, "Shop", shop)


@asynccontextmanager
async def client_in(folder: Path, readable: Path | None = None) -> AsyncGenerator[Client]:
    made = agent.server(Settings(data=folder, cache=folder / "cache", seed=3), readable)
    async with Client(made) as client:
        yield client


def told(result: CallToolResult) -> dict[str, Any]:
    assert not result.is_error, result.content
    text = result.content[-1]
    assert isinstance(text, TextContent)
    assert json.loads(text.text) == result.structured_content
    return cast(dict[str, Any], result.structured_content)


def pictures(result: CallToolResult) -> list[Picture]:
    images = [each for each in result.content if isinstance(each, ImageContent)]
    return [decode_picture(base64.b64decode(each.data), "answer") for each in images]


def refused(result: CallToolResult) -> str:
    assert result.is_error
    [text] = result.content
    assert isinstance(text, TextContent)
    return text.text


def test_an_agent_draws_looks_and_edits(tmp_path: Path) -> None:
    async def main() -> None:
        async with client_in(tmp_path) as client:
            drawn = await client.call_tool("draw", {"prompt": PROMPT, "seed": 3, "many": 2})
            report = told(drawn)
            assert [seen(each) >= {"red circle", "blue square"} for each in pictures(drawn)] == [True, True]
            assert [each["passed"] for each in report["pictures"]] == [True, True]
            first = report["pictures"][0]["picture"]
            found = told(await client.call_tool("look", {"picture": first[:12], "find": "red circle"}))
            assert [each["label"] for each in found["regions"]] == ["red circle"]
            assert "mask" not in found["regions"][0]
            asked = {"picture": first, "instruction": "make the red circle green", "seed": 1}
            edited = await client.call_tool("edit", asked)
            assert told(edited)["passed"]
            [after] = pictures(edited)
            assert "green circle" in {region.label for region in found_in(after)}
            missing = {"picture": first, "instruction": "remove the yellow star"}
            assert "yellow star" in refused(await client.call_tool("edit", missing))

    anyio.run(main)


def test_an_agent_talks_and_takes_back(tmp_path: Path) -> None:
    async def main() -> None:
        async with client_in(tmp_path) as client:
            begun = await client.call_tool("say", {"text": PROMPT})
            first = told(begun)
            assert seen(pictures(begun)[0]) >= {"red circle", "blue square"}
            changed = told(await client.call_tool("say", {"text": "make the red circle green"}))
            assert changed["picture"] != first["picture"]
            back = told(await client.call_tool("undo", {}))
            assert back["picture"] == first["picture"]
            asked = told(await client.call_tool("say", {"text": "make it nicer"}))
            assert asked["question"]
            await client.call_tool("undo", {})
            assert "picture" in told(await client.call_tool("undo", {}))
            assert "nothing to undo" in refused(await client.call_tool("undo", {}))
            assert "session" in refused(await client.call_tool("undo", {"session": "another"}))

    anyio.run(main)


def test_progress_is_told_while_it_draws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agent, "_REPORT_S", 0.001)
    steps: list[float] = []

    async def tell(progress: float, total: float | None, message: str | None) -> None:
        steps.append(progress)

    async def main() -> None:
        async with client_in(tmp_path) as client:
            asked = {"prompt": PROMPT, "seed": 3, "steps": 150}
            told(await client.call_tool("draw", asked, progress_callback=tell))

    anyio.run(main)
    assert len(steps) > 1
    assert steps == sorted(steps)


@pytest.mark.parametrize("painter", [SizedPainter(gate=True)])
def test_a_call_that_is_cancelled_ends_its_drawing(tmp_path: Path, painter: SizedPainter) -> None:
    async def main() -> None:
        async with client_in(tmp_path) as client:
            with anyio.move_on_after(2):
                await client.call_tool("draw", {"prompt": PROMPT, "steps": 9})
            assert painter.gate is not None
            painter.gate.release(1000)
            report = told(await client.call_tool("draw", {"prompt": PROMPT, "seed": 3, "rounds": 1, "steps": 1}))
            assert report["pictures"]

    anyio.run(main)
    assert painter.steps[0] < 9


@pytest.fixture
def readable(tmp_path: Path) -> Path:
    """A folder with a picture, and links out of it."""
    folder = tmp_path / "pictures"
    (folder / "deep").mkdir(parents=True)
    save_png(folder / "deep" / "before.png", BEFORE)
    save_png(tmp_path / "secret.png", BEFORE)
    (folder / "link.png").symlink_to(tmp_path / "secret.png")
    (folder / "notes.txt").write_text("no picture")
    return folder


def test_files_of_the_folder_are_read_and_no_others(tmp_path: Path, readable: Path) -> None:
    elsewhere = ["../secret.png", str(tmp_path / "secret.png"), "link.png", "none.png", "", "deep", "a\0b", "x" * 1000]

    async def main() -> None:
        async with client_in(tmp_path / "data", readable) as client:
            for which in ("deep/before.png", str(readable / "deep" / "before.png")):
                found = told(await client.call_tool("look", {"picture": which, "find": "red circle"}))
                assert [each["label"] for each in found["regions"]] == ["red circle"]
            for which in elsewhere:
                assert "picture" in refused(await client.call_tool("look", {"picture": which}))
            assert "cannot read" in refused(await client.call_tool("look", {"picture": "notes.txt"}))

    anyio.run(main)


def test_without_a_folder_only_what_was_made_is_known(tmp_path: Path, readable: Path) -> None:
    async def main() -> None:
        async with client_in(tmp_path / "data") as client:
            for which in ("deep/before.png", str(tmp_path / "secret.png"), "0" * 64, "/etc/passwd"):
                assert "--folder" in refused(await client.call_tool("look", {"picture": which}))
        async with client_in(tmp_path / "data") as client:
            made = told(await client.call_tool("draw", {"prompt": PROMPT, "seed": 3}))["pictures"][0]["picture"]
        async with client_in(tmp_path / "data") as client:  # another agent's pictures are not this one's
            assert "--folder" in refused(await client.call_tool("look", {"picture": made}))

    anyio.run(main)


@pytest.mark.parametrize(
    ("tool", "asked", "says"),
    [
        ("draw", {"prompt": "   "}, "the prompt is empty (say what to draw, such as «a red fox in the snow»)"),
        ("draw", {"prompt": "a <nobody>"}, "nobody"),
        ("draw", {"prompt": PROMPT, "many": 11}, "many"),
        ("draw", {"prompt": PROMPT, "width": 5}, "width"),
        ("edit", {"picture": "0" * 64, "instruction": "make it blue", "box": [1, 2]}, "four numbers"),
        ("say", {"text": "a dog", "session": "../x"}, "session"),
        ("nothing", {}, "nothing"),
    ],
)
def test_what_cannot_be_done_is_told_in_a_sentence(tmp_path: Path, tool: str, asked: dict[str, Any], says: str) -> None:
    async def main() -> None:
        async with client_in(tmp_path) as client:
            assert says in refused(await client.call_tool(tool, asked))

    anyio.run(main)


def test_a_folder_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="is no folder"):
        agent.server(Settings(data=tmp_path), tmp_path / "none")


def test_a_client_starts_the_command_and_draws(tmp_path: Path, checkpoints: Path) -> None:
    """Nothing but the protocol is on stdout, whatever is loaded; the environment is a bare one."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("LIMNER_", "OPENAI_"))}
    environment |= {"LIMNER_DATA": str(tmp_path / "data"), "LIMNER_CACHE": str(tmp_path / "cache")}
    environment |= {"LIMNER_PRECISION": "float32", "LIMNER_THREADS": "1"}
    models = ["--model", str(checkpoints / "stable_diffusion"), "--scorer", str(checkpoints / "clip")]
    command = StdioServerParameters(
        command=sys.executable, args=["-m", "limner.cli", "mcp", *models], env=environment, cwd=tmp_path
    )

    async def main() -> None:
        async with Client(stdio_client(command)) as client:
            assert {tool.name for tool in (await client.list_tools()).tools} == TOOLS
            asked = {"prompt": "a red fox in the snow", "rounds": 1, "steps": 1, "width": 16, "height": 16}
            drawn = await client.call_tool("draw", asked)
            [picture] = pictures(drawn)
            assert picture.pixels.shape == (16, 16, 3)
            assert picture.pixels.dtype == np.uint8
            assert "prompt is empty" in refused(await client.call_tool("draw", {"prompt": " "}))

    anyio.run(main)
