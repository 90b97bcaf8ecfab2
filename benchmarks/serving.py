"""What a server costs and saves: many clients at once against one after the other, and a request against a call.

    make bench-serving        (or: python benchmarks/serving.py [--clients 16] [--steps 8] [--waiting 1000])

A real `limner serve` on the loopback interface with folders of its own. In one run of the same server: so many clients
that want one picture each (one drawing, no loop), all at once and one after the other; a single request on an idle
server against the same drawing by a call in this process, interleaved, with one step and with so many; connections
that wait for a job's events; and the memory of the server and of its worker, before the first job and at most while
so many clients are drawn for.
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import psutil

PATIENCE_S = 600
IDLE_S = 20
"""After so long a server that was just begun, and its worker, have come to rest."""

MODEL = "embedded"


@contextmanager
def server(folder: Path) -> Generator[tuple[httpx.Client, int]]:
    """A server over a folder: a client of it, and its process id."""
    with socket.create_server(("127.0.0.1", 0)) as some:
        port = some.getsockname()[1]
    environment = os.environ | {"LIMNER_DATA": str(folder / "data")}
    command = [sys.executable, "-m", "limner.cli", "serve", "--no-open", "--port", str(port), "--model", MODEL]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=log)
        try:
            assert process.stdout is not None
            process.stdout.readline()
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE_S) as client:
                yield client, process.pid
        finally:
            process.send_signal(signal.SIGINT)
            process.wait()


def params(seed: int, steps: int) -> dict[str, Any]:
    """One picture, drawn once."""
    return {"prompt": "a red fox in the snow", "seed": seed, "steps": steps, "count": 1, "baseline": True}


def drawn(client: httpx.Client, seed: int, steps: int) -> float:
    """Seconds from submitting a job to its last event."""
    began = time.perf_counter()
    job = client.post("/api/jobs", json={"kind": "draw", "partial_images": 0, **params(seed, steps)}).raise_for_status()
    with client.stream("GET", job.json()["links"]["events"]) as stream:
        kinds = [line for line in stream.iter_lines() if line.startswith("event: ")]
    assert kinds[-1] == "event: done", kinds
    return time.perf_counter() - began


def crowd(client: httpx.Client, clients: int, steps: int) -> tuple[float, float]:
    """Seconds for so many pictures one after the other, and all at once."""
    began = time.perf_counter()
    for seed in range(clients):
        drawn(client, seed, steps)
    alone, began = time.perf_counter() - began, time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        list(pool.map(partial(drawn, client, steps=steps), range(clients)))
    return alone, time.perf_counter() - began


def direct(folder: Path) -> Callable[[int, int], float]:
    """The same drawing in this process, as a function like `drawn`."""
    from limner.config import load_settings
    from limner.draw import DrawOptions, draw, finish
    from limner.image import png_bytes
    from limner.toolbox import Toolbox

    models = Toolbox(load_settings({"model": MODEL, "data": folder / "own"})).models

    def call(seed: int, steps: int) -> float:
        began = time.perf_counter()
        asked = params(seed, steps)
        png_bytes(finish(draw(models, DrawOptions(**asked))).best.picture)
        return time.perf_counter() - began

    return call


def overhead(client: httpx.Client, call: Callable[[int, int], float], rounds: int, steps: int) -> str:
    """A request and a call, taken in turns: the medians, and between what the middle half of the pairs differ."""
    pairs = [(drawn(client, seed, steps), call(seed, steps)) for seed in range(rounds + 1)][1:]  # the first warms up
    request, direct = (1000 * statistics.median(each) for each in zip(*pairs, strict=True))
    low, middle, high = (1000 * each for each in statistics.quantiles([r - c for r, c in pairs], n=4))
    return (
        f"{steps} steps: a request {request:.0f} ms, a call {direct:.0f} ms: {request - direct:+.0f} ms (p50); "
        f"pair by pair {middle:+.0f} ms, half of them from {low:+.0f} to {high:+.0f}"
    )


def waiting(client: httpx.Client, pid: int, number: int) -> tuple[float, float]:
    """MB that the server takes more with so many open streams of events, and ms of another request beside them."""
    busy = [client.post("/api/jobs", json={"kind": "draw", **params(0, 200), "rounds": 20}).json() for _ in range(2)]
    port, server = client.base_url.port, psutil.Process(pid)
    client.get("/api/about").raise_for_status()  # the first one reads the model's vocabulary
    before = server.memory_info().rss
    head = f"GET {busy[1]['links']['events']} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode()
    sockets = [socket.create_connection(("127.0.0.1", int(port or 0))) for _ in range(number)]
    for each in sockets:
        each.sendall(head)
    for each in sockets:
        each.recv(64)
    began = time.perf_counter()
    client.get("/api/about").raise_for_status()
    answered, grown = time.perf_counter() - began, server.memory_info().rss - before
    for job in reversed(busy):
        client.post(job["links"]["cancel"])
    for each in sockets:
        each.close()
    return grown / 2**20, answered * 1000


def resident(pid: int) -> tuple[float, float]:
    """MB in memory of a server, and of its worker."""
    server = psutil.Process(pid)
    workers = [child for child in server.children() if "spawn_main" in " ".join(child.cmdline())]
    return server.memory_info().rss / 2**20, sum(worker.memory_info().rss for worker in workers) / 2**20


@contextmanager
def most_resident(pid: int) -> Generator[Callable[[], tuple[float, float]]]:
    """Look at `resident` within the block; what is yielded tells the largest figures since its beginning."""
    seen, over = [resident(pid)], threading.Event()

    def look() -> None:
        while not over.wait(0.1):
            seen.append(resident(pid))

    looking = threading.Thread(target=look, daemon=True)
    looking.start()
    try:
        yield lambda: (max(server for server, _ in seen), max(worker for _, worker in seen))
    finally:
        over.set()
        looking.join()


def main(argv: Sequence[str] | None = None) -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, usual in (("clients", 16), ("steps", 8), ("rounds", 11), ("waiting", 1000)):
        parser.add_argument(f"--{name}", type=int, default=usual)
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="limner-bench-") as name, server(Path(name)) as (client, pid):
        time.sleep(IDLE_S)
        print("idle, no model loaded: server {:4.0f} MB, worker {:4.0f} MB".format(*resident(pid)))
        drawn(client, 0, 1)  # loads the models
        crowd(client, args.clients, 1)  # finds out which batches are fit, once a machine
        print("idle, models loaded:   server {:4.0f} MB, worker {:4.0f} MB".format(*resident(pid)))
        with most_resident(pid) as most:
            alone, together = crowd(client, args.clients, args.steps)
        print("drawing, at most:      server {:4.0f} MB, worker {:4.0f} MB".format(*most()))
        print(f"{args.clients} pictures one after the other {alone:7.1f} s")
        print(f"{args.clients} pictures all at once        {together:7.1f} s   {alone / together:.2f} times as fast")
        call = direct(Path(name))
        for steps in (1, args.steps):
            print(overhead(client, call, args.rounds, steps))
        megabytes, milliseconds = waiting(client, pid, args.waiting)
        print(
            f"{args.waiting} waiting connections {megabytes:.0f} MB; another request beside them {milliseconds:.0f} ms"
        )


if __name__ == "__main__":
    main()
