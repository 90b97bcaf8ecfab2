"""Jobs made by Ray on this machine: the same bytes, whatever dies or hangs; plans that cannot be are refused."""

from __future__ import annotations

import stat
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest

from limner.cluster import AUTO, Needs, on_ray
from limner.draw import finish
from limner.jobs import Job, run
from limner.shards import Made, SetAside
from limner.types import BadInput, LimnerError
from limner.workers import Make, in_process
from tests.killable_job import JOB, broken_maker, deadly_maker, make, maker

ray: Any = pytest.importorskip("ray")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    """Begun once, as the first job would begin it; later ones find it and leave it."""
    from limner import cluster

    before = set(listeners())
    with cluster.connected(ray, AUTO):
        begun = [address for address in listeners() if address not in before]
        assert begun
        # Nobody else can reach it.
        assert {host.removeprefix("::ffff:") for host, *_ in begun} <= {"127.0.0.1", "::1"}
        yield
    assert not ray.is_initialized()


def listeners() -> list[tuple[Any, ...]]:
    """The addresses at which Ray's processes of this test listen."""
    found: list[tuple[Any, ...]] = []
    for process in psutil.Process().children(recursive=True):
        try:
            found += [tuple(one.laddr) for one in process.net_connections("tcp") if one.status == psutil.CONN_LISTEN]
        except psutil.Error:
            continue
    return found


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def sleepy(index: int) -> Made:
    """Hangs at item 1."""
    time.sleep(60 if index == 1 else 0)
    return make(index)


def sleepy_maker() -> Make:
    return sleepy


def test_two_actors_make_the_bytes_of_one_process(tmp_path: Path) -> None:
    finish(run(JOB, tmp_path / "here", in_process(make)))
    report = finish(run(JOB, tmp_path / "ray", on_ray(maker, AUTO, Needs(2))))
    assert report.complete
    assert content(tmp_path / "ray") == content(tmp_path / "here")
    assert ray.is_initialized()


def test_a_job_that_ray_began_goes_on_without_it(tmp_path: Path) -> None:
    finish(run(JOB, tmp_path / "here", in_process(make)))
    work = run(JOB, tmp_path / "ray", on_ray(maker, AUTO, Needs(1)))
    for _ in range(9):
        next(work)
    work.close()
    finish(run(JOB, tmp_path / "ray", in_process(make)))
    assert content(tmp_path / "ray") == content(tmp_path / "here")


def test_an_actor_that_dies_is_replaced_and_a_deadly_item_set_aside(tmp_path: Path) -> None:
    (tmp_path / "marks").mkdir()
    executor = on_ray(partial(deadly_maker, str(tmp_path / "marks")), AUTO, Needs(1), tries=2)
    report = finish(run(Job({}, 10, 60), tmp_path / "job", executor))
    assert (report.complete, report.set_aside) == (True, 1)


def test_an_actor_that_hangs_is_replaced() -> None:
    outcomes = list(on_ray(sleepy_maker, AUTO, Needs(1), tries=1, hangs_s=15)(iter(range(3))))
    assert [each.index for each in outcomes] == [0, 1, 2]
    assert [isinstance(each, SetAside) for each in outcomes] == [False, True, False]


def test_models_that_cannot_be_loaded_end_the_job() -> None:
    with pytest.raises(LimnerError, match="no such model") as told:
        list(on_ray(broken_maker, AUTO, Needs(1))(iter(range(3))))
    assert told.value.hint == "fetch it"


@pytest.mark.parametrize("needs", [Needs(1000), Needs(1, cpus=1000), Needs(1, gpus=99), Needs(0)])
def test_a_plan_that_cannot_be_is_refused_at_once(needs: Needs) -> None:
    start = time.perf_counter()
    with pytest.raises(BadInput, match="workers"):
        list(on_ray(maker, AUTO, needs)(iter(range(3))))
    assert time.perf_counter() - start < 10


def test_a_worker_that_gets_no_place_is_told() -> None:
    taken = ray.remote(num_cpus=ray.cluster_resources()["CPU"])(_Idler).remote()
    try:
        assert ray.get(taken.here.remote())
        with pytest.raises(LimnerError, match="no worker was ready after 3 s; 0 of"):
            list(on_ray(maker, AUTO, Needs(1), hangs_s=3)(iter(range(3))))
    finally:
        ray.kill(taken)


class _Idler:
    def here(self) -> bool:
        return True


def test_the_token_is_its_users_alone() -> None:
    token = Path.home() / ".ray" / "auth_token"
    assert not stat.S_IMODE(token.stat().st_mode) & 0o077
