"""Jobs that lose nothing: shards, their ledger, runs that are killed, workers that die, items that fail."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from limner import ledger
from limner.draw import finish
from limner.jobs import HOPELESS, Job, Report, finished, run
from limner.ledger import open_ledger, read_shards
from limner.shards import Made, Outcome, Reject, Row, SetAside, canonical, pack, unpack
from limner.types import BadInput, LimnerError
from limner.workers import Make, in_process, in_processes
from tests.disk import small_disk
from tests.killable_job import JOB, broken_maker, deadly_maker, dying_maker, make, maker

ROOT = Path(__file__).parent.parent
SPEC = {"what": "test"}


def content(folder: Path) -> dict[str, bytes]:
    """All files of a job."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def done(job: Job, folder: Path, make_one: Make = make, tries: int = 1) -> Report:
    return finish(run(job, folder, in_process(make_one, tries)))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What JOB brings when nothing disturbs it."""
    folder = tmp_path_factory.mktemp("whole")
    report = done(JOB, folder)
    assert (report.accepted, report.complete) == (40, True)
    return content(folder)


@st.composite
def any_row(draw: st.DrawFn) -> Row:
    item, caption = draw(st.text(max_size=8)), draw(st.text(max_size=8))
    box = draw(st.lists(st.integers(0, 9), max_size=4))
    scores = {"s": draw(st.floats(allow_nan=False, allow_infinity=False))}
    return Row(
        item, item, 3, "", "ab" * 32, 8, 8, "fox", caption, [{"box": box}], scores, {"a": [caption, None]}, [item]
    )


_PICTURES = st.dictionaries(st.from_regex(r"[0-9a-f]{64}", fullmatch=True), st.binary(), max_size=3)


@given(st.lists(any_row(), max_size=3), _PICTURES)
def test_a_shard_holds_what_was_made(rows: list[Row], pictures: dict[str, bytes]) -> None:
    reject = Reject("r", "i", 3, "", "fill", "mismatch", {"x": 0.5}, {})
    packed = pack([Made(3, rows, [reject], pictures)])
    assert packed == pack([Made(3, rows, [reject], dict(reversed(pictures.items())))])
    shard = unpack(packed)
    assert shard.pictures == pictures
    assert [canonical(row) for row in shard.rows] == [
        canonical({name: getattr(row, name) for name in Row.__slots__}) for row in rows
    ]
    assert shard.rejects[0]["reason"] == "mismatch"


def test_what_json_cannot_hold_is_refused() -> None:
    with pytest.raises(ValueError, match="JSON"):
        canonical({"psnr": float("inf")})


def test_a_job_is_read_back_in_order(tmp_path: Path) -> None:
    report = done(JOB, tmp_path)
    shards = list(read_shards(tmp_path))
    rows = [row for shard in shards for row in shard.rows]
    expected = [row for index in range(report.items) for row in make(index).rows]
    assert [row["id"] for row in rows] == [row.id for row in expected]
    assert len({row["id"] for row in rows}) == 40
    assert [len({row["index"] for row in (*shard.rows, *shard.rejects)}) for shard in shards[:-1]] == [4] * (
        len(shards) - 1
    )
    for shard in shards:
        named = {each["picture"] for each in (*shard.rows, *shard.rejects)}
        assert named == set(shard.pictures)
    assert report.rejected == {"mismatch": report.items}
    assert rows[0]["caption"] == "a «fox»"


def test_no_more_rows_than_are_wanted_and_only_their_pictures(tmp_path: Path) -> None:
    report = done(Job(SPEC, count=3, most=9), tmp_path)
    [shard] = read_shards(tmp_path)
    assert (report.accepted, report.items, len(shard.rows)) == (3, 2, 3)
    assert len(shard.pictures) == 3 + 2


def test_a_job_ends_when_the_items_do(tmp_path: Path) -> None:
    report = done(Job(SPEC, count=100, most=7), tmp_path)
    assert (report.complete, report.items) == (False, 7)
    assert finished(Job(SPEC, count=100, most=7), tmp_path) is not None


def test_a_finished_job_says_so_and_asks_nobody(tmp_path: Path) -> None:
    assert finished(JOB, tmp_path / "none") is None
    done(JOB, tmp_path)
    before = content(tmp_path)

    def nobody(indices: Iterator[int]) -> Any:
        raise AssertionError

    report = finish(run(JOB, tmp_path, nobody))
    start = time.perf_counter()
    again = finished(JOB, tmp_path)
    assert time.perf_counter() - start < 0.5
    assert again is not None
    assert (again.accepted, again.rejected) == (report.accepted, report.rejected)
    assert content(tmp_path) == before


def test_progress_is_told(tmp_path: Path) -> None:
    events = list(run(JOB, tmp_path, in_process(make)))
    assert {event.kind for event in events} == {"item"}
    assert [event.done for event in events] == sorted(event.done for event in events)
    assert (events[-1].done, events[-1].total) == (40, 40)
    assert events[-1].data["rejected"] == {"mismatch": len(events)}
    assert events[3].data["rate"] > 0
    assert events[3].data["eta"] == pytest.approx((40 - events[3].done) / events[3].data["rate"])


@pytest.mark.parametrize("after", [1, 3, 4, 5, 17])
def test_a_closed_run_goes_on_where_it_committed(after: int, tmp_path: Path, whole: dict[str, bytes]) -> None:
    work = run(JOB, tmp_path, in_process(make))
    for _ in range(after):
        next(work)
    work.close()
    asked: list[int] = []

    def noted(index: int) -> Made:
        asked.append(index)
        return make(index)

    done(JOB, tmp_path, noted)
    assert asked[0] == after // 4 * 4
    assert content(tmp_path) == whole


def begun(folder: Path, shards: int = 3) -> None:
    with open_ledger(folder, JOB.asked) as book:
        for number in range(shards):
            book.commit([make(index) for index in range(4 * number, 4 * number + 4)])


def test_a_ledger_torn_anywhere_in_its_last_line_is_mended(tmp_path: Path, whole: dict[str, bytes]) -> None:
    begun(tmp_path)
    path = tmp_path / ledger.LEDGER
    text = path.read_bytes()
    last = text.rstrip(b"\n").rindex(b"\n") + 1
    for end in (last, last + 1, last + 40, len(text) - 1):
        path.write_bytes(text[:end])
        assert ledger.tally(tmp_path, JOB.asked).shards == 2
        with open_ledger(tmp_path, JOB.asked) as book:
            assert book.tally.items == 8
            assert path.read_bytes() == text[:last]
            book.commit([make(index) for index in range(8, 12)])
        assert path.read_bytes() == text
    done(JOB, tmp_path)
    assert content(tmp_path) == whole


def test_what_a_killed_process_left_is_swept_away(tmp_path: Path, whole: dict[str, bytes]) -> None:
    begun(tmp_path, 2)
    (tmp_path / "shards" / ".000002.tar.abc.part").write_bytes(b"half")
    (tmp_path / "shards" / "000002.tar").write_bytes(b"renamed, and not committed")
    done(JOB, tmp_path)
    assert content(tmp_path) == whole


def test_a_job_that_was_killed_before_its_first_file_is_begun_anew(tmp_path: Path) -> None:
    (tmp_path / "shards").mkdir()
    (tmp_path / ".job.json.abc.part").write_bytes(b"{")
    assert done(JOB, tmp_path).complete


def test_damage_is_told_and_never_mended_in_silence(tmp_path: Path) -> None:
    begun(tmp_path)
    path = tmp_path / ledger.LEDGER
    text = path.read_bytes()
    path.write_bytes(text.replace(b'"accepted":', b'"accepted": ', 1))
    with pytest.raises(LimnerError, match="line 1 .* is damaged"), open_ledger(tmp_path, JOB.asked):
        pass
    path.write_bytes(b"".join(reversed(text.splitlines(keepends=True))))
    with pytest.raises(LimnerError, match="damaged"):
        ledger.tally(tmp_path, JOB.asked)
    path.write_bytes(text)
    shard = tmp_path / "shards" / "000001.tar"
    kept = shard.read_bytes()
    shard.write_bytes(kept[:-1] + b"x")
    with pytest.raises(LimnerError, match="000001.tar is missing or was altered"):
        list(read_shards(tmp_path))
    shard.unlink()
    with pytest.raises(LimnerError, match="000001.tar is missing"), open_ledger(tmp_path, JOB.asked):
        pass


def test_another_job_another_process_and_other_files_are_refused(tmp_path: Path) -> None:
    begun(tmp_path / "job")
    other = Job({"what": "else"}, 40, 60, 4)
    for attempted in (other, Job(JOB.spec, 41, 60, 4), Job(JOB.spec, 40, 60, 5)):
        with pytest.raises(BadInput, match="another job"):
            done(attempted, tmp_path / "job")
    with pytest.raises(BadInput, match="another job"):
        finished(other, tmp_path / "job")
    with open_ledger(tmp_path / "job", JOB.asked), pytest.raises(BadInput, match="another process is at work"):
        done(JOB, tmp_path / "job")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("precious")
    with pytest.raises(BadInput, match="other files"):
        done(JOB, tmp_path / "mine")
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match="cannot write"):
        done(JOB, tmp_path / "file")
    (tmp_path / "job" / "job.json").write_text("{")
    with pytest.raises(LimnerError, match="cannot be read"):
        done(JOB, tmp_path / "job")


def test_other_models_may_not_go_on_with_a_job(tmp_path: Path) -> None:
    begun(tmp_path, 1)

    def other(index: int) -> Made:
        return Made(index, made_by="noise 2")

    with pytest.raises(LimnerError, match="models"):
        done(JOB, tmp_path, other)
    assert ledger.tally(tmp_path, JOB.asked).shards == 1


def failing(*bad: int) -> Make:
    def made(index: int) -> Made:
        if index in bad:
            raise ZeroDivisionError(f"item {index} \ud800")
        return make(index)

    return made


def test_an_item_that_keeps_failing_is_set_aside(tmp_path: Path) -> None:
    tried: list[int] = []

    def noted(index: int) -> Made:
        tried.append(index)
        return failing(2, 5)(index)

    report = done(JOB, tmp_path, noted, tries=3)
    assert (report.complete, report.set_aside) == (True, 2)
    assert (tried.count(2), tried.count(5), tried.count(3)) == (3, 3, 1)
    lines = [json.loads(line.split(b" ", 1)[1]) for line in (tmp_path / ledger.LEDGER).read_bytes().splitlines()]
    assert lines[0]["set_aside"] == [[2, "ZeroDivisionError: item 2 ?"]]
    assert {2, 5}.isdisjoint(row["index"] for shard in read_shards(tmp_path) for row in shard.rows)


def test_an_item_that_fails_once_is_tried_again(tmp_path: Path, whole: dict[str, bytes]) -> None:
    failed: set[int] = set()

    def shaky(index: int) -> Made:
        if index not in failed:
            failed.add(index)
            raise OSError("busy")
        return make(index)

    assert done(JOB, tmp_path, shaky, tries=2).set_aside == 0
    assert content(tmp_path) == whole


def test_when_all_fail_it_is_not_the_items(tmp_path: Path, whole: dict[str, bytes]) -> None:
    job = Job(JOB.spec, 40, 60, 60)
    with pytest.raises(LimnerError, match=f"{HOPELESS} items in a row failed: ZeroDivisionError"):
        done(job, tmp_path / "a", failing(*range(3, 60)))
    # Nothing of it was committed, so that all is made once the fault is mended.
    assert done(job, tmp_path / "a").set_aside == 0


def test_a_full_disk_loses_nothing(tmp_path: Path, whole: dict[str, bytes]) -> None:
    folder = tmp_path / "job"
    with small_disk(2000), pytest.raises(LimnerError, match="could not write"):
        done(JOB, folder)
    assert content(folder).keys() == {".lock", "job.json"}
    done(JOB, folder)
    assert content(folder) == whole


def test_numbers_below_one_are_refused() -> None:
    for wrong in ({"count": 0}, {"most": 0}, {"shard": 0}):
        with pytest.raises(BadInput):
            Job(SPEC, **{"count": 1, "most": 1, **wrong})
    with pytest.raises(BadInput):
        in_processes(maker, 0)


@pytest.mark.parametrize("workers", [1, 3])
def test_workers_make_the_same_bytes(workers: int, tmp_path: Path, whole: dict[str, bytes]) -> None:
    report = finish(run(JOB, tmp_path, in_processes(maker, workers)))
    assert report.complete
    assert content(tmp_path) == whole


def test_a_worker_that_dies_is_replaced_and_a_deadly_item_set_aside(tmp_path: Path) -> None:
    folder = tmp_path / "marks"
    folder.mkdir()
    executor = in_processes(partial(deadly_maker, str(folder)), 2, tries=2)
    report = finish(run(Job(SPEC, 12, 60), tmp_path / "job", executor))
    assert (report.complete, report.set_aside) == (True, 1)
    indices = [row["index"] for shard in read_shards(tmp_path / "job") for row in shard.rows]
    assert 3 in indices
    assert 5 not in indices
    assert indices == sorted(indices)


def sleepy(index: int) -> Made:
    """Hangs at item 1."""
    time.sleep(60 if index == 1 else 0)
    return make(index)


def sleepy_maker() -> Make:
    return sleepy


@pytest.mark.slow
def test_a_worker_that_hangs_is_replaced_and_its_item_set_aside() -> None:
    start = time.perf_counter()
    outcomes = list(in_processes(sleepy_maker, 2, tries=1, hangs_s=10)(iter(range(4))))
    assert time.perf_counter() - start < 50
    assert [each.index for each in outcomes] == [0, 1, 2, 3]
    assert [isinstance(each, SetAside) for each in outcomes] == [False, True, False, False]


def test_models_that_cannot_be_loaded_end_the_job_at_once(tmp_path: Path) -> None:
    with pytest.raises(LimnerError, match="no such model") as told:
        finish(run(JOB, tmp_path, in_processes(broken_maker, 1)))
    assert told.value.hint == "fetch it"
    with pytest.raises(LimnerError, match="died while it loaded"):
        finish(run(JOB, tmp_path, in_processes(dying_maker, 1)))


def test_workers_do_not_run_far_ahead() -> None:
    pulled: list[int] = []

    def counted() -> Iterator[int]:
        for index in range(1000):
            pulled.append(index)
            yield index

    outcomes = in_processes(maker, 1)(counted())
    first: Outcome = next(outcomes)
    assert first.index == 0
    assert len(pulled) <= 5
    outcomes.close()


def test_workers_end_with_a_killed_parent(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.killable_job", str(tmp_path / "job"), "2"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as child:
        assert child.stdout is not None
        child.stdout.readline()
        crew = psutil.Process(child.pid).children(recursive=True)
        child.kill()
    assert len(crew) >= 2
    assert psutil.wait_procs(crew, timeout=10)[1] == []


def killed(folder: Path, workers: int, items: int, seconds: float) -> bool:
    """Run the job in a process until it told of so many items, and some seconds more; True if it was not done yet."""
    command = [sys.executable, "-m", "tests.killable_job", str(folder), str(workers)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as child:
        assert child.stdout is not None
        lines = [child.stdout.readline() for _ in range(items)]
        time.sleep(seconds)
        child.kill()
        lines += child.stdout.readlines()
    return "done\n" not in lines


def kill_often(folder: Path, whole: dict[str, bytes], kills: int, workers: int) -> None:
    """Kill a job at random instants, again and again, until it is done; what is committed only grows."""
    committed = 0
    for _ in range(kills):
        killed(folder, workers, random.randint(1, 8), random.uniform(0, 0.08))
        now = ledger.tally(folder, JOB.asked)
        assert now.items >= committed
        committed = now.items
        assert sum(len(shard.rows) for shard in read_shards(folder)) == now.accepted
    finish(run(JOB, folder, in_process(make)))
    assert content(folder) == whole


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
def test_kills_leave_what_an_undisturbed_run_makes(workers: int, tmp_path: Path, whole: dict[str, bytes]) -> None:
    kill_often(tmp_path / "job", whole, 5 if workers == 0 else 2, workers)


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("workers", [0, 2])
def test_fifty_kills_leave_what_an_undisturbed_run_makes(workers: int, tmp_path: Path, whole: dict[str, bytes]) -> None:
    for number in range(5):
        kill_often(tmp_path / str(number), whole, 5, workers)


@settings(max_examples=8, deadline=None)
@given(st.lists(st.integers(0, 30), max_size=4), st.integers(1, 9))
def test_any_interruptions_bring_the_same(
    tmp_path_factory: pytest.TempPathFactory, whole: dict[str, bytes], stops: list[int], torn: int
) -> None:
    folder = tmp_path_factory.mktemp("stops")
    for stop in stops:
        work = run(JOB, folder, in_process(make))
        for _, _event in zip(range(stop), work, strict=False):
            pass
        work.close()
        path = folder / ledger.LEDGER
        if path.exists():
            path.write_bytes(path.read_bytes()[: -torn or None])
    done(JOB, folder)
    assert content(folder) == whole
