"""A dataset as one HTML page: pictures as data URLs, boxes and masks as SVG over them."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

import numpy as np
from PIL import Image

from limner.dataset.folder import read_picture
from limner.dataset.items import Annotation, Item, Reject
from limner.dataset.summary import Summary, classes, counts, mark, tables
from limner.image import decode_picture, from_rle

_LARGEST = 384
"""Pixels of the longer side above which a picture is made smaller for the page."""

_MOST_RUNS = 20_000
"""Runs of a mask that are drawn; a finer one, which is noise, is shown by its box alone."""

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; color: #222 }
table { border-collapse: collapse; margin: 1rem 0 } td, th { text-align: left; padding: .2rem 1rem .2rem 0 }
td { border-top: 1px solid #ddd; overflow-wrap: anywhere } .mark { background: #fff3cd; padding: .7rem 1rem }
.pictures { display: grid; grid-template-columns: repeat(auto-fill, minmax(15rem, 1fr)); gap: 1.5rem }
figure { margin: 0 } svg { width: 100%; height: auto; background: #eee } figcaption { overflow-wrap: anywhere }
details { font-size: .85rem; color: #555 } dd { margin: 0 0 .3rem 1rem } .key { padding: 0 .4rem; color: #fff }
@media (prefers-color-scheme: dark) { body { background: #181818; color: #ddd } .mark { color: #222 } }
"""
# Nothing is fetched, run or sent, whatever stands in the page.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


def page(root: Path, summary: Summary) -> str:
    """The whole page. Raises BadInput for an example's picture that cannot be read."""
    info = summary.info
    colours = {name: f"hsl({number * 137 % 360} 75% 38%)" for number, name in enumerate(classes(summary))}
    parts = [
        _head(info.name),
        f"<h1>{escape(info.name)}</h1>",
        f'<p class="mark">{escape(mark(summary))}</p>' if info.generated else "",
        f"<p>{counts(summary)}</p>",
        *(part for title, head, rows in tables(summary) for part in (f"<h2>{title}</h2>", _table(head, rows))),
        "<h2>Examples</h2>",
        _figures(_figure(root, item, colours) for item in summary.examples),
        "<h2>Examples of rejects</h2>",
        _figures(_rejected(root, reject, colours) for reject in summary.rejected),
        "</body>\n</html>\n",
    ]
    return "\n".join(part for part in parts if part)


def _head(name: str) -> str:
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(_POLICY)}">\n'
        f'<meta name="viewport" content="width=device-width">\n<meta name="generator" content="Limner">\n'
        f"<title>{escape(name)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>"
    )


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = ["".join(f"<td>{escape(str(value))}</td>" for value in row) for row in rows]
    if not lines:
        return "<p>None.</p>"
    titles = "".join(f"<th>{escape(title)}</th>" for title in head)
    return "\n".join(["<table>", f"<tr>{titles}</tr>", *(f"<tr>{line}</tr>" for line in lines), "</table>"])


def _figures(figures: Iterable[str]) -> str:
    shown = "\n".join(figures)
    return f'<div class="pictures">\n{shown}\n</div>' if shown else "<p>None.</p>"


def _rejected(root: Path, reject: Reject, colours: dict[str, str]) -> str:
    assert reject.item is not None
    why = f"{reject.reason}: {reject.detail}" if reject.detail else reject.reason
    return _figure(root, reject.item, colours, why)


def _figure(root: Path, item: Item, colours: dict[str, str], why: str = "") -> str:
    overlays = "".join(_overlay(content, item, colours.get(content.label, "#555")) for content in item.regions)
    keys = " ".join(
        f'<span class="key" style="background: {colours.get(content.label, "#555")}">{escape(content.label)} '
        f"{content.score:.2f}</span>"
        for content in item.regions
    )
    reason = f"<strong>{escape(why)}</strong><br>" if why else ""
    return (
        f'<figure>\n<svg viewBox="0 0 {item.width} {item.height}" role="img" aria-label="{escape(item.caption)}">'
        f'<image href="{data_url(read_picture(root, item), item.file)}" width="{item.width}" height="{item.height}"/>'
        f"{overlays}</svg>\n<figcaption>{reason}{escape(item.caption)}<br>{keys}\n{_details(item)}</figcaption>\n"
        f"</figure>"
    )


def _overlay(content: Annotation, item: Item, colour: str) -> str:
    x0, y0, x1, y1 = content.box
    line = max(item.width, item.height) / 200
    box = (
        f'<rect x="{x0:g}" y="{y0:g}" width="{x1 - x0:g}" height="{y1 - y0:g}" fill="none" stroke="{colour}" '
        f'stroke-width="{line:g}"/>'
    )
    if content.mask is None or len(content.mask["counts"]) > 2 * _MOST_RUNS:
        return box
    return f'<path d="{mask_path(content)}" fill="{colour}" fill-opacity=".4"/>{box}'


def mask_path(content: Annotation) -> str:
    """A mask as an SVG path: a rectangle of one pixel's width for each run down a column."""
    assert content.mask is not None
    mask = from_rle(content.mask)
    edges = np.diff(np.pad(mask, ((1, 1), (0, 0))).astype(np.int8), axis=0).T
    starts, ends = np.argwhere(edges == 1), np.argwhere(edges == -1)
    runs = zip(starts.tolist(), ends.tolist(), strict=True)
    return "".join(f"M{x} {y}h1v{end - y}h-1z" for (x, y), (_, end) in runs)


def data_url(data: bytes, name: str) -> str:
    """A picture within the page: the file itself where it is a small PNG, else a smaller or plain copy of it."""
    picture = decode_picture(data, name)
    longest = max(picture.width, picture.height)
    if longest <= _LARGEST and name.endswith(".png"):
        return f"data:image/png;base64,{base64.b64encode(data).decode()}"
    image = Image.fromarray(picture.pixels)
    image.thumbnail((_LARGEST, _LARGEST))
    file = io.BytesIO()
    image.save(file, "JPEG", quality=85)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"


def _details(item: Item) -> str:
    """Where a picture comes from, folded away."""
    lineage = item.lineage
    edits = [f"{edit.kind}: {edit.instruction} (seed {edit.seed})" for edit in lineage.edits]
    scores = [f"{name} {value:.3f}" for name, value in sorted(lineage.scores.items())]
    models = [f"{model.role}: {model.name} ({model.licence or 'licence unknown'})" for model in lineage.models]
    lists = {
        "split": [item.split],
        "prompts": lineage.prompts,
        "seeds": [str(seed) for seed in lineage.seeds],
        "made from": lineage.parents,
        "edits": edits,
        "scores": scores,
        "models": models,
    }
    terms = (f"<dt>{name}</dt><dd>{escape('; '.join(values))}</dd>" for name, values in lists.items() if values)
    return f"<details><summary>{escape(item.id)}</summary><dl>{''.join(terms)}</dl></details>"
