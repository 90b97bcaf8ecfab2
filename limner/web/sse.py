"""Events of a job as they happen (server-sent events): replayed from any of them on, and followed to the last."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, suppress
from typing import Any, cast

from fastapi import Request
from fastapi.sse import KEEPALIVE_COMMENT, format_sse_event
from starlette.responses import StreamingResponse

from limner.service.values import JobEvent, event_json
from limner.turn import canonical
from limner.types import BadInput, LimnerError
from limner.web.service import Service

HEARTBEAT_S = 15.0
RETRY_MS = 2000
"""How long a browser waits before it connects again."""

_MOST = 2**31


class EventStream(StreamingResponse):
    """A response of server-sent events, which no proxy may keep back."""

    media_type = "text/event-stream"

    def __init__(self, content: AsyncIterator[bytes], status_code: int = 200) -> None:
        super().__init__(content, status_code, {"Cache-Control": "no-store", "X-Accel-Buffering": "no"})


def stream(service: Service, job_id: str, after: int) -> EventStream:
    """The events of a job after the one of that number; the stream ends after the last one, or with the server."""
    return EventStream(lines(service, _written(service, job_id, after)))


async def _written(service: Service, job_id: str, after: int) -> AsyncGenerator[bytes]:
    # A failure ends the stream, and the client connects again: by then the store may answer, or say what is wrong.
    with suppress(LimnerError):
        async with aclosing(cast(AsyncGenerator[JobEvent], service.watcher.events(job_id, after))) as events:
            async for event in events:
                yield written(event)


async def lines(service: Service, chunks: AsyncGenerator[bytes]) -> AsyncIterator[bytes]:
    """Chunks as they come, a heartbeat where none comes for a while, and an end when the server closes."""
    yield format_sse_event(retry=RETRY_MS)
    closing = asyncio.create_task(service.closing.wait())
    coming: asyncio.Task[bytes | None] = asyncio.create_task(_next(chunks))
    try:
        while True:
            done, _ = await asyncio.wait({coming, closing}, timeout=HEARTBEAT_S, return_when=asyncio.FIRST_COMPLETED)
            if closing in done:
                return
            if not done:
                yield KEEPALIVE_COMMENT
                continue
            chunk = coming.result()
            if chunk is None:
                return
            yield chunk
            coming = asyncio.create_task(_next(chunks))
    finally:
        for task in (coming, closing):
            task.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await task
        await chunks.aclose()


async def _next(chunks: AsyncGenerator[bytes]) -> bytes | None:
    return await anext(chunks, None)


def written(event: JobEvent) -> bytes:
    """An event as it goes over the line: its number as id, its kind as event, all of it as JSON."""
    return written_as(event.kind, event_json(event), str(event.seq))


def written_as(kind: str, data: dict[str, Any], number: str | None = None) -> bytes:
    """Any JSON values as an event."""
    return format_sse_event(data_str=canonical(data).decode(), event=kind, id=number)


def seen(request: Request, after: int | None) -> int:
    """The number of the last event that a client has: what its browser says on connecting again counts first."""
    said = request.headers.get("last-event-id", "").strip()
    if not said:
        return after or 0
    if not said.isascii() or not said.isdecimal() or len(said) > len(str(_MOST)):
        raise BadInput("Last-Event-ID is no number of an event", "leave it out to have them all")
    return min(int(said), _MOST)
