"""Who may ask: tokens from a file or the environment, and a cookie by which the page need not hold one.

A file has a line for each user, «NAME TOKEN»; a line of one word is the token of the user «local», whose sessions are
those of the command line. With no token at all everybody is «local», which is only served to this machine.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from pathlib import Path

from limner.config import Settings
from limner.types import BadInput

LOCAL = "local"
"""The user of a server without tokens."""

COOKIE = "limner_login"
LEAST = 16
_MOST_USERS = 1000
_USER = re.compile(r"[A-Za-z0-9_]{1,32}")
_TOKEN = re.compile(rf"[\x21-\x7e]{{{LEAST},512}}")
_HINT = 'make one: python -c "import secrets; print(secrets.token_urlsafe(32))"'


def load(settings: Settings) -> dict[str, str]:
    """The tokens by user, from `tokens_file` and `token`; {} for none.

    Raises BadInput for a file that cannot be read, a name or token that is none, and one that is there twice.
    """
    lines: list[tuple[str, str]] = []
    if settings.tokens_file:
        lines += [(f"{settings.tokens_file}:{number}", line) for number, line in _lines(settings.tokens_file)]
    if settings.token:
        lines.append(("LIMNER_TOKEN", settings.token.get_secret_value()))
    users: dict[str, str] = {}
    for where, line in lines:
        name, token = _read(where, line)
        if name in users or token in users.values():
            raise BadInput(f"{where}: that user or token is there twice", "give each user one token of their own")
        users[name] = token
    if len(users) > _MOST_USERS:
        raise BadInput(f"{len(users)} users", f"at most {_MOST_USERS} are served")
    return users


def _lines(file: Path) -> list[tuple[int, str]]:
    """The lines that say something, numbered; a line that begins with # is a comment."""
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise BadInput(f"cannot read the tokens in {file}: {reason}", "name a text file that is yours") from None
    found = [(number, line.strip()) for number, line in enumerate(text.splitlines(), 1)]
    found = [(number, line) for number, line in found if line and not line.startswith("#")]
    if not found:
        raise BadInput(f"{file} has no token", _HINT)
    return found


def _read(where: str, line: str) -> tuple[str, str]:
    """Name and token; neither is shown in what is complained of."""
    words = line.split()
    name, token = (LOCAL, *words) if len(words) == 1 else (words[0], words[1]) if len(words) == 2 else ("", "")
    if not _USER.fullmatch(name):
        raise BadInput(f"{where} is no «NAME TOKEN»", "a name has 1 to 32 letters, digits and _")
    if not _TOKEN.fullmatch(token):
        raise BadInput(f"{where}: the token is too short, or has other characters", f"{LEAST} or more; {_HINT}")
    return name, token


def user_of_token(users: Mapping[str, str], token: str) -> str | None:
    """Whose token it is; all are compared, each in constant time, so that the answer's time tells nothing."""
    return _matching({name: _bytes(known) for name, known in users.items()}, _bytes(token))


def user_of_cookie(users: Mapping[str, str], cookie: str) -> str | None:
    """Whose cookie it is, likewise."""
    return _matching({name: _bytes(cookie_for(known)) for name, known in users.items()}, _bytes(cookie))


def cookie_for(token: str) -> str:
    """What the page's cookie holds: from it the token cannot be had, and it ends with the token."""
    return hmac.new(_bytes(token), b"limner page", hashlib.sha256).hexdigest()


def _matching(known: Mapping[str, bytes], given: bytes) -> str | None:
    found = None
    for name, value in known.items():
        if hmac.compare_digest(value, given):
            found = name
    return found


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "replace")
