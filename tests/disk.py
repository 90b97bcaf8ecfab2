"""A disk that is full: writes that really fail."""

from __future__ import annotations

import resource
from collections.abc import Generator
from contextlib import contextmanager


@contextmanager
def small_disk(size: int) -> Generator[None]:
    """No file may grow over `size` bytes within the block.

    A block and not a fixture: pytest prints a test's verdict before fixtures end, and its own output may be a file.
    """
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
