"""Concepts and datasets over HTTP: files that everybody shares, and nothing beside them."""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from limner.assemble import write_report
from limner.concept import About, Concept
from limner.concept_file import save
from limner.dataset import Annotation, Info, Item, Lineage, Reject, write_card, write_info, write_rejects, write_shard
from limner.image import decode_picture
from limner.image.fit import thumbnail
from limner.web.service import Service
from tests.web.serving import picture

NO_HASH = "0" * 64


def concept(name: str = "gizmo") -> Concept:
    words = {"text_encoder": np.ones((2, 4), np.float32)}
    about = About(like="robot", base="painter", settings={"steps": 7}, curve=((1, 0.5),))
    preview = thumbnail(decode_picture(picture(), "x"))
    return Concept(name, {"positive": words, "negative": words}, about=about, preview=preview)


def file_of(folder: Path, name: str = "gizmo") -> bytes:
    save(concept(name), folder / f"{name}.safetensors")
    return (folder / f"{name}.safetensors").read_bytes()


def brought(client: TestClient, content: bytes, name: str, **fields: str) -> Any:
    return client.post("/api/concepts", files={"file": ("x.safetensors", content)}, data={"name": name, **fields})


def test_a_concept_comes_and_goes(client: TestClient, tmp_path: Path, service: Service) -> None:
    content = file_of(tmp_path)
    assert brought(client, content, "gizmo", like="little robot").json()["word"] == "<gizmo>"
    [row] = client.get("/api/concepts").json()
    assert (row["name"], row["like"], row["steps"], row["problem"]) == ("gizmo", "little robot", 7, "")
    assert client.get(row["thumbnail"]).headers["content-type"] == "image/png"
    told = client.get("/api/concepts/gizmo").json()
    assert (told["base"], told["curve"]) == ("painter", [[1, 0.5]])
    assert str(service.settings.data) not in json.dumps(told)
    file = client.get("/api/concepts/gizmo/file")
    assert file.headers["content-disposition"] == 'attachment; filename="gizmo.safetensors"'
    assert brought(client, file.content, "other").status_code == 201
    assert brought(client, content, "gizmo").status_code == 409
    for name in ("gizmo", "other"):
        assert client.delete(f"/api/concepts/{name}").status_code == 204
    assert client.get("/api/concepts").json() == []
    assert client.delete("/api/concepts/gizmo").status_code == 404


@pytest.mark.parametrize(
    "content", [b"", b"x", pickle.dumps({"a": 1}), b"PK\x03\x04", b"\xff" * 8 + b"{}", b"\x02" + b"\0" * 7 + b"{}"]
)
def test_only_safetensors_are_opened(client: TestClient, content: bytes) -> None:
    answer = brought(client, content, "hostile")
    assert answer.status_code in (400, 415)
    assert client.get("/api/concepts").json() == []


@pytest.mark.parametrize("name", ["../x", "con", "a-neg", "", "x" * 60, "a/b", "<x", "a\0"])
def test_names_that_no_concept_has(client: TestClient, name: str, tmp_path: Path, service: Service) -> None:
    before = sorted(service.settings.data.rglob("*"))
    assert brought(client, file_of(tmp_path), name).status_code in (400, 422)
    assert sorted(service.settings.data.rglob("*")) == before


@pytest.mark.parametrize("name", ["none", "con", "%2e%2e%5cx", "%00", "x" * 50])
@pytest.mark.parametrize("rest", ["", "/preview.png", "/file"])
def test_concepts_that_are_not_there(client: TestClient, name: str, rest: str) -> None:
    assert client.get(f"/api/concepts/{name}{rest}").status_code == 404


def test_a_broken_file_hides_no_other(client: TestClient, service: Service, tmp_path: Path) -> None:
    shelf = service.studio.tools.shelf
    shelf.folder.mkdir(parents=True, exist_ok=True)
    (shelf.folder / "broken.safetensors").write_bytes(b"x")
    brought(client, file_of(tmp_path), "gizmo")
    rows = {row["name"]: row for row in client.get("/api/concepts").json()}
    assert rows["broken"]["problem"]
    assert rows["broken"]["thumbnail"] is None
    assert rows["gizmo"]["problem"] == ""
    assert client.get("/api/concepts/broken").status_code == 400
    assert client.delete("/api/concepts/broken").status_code == 204
    client.delete("/api/concepts/gizmo")


@pytest.fixture(scope="module")
def foxes(service: Service) -> Path:
    """A dataset «foxes» of two pictures and a reject, as a finished job leaves it."""
    root = service.settings.data / "datasets" / "foxes"
    region = Annotation("fox", (1.0, 1.0, 6.0, 6.0), 0.9)

    def item(name: str) -> Item:
        return Item(
            name, f"{name}.png", NO_HASH, 8, 8, f"a fox {name}", regions=(region,), lineage=Lineage(scores={"s": 0.5})
        )

    write_shard(root, 0, [(item("a"), picture()), (item("b"), picture(8, 8))])
    write_rejects(
        root, 0, [(Reject("r", "mismatch", "draw: s 0.1", item("r")), picture()), (Reject("q", "empty"), b"")]
    )
    write_info(root, Info(name="foxes", classes=("fox",), items=2, rejects=2))
    write_card(root)
    write_report(root, {"accepted": 2, "items": 3, "complete": True, "rejected": {"mismatch": 1, "empty": 1}})
    (root / ".job").mkdir()
    (root / ".job" / "secret").write_text("secret")
    (root / "items" / "00000" / "link.png").symlink_to("/etc/passwd")
    return root


def test_datasets_are_listed_with_what_came_of_them(client: TestClient, foxes: Path) -> None:
    [row] = client.get("/api/datasets").json()
    assert row == {"name": "foxes", "complete": True, "accepted": 2, "rejected": 2, "classes": ["fox"], "job": None}
    assert client.get("/api/datasets/foxes").json()["report"]["rejected"] == {"mismatch": 1, "empty": 1}


def test_one_that_is_being_made_is_there_at_once(client: TestClient, foxes: Path) -> None:
    job = client.post("/api/datasets", json={"name": "cats", "classes": "cat", "count": 2}).json()
    assert (job["kind"], job["params"]["name"]) == ("synth", "cats")
    rows = {row["name"]: row for row in client.get("/api/datasets").json()}
    assert (rows["cats"]["job"], rows["cats"]["complete"]) == (job["id"], False)
    client.post(job["links"]["cancel"])


def test_its_pictures_with_boxes_and_reasons(client: TestClient, foxes: Path) -> None:
    rows = client.get("/api/datasets/foxes/pictures").json()
    assert [(row["id"], row["caption"], row["reason"]) for row in rows] == [
        ("a", "a fox a", None),
        ("b", "a fox b", None),
    ]
    assert rows[0]["boxes"] == [{"label": "fox", "box": [1, 1, 6, 6], "score": 0.9}]
    assert client.get(rows[0]["url"]).content == picture()
    assert [row["id"] for row in client.get("/api/datasets/foxes/pictures?offset=1&limit=1").json()] == ["b"]
    rejects = client.get("/api/datasets/foxes/pictures?kind=rejected").json()
    assert [(row["id"], row["reason"], bool(row["url"])) for row in rejects] == [
        ("r", "mismatch", True),
        ("q", "empty", False),
    ]
    assert client.get(rejects[0]["url"]).status_code == 200


@pytest.mark.parametrize(
    "path",
    ["limner.json", "card.html", ".job/secret", "items/00000/link.png", "items/00000/none.png", "items/00000.jsonl",
     "items/../../../limner.db", "items/00000/..%2f..%2fcard.html", "/etc/passwd", "%2fetc%2fpasswd",
     "items/00000/a.png%00", "items/00000/a.png/", "ITEMS/00000/a.png", "items%5c00000%5ca.png", "x" * 300],
)  # fmt: skip
def test_nothing_but_pictures_comes_out_of_a_dataset(client: TestClient, foxes: Path, path: str) -> None:
    answer = client.get(f"/api/datasets/foxes/files/{path}")
    assert answer.status_code in (404, 422)
    assert b"root:" not in answer.content


@pytest.mark.parametrize("name", ["none", "..", "%2e%2e", ".job", "a%00", "-x"])
@pytest.mark.parametrize("rest", ["", "/pictures", "/card", "/zip", "/files/items/00000/a.png"])
def test_datasets_that_are_not_there(client: TestClient, foxes: Path, name: str, rest: str) -> None:
    assert client.get(f"/api/datasets/{name}{rest}").status_code in (404, 422)


def test_the_card_can_do_nothing(client: TestClient, foxes: Path) -> None:
    answer = client.get("/api/datasets/foxes/card")
    assert answer.headers["content-type"].startswith("text/html")
    policy = answer.headers["content-security-policy"]
    assert "sandbox" in policy
    assert "script-src" not in policy
    assert "default-src 'none'" in policy


def test_taken_away_as_a_zip_in_any_form(client: TestClient, foxes: Path) -> None:
    def names(query: str) -> set[str]:
        answer = client.get(f"/api/datasets/foxes/zip{query}")
        assert answer.status_code == 200, answer.text
        with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
            return set(archive.namelist())

    own = names("")
    assert {"limner.json", "items/00000.jsonl", "items/00000/a.png", "rejects/00000/r.png", "card.html"} <= own
    assert not [name for name in own if "secret" in name or "link" in name]
    assert [name for name in names("?format=coco") if name.endswith(".json")]
    assert [name for name in names("?format=yolo") if name.endswith("data.yaml")]
    assert client.get("/api/datasets/foxes/zip?format=exe").status_code == 422
    assert not (foxes / "coco").exists()
