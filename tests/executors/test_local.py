"""Worker processes: what they do for runs, and all the ways in which they are lost."""

import errno
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from acts import act, counts, deaf
from helpers import PATIENCE, Desk, until

from tunebook.errors import SettingError
from tunebook.executors._process import _start
from tunebook.executors._shipping import packed_objective
from tunebook.executors.local import LocalExecutor
from tunebook.objective import Objective, Run
from tunebook.testing.executor import check_executor
from tunebook.trial import FailureKind, Measurement, Status

Open = Callable[..., Desk]


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Open]:
    desks: list[Desk] = []

    def make(objective: Objective = act, capacity: int = 1, **settings: float) -> Desk:
        desks.append(Desk(LocalExecutor(objective, capacity, **settings), tmp_path))  # type: ignore[arg-type]
        return desks[-1]

    yield make
    for desk in desks:
        desk.executor.close()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """One executor for tests that do not need their own: each also shows that it goes on after the one before."""
    with LocalExecutor(act, 2) as executor:
        yield Desk(executor, tmp_path_factory.mktemp("shared"))


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_it_keeps_the_law() -> None:
    check_executor(LocalExecutor)


USER, LOST = FailureKind.USER_ERROR, FailureKind.WORKER_LOST


@pytest.mark.parametrize(
    ("does", "kind", "says"),
    [
        ("raise_value_error", USER, "ValueError: odd value"),
        ("exit_system", USER, "SystemExit: 3"),
        ("raise_interrupt", USER, "KeyboardInterrupt"),
        ("raise_generator_exit", USER, "GeneratorExit"),
        ("raise_base", USER, "Base: of its own kind"),
        ("raise_stop_iteration", USER, "StopIteration"),
        ("raise_broken_text", USER, "BrokenText"),
        ("raise_unpicklable", USER, "Unpicklable: unpicklable"),
        ("raise_long", USER, "ValueError: xxx"),
        ("raise_group", USER, "ExceptionGroup: two"),
        ("recurse", USER, "RecursionError"),
        ("read_terminal", USER, "EOFError"),
        ("raise_disk_full", FailureKind.STORAGE, "No space left"),
        ("raise_no_memory", FailureKind.OOM_CPU, "MemoryError"),
        ("raise_torch_cpu_memory", FailureKind.OOM_CPU, "DefaultCPUAllocator"),
        ("raise_cuda_memory", FailureKind.OOM_GPU, "CUDA out of memory"),
        ("exit_at_once", LOST, "exited with code 0"),
        ("exit_with_code", LOST, "exited with code 7"),
        ("crash", LOST, "SIGSEGV"),
        ("abort", LOST, "SIGABRT"),
        ("kill_itself", LOST, "SIGKILL: by somebody, or by the system because memory ran out"),
        ("close_everything", LOST, "the worker"),
    ],
)
def test_a_failure_is_typed_and_the_next_run_works(shared: Desk, does: str, kind: FailureKind, says: str) -> None:
    odd, sound = shared.submit(does=does), shared.submit()
    ended = shared.end(odd)
    assert ended.status is Status.FAILED and ended.failure is not None
    assert ended.failure.kind is kind, ended.failure
    assert says in ended.failure.message
    assert len(ended.failure.message) <= 8_100
    assert shared.steps(odd) == [1]
    assert shared.end(sound).status is Status.COMPLETED


def test_the_stack_of_a_crash_is_kept(shared: Desk) -> None:
    failure = shared.end(shared.submit(does="crash")).failure
    assert failure is not None and "in crash" in failure.traceback and failure.where.endswith("log.txt")


def test_a_run_that_replaces_stdout_works(shared: Desk) -> None:
    assert shared.end(shared.submit(does="replace_stdout")).status is Status.COMPLETED


def test_a_fork_of_the_objective_does_not_speak(shared: Desk) -> None:
    trial = shared.submit(does="fork")
    assert shared.end(trial).status is Status.COMPLETED
    assert shared.steps(trial) == [1, 2, 3]


def test_what_is_printed_goes_to_the_log(shared: Desk, capfd: pytest.CaptureFixture[str]) -> None:
    loud, silent = shared.submit(does="print_much"), shared.submit()
    shared.end(loud)
    shared.end(silent)
    log = (shared.folder / str(loud) / "log.txt").read_text()
    assert sorted(log.splitlines()) == ["an error", "from C", "from Python", "from a child"]
    assert not (shared.folder / str(silent) / "log.txt").exists()
    assert capfd.readouterr() == ("", "")


def test_a_worker_stays_warm_and_has_one_numerical_thread(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    desk = opened()
    for _ in range(3):
        desk.end(desk.submit())
    assert len({desk.pid(trial) for trial in range(3)}) == 1
    assert desk.pid(0) != os.getpid()
    assert {m.measurement.metrics["threads"] for m in desk.measured(0)} == {1.0}


def test_workers_that_were_started_before_take_the_runs(opened: Open) -> None:
    desk = opened(capacity=2)
    assert isinstance(desk.executor, LocalExecutor)
    desk.executor.warm()
    desk.executor.warm()
    started = {worker.pid for worker in desk.executor._workers}
    assert len(started) == 2
    first, second = desk.submit(), desk.submit()
    desk.end(first)
    desk.end(second)
    assert {desk.pid(first), desk.pid(second)} == started
    desk.executor.close()
    assert all(gone(pid) for pid in started)


def test_times_are_filled_in(opened: Open) -> None:
    desk = opened(counts)
    desk.end(desk.submit(pause=0.02))
    assert all(m.measurement.seconds >= 0.02 for m in desk.measured(0))


def test_memory_is_that_of_the_worker_in_this_run(opened: Open) -> None:
    ours = b"x" * (300 << 20)
    desk = opened()
    runs = [desk.submit(pause=0.06, **does) for does in ({}, {"does": "use_300_mb"}, {})]
    for run in runs:
        desk.end(run)
    peaks = [[m.measurement.memory for m in desk.measured(trial)] for trial in runs]
    assert desk.pid(runs[1]) == desk.pid(runs[2])
    if sys.platform == "linux":
        assert max(peaks[2]) < 250, "what a run before it took is not its own"
    assert 5 < peaks[0][-1] < 250, f"not the {len(ours) >> 20} MB of this process"
    assert peaks[1][0] < 250 < peaks[1][-1] - 50


def test_kill_a_worker_in_the_middle_20_times(opened: Open) -> None:
    """Nothing that was measured is lost or repeated, over all attempts; each attempt has one end."""
    desk, pids = opened(counts), set()
    steps: list[int] = []
    for attempt in range(1, 21):
        desk.submit(until=10**6, trial=0, attempt=attempt)
        known = len(steps)

        def far(attempt: int = attempt, known: int = known) -> bool:
            return sum(step > known for step in desk.steps(0, attempt)) > attempt % 4

        desk.until(far, "the run does not go on")
        pids.add(desk.pid(0, attempt))
        os.kill(desk.pid(0, attempt), signal.SIGKILL)
        ended = desk.end(0, attempt)
        assert ended.failure is not None and ended.failure.kind is LOST
        steps += [step for step in desk.steps(0, attempt) if step > len(steps)]
        assert steps == list(range(1, len(steps) + 1)), "a step was lost"
    assert len(pids) == 20
    desk.submit(until=len(steps) + 50, trial=0, attempt=21)
    assert desk.end(0, 21).status is Status.COMPLETED
    assert desk.steps(0, 21) == list(range(1, len(steps) + 51)), "a new attempt hands over what the others measured"


@pytest.mark.parametrize("does", ["spin", "sleep", "hold_the_interpreter"])
def test_a_run_that_does_not_stop_in_time_is_killed(opened: Open, does: str) -> None:
    desk = opened(deaf, time_limit=0.2, grace=0.1)
    ended = desk.end(desk.submit(does=does))
    assert ended.failure is not None and ended.failure.kind is FailureKind.TIMEOUT
    assert "0.2 s" in ended.failure.message and f"in {does}" in ended.failure.traceback
    pid = desk.pid(0)
    until(lambda: gone(pid), "the worker goes on")


def test_a_run_out_of_time_that_measures_is_stopped_there(opened: Open) -> None:
    desk = opened(counts, time_limit=0.3)
    ended = desk.end(desk.submit(until=10**6))
    assert ended.failure is not None and ended.failure.kind is FailureKind.TIMEOUT
    pid = desk.pid(0)
    desk.end(desk.submit(until=3))
    assert desk.pid(1) == pid, "that did not cost a worker"


def test_loading_does_not_count_as_running(opened: Open) -> None:
    class Slow:
        def __call__(self, run: Run) -> Iterator[Measurement]:
            yield Measurement(1, {"value": 1.0})

        def __reduce__(self) -> tuple[Callable[..., object], tuple[str, dict[str, object]]]:
            return eval, ("(__import__('time').sleep(0.5), objective)[1]", {"objective": counts})

    desk = opened(Slow(), time_limit=0.45)
    assert desk.end(desk.submit()).status is Status.COMPLETED


@pytest.mark.parametrize("does", ["sleep", "hold_the_interpreter"])
def test_a_run_that_does_not_stop_when_asked_is_killed(opened: Open, tmp_path: Path, does: str) -> None:
    desk = opened(deaf, grace=0.2)
    desk.submit(does=does)
    desk.until((tmp_path / "0" / "deaf").exists, "the run does not begin")
    desk.executor.stop(0)
    ended = desk.end(0)
    assert ended.status is Status.STOPPED and "SIGKILL" in ended.note


def test_a_frozen_worker_is_killed(opened: Open) -> None:
    desk = opened(counts, grace=0.2)
    desk.submit(until=10**6)
    desk.until(lambda: desk.measured(0), "the run does not begin")
    os.kill(desk.pid(0), signal.SIGSTOP)
    desk.executor.stop(0)
    assert desk.end(0).status is Status.STOPPED


def test_a_worker_that_is_told_to_terminate_says_so(opened: Open) -> None:
    desk = opened(counts)
    desk.submit(until=10**6)
    desk.until(lambda: desk.measured(0), "the run does not begin")
    os.kill(desk.pid(0), signal.SIGINT)
    os.kill(desk.pid(0), signal.SIGTERM)
    ended = desk.end(0)
    assert ended.failure is not None and ended.failure.kind is FailureKind.PREEMPTED
    desk.submit(until=3)
    assert desk.end(1).status is Status.COMPLETED


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_an_idle_worker_that_dies_is_replaced(opened: Open, number: signal.Signals) -> None:
    desk = opened()
    desk.end(desk.submit())
    os.kill(desk.pid(0), number)
    assert desk.end(desk.submit()).status is Status.COMPLETED
    assert desk.end(desk.submit()).status is Status.COMPLETED


def test_memory_is_limited_and_the_worker_replaced(opened: Open) -> None:
    desk = opened(memory_limit=2 << 30)
    ended = desk.end(desk.submit(does="use_memory"))
    assert ended.failure is not None and ended.failure.kind is FailureKind.OOM_CPU
    assert desk.end(desk.submit()).status is Status.COMPLETED
    assert desk.pid(0) != desk.pid(1)


def test_a_worker_that_has_grown_is_replaced(opened: Open) -> None:
    desk = opened(memory_limit=1 << 30)  # by more than a quarter of its limit
    for config in ({}, {"does": "hoard"}, {}):
        desk.end(desk.submit(**config))
    assert desk.pid(0) == desk.pid(1) != desk.pid(2)


def test_a_full_disk_is_a_storage_failure(opened: Open) -> None:
    desk = opened()
    ended = desk.end(desk.submit(does="limit_files", until=100))
    assert ended.failure is not None and ended.failure.kind is FailureKind.STORAGE
    assert desk.steps(0) == list(range(1, len(desk.steps(0)) + 1))


def test_500_runs_leak_nothing(tmp_path: Path) -> None:
    def open_files() -> int:
        return len(os.listdir("/proc/self/fd"))

    def children() -> set[str]:
        return set(Path(f"/proc/self/task/{os.getpid()}/children").read_text().split())

    before = open_files(), children(), threading.active_count()
    with LocalExecutor(act, 2, recycle_after=100) as executor:
        desk = Desk(executor, tmp_path)
        for _ in range(500):
            desk.submit(until=2)
        desk.until(lambda: len(desk.events) == 1500, "the runs do not end")
        assert len({desk.pid(trial) for trial in range(500)}) >= 5
        assert len(children() - before[1]) <= 3  # two workers, and one that is leaving
        assert open_files() <= before[0] + 20
    assert (open_files(), children(), threading.active_count()) == before


def test_close_ends_children_of_runs_too(opened: Open) -> None:
    desk = opened(capacity=2)
    desk.end(desk.submit(does="leave_a_child"))
    (child,) = Path(f"/proc/{desk.pid(0)}/task/{desk.pid(0)}/children").read_text().split()
    desk.executor.close()
    until(lambda: gone(int(child)) or _is_zombie(int(child)), "a child of a run goes on")


def _is_zombie(pid: int) -> bool:
    return ") Z " in Path(f"/proc/{pid}/stat").read_text()


def test_an_executor_that_nobody_closes_ends_its_workers(tmp_path: Path) -> None:
    executor = LocalExecutor(counts)
    desk = Desk(executor, tmp_path)
    desk.submit(until=10**6)
    while not desk.measured(0):
        desk.poll()
    pid = desk.pid(0)
    del desk, executor
    assert gone(pid)


def test_a_worker_that_cannot_be_started(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", "/no/such/python")
    desk = opened()
    ended = desk.end(desk.submit())
    assert ended.failure is not None and ended.failure.kind is LOST
    assert "/no/such/python" in ended.failure.message
    monkeypatch.undo()
    assert desk.end(desk.submit()).status is Status.COMPLETED


def test_a_worker_that_dies_while_it_starts(opened: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tunebook").mkdir()
    (tmp_path / "tunebook" / "__init__.py").write_text("raise SystemExit('a wrong tunebook')")
    monkeypatch.syspath_prepend(tmp_path)
    ended = (desk := opened()).end(desk.submit())
    assert ended.failure is not None and ended.failure.kind is LOST
    assert "before it could begin" in ended.failure.message and "a wrong tunebook" in ended.failure.traceback


def test_a_system_that_does_not_tell_of_deaths(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(pid: int) -> int:
        raise OSError(errno.ENOSYS, "no such call")

    monkeypatch.setattr("os.pidfd_open", missing)
    desk = opened()
    for does in ("kill_itself", "exit_with_code"):
        failure = desk.end(desk.submit(does=does)).failure
        assert failure is not None and failure.kind is LOST
    assert desk.end(desk.submit()).status is Status.COMPLETED


def test_a_system_that_does_not_kill_for_us() -> None:
    """The worker watches the pipe itself if the driver has not told the kernel to."""
    pipes = [os.pipe() for _ in range(3)]
    (commands, _), (ours, events), (life, alive) = pipes
    with tempfile.TemporaryFile() as setup:
        setup.write(packed_objective(act, None))
        setup.flush()
        process = _start(setup.fileno(), Path(os.devnull), (commands, events, life), (0, 1))
    ready = os.read(ours, 100)
    assert b"ready" in ready and process.poll() is None
    os.close(alive)
    assert process.wait(PATIENCE) == -signal.SIGKILL
    for fd in {fd for pair in pipes for fd in pair} - {alive}:
        os.close(fd)


def test_from_threads_that_come_and_go(opened: Open) -> None:
    desk = opened(capacity=2)
    for _ in range(3):
        thread = threading.Thread(target=lambda: desk.end(desk.submit()))
        thread.start()
        thread.join()
    assert [desk.end(trial).status for trial in range(3)] == [Status.COMPLETED] * 3


@pytest.mark.parametrize(
    ("capacity", "settings"),
    [
        (0, {}),
        (-2, {}),
        (1.5, {}),
        (True, {}),
        ("2", {}),
        (1, {"time_limit": 0}),
        (1, {"time_limit": float("nan")}),
        (1, {"time_limit": "1h"}),
        (1, {"memory_limit": 0.5}),
        (1, {"grace": -1}),
        (1, {"recycle_after": 0}),
    ],
)
def test_wrong_settings(capacity: int, settings: dict[str, float]) -> None:
    with pytest.raises(SettingError) as caught:
        LocalExecutor(act, capacity, **settings)  # type: ignore[arg-type]
    assert caught.value.problems[0].where == next(iter(settings), "capacity")
