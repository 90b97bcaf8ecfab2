"""Ctrl-C while torch is being imported waits for the import's end.

Torch's C++ calls Python as it starts; an exception that comes up there ends the process by abort, past every `finally`,
and half-made files stay.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from types import FrameType

_AGAIN_S = 0.1
"""After so many seconds a Ctrl-C that came too early comes again."""


@contextmanager
def held_while_importing(module: str = "torch") -> Generator[None]:
    """Within the block Ctrl-C raises KeyboardInterrupt as ever, but not before an import of `module` is over.

    Nothing is changed in other threads than the main one, nor where somebody handles the signal already.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGINT)
    if before is not signal.default_int_handler:
        yield
        return

    def stop(number: int, _frame: FrameType | None) -> None:
        if _is_importing(module):
            again = threading.Timer(_AGAIN_S, os.kill, (os.getpid(), number))
            again.daemon = True
            again.start()
        else:
            raise KeyboardInterrupt

    signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _is_importing(module: str) -> bool:
    found = sys.modules.get(module)
    return found is not None and bool(getattr(found.__spec__, "_initializing", False))
