"""The app on a socket: one process, which ends its streams first when it is asked to end."""

from __future__ import annotations

import os
import socket
from types import FrameType

import uvicorn
from fastapi import FastAPI

from limner.types import BadInput
from limner.web.service import Service

_BACKLOG = 2048
_PATIENCE_S = 5
"""How long requests that are under way may take when the server ends."""


class Server(uvicorn.Server):
    """uvicorn, which would wait for streams of events that end only with their jobs."""

    def __init__(self, app: FastAPI, service: Service) -> None:
        config = uvicorn.Config(
            app,
            access_log=False,
            log_level="warning",
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=_PATIENCE_S,
            ws="none",
        )
        super().__init__(config)
        self._service = service

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """End the streams with the first signal, and everything with the second.

        uvicorn's own would raise the signal again afterwards, and the workers would not be sent home.
        """
        self._service.close_streams()
        self.force_exit = self.should_exit
        self.should_exit = True


def bind(host: str, port: int) -> socket.socket:
    """A socket that listens. Raises BadInput for a port that is taken and for an address that is not this machine's."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host.strip("[]"), port), family=family, backlog=_BACKLOG)
    except (OSError, ValueError, TypeError) as error:
        number = error.errno if isinstance(error, OSError) and not isinstance(error, socket.gaierror) else None
        reason = os.strerror(number) if number else "no such address"
        raise BadInput(f"cannot listen on {host} port {port}: {reason}", "choose another --port or --host") from None


def address(host: str, listening: socket.socket) -> str:
    """Where a browser on this machine finds it."""
    port = listening.getsockname()[1]
    name = "127.0.0.1" if host in ("0.0.0.0", "::") else f"[{host}]" if ":" in host else host  # noqa: S104
    return f"http://{name}:{port}/"
