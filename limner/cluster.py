"""A job's items made by Ray: on a cluster, or on this machine alone. An Executor like any other (limner.workers).

Ray only makes items, in actors that load the models once; order, retries and what is kept are Limner's own, so a job
may go on with Ray where it was begun without, and the other way round. `pip install limner[ray]` brings it.
"""

from __future__ import annotations

import os
import secrets
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from limner.crew import HANGS_S, TRIES, Broken, Crew, Make, Said, attempt, broken
from limner.shards import Outcome
from limner.types import BadInput, LimnerError
from limner.workers import Executor

AUTO = "auto"
_STORE_BYTES = 512 * 2**20
"""Ray's shared memory here. A result is a few pictures, and few of them wait."""


@dataclass(frozen=True, slots=True)
class Needs:
    """What each worker takes of a machine, and how many workers there are: as many as fit where None is said."""

    workers: int | None = None
    cpus: int = 1
    gpus: float = 0


def on_ray(
    factory: Callable[[], Make], address: str, needs: Needs, tries: int = TRIES, hangs_s: float = HANGS_S
) -> Executor:
    """Do the work in actors; in each, `factory` (it can be pickled) loads the models once.

    `address` is a cluster's (HOST:PORT); "auto" is the one that this machine belongs to, or else one of this machine
    only: on the loopback interface, without a dashboard, ended with the job. What an actor that dies or hangs costs is
    as with processes (`limner.workers.in_processes`). Raises LimnerError where Ray is not installed or does not answer,
    where no actor is begun within `hangs_s` seconds and where the models cannot be loaded; BadInput where the workers
    do not fit into the cluster, which Ray would wait for without an end.
    """

    def execute(indices: Iterator[int]) -> Generator[Outcome]:
        ray = library()
        with connected(ray, address):
            workers = planned(ray.cluster_resources(), needs)
            actor = ray.remote(_Actor).options(num_cpus=needs.cpus, num_gpus=needs.gpus)

            def hire() -> _Remote:
                return _hired(ray, actor, factory, tries)

            def hear(busy: Sequence[tuple[_Remote, float]]) -> Sequence[tuple[_Remote, Said]]:
                return _listen(ray, busy, hangs_s)

            yield from Crew(workers, tries, hire, hear).outcomes(indices)

    return execute


class _Actor:
    """What runs on the cluster."""

    def __init__(self, factory: Callable[[], Make], tries: int) -> None:
        self.factory, self.tries = factory, tries

    def load(self) -> Broken | str:
        try:
            self.do = self.factory()
        except Exception as error:  # whatever went wrong, it is told by the job
            return broken(error)
        return "ready"

    def make(self, index: int) -> Outcome:
        return attempt(self.do, index, self.tries)


@dataclass(slots=True, eq=False)
class _Remote:
    """A Worker that is an actor; `owed` are the answers to come."""

    ray: Any
    actor: Any
    owed: deque[Any] = field(default_factory=deque[Any])
    ready: bool = False
    index: int | None = None

    def tell(self, index: int) -> None:
        if self.ready:
            self.owed.append(self.actor.make.remote(index))

    def begin(self) -> None:
        """Ask for its item, now that it is ready: asked before, its death could be taken for one while it loaded."""
        self.ready = True
        self.owed.append(self.actor.make.remote(self.index))

    def dismiss(self) -> None:
        self.ray.kill(self.actor)


def _hired(ray: Any, actor: Any, factory: Callable[[], Make], tries: int) -> _Remote:
    made = actor.remote(factory, tries)
    return _Remote(ray, made, deque([made.load.remote()]))


def _listen(ray: Any, busy: Sequence[tuple[_Remote, float]], hangs_s: float) -> Sequence[tuple[_Remote, Said]]:
    """Wait until an actor answers, dies or hangs."""
    worker, since = min(busy, key=lambda each: each[1])
    left = max(0.0, hangs_s - (time.monotonic() - since))
    waiting = {each.owed[0]: each for each, _ in busy}
    answered, _ = ray.wait(list(waiting), num_returns=1, timeout=left)
    if answered:
        return [(waiting[answer], _said(ray, waiting[answer])) for answer in answered]
    if not worker.ready:
        raise LimnerError(f"no worker was ready after {hangs_s:.0f} s; {_state(ray)}", "ask for fewer --workers")
    return [(worker, None)]


def _said(ray: Any, worker: _Remote) -> Said:
    try:
        said: Said = ray.get(worker.owed.popleft())
    except ray.exceptions.RayError:  # It died, or what it made could not be brought here.
        return None
    if said == "ready":
        worker.begin()
    return said


def planned(resources: dict[str, float], needs: Needs) -> int:
    """How many workers there are to be. Raises BadInput where they cannot all run at once."""
    rooms = [int(resources.get("CPU", 0) // needs.cpus)]
    rooms += [int(resources.get("GPU", 0) // needs.gpus)] if needs.gpus else []
    wanted = max(1, min(rooms)) if needs.workers is None else needs.workers
    if wanted < 1:
        raise BadInput(f"{wanted} workers", "at least one must do the work")
    if wanted > min(rooms):
        each = f"{needs.cpus} CPUs" + (f" and {needs.gpus:g} GPUs" if needs.gpus else "")
        has = f"{resources.get('CPU', 0):g} CPUs and {resources.get('GPU', 0):g} GPUs"
        raise BadInput(f"{wanted} workers of {each} each do not fit: Ray has {has}", f"at most {min(rooms)} --workers")
    return wanted


def _state(ray: Any) -> str:
    """What of the cluster is free, in words."""
    free, all_ = ray.available_resources(), ray.cluster_resources()
    return ", ".join(f"{free.get(name, 0):g} of {all_.get(name, 0):g} {name}s are free" for name in ("CPU", "GPU"))


def library() -> Any:
    """Ray. Raises LimnerError where it is not installed."""
    try:
        import ray  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise LimnerError("Ray is not installed", "python -m pip install 'limner[ray]'") from error
    return ray


@contextmanager
def connected(ray: Any, address: str) -> Generator[None]:
    """Be connected, and leave Ray as it was found."""
    if ray.is_initialized():
        yield
        return
    _connect(ray, address)
    try:
        yield
    finally:
        ray.shutdown()


def _connect(ray: Any, address: str) -> None:
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "error"}
    try:
        ray.init(address=address, **quiet)
    except (ConnectionError, ValueError, RuntimeError) as error:
        if address != AUTO:
            raise LimnerError(f"no Ray cluster answers at {address}", "see `ray status` there") from error
        _begin_here(ray, quiet)


def _begin_here(ray: Any, quiet: dict[str, Any]) -> None:
    _keep_private(ray)
    try:
        ray.init(include_dashboard=False, object_store_memory=_STORE_BYTES, **quiet)
    except Exception as error:  # whatever it is that Ray raises when it cannot begin
        ray.shutdown()
        raise LimnerError(f"Ray did not begin: {error}", "the machine may be too busy; try again") from error


def _keep_private(ray: Any) -> None:
    """Let Ray listen on the loopback interface only, as it does on a desktop, and only its user read its token."""
    ray._private.ray_constants.ENABLE_RAY_CLUSTER = False  # It has no other switch than a variable, read at import.
    path = Path.home() / ".ray" / "auth_token"
    path.parent.mkdir(mode=0o700, exist_ok=True)
    try:
        number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        path.chmod(0o600)
        return
    with os.fdopen(number, "w") as file:
        file.write(secrets.token_hex(32))
