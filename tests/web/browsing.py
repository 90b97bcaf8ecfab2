"""A browser for the tests of the page: Debian's Chromium, a visit that must not complain, and a server process."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

ROOT = Path(__file__).parent.parent.parent
CHROMIUM = Path("/usr/bin/chromium")
PATIENCE_MS = 240_000
PHONE: dict[str, Any] = {
    "viewport": {"width": 390, "height": 844},
    "is_mobile": True,
    "has_touch": True,
    "device_scale_factor": 2,
}
_EXPECTED = re.compile("status of 401")
"""What Chromium's console says of an answer that the page expects; everything else it complains of is a fault."""


@contextmanager
def served(folder: Path, *flags: str, **variables: str) -> Generator[str]:
    """The address of a `limner serve` process; few pictures of few steps, unless `variables` say otherwise."""
    here = {"XDG_CONFIG_HOME": str(folder / "config"), "LIMNER_DATA": str(folder / "data")}
    here |= {"LIMNER_CACHE": str(folder / "cache"), "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    few = {"LIMNER_SEED": "7", "LIMNER_COUNT": "2", "LIMNER_ROUNDS": "1", "LIMNER_STEPS": "10"}
    environment = {**few, **os.environ, **here, **variables}
    command = [sys.executable, "-m", "limner.cli", "serve", "--no-open", "--port", "0", *flags]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=log, text=True, env=environment, start_new_session=True
        )
        assert process.stdout is not None
        try:
            found = re.search(r"http://\S+?/", process.stdout.readline())
            assert found, (folder / "log").read_text()
            yield found[0]
        finally:
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=60)


@contextmanager
def chromium() -> Generator[Browser]:
    """The browser. Whoever asks for these tests wants them to run: without one they fail."""
    if not CHROMIUM.exists():
        pytest.fail("the page's tests need Debian's chromium: apt-get install chromium")
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        yield browser
        browser.close()


@contextmanager
def opened(browser: Browser, address: str, **context: Any) -> Generator[Page]:
    """A page of a browser that was never here, which must not complain, nor ask for anything elsewhere."""
    calm = {"reduced_motion": "reduce"}  # without a graphics card, moving bars would take the time of drawing
    settings: dict[str, Any] = {"viewport": {"width": 1280, "height": 800}, **calm, **context}
    visit = browser.new_context(**settings)
    visit.set_default_timeout(PATIENCE_MS)
    expect.set_options(timeout=PATIENCE_MS)
    page, faults = visit.new_page(), list[str]()
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda told: faults.append(told.text) if told.type in ("error", "warning") else None)
    page.on("request", lambda asked: faults.append(asked.url) if _is_foreign(asked.url, address) else None)
    page.goto(address)
    yield page
    visit.close()
    unexpected = [fault for fault in faults if not _EXPECTED.search(fault)]
    assert not unexpected, unexpected


def _is_foreign(url: str, address: str) -> bool:
    return not url.startswith((address.split("#")[0], "blob:", "data:"))


FAINT_TEXTS = """() => {
  const pen = Object.assign(document.createElement("canvas"), { width: 1, height: 1 }).getContext("2d", {
    willReadFrequently: true,
  });
  const over = (colours) => {
    pen.clearRect(0, 0, 1, 1);
    for (const colour of colours) (pen.fillStyle = colour), pen.fillRect(0, 0, 1, 1);
    return [...pen.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const light = (rgb) => {
    const [r, g, b] = rgb.map((c) => (c / 255 <= 0.03928 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const faint = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const node = walk.currentNode.parentElement;
    const off = node.closest(":disabled, .unseen, .tip, svg, option, .skip, .overlay");
    if (off || !walk.currentNode.textContent.trim() || !node.checkVisibility()) continue;
    const grounds = [];
    for (let at = node; at; at = at.parentElement) grounds.unshift(getComputedStyle(at).backgroundColor);
    const ground = over(grounds);
    const text = over([...grounds, getComputedStyle(node).color]);
    const [low, high] = [light(ground), light(text)].sort((a, b) => a - b);
    const ratio = (high + 0.05) / (low + 0.05);
    if (ratio < 4.5) faint.push([walk.currentNode.textContent.trim(), ratio.toFixed(2)]);
  }
  return JSON.stringify(faint);
}"""
"""The texts whose contrast with what is behind them is below 4.5 (WCAG AA), with it."""
