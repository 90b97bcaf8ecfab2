"""A language model behind an OpenAI-compatible endpoint: hosted, llama.cpp, vLLM, Ollama, LM Studio.

Servers differ in which `response_format` they take. The strictest is tried first, then looser ones, and what
worked is remembered. Nothing that a server sends is repeated in an error: it may echo the key.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
from pydantic import BaseModel, Field, ValidationError

from limner.types import BadInput, LanguageModelFailed

MAX_REPLY_BYTES = 1 << 20
"""A list of keywords takes a thousandth of it."""

ATTEMPTS = 4
"""Requests per reply to a server that is busy or falls over, first one included."""

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 20.0
_BUSY = frozenset({408, 409, 429, 500, 502, 503, 504})
_REFUSES_FORMAT = frozenset({400, 404, 415, 422, 501})
_FORMATS: tuple[Callable[[dict[str, object]], dict[str, object]], ...] = (
    lambda schema: {
        "response_format": {"type": "json_schema", "json_schema": {"name": "answer", "strict": True, "schema": schema}}
    },
    lambda _: {"response_format": {"type": "json_object"}},
    lambda _: {},
)


class _Message(BaseModel):
    content: str


class _Choice(BaseModel):
    message: _Message


class _Completion(BaseModel):
    choices: list[_Choice] = Field(min_length=1)


@dataclass
class EndpointModel:
    """One model at one server. `timeout_s` bounds a whole reply: every attempt and every pause together."""

    model: str
    base_url: str
    api_key: str = field(repr=False, default="")
    timeout_s: float = 60.0
    _format: int = field(init=False, repr=False, default=0)

    def __post_init__(self) -> None:
        url = _parsed(self.base_url)
        if not (self.api_key.isascii() and self.api_key.isprintable()):
            raise BadInput("the key of the language model holds characters that no key has", "check OPENAI_API_KEY")
        self.name = f"openai:{self.model}"
        self._host = url.host
        headers = {"Authorization": f"Bearer {self.api_key}"} if self.api_key else {}
        self._client = httpx.Client(base_url=url, headers=headers, follow_redirects=False)

    def reply(self, system: str, user: str, *, schema: dict[str, object], max_tokens: int = 512) -> str:
        """Return the model's answer, JSON in the shape of `schema` where the server can enforce it.

        Raises LanguageModelFailed, which names the server but never the key or what it sent: unreachable,
        refused, redirected, too slow, too long, or not a chat completion.
        """
        deadline = time.monotonic() + self.timeout_s
        messages = [{"role": "system", "content": system}, {"role": "user", "content": user}]
        body: dict[str, object] = {"model": self.model, "messages": messages, **self._bounds(max_tokens)}
        while True:
            status, content = self._post_patiently({**body, **_FORMATS[self._format](schema)}, deadline)
            if status in _REFUSES_FORMAT and self._format + 1 < len(_FORMATS):
                self._format += 1
                continue
            return self._text(status, content)

    def _bounds(self, max_tokens: int) -> dict[str, object]:
        """The hosted service renamed one bound and fixes some models' temperature; others know the old form."""
        if self._host == "api.openai.com":
            return {"max_completion_tokens": max_tokens}
        return {"max_tokens": max_tokens, "temperature": 0}

    def _post_patiently(self, body: dict[str, object], deadline: float) -> tuple[int, bytes]:
        """Post, again while the server is busy and time is left; the pause is the server's own or doubles."""
        pause = _FIRST_PAUSE_S
        for attempt in range(ATTEMPTS):
            try:
                status, content, wished = self._post(body, deadline)
            except httpx.HTTPError as error:
                failure, wished = self._failure(f"cannot be reached ({type(error).__name__})"), None
            else:
                if status not in _BUSY:
                    return status, content
                failure = self._failure(f"answers with status {status}")
            wait = min(pause if wished is None else wished, _LONGEST_PAUSE_S)
            if attempt + 1 == ATTEMPTS or time.monotonic() + wait >= deadline:
                raise failure
            time.sleep(wait)
            pause *= 2
        raise AssertionError("the last attempt returns or raises")

    def _post(self, body: dict[str, object], deadline: float) -> tuple[int, bytes, float | None]:
        """One request: status, body, and the pause in seconds that the server asks for."""
        left = max(deadline - time.monotonic(), 0.01)
        content = bytearray()
        with self._client.stream("POST", "chat/completions", json=body, timeout=left) as response:
            for chunk in response.iter_bytes():
                content += chunk
                if len(content) > MAX_REPLY_BYTES:
                    raise self._failure(f"sent more than {MAX_REPLY_BYTES} bytes")
                if time.monotonic() > deadline:
                    raise self._failure(f"did not finish within {self.timeout_s:g} s")
            return response.status_code, bytes(content), _pause(response.headers.get("retry-after"))

    def _text(self, status: int, content: bytes) -> str:
        if status in (401, 403):
            raise LanguageModelFailed(f"{self._host} refused the key (status {status})", "check OPENAI_API_KEY")
        if status != 200:
            raise self._failure(f"answers with status {status}")
        try:
            return _Completion.model_validate_json(content).choices[0].message.content
        except ValidationError:
            raise self._failure("did not send a chat completion") from None

    def _failure(self, what: str) -> LanguageModelFailed:
        return LanguageModelFailed(f"{self._host} {what}", "check OPENAI_BASE_URL and the model's name")


def _parsed(base_url: str) -> httpx.URL:
    try:
        url = httpx.URL(base_url.rstrip("/") + "/")
        url.host.encode("idna")  # As the socket will: it raises for hosts that no resolver would be asked for.
    except (httpx.InvalidURL, UnicodeError):
        url = httpx.URL("")
    if url.scheme not in ("http", "https") or not url.host or url.userinfo:
        raise BadInput("the address of the language model is no http(s) address", "such as http://127.0.0.1:8080/v1")
    return url


def _pause(retry_after: Any) -> float | None:
    """Seconds from a Retry-After header, which holds seconds or a date; None for neither."""
    try:
        return max(float(retry_after), 0.0)
    except (TypeError, ValueError):
        pass
    try:
        return max(parsedate_to_datetime(retry_after).timestamp() - time.time(), 0.0)
    except (TypeError, ValueError):
        return None
