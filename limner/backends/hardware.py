"""Which device, how many threads, which precision: decided by what this process may really use.

OpenMP's idle threads spin by default; beside one busy neighbour that costs a U-Net call a factor of
ten. `prepare_threads` makes them sleep instead and must run before torch is first imported. Half
precision is taken on a CPU only where a short measurement shows that it is faster there.
"""

from __future__ import annotations

import os
import platform
import statistics
import sys
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from limner.backends.notes import Notes
from limner.types import BadInput, Precision

if TYPE_CHECKING:
    import torch

# Below this the conversions around a half-precision model eat what its products save.
_WORTHWHILE = 1.3
_SIBLINGS = "sys/devices/system/cpu/cpu{}/topology/thread_siblings_list"


@dataclass(frozen=True, slots=True)
class Plan:
    """Where and how models run. `reason` says in words why; `limner doctor` shows it."""

    device: str
    threads: int
    precision: Precision
    reason: str


def prepare_threads() -> None:
    """Make OpenMP's waiting threads sleep; has no effect on a torch that is already imported."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("GOMP_SPINCOUNT", "0")


def available_cores(root: Path = Path("/")) -> int:
    """Physical cores that this process may use: its affinity, one per core, within its cgroup quota."""
    allowed = os.sched_getaffinity(0) if sys.platform == "linux" else range(os.cpu_count() or 1)
    siblings = [root / _SIBLINGS.format(cpu) for cpu in allowed]
    cores = {path.read_text() if path.is_file() else str(path) for path in siblings}
    return max(1, min(len(cores), int(_cgroup_quota(root))))


def plan(
    device: str = "auto",
    precision: str = "auto",
    *,
    threads: int | None = None,
    workers: int = 1,
    cache: Path | None = None,
) -> Plan:
    """Decide device, threads per worker and precision, and apply the threads to this process.

    The CPU's precision is measured once (well under a second) and remembered in the folder `cache`
    by CPU model and torch version. Raises BadInput for a device that this machine does not have.
    """
    import torch

    chosen = _device(device)
    count = threads or max(1, available_cores() // workers)
    torch.set_num_threads(count)
    if precision != "auto":
        return Plan(chosen, count, _precision(precision), "precision as asked")
    if chosen == "cuda":
        half: Precision = "bfloat16" if torch.cuda.is_bf16_supported() else "float16"
        return Plan(chosen, count, half, f"{half} is what {torch.cuda.get_device_name()} is built for")
    if chosen == "mps":
        return Plan(chosen, count, "float16", "float16 is what Apple GPUs are built for")
    gain = _remembered_gain(cache, count)
    fits: Precision = "bfloat16" if gain >= _WORTHWHILE else "float32"
    return Plan(chosen, count, fits, f"bfloat16 measured {gain:.1f} times as fast as float32 on {_cpu_model()}")


@contextmanager
def one_thread() -> Generator[None]:
    """What this thread computes in the block it computes alone; other threads, also new ones, keep their helpers."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    # torch keeps a number for each thread, and one for those that have not computed yet: that one is put back.
    back = threading.Thread(target=torch.set_num_threads, args=(before,))
    back.start()
    back.join()
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _device(asked: str) -> str:
    import torch

    present = ["cpu"]
    if torch.backends.mps.is_available():
        present.insert(0, "mps")
    if torch.cuda.is_available():
        present.insert(0, "cuda")
    if asked not in ("auto", *present):
        raise BadInput(f"this machine has no device {asked!r}", f"present: {', '.join(present)}")
    return present[0] if asked == "auto" else asked


def _precision(asked: str) -> Precision:
    known: dict[str, Precision] = {"float32": "float32", "bfloat16": "bfloat16", "float16": "float16"}
    if asked not in known:
        raise BadInput(f"unknown precision {asked!r}", f"known: auto, {', '.join(known)}")
    return known[asked]


def _cgroup_quota(root: Path) -> float:
    """CPUs' worth of time per period that the process's cgroup and its parents (v2 or v1) allow."""
    quotas = [float("inf")]
    for folder in _cgroup_folders(root):
        if (folder / "cpu.max").is_file():
            limit, period = (folder / "cpu.max").read_text().split()
        elif (folder / "cpu.cfs_quota_us").is_file():
            limit, period = ((folder / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
        else:
            continue
        if limit != "max" and float(limit) > 0:
            quotas.append(float(limit) / float(period))
    return min(min(quotas), sys.maxsize)


def _cgroup_folders(root: Path) -> list[Path]:
    membership = root / "proc/self/cgroup"
    paths = [line.split(":", 2) for line in membership.read_text().splitlines()] if membership.is_file() else []
    folders: list[Path] = []
    for _, controllers, path in paths:
        if controllers and "cpu" not in controllers.split(","):
            continue
        mount = root / "sys/fs/cgroup" / ("cpu" if controllers else "")
        inside = mount / path.lstrip("/")
        folders += [inside, *(parent for parent in inside.parents if parent.is_relative_to(mount))]
    return folders


def _cpu_model() -> str:
    return _cpu_says("model name") or platform.processor() or platform.machine()


def _cpu_says(what: str) -> str:
    """What Linux says of the first core; "" elsewhere."""
    info = Path("/proc/cpuinfo")
    lines = [line.partition(":") for line in info.read_text().splitlines()] if info.is_file() else []
    return next((value.strip() for name, _, value in lines if name.strip() == what), "")


def machine(threads: int) -> str:
    """What decides which kernels run: the processor, torch's version, threads.

    Clouds give processors of several generations one name: their family and model tell them apart.
    """
    import torch

    kind = "/".join(filter(None, (_cpu_says("cpu family"), _cpu_says("model"))))
    return f"{_cpu_model()} {kind}, torch {torch.__version__}, {threads} threads"


def _remembered_gain(cache: Path | None, threads: int) -> float:
    notes = Notes(None if cache is None else cache / "hardware.json")
    key = machine(threads)
    known = notes.read().get(key)
    if isinstance(known, int | float):
        return float(known)
    gain = measure_gain()
    notes.write(key, gain)
    return gain


def measure_gain(rounds: int = 5) -> float:
    """How many times as fast a matrix product and a convolution are in bfloat16 as in float32.

    The two precisions take turns, so that a busy neighbour slows both; medians are compared.
    """
    import torch

    taken: dict[torch.dtype, list[float]] = {torch.float32: [], torch.bfloat16: []}
    work = {dtype: _sample_work(dtype) for dtype in taken}
    for round_ in range(rounds + 1):
        for dtype, run in work.items():
            start = time.perf_counter()
            run()
            if round_:  # the first round only warms up
                taken[dtype].append(time.perf_counter() - start)
    return statistics.median(taken[torch.float32]) / statistics.median(taken[torch.bfloat16])


def _sample_work(dtype: torch.dtype) -> Callable[[], None]:
    """The two operations a U-Net spends its time in, about 0.6 GFLOP each."""
    import torch

    matrix = torch.randn(640, 640).to(dtype)
    picture = torch.randn(8, 128, 16, 16).to(dtype).contiguous(memory_format=torch.channels_last)
    kernel = torch.randn(128, 128, 3, 3).to(dtype).contiguous(memory_format=torch.channels_last)

    @torch.inference_mode()
    def run() -> None:
        torch.mm(matrix, matrix)
        torch.nn.functional.conv2d(picture, kernel, padding=1)

    return run
