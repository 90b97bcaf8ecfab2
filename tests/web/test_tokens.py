"""Tokens: which lines are some, and whose a token or a cookie is."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr

from limner.config import Settings
from limner.types import BadInput
from limner.web import tokens

LONG = "x" * 16


def of(tmp_path: Path, text: str) -> dict[str, str]:
    file = tmp_path / "tokens"
    file.write_text(text)
    return tokens.load(Settings(tokens_file=file))


def test_without_any_nobody_is_known() -> None:
    assert tokens.load(Settings()) == {}


def test_a_file_names_users_and_one_word_is_the_local_one(tmp_path: Path) -> None:
    assert of(tmp_path, f"# ours\n\nann a{LONG}\n  b{LONG}\n") == {"ann": f"a{LONG}", "local": f"b{LONG}"}


def test_the_environments_token_joins_the_files(tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    file.write_text(f"ann a{LONG}")
    settings = Settings(tokens_file=file, token=SecretStr(f"b{LONG}"))
    assert tokens.load(settings) == {"ann": f"a{LONG}", "local": f"b{LONG}"}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "has no token"),
        ("# only a comment", "has no token"),
        ("ann short", ":1: the token is too short"),
        (f"an-n {LONG}", ":1 is no «NAME TOKEN»"),
        (f"ann {LONG} more", ":1 is no «NAME TOKEN»"),
        (f"ann {LONG}\nann y{LONG}", ":2: that user or token is there twice"),
        (f"ann {LONG}\nbob {LONG}", ":2: that user or token is there twice"),
        (f"ann ü{LONG}", ":1: the token is too short, or has other characters"),
    ],
)
def test_lines_that_are_none(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(BadInput, match=told) as caught:
        of(tmp_path, text)
    assert LONG not in str(caught.value)


def test_a_file_that_is_not_there_or_no_text(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="cannot read the tokens"):
        tokens.load(Settings(tokens_file=tmp_path / "none"))
    (tmp_path / "tokens").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BadInput, match="it is no text"):
        tokens.load(Settings(tokens_file=tmp_path / "tokens"))


def test_whose_a_token_is() -> None:
    users = {"ann": f"a{LONG}", "bob": f"b{LONG}"}
    assert tokens.user_of_token(users, f"b{LONG}") == "bob"
    assert [tokens.user_of_token(users, wrong) for wrong in ("", "a", f"a{LONG} ", "\ud800ü")] == [None] * 4


def test_a_cookie_is_good_for_its_user_only_and_is_not_the_token() -> None:
    users = {"ann": f"a{LONG}", "bob": f"b{LONG}"}
    cookie = tokens.cookie_for(users["ann"])
    assert tokens.user_of_cookie(users, cookie) == "ann"
    assert tokens.user_of_token(users, cookie) is None
    assert tokens.user_of_cookie(users, users["ann"]) is None
    assert tokens.user_of_cookie({"ann": f"another{LONG}"}, cookie) is None
