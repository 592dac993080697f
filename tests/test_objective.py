"""One run as a stream of events: whatever an objective does, Measured in order and then exactly one Ended."""

import asyncio
import functools
import gc
import math
import pickle
import sys
import threading
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tunebook.errors import CheckpointError, ObjectiveError, SettingError
from tunebook.measurement import check_measurement, number
from tunebook.objective import EarlyStop, Run, StopRun, failure_of, objective, play
from tunebook.trial import Ended, Event, FailureKind, Measured, Measurement, Status

HERE = str(Path(__file__))


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    gc.collect()  # a stream that was dropped is closed by now
    assert [t for t in threading.enumerate() if t not in before and t.name.startswith("trial-")] == []


def run_of(until: int = 3, metric: str = "loss") -> Run:
    return Run(7, {"lr": 0.1}, until, Path("run"), seed=1, metric=metric, attempt=2)


def played(function: Callable[[Any], Any], until: int = 3, metric: str = "loss") -> tuple[list[Measured], Ended]:
    """The events of a run, checked: all of this trial and attempt, steps going up, one Ended, at the end."""
    events: list[Event] = list(play(function, run_of(until, metric)))
    *measured, ended = events
    assert isinstance(ended, Ended)
    assert all(isinstance(e, Measured) for e in measured)
    assert {(e.number, e.attempt) for e in events} == {(7, 2)}
    steps = [e.measurement.step for e in measured]
    assert steps == sorted(set(steps))
    assert all(type(v) is float for e in measured for v in e.measurement.metrics.values())
    assert (ended.status is Status.FAILED) == (ended.failure is not None)
    return measured, ended


def failed(function: Callable[[Any], Any], kind: FailureKind = FailureKind.USER_ERROR, until: int = 3) -> Any:
    _, ended = played(function, until)
    assert ended.failure is not None
    assert ended.failure.kind is kind
    return ended.failure


# the four forms


def generator(run: Run) -> Iterator[Measurement]:
    for step in range(1, run.until + 1):
        yield Measurement(step, {"loss": 1 / step, "accuracy": 0.5})


@objective
def reporting(run: Any) -> None:
    for step in range(1, run.until + 1):
        run.report(step, loss=1 / step, accuracy=0.5)


@pytest.mark.parametrize("function", [generator, reporting])
def test_generators_and_reporting_functions_are_one_stream(function: Callable[[Any], Any]) -> None:
    measured, ended = played(function)
    assert [(e.measurement.step, dict(e.measurement.metrics)) for e in measured] == [
        (1, {"loss": 1.0, "accuracy": 0.5}),
        (2, {"loss": 0.5, "accuracy": 0.5}),
        (3, {"loss": 1 / 3, "accuracy": 0.5}),
    ]
    assert ended.status is Status.COMPLETED


def test_a_function_may_return_a_number_or_metrics() -> None:
    measured, ended = played(objective(lambda run: run.config["lr"] * 2), until=1)
    assert [dict(e.measurement.metrics) for e in measured] == [{"loss": 0.2}]
    assert ended.status is Status.COMPLETED
    measured, _ = played(objective(lambda run: {"loss": 1, "f1": np.float32(0.5)}), until=5)
    assert [(e.measurement.step, dict(e.measurement.metrics)) for e in measured] == [(5, {"loss": 1.0, "f1": 0.5})]


def test_a_function_may_report_on_the_way_and_return_the_last_value() -> None:
    def way(steps: int) -> Callable[[Any], float]:
        def train(run: Any) -> float:
            for step in range(1, steps + 1):
                run.report(step, loss=step)
            return 0.25

        return objective(train)

    assert [e.measurement.metrics["loss"] for e in played(way(2))[0]] == [1.0, 2.0, 0.25]
    # the last step was reported already
    assert [e.measurement.metrics["loss"] for e in played(way(3))[0]] == [1.0, 2.0, 3.0]
    assert played(way(3))[1].status is Status.COMPLETED


def test_the_function_sees_what_the_run_is_about() -> None:
    seen = []
    played(objective(lambda run: seen.append((run.config, run.until, run.seed, run.trial, run.attempt)) or 1.0))
    assert seen == [({"lr": 0.1}, 3, 1, 7, 2)]


def test_a_generator_function_is_an_objective_already() -> None:
    assert objective(generator) is generator
    assert objective(functools.partial(lambda run, k: k, k=1.0)) is not None
    assert (
        objective(
            lambda run: 1.0,
        )
        is not None
    )


@pytest.mark.parametrize("form", ["generator", "function"])
def test_early_stop_ends_a_run_on_purpose(form: str) -> None:
    def yields(run: Run) -> Any:
        yield Measurement(1, {"loss": 1.0})
        return EarlyStop("no progress")

    def reports(run: Any) -> Any:
        run.report(1, loss=1.0)
        return EarlyStop("no progress")

    measured, ended = played(yields if form == "generator" else objective(reports))
    assert len(measured) == 1
    assert (ended.status, ended.note) == (Status.STOPPED, "no progress")


@pytest.mark.parametrize("returned", [None, 0.25, {"loss": 0.25}, EarlyStop("no progress")])
def test_what_is_called_inside_a_loop_can_say_that_it_ends_early(returned: Any) -> None:
    def reports(run: Any) -> Any:
        run.report(1, loss=1.0)
        run.end_early("bored" if not isinstance(returned, EarlyStop) else "overruled")
        return returned

    measured, ended = played(objective(reports))
    assert len(measured) == 1, "what is returned then is no measurement"
    note = "no progress" if isinstance(returned, EarlyStop) else "bored"
    assert (ended.status, ended.note) == (Status.STOPPED, note)

    def goes_on(run: Any) -> None:
        run.end_early("bored")
        for step in (1, 2, 3):
            run.report(step, loss=1.0)

    assert played(objective(goes_on))[1].status is Status.COMPLETED


def test_what_comes_after_the_last_step_runs_but_does_not_count() -> None:
    log = []

    @objective
    def reports(run: Any) -> None:
        try:
            for step in range(1, 100):
                run.report(step, loss=1.0)
                log.append(step)  # where a checkpoint is saved
        finally:
            log.append("closed")

    measured, ended = played(reports)
    assert [e.measurement.step for e in measured] == [1, 2, 3]
    assert ended.status is Status.COMPLETED
    assert log == [1, 2, 3, "closed"]


def test_a_resumed_run_goes_on_from_its_checkpoint() -> None:
    measured, ended = played(objective(lambda run: [run.report(s, loss=s) for s in (2, 3)] and None))
    assert [e.measurement.step for e in measured] == [2, 3]
    assert ended.status is Status.COMPLETED


# ends that are failures


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, float("1e400"), np.float32("nan")])
@pytest.mark.parametrize("form", ["generator", "function", "returned"])
def test_what_is_not_finite_is_divergence_and_told_with_its_step(value: float, form: str) -> None:
    def yields(run: Run) -> Iterator[Measurement]:
        yield Measurement(1, {"loss": 1.0})
        yield Measurement(2, {"loss": value})
        raise AssertionError

    def reports(run: Any) -> None:
        run.report(1, loss=1.0)
        run.report(2, loss=value)
        raise AssertionError

    forms = {"generator": yields, "function": objective(reports), "returned": objective(lambda run: value)}
    measured, ended = played(forms[form])
    assert len(measured) == (1 if form == "returned" else 2)
    assert ended.failure is not None
    assert ended.failure.kind is FailureKind.DIVERGED
    assert ended.failure.message == f"loss is {float(value)} at step {3 if form == 'returned' else 2}"


def test_another_metric_may_be_nan() -> None:
    measured, ended = played(objective(lambda run: {"loss": 1.0, "auc": math.nan}))
    assert ended.status is Status.COMPLETED
    assert math.isnan(measured[0].measurement.metrics["auc"])


def test_a_run_that_ends_before_its_target_fails_or_a_scheduler_would_resume_it_for_ever() -> None:
    message = failed(objective(lambda run: run.report(1, loss=1.0))).message
    assert message.startswith("the run ended at step 1, before step 3")
    assert "forgot run.report(step, ...) or the return?" in failed(objective(lambda run: None)).message
    assert "forgot" in failed(lambda run: iter(())).message


class Unprintable(Exception):
    def __str__(self) -> str:
        raise ValueError("no")


class Unpicklable(Exception):
    def __init__(self, a: int, b: int) -> None:
        super().__init__(lambda: a + b)


def recurse(n: int) -> int:
    return recurse(n + 1) + 1


def raises(error: BaseException) -> Callable[[Any], None]:
    def fails(run: Any) -> None:
        raise error

    return fails


USER, CPU, GPU = FailureKind.USER_ERROR, FailureKind.OOM_CPU, FailureKind.OOM_GPU
RAISED: dict[str, tuple[Callable[[Any], Any], FailureKind, str]] = {
    "value": (raises(ValueError("bad lr")), USER, "ValueError: bad lr"),
    "empty": (raises(KeyError()), USER, "KeyError"),
    "assert": (raises(AssertionError()), USER, "AssertionError"),
    "unprintable": (raises(Unprintable()), USER, "Unprintable: (its message cannot be shown: ValueError)"),
    "unpicklable": (raises(Unpicklable(1, 2)), USER, "Unpicklable: <function"),
    "exit": (lambda run: sys.exit(3), USER, "SystemExit: 3"),
    "recursion": (lambda run: recurse(0), USER, "RecursionError: maximum"),
    "stop iteration": (raises(StopIteration(5)), USER, "RuntimeError: generator raised StopIteration"),
    "cancelled": (raises(asyncio.CancelledError()), USER, "CancelledError"),
    "group": (raises(ExceptionGroup("two", [ValueError(), KeyError()])), USER, "ExceptionGroup: two"),
    "attribute": (lambda run: run.no_such, USER, "AttributeError: 'ReportingRun' object has no"),
    "surrogate": (raises(ValueError("a\ud800b\0c")), USER, "ValueError: a\\ud800b\\0c"),
    "float": (raises(FloatingPointError("overflow")), FailureKind.DIVERGED, "FloatingPointError: overflow"),
    "memory": (raises(MemoryError()), CPU, "MemoryError"),
    "numpy memory": (lambda run: np.zeros(2**55, dtype=np.uint8), CPU, "MemoryError: Unable"),
    "torch cpu": (raises(RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried")), CPU, ""),
    "threads": (raises(RuntimeError("can't start new thread")), CPU, ""),
    "gpu": (raises(type("OutOfMemoryError", (RuntimeError,), {})("CUDA out of memory")), GPU, ""),
    "cublas": (raises(RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED")), GPU, ""),
    "disk": (raises(OSError(28, "No space left on device")), FailureKind.STORAGE, "OSError: [Errno 28]"),
    "no file": (raises(FileNotFoundError(2, "No such file", "x.csv")), USER, "FileNotFoundError: [Errno 2]"),
    "checkpoint": (raises(CheckpointError("cut short", where="ckpt", fix="delete it")), FailureKind.CHECKPOINT,
                   "cut short\n  --> ckpt\n  try: delete it"),
    "ours": (raises(SettingError("bad", where="x", code="CONFIG-1")), USER, "error[CONFIG-1]: bad\n  --> x"),
    "keyboard": (raises(KeyboardInterrupt()), USER, "error[OBJECTIVE-053]: the objective raised Keyb"),
}  # fmt: skip


@pytest.mark.parametrize("name", RAISED)
def test_an_exception_is_a_failure_that_leads_to_the_users_line(name: str) -> None:
    function, kind, message = RAISED[name]
    failure = failed(objective(function), kind)
    assert failure.message.startswith(message)
    assert failure.where.startswith(f"{HERE}:")
    assert all(len(text.encode()) <= 8192 for text in (failure.message, failure.where, failure.traceback))


@pytest.mark.parametrize("name", [n for n in RAISED if n not in ("keyboard", "stop iteration", "attribute")])
def test_a_generator_fails_in_the_same_way(name: str) -> None:
    function, kind, message = RAISED[name]

    def yields(run: Run) -> Iterator[Measurement]:
        yield Measurement(1, {"loss": 1.0})
        function(run)

    measured, ended = played(yields)
    assert len(measured) == 1
    assert ended.failure is not None
    assert ended.failure.kind is kind
    assert ended.failure.message.startswith(message)
    assert ended.failure.where.startswith(f"{HERE}:")


def test_ctrl_c_passes_a_generator() -> None:
    def yields(run: Run) -> Iterator[Measurement]:
        yield Measurement(1, {"loss": 1.0})
        raise KeyboardInterrupt

    stream = play(yields, run_of())
    next(stream)
    with pytest.raises(KeyboardInterrupt):
        next(stream)


def test_huge_messages_are_cut_in_the_middle() -> None:
    failure = failed(objective(raises(ValueError("é" * 10_000_000 + "the end"))))
    assert failure.message.startswith("ValueError: ééé")
    assert failure.message.endswith("éthe end")
    assert len(failure.message.encode()) <= 8000 and len(failure.traceback.encode()) <= 8000


def test_the_traceback_tells_the_cause_as_well() -> None:
    def fails(run: Any) -> None:
        try:
            {}["lr"]
        except KeyError as error:
            raise ValueError("no lr") from error

    failure = failed(objective(fails))
    assert "KeyError: 'lr'" in failure.traceback
    assert failure.traceback.rstrip().endswith("ValueError: no lr")
    assert failure.where.endswith("in fails")


def test_a_bad_report_leads_to_the_line_that_made_it() -> None:
    def reports(run: Any) -> None:
        run.report(1, loss="0.5")

    failure = failed(objective(reports))
    assert failure.where == f"{HERE}:{reports.__code__.co_firstlineno + 1} in reports"
    returns = failed(objective(lambda run: "0.5"))
    assert returns.where.startswith(f"{HERE}:") and returns.where.endswith("in <lambda>")
    assert failed(lambda run: iter([3.0])).where.startswith(f"{HERE}:")


def test_errors_outside_of_the_users_code_name_a_place_too() -> None:
    assert failure_of(ValueError("x")).where == ""
    assert failure_of(ValueError("x"), "train.py:3 in train").where == "train.py:3 in train"


# bad returns and reports, items 61 to 77 of the list of bad inputs


class Tensor:
    """Stands for a tensor that has a gradient: float() needs detach() first."""

    shape = ()
    dtype = "torch.float32"

    def detach(self) -> float:
        return 0.5

    def __float__(self) -> float:
        raise AssertionError


class Meta(Tensor):
    def detach(self) -> float:
        raise NotImplementedError("Cannot copy out of meta tensor")


BAD: list[tuple[int, Any, str]] = [
    (61, {"loss": None}, "forgot the return, or the value?"),
    (65, {"loss": "0.5"}, "float(x)"),
    (65, {"loss": b"0.5"}, "float(x)"),
    (65, {"loss": np.str_("0.5")}, "float(x)"),
    (65, "high", "float(x)"),
    (67, {"loss": True}, "float(x) if it is meant as a number"),
    (67, {"loss": np.bool_(True)}, "float(x)"),
    (68, {"loss": 1 + 2j}, "abs(x)"),
    (68, {"loss": np.complex64(1)}, "abs(x)"),
    (69, {"loss": Meta()}, "x.item() for a tensor"),
    (69, {"loss": object()}, "a number"),
    (69, {"loss": print}, "a number"),
    (70, {"loss": np.array([0.5])}, "x.item() or x.mean()"),
    (70, {"loss": np.zeros((2, 3))}, "shape (2, 3)"),
    (70, {"loss": [0.5, 0.6]}, "its mean?"),
    (70, {"loss": {0.5}}, "its mean?"),
    (71, (0.5, 0.6), "name the metrics: report(step, loss=a, accuracy=b)"),
    (72, {"loss": {"val": 1.0}}, "report(step, **metrics)"),
    (49, {"accuracy": 0.5, "val_loss": 1}, "got ['accuracy', 'val_loss']"),
    (49, {}, "'loss' among them"),
    (73, {"loss": 10**400}, "more than 1.8e308"),
    (73, {"loss": -(10**5000)}, "more than 1.8e308"),
    (77, {"loss": 1.0, "a\nb": 1.0}, "short printable text"),
    (77, {"loss": 1.0, "": 1.0}, "short printable text"),
    (77, {"loss": 1.0, "x" * 300: 1.0}, "short printable text"),
    (77, {"loss": 1.0, 3: 1.0}, "got 3 (int)"),
    (77, {f"m{i}": 1.0 for i in range(100_000)}, "at most 1,000"),
    (65, {"loss": "x" * 10_000_000}, "float(x)"),
]


@pytest.mark.parametrize(("item", "given", "words"), BAD, ids=[f"{b[0]}-{i}" for i, b in enumerate(BAD)])
def test_what_is_not_a_measurement_is_told_with_the_way_out(item: int, given: Any, words: str) -> None:
    failure = failed(objective(lambda run: given))
    assert failure.message.startswith(f"error[OBJECTIVE-{item:03}]: ")
    assert words in failure.message
    assert len(failure.message.splitlines()) <= 4
    assert "try: " in failure.message and "  --> " in failure.message and "got " in failure.message
    assert failure.where.startswith(f"{HERE}:")
    if isinstance(given, dict):
        assert failed(lambda run: iter([Measurement(1, given)])).message == failure.message.replace("step 3", "step 1")


@pytest.mark.parametrize("step", [0, -1, 1.0, 1.5, math.nan, True, None, "1", 10**400, np.float64(1), [1]])
def test_a_step_is_a_positive_whole_number(step: Any) -> None:
    failure = failed(objective(lambda run: run.report(step, loss=1.0)))
    assert failure.message.startswith("error[OBJECTIVE-075]: a step is not a positive whole number")
    assert "expected 1, 2, 3" in failure.message


@pytest.mark.parametrize(("first", "then"), [(2, 1), (2, 2)])
def test_steps_go_up(first: int, then: int) -> None:
    def reports(run: Any) -> None:
        run.report(first, loss=1.0)
        run.report(then, loss=1.0)

    failure = failed(objective(reports))
    assert failure.message.startswith("error[OBJECTIVE-075]: steps must go up")
    assert f"got step {then} after step {first}" in failure.message


def test_whole_numbers_of_any_library_are_steps() -> None:
    measured, _ = played(objective(lambda run: [run.report(np.int64(s), loss=1.0) for s in (1, 2, 3)] and None))
    assert [type(e.measurement.step) for e in measured] == [int] * 3


@pytest.mark.parametrize("value", [1, 0.5, np.float32(0.5), np.int8(3), np.array(2.0), Tensor(), Fraction(1, 2)])
def test_numbers_and_0d_arrays_are_metrics(value: Any) -> None:
    assert type(number(value, "loss")) is float


def test_torch_scalars_are_metrics() -> None:
    torch = pytest.importorskip("torch")
    assert number(torch.tensor(0.5, requires_grad=True), "loss") == 0.5
    assert number(torch.tensor(3), "n") == 3.0
    for bad, item in (
        (torch.tensor(True), 67),
        (torch.tensor(1j), 68),
        (torch.ones(1), 70),
        (torch.ones((), device="meta"), 69),
    ):
        with pytest.raises(ObjectiveError, match=f"OBJECTIVE-0{item}"):
            number(bad, "loss")


PLAIN = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=4), st.complex_numbers())
STRANGE = st.sampled_from([b"x", 10**400, object(), print, np.float64(1), np.zeros(2), Tensor(), Meta(), int, StopRun])
ODD = st.recursive(
    PLAIN | STRANGE,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["loss", "a"]), inner),
    max_leaves=4,
)


@settings(max_examples=300, deadline=None)
@given(ODD, ODD, ODD, ODD)
def test_anything_is_a_measurement_or_an_objective_error(step: Any, metrics: Any, seconds: Any, memory: Any) -> None:
    for m in (Measurement(step, metrics, seconds, memory), metrics):
        try:
            checked = check_measurement(m, 0, "loss")
        except ObjectiveError as told:
            (problem,) = told.problems
            assert problem.what and problem.where and problem.got and problem.expected and problem.fix and problem.code
        else:
            assert checked.step >= 1 and type(checked.metrics["loss"]) is float and checked.seconds >= 0


# what is no objective


@pytest.mark.parametrize(
    ("thing", "words"),
    [
        (3, "cannot be called"),
        (None, "cannot be called"),
        (lambda: 1.0, "cannot be called with one argument: too many positional arguments"),
        (lambda config, trial: 1.0, "missing a required argument: 'trial'"),
        (asyncio.sleep, "an async function"),
    ],
)
def test_what_cannot_be_an_objective_is_refused_at_once(thing: Any, words: str) -> None:
    with pytest.raises(ObjectiveError) as caught:
        objective(thing)
    assert words in str(caught.value)
    assert caught.value.problems[0].code == "OBJECTIVE-053"


def test_a_plain_function_is_told_to_be_decorated() -> None:
    assert "put @tunebook.objective above the function" in failed(lambda run: run.report(1, loss=0.5)).message
    assert "decorate a plain function with @tunebook.objective" in failed(lambda run: 0.5).message


# stopping and closing


@pytest.mark.parametrize("form", ["generator", "function"])
@pytest.mark.parametrize("how", ["closed", "stopped", "dropped"])
def test_a_stream_that_ends_early_runs_the_users_finally(form: str, how: str) -> None:
    log: list[str] = []

    def yields(run: Run) -> Iterator[Measurement]:
        try:
            for step in range(1, 100):
                yield Measurement(step, {"loss": 1.0})
        finally:
            log.append("finally")

    def reports(run: Any) -> None:
        try:
            for step in range(1, 100):
                try:
                    run.report(step, loss=1.0)
                except Exception:  # noqa: BLE001  (as people write it)
                    log.append("StopRun was caught")
        finally:
            log.append("finally")

    stop = threading.Event()
    stream = play(yields if form == "generator" else objective(reports), run_of(50), stop.is_set)
    assert isinstance(next(stream), Measured)
    if how == "closed":
        stream.close()  # type: ignore[attr-defined]
    elif how == "stopped":
        stop.set()
        (ended,) = stream
        assert isinstance(ended, Ended) and ended.status is Status.STOPPED and ended.failure is None
    else:
        del stream
        gc.collect()
    assert log == ["finally"]


@pytest.mark.parametrize("form", ["generator", "function"])
def test_a_cleanup_that_fails_is_a_failure_unless_nobody_listens(form: str) -> None:
    def yields(run: Run) -> Iterator[Measurement]:
        try:
            yield Measurement(1, {"loss": 1.0})
        finally:
            raise ValueError("cannot close")

    def reports(run: Any) -> None:
        try:
            run.report(1, loss=1.0)
        finally:
            raise ValueError("cannot close")

    function = yields if form == "generator" else objective(reports)
    stream = play(function, run_of())
    next(stream)
    stream.close()  # type: ignore[attr-defined]
    events = list(play(function, run_of(), lambda: True))
    assert isinstance(events[-1], Ended)
    assert events[-1].failure is not None
    assert events[-1].failure.message == "ValueError: cannot close"


def test_reports_from_another_thread_arrive_one_at_a_time() -> None:
    @objective
    def reports(run: Any) -> None:
        steps = iter(range(1, 31))
        lock = threading.Lock()

        def work() -> None:
            while True:
                with lock:
                    step = next(steps, None)
                    if step is None:
                        return
                    run.report(step, loss=step)

        workers = [threading.Thread(target=work) for _ in range(3)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()

    measured, ended = played(reports, until=30)
    assert [e.measurement.metrics["loss"] for e in measured] == list(range(1, 31))
    assert ended.status is Status.COMPLETED


def test_the_function_does_not_run_ahead_of_its_reader() -> None:
    steps = []

    @objective
    def reports(run: Any) -> None:
        for step in range(1, 4):
            steps.append(step)
            run.report(step, loss=1.0)

    stream = play(reports, run_of())
    for expected in (1, 2, 3):
        next(stream)
        assert steps == list(range(1, expected + 1))
    assert isinstance(next(stream), Ended)


def test_a_name_that_is_no_hyperparameter_is_told_with_the_nearest() -> None:
    def typo(run: Any) -> Iterator[Measurement]:
        assert run.config.get("lrr") is None and "lrr" not in run.config
        yield Measurement(1, {"loss": run.config["lrr"]})

    failure = failed(typo)
    wrong = "error[OBJECTIVE-072]: this trial has no hyperparameter 'lrr': did you mean 'lr'?"
    assert failure.message.startswith(wrong)
    assert failure.where.startswith(HERE) and failure.where.endswith("in typo")
    with pytest.raises(KeyError, match="one of: lr"):
        run_of().config["x"]
    again = pickle.loads(pickle.dumps(run_of()))
    assert again == run_of() and type(again.config) is type(run_of().config)


def test_a_traceback_begins_in_the_objective() -> None:
    def inner() -> None:
        raise ValueError("deep")

    @objective
    def outer(run: Any) -> None:
        inner()

    lines = [line for line in failed(outer).traceback.splitlines() if line.startswith("  File")]
    assert [line.rpartition(" in ")[2] for line in lines] == ["outer", "inner"]
    told = failed(lambda run: 3).traceback  # noticed by tunebook itself: its frames are all there are
    assert "File" in told and "stream of measurements" in told
