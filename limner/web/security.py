"""What stands before every route: who is asked for, by whom, from where, how often, how much; and every answer's head.

A page of another origin that a browser shows may send requests here. It can read no answer (no CORS), cannot be this
host under another name (the Host list: DNS rebinding), and cannot change anything (Origin and Sec-Fetch-Site).
"""

from __future__ import annotations

import base64
import ipaddress
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from limner.types import BadInput
from limner.web import errors, tokens
from limner.web.buckets import Buckets, Rate
from limner.web.errors import Refused

LOG = logging.getLogger("limner.web")
MAX_BODY, MAX_JSON = 20 * 2**20, 2**20
"""Bytes of a request's body, and of one below /api/ that holds no file."""

ASKING = Rate(per_second=100, burst=2000)
GUESSING = Rate(per_second=0.5, burst=20)
"""Of wrong tokens, from one address."""

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    "font-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_SAFE, _UNSAFE = ("GET", "HEAD", "OPTIONS"), ("POST", "PUT", "PATCH", "DELETE")
_LOGIN = "/api/login"
_GUARDED = ("/api", "/v1", "/sdapi", "/metrics")
"""What lies below these needs a token where there are any; the page itself and /healthz tell nothing."""

_FILES = ("/api/pictures", "/api/concepts")
_LOCALHOST = ("127.0.0.1", "localhost", "[::1]")


@dataclass(frozen=True, slots=True)
class Rules:
    """Who may ask for what. `users` are tokens by name, `hosts` the names that this server answers to.

    `any_address`: it answers to every numeric address, too, as one that listens on all of them must; a name that was
    bound to another address (DNS rebinding) is never one.
    """

    users: Mapping[str, str]
    hosts: frozenset[str]
    any_address: bool = False
    asking: Rate = ASKING
    guessing: Rate = GUESSING


def rules(users: Mapping[str, str], host: str, also: tuple[str, ...] = ()) -> Rules:
    """The rules of a server that listens on `host`. Raises BadInput where others could reach it without a token."""
    if not users and not is_local(host):
        hint = "give --token-file FILE or LIMNER_TOKEN, or leave --host out to serve this machine only"
        raise BadInput(f"--host {host} would serve everyone who can reach this machine", hint)
    named = frozenset(name.lower() for name in (*_LOCALHOST, _bracketed(host), *map(_bracketed, also)))
    return Rules(users, named, any_address=_is_any(host))


def is_local(host: str) -> bool:
    """Whether a server on this host is heard on this machine only."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _is_any(host: str) -> bool:
    """Whether a server on this host listens on all addresses of the machine."""
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False


def _bracketed(host: str) -> str:
    """As it stands in a Host header: IPv6 in brackets."""
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


class Guard:
    """ASGI middleware that lets a request pass or answers it, adds the headers, and logs a line."""

    def __init__(self, app: ASGIApp, rules: Rules, count: Callable[[str, int, float], None]) -> None:
        """`count` is told of each request: what kind of address, status, seconds."""
        self._app, self._rules, self._count = app, rules, count
        self._asking, self._guessing = Buckets(rules.asking), Buckets(rules.guessing)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request; anything but HTTP and the lifespan is not spoken here."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await self._http(scope, receive, send)
        else:
            await send({"type": "websocket.close", "code": 1008})

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        path: str = scope["path"]
        started, told = time.monotonic(), _Told(send, "no-store" if _is_guarded(path) else "no-cache")
        try:
            scope.setdefault("state", {})["user"] = self._admitted(scope)
            await self._app(scope, receive, told)
        except Refused as error:
            await errors.answer(path, error)(scope, receive, told)
        except Exception:
            LOG.exception("failed", extra={"said": {"path": path}})
            if not told.status:
                await errors.failed(path)(scope, receive, told)
        finally:
            self._log(scope, told.status, time.monotonic() - started)

    def _admitted(self, scope: Scope) -> str:
        """Who asks, "" for whoever may without saying it; raises Refused for a request that is not let in."""
        headers = Headers(scope=scope)
        self._check_host(headers)
        if scope["method"] not in _SAFE:
            check_origin(headers)
        most, length = limit_of(scope["path"]), headers.get("content-length", "0")
        if not length.isdecimal() or len(length) > 12 or int(length) > most:
            raise Refused(413, "the request is too large", f"at most {most // 2**20} MB are taken here")
        user = self._user(scope, headers)
        if wait := self._asking.wait(user or f"@{_client(scope)}"):
            raise Refused(429, "that were too many requests", f"wait {wait} s", retry_after=wait)
        return user

    def _check_host(self, headers: Headers) -> None:
        host = _name(headers.get("host", ""))
        if host in self._rules.hosts or (self._rules.any_address and _is_address(host)):
            return
        raise Refused(403, f"this server is not called {host[:80]!r}", "start it with --allow-host and that name")

    def _user(self, scope: Scope, headers: Headers) -> str:
        users, path = self._rules.users, scope["path"]
        if not users:
            return tokens.LOCAL
        if path == _LOGIN:
            self._slow(scope)
        if path == _LOGIN or not _is_guarded(path):
            return ""
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "basic" and path.startswith("/sdapi"):
            token = _password(token)
            user = tokens.user_of_token(users, token)
        elif scheme.lower() == "bearer":
            user = tokens.user_of_token(users, token.strip())
        else:
            cookie = _cookie(headers.get("cookie", ""))
            user = tokens.user_of_cookie(users, cookie) if cookie and _same_origin(headers, scope["method"]) else None
            token = cookie
        if user is None:
            if token:
                self._slow(scope)
            raise Refused(401, "this needs a token", "send it as «Authorization: Bearer TOKEN», or log in on the page")
        return user

    def _slow(self, scope: Scope) -> None:
        """Count a try at a token from this address; raises Refused when there were too many."""
        if wait := self._guessing.wait(_client(scope)):
            raise Refused(429, "that were too many tries", f"wait {wait} s", retry_after=wait)

    def _log(self, scope: Scope, status: int, seconds: float) -> None:
        state: dict[str, Any] = scope["state"]
        self._count(_route(scope), status, seconds)
        said: dict[str, Any] = {"method": scope["method"], "path": scope["path"][:200], "status": status}
        said |= {"ms": round(seconds * 1000, 1)} | {k: state[k] for k in ("user", "job") if state.get(k)}
        LOG.info("request", extra={"said": said})


def _client(scope: Scope) -> str:
    client: tuple[str, int] | None = scope.get("client")
    return client[0] if client else ""


def _route(scope: Scope) -> str:
    """What a request is counted as: one of few, whatever addresses and methods are made up."""
    method = scope["method"] if scope["method"] in (*_SAFE, *_UNSAFE) else "OTHER"
    return f"{method} {getattr(scope.get('route'), 'path', 'other')}"


class _Told:
    """A `send` that adds the headers and remembers the status."""

    def __init__(self, send: Send, caching: str) -> None:
        self._send: Callable[[Message], Awaitable[None]] = send
        self._caching, self.status = caching, 0

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            for name, value in {**_HEADERS, "Cache-Control": self._caching}.items():
                headers.setdefault(name, value)
        await self._send(message)


def limit_of(path: str) -> int:
    """How many bytes a request to an address may have; a body without a length is cut off by FastAPI likewise."""
    return MAX_BODY if path.startswith(_FILES) or not path.startswith("/api/") else MAX_JSON


def check_origin(headers: Headers) -> None:
    """Raise Refused for a request that a browser sends for a page of another origin. Other programs say no origin."""
    site, origin = headers.get("sec-fetch-site", "none"), headers.get("origin")
    foreign = origin is not None and _host_of(origin) != _without_default(headers.get("host", ""))
    if site not in ("none", "same-origin") or foreign:
        raise Refused(403, "another site's page may not change anything here", "open this server's own page")


def _same_origin(headers: Headers, method: str) -> bool:
    """Whether a request with a cookie comes from this server's page: said by the browser, or harmless."""
    if method in _SAFE:
        return headers.get("sec-fetch-site", "same-origin") in ("same-origin", "none")
    return headers.get("sec-fetch-site") == "same-origin" or headers.get("origin") is not None


def _host_of(origin: str) -> str:
    """Host and port of an origin, without the scheme's own port; "" for «null» and what is none."""
    try:
        return _without_default(urlsplit(origin).netloc)
    except ValueError:
        return ""


def _without_default(host: str) -> str:
    return host.lower().removesuffix(":80").removesuffix(":443")


def _is_guarded(path: str) -> bool:
    return any(path == top or path.startswith(f"{top}/") for top in _GUARDED)


def _password(coded: str) -> str:
    """The password of HTTP's Basic login, which is all that A1111's clients can send; "" for what is none."""
    try:
        return base64.b64decode(coded, validate=True).decode().partition(":")[2]
    except ValueError:
        return ""


def _name(host: str) -> str:
    """The name in a Host header, without the port."""
    name, colon, port = host.lower().rpartition(":")
    return name if colon and port.isdecimal() else host.lower()


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True


def _cookie(text: str) -> str:
    """The login in a Cookie header; "" for none."""
    try:
        found = SimpleCookie(text).get(tokens.COOKIE)
    except CookieError:
        return ""
    return found.value if found else ""
