"""Rating over HTTP: blind, safe, and gone on with after a kill."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from limner.rating_files import RatingFolder, open_rating
from limner.web.rate import create_app
from tests.test_rating_files import folders


@pytest.fixture
def rating(tmp_path: Path) -> RatingFolder:
    return open_rating(*folders(tmp_path), tmp_path / "ratings.jsonl", 0)


@pytest.fixture
def client(rating: RatingFolder) -> Generator[TestClient]:
    with TestClient(create_app(rating), base_url="http://127.0.0.1") as client:
        yield client


def test_all_pairs_are_rated_one_after_the_other_and_the_counts_told(client: TestClient, rating: RatingFolder) -> None:
    for done in range(4):
        pair = client.get("/api/ratings/next").json()
        assert (pair["done"], pair["total"]) == (done, 4)
        assert "first" not in client.get("/api/ratings").json()
        # The first folder's pictures are black: choose them wherever they stand.
        black = next(
            s for s in ("left", "right") if client.get(pair[s]).content == (rating.first / "0.png").read_bytes()
        )
        assert client.post("/api/ratings", json={"id": pair["id"], "choice": black}).json()["done"] == done + 1
        assert len(rating.file.read_text().splitlines()) == done + 2
    told = client.get("/api/ratings").json()
    assert (told["win"], told["tie"], told["lose"], told["first"]) == (4, 0, 0, str(rating.first))
    assert client.get("/api/ratings/next").json()["id"] == ""


def test_nothing_tells_whose_picture_is_whose(client: TestClient, rating: RatingFolder) -> None:
    for _ in range(4):
        answer = client.get("/api/ratings/next")
        pair = answer.json()
        assert str(rating.first) not in answer.text
        for side in ("left", "right"):
            picture = client.get(pair[side])
            assert picture.headers["content-type"] == "image/png"
            told = " ".join(f"{name} {value}" for name, value in picture.headers.items())
            assert str(rating.first) not in told
            assert "disposition" not in told
        client.post("/api/ratings", json={"id": pair["id"], "choice": "tie"})


@pytest.mark.parametrize(
    "body",
    [
        {"id": "../a/0.png", "choice": "left"},
        {"id": "0.png", "choice": "both"},
        {"id": "0.png"},
        {"id": "", "choice": "left"},
        {"id": "0.png", "choice": "left", "more": 1},
        ["0.png"],
    ],
)
def test_a_bad_answer_is_refused_and_not_kept(client: TestClient, rating: RatingFolder, body: object) -> None:
    answer = client.post("/api/ratings", json=body)
    assert answer.status_code in (400, 422)
    assert set(answer.json()["error"]) == {"message", "hint", "type"}
    assert len(rating.file.read_text().splitlines()) == 1


@pytest.mark.parametrize("path", ["/api/ratings/99/left", "/api/ratings/-1/left", "/api/ratings/0/both", "/../a/0.png"])
def test_no_other_file_is_served(client: TestClient, path: str) -> None:
    assert client.get(path).status_code in (404, 422)


def test_other_sites_and_other_hosts_are_kept_out(client: TestClient) -> None:
    said = {"id": "0.png", "choice": "left"}
    assert client.post("/api/ratings", json=said, headers={"Origin": "http://evil.example"}).status_code == 403
    assert client.get("/api/ratings/next", headers={"Host": "evil.example"}).status_code == 403


def test_the_page_is_there_and_needs_nothing_from_elsewhere(client: TestClient) -> None:
    page = client.get("/")
    assert page.status_code == 200
    assert "default-src 'none'" in page.headers["content-security-policy"]
    for name in ("rate.js", "rate.css"):
        assert f'"{name}"' in page.text
        assert client.get(f"/{name}").status_code == 200
    assert "style=" not in page.text
    assert "http" not in page.text + client.get("/rate.js").text


def test_an_app_without_a_rating_says_so(rating: RatingFolder) -> None:
    app = create_app(rating)
    del app.state.rating
    with TestClient(app, base_url="http://127.0.0.1") as client:
        answer = client.get("/api/ratings/next")
    assert answer.status_code == 404
    assert "limner rate" in answer.text
