"""What a request that cannot be carried out is told: one sentence, a next step, and never anything of the inside.

Every error has the form {"error": {"message", "hint", "type"}}; below /v1/ the one that OpenAI's clients read, below
/sdapi/ the one that A1111's read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, cast

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from limner.service.values import KINDS, Full, NotFound
from limner.types import BadInput, LimnerError

TYPES: Mapping[int, str] = {
    400: "bad_input",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    409: "conflict",
    413: "too_large",
    415: "unsupported_type",
    422: "invalid",
    429: "too_many",
    500: "failed",
    503: "unavailable",
}
_LONGEST = 500
_PLAIN = {
    400: ("the request cannot be read", "send JSON, or a form where one is asked for"),
    404: ("there is nothing at this address", "see /api/openapi.json for what there is"),
    405: ("this address does not take that method", "see /api/openapi.json for those it takes"),
    413: ("the request is too large", "send less, or a smaller picture"),
}


class Refused(LimnerError):
    """A request that is turned down with a status of HTTP's own, such as 401; `retry_after` is in seconds."""

    def __init__(self, status: int, message: str, hint: str = "", *, retry_after: int | None = None) -> None:
        super().__init__(message, hint)
        self.status, self.retry_after = status, retry_after


def status_of(error: LimnerError) -> int:
    """The status that tells a failure of Limner's: what was asked for was wrong, or could not be done now."""
    if isinstance(error, Refused):
        return error.status
    if isinstance(error, NotFound):
        return 404
    if isinstance(error, Full):
        return 429
    return 400 if isinstance(error, BadInput) else 503


def body(path: str, status: int, message: str, hint: str = "", param: str | None = None) -> dict[str, Any]:
    """The JSON of an error, in the form of the API that `path` belongs to; `param` names what was wrong."""
    message, hint, kind = _clean(message), _clean(hint), TYPES.get(status, "failed")
    both = f"{message} ({hint})" if hint else message
    if path.startswith("/v1/"):
        whose = "server_error" if status >= 500 else "invalid_request_error"
        return {"error": {"message": both, "type": whose, "param": param, "code": kind}}
    if path.startswith("/sdapi/"):
        return {"error": kind, "detail": both, "body": "", "errors": message}
    return {"error": {"message": message, "hint": hint, "type": kind}}


def answer(path: str, error: LimnerError) -> JSONResponse:
    """The response that tells an error."""
    status = status_of(error)
    headers: dict[str, str] = {}
    wait: int | None = getattr(error, "retry_after", None)
    if wait is not None:
        headers["Retry-After"] = str(wait)
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return JSONResponse(body(path, status, error.message, error.hint), status, headers)


def failed(path: str) -> JSONResponse:
    """The response after a failure that nobody foresaw: the log says which."""
    return JSONResponse(body(path, 500, "that failed", "try again; the server's log says more"), 500)


def install(app: FastAPI) -> None:
    """Have an app tell every error in these forms."""
    app.add_exception_handler(LimnerError, _limner)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _plain)


async def _limner(request: Request, error: Exception) -> JSONResponse:
    return answer(request.url.path, cast(LimnerError, error))


async def _invalid(request: Request, error: Exception) -> JSONResponse:
    """The first of pydantic's complaints; what was given is never repeated, for it need not be writable as JSON."""
    first: Any = cast(RequestValidationError, error).errors()[0]
    where = ".".join(part for part in first["loc"][1:] if isinstance(part, str) and part not in KINDS)
    reason = re.sub(r"^(Value error, |Input )", "", str(first["msg"]))
    message = f"{where}: {reason}" if where else f"the request: {reason}"
    return JSONResponse(body(request.url.path, 422, message, "see /api/openapi.json", where or None), 422)


async def _plain(request: Request, error: Exception) -> JSONResponse:
    known = cast(HTTPException, error)
    message, hint = _PLAIN.get(known.status_code, (str(known.detail), ""))
    content = body(request.url.path, known.status_code, message, hint)
    return JSONResponse(content, known.status_code, known.headers)


def _clean(text: str) -> str:
    """A text that every reader takes: no half characters, and not without end."""
    return text[:_LONGEST].encode("utf-8", "replace").decode()
