"""The dataset card: README.md, and card.html, one page that needs nothing but itself.

Every text comes from prompts and models and is escaped. The page forbids itself all that is not in it, scripts too, so
that even a text that got through could do nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from limner.dataset.page import page
from limner.dataset.summary import Summary, counts, mark, summarise, tables
from limner.image import write_whole

MARKDOWN, PAGE = "README.md", "card.html"
_SPECIAL = re.compile(r"([\\`*_{}\[\]()#+.!|~$-])")


def write_card(root: Path) -> tuple[Path, Path]:
    """Write README.md and card.html into a dataset of Limner's own form; returns their paths.

    The same dataset gives the same bytes. Raises BadInput for damaged rows and for pictures that cannot be read.
    """
    summary = summarise(root)
    write_whole(root / MARKDOWN, markdown(summary).encode())
    write_whole(root / PAGE, page(root, summary).encode())
    return root / MARKDOWN, root / PAGE


def markdown(summary: Summary) -> str:
    """The card as Markdown, with pictures of the folder that it lies in."""
    info = summary.info
    parts = [
        f"# {escaped(info.name)}",
        f"> **{mark(summary)}**" if info.generated else "",
        counts(summary),
        *(part for title, head, rows in tables(summary) for part in (f"## {title}", _table(head, rows))),
        "## Examples",
        _table(("picture", "caption"), []) if not summary.examples else _examples(summary),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _examples(summary: Summary) -> str:
    # A file's name is safe by its form; only captions are not.
    rows = [f"| ![{item.id}]({item.file}) | {escaped(item.caption)} |" for item in summary.examples[:8]]
    return "\n".join(["| picture | caption |", "| --- | --- |", *rows])


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [" | ".join(escaped(str(value)) for value in row) for row in rows]
    if not lines:
        return "None."
    return "\n".join(f"| {line} |" for line in [" | ".join(head), " | ".join("---" for _ in head), *lines])


def escaped(text: str) -> str:
    """A text as Markdown shows it word for word, on one line: no markup, no HTML, no links."""
    line = " ".join(text.split())
    line = line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    # A bare address becomes a link in many readers; a colon written as a reference does not.
    return _SPECIAL.sub(r"\\\1", line).replace("://", "&#58;//").replace("@", "&#64;")
