"""What a step costs, and what else time goes into: batch sizes, the input pipeline, evaluation. (P3, P6, P7)"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median

import torch
from torch import Tensor

from tunebook.diagnose.base import Finding, Severity
from tunebook.training.evaluate import fast_layout, measure
from tunebook.training.models.capacity import step_bytes
from tunebook.training.optimizers import optimizer_of
from tunebook.training.probes.base import Reading, Subject
from tunebook.training.task import Part

NAMES = ("throughput", "input", "evaluation")
RISING = 1.15  # times as many examples a second, for a batch of twice the size
WORTH = 1.5
FEWEST_STEPS = 16  # an epoch
REPEATS = 5
LONG = 0.25  # seconds that one batch size may take, after its first step
WAITING = 0.2
EVALUATING = 0.3
AFFORDED = 0.1
_NO_MEMORY = ("out of memory", "allocate memory", "not enough memory")


@dataclass(frozen=True)
class Rate:
    """A batch size: examples a second, seconds a step, bytes at the peak (estimated off CUDA)."""

    batch_size: int
    samples: float
    seconds: float
    memory: int


def throughput(subject: Subject, limit: int | None = None) -> Reading:
    """Examples a second by batch size, in powers of 2, until memory ends or its ``limit`` in bytes; and the knee.

    Sizes that leave fewer than 16 steps an epoch are not tried.
    """
    n = len(subject.task.train)
    largest = max(subject.batch_size, n // FEWEST_STEPS)
    sizes = [2**k for k in range(3, 24) if 2**k <= largest]
    rates: list[Rate] = []
    ended = ""
    for size in sorted({*sizes, subject.batch_size}):
        told = _rate(subject, size)
        if told is None or (limit is not None and told.memory > limit):
            ended = "memory ends" if told is None else f"the limit of {limit / 2**20:.0f} MB is reached"  # type: ignore[operator]
            break
        rates.append(told)
    if not rates:
        says = f"no step fits into memory, not even of {subject.batch_size} examples"
        finding = Finding(NAMES[0], Severity.BAD, says, "a smaller model, or gradient accumulation")
        return Reading(NAMES[0], says, {}, {}, (finding,))
    return _told(subject, rates, ended)


def _told(subject: Subject, rates: Sequence[Rate], ended: str) -> Reading:
    best = knee({r.batch_size: r.samples for r in rates})
    by_size = {r.batch_size: r for r in rates}
    says = f"throughput rises up to a batch of {best}: {by_size[best].samples:,.0f} examples a second"
    says += f"; beyond {rates[-1].batch_size} {ended}" if ended else ""
    figures = {"knee": float(best), "samples": by_size[best].samples, "memory": float(by_size[best].memory)}
    figures["largest"] = float(rates[-1].batch_size)
    findings = rate_findings({r.batch_size: r.samples for r in rates}, subject.batch_size, ended)
    sizes = [float(r.batch_size) for r in rates]
    curves = {"samples a second": (sizes, [r.samples for r in rates]),
              "seconds a step": (sizes, [r.seconds for r in rates]),
              "memory": (sizes, [float(r.memory) for r in rates])}  # fmt: skip
    return Reading(NAMES[0], says, figures, curves, tuple(findings))


def knee(rates: Mapping[int, float]) -> int:
    """The largest batch size up to which examples a second still rise, by 15 % a doubling, of rates by size.

    One doubling that does not gain may be an accident of measuring: it takes two in a row, or the end.
    """
    sizes = sorted(rates)
    best, idle = sizes[0], 0
    for size in sizes[1:]:
        doublings = math.log2(size / best)
        if rates[size] >= rates[best] * RISING**doublings:
            best, idle = size, 0
        else:
            idle += 1
            if idle == 2:
                break
    return best


def rate_findings(rates: Mapping[int, float], now: int, ended: str = "") -> list[Finding]:
    """A larger batch that is much faster than the one that is used, or one that does not fit."""
    best = knee(rates)
    if now not in rates:
        says = f"a batch of {now} does not fit: {ended}"
        return [Finding(NAMES[0], Severity.BAD, says, f"a batch of {max(rates)} fits", {"batch_size": max(rates)},
                        (), "batch_size", {"now": now, "largest": max(rates)})]  # fmt: skip
    gain = rates[best] / rates[now]
    if best <= now or gain < WORTH:
        return []
    says = f"a batch of {best} is {gain:.1f} times as fast, in examples a second, as one of {now}"
    advice = "choose it before tuning, and tune the learning rate and regularisation for it: they do not carry over"
    return [Finding(NAMES[0], Severity.INFO, says, advice, {"batch_size": best}, (), "batch_size",
                    {"now": now, "knee": best, "gain": gain})]  # fmt: skip


def _rate(subject: Subject, size: int) -> Rate | None:
    """Cost of a step on ``size`` examples; None when memory ends."""
    try:
        return _timed(subject, size)
    except (RuntimeError, MemoryError) as error:  # torch raises a plain RuntimeError on the CPU
        if isinstance(error, RuntimeError) and not any(sign in str(error).lower() for sign in _NO_MEMORY):
            raise
    if subject.task.device != "cpu":
        torch.cuda.empty_cache()
    return None


def _timed(subject: Subject, size: int) -> Rate:
    step, x, y = _stepper(subject, size)
    device = subject.task.device
    cuda = device.startswith("cuda")
    if cuda:
        torch.cuda.reset_peak_memory_stats(device)
    step(x, y)
    least, spent = math.inf, 0.0
    for _ in range(REPEATS):
        began = time.perf_counter()
        step(x, y)
        seconds = time.perf_counter() - began
        least, spent = min(least, seconds), spent + seconds
        if spent > LONG:
            break
    memory = torch.cuda.max_memory_allocated(device) if cuda else _estimated(subject, x)
    return Rate(size, size / least, least, int(memory))


def _stepper(subject: Subject, size: int) -> tuple[Callable[[Tensor, Tensor], None], Tensor, Tensor]:
    """A training step, and a batch of ``size`` examples, which may repeat, for it."""
    task, model = subject.task, subject.model().train()
    optimizer, loss = optimizer_of(subject.config, model), task.loss(subject.config)
    rows = torch.arange(size) % len(task.train)
    x, y = task.train.x[rows].to(task.device), task.train.y[rows].to(task.device)

    def step(x: Tensor, y: Tensor) -> None:
        optimizer.zero_grad()
        loss(model(fast_layout(x)), y).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        if task.device != "cpu":
            torch.cuda.synchronize()

    return step, x, y


def _estimated(subject: Subject, x: Tensor) -> int:
    """Bytes of a step: weights, their gradients, two moments, the batch and what the forward pass keeps."""
    model = subject.model().train()
    weights = sum(p.numel() * p.element_size() for p in model.parameters())
    return 4 * weights + step_bytes(model, fast_layout(x), None)


def input_share(batches: Iterable[tuple[Tensor, Tensor]], step: Callable[[Tensor, Tensor], object],
                steps: int = 20, workers: int = 0) -> Reading:  # fmt: skip
    """Time spent waiting for batches, against the training step, over some steps after the first. (playbook P6)

    ``workers`` are those that the loader has already.
    """
    waits, works = list[float](), list[float]()
    source = iter(batches)
    for _ in range(steps + 1):
        began = time.perf_counter()
        batch = next(source, None)
        got = time.perf_counter()
        if batch is None:
            break
        step(*batch)
        waits.append(got - began)
        works.append(time.perf_counter() - got)
    if len(waits) < 2:
        return Reading(NAMES[1], "there are too few batches to time")
    # the first batch starts workers, and the first step warms up
    return input_reading(median(waits[1:]), median(works[1:]), workers)


def input_reading(waited: float, worked: float, workers: int = 0) -> Reading:
    """What seconds of waiting and of working a step say."""
    share = waited / max(waited + worked, 1e-12)
    of = f"{1e3 * waited:.2f} of {1e3 * (waited + worked):.2f} ms"
    says = f"{100 * share:.0f} % of a step is waiting for its batch ({of})"
    figures = {"share": share, "waited": waited, "worked": worked}
    if share <= WAITING:
        return Reading(NAMES[1], says, figures)
    needed = max(1, math.ceil(waited / max(worked, 1e-9)))
    gain = (waited + worked) / max(worked, waited / needed)
    advice = (
        f"load ahead in {min(needed, 64) + workers} worker processes (num_workers, persistent_workers=True): up to "
        f"{gain:.1f} times as fast; or hold the data in memory"
    )
    finding = Finding(NAMES[1], Severity.WARN, says, advice, {}, (), None, figures | {"workers": float(needed)})
    return Reading(NAMES[1], says, figures, {}, (finding,))


def memory_share(subject: Subject, steps: int = 20) -> Reading:
    """The same for a task, whose data is in memory: time to pick and to augment a batch."""
    task = subject.task
    step, _, _ = _stepper(subject, subject.batch_size)
    augment, fitted = task.augment(subject.config), task.train.to(task.device)
    generator = torch.Generator(task.device).manual_seed(subject.seed)

    def batches() -> Iterable[tuple[Tensor, Tensor]]:
        for _ in range(steps + 1):
            rows = torch.randint(len(fitted), (subject.batch_size,)).to(task.device)
            x, y = fitted.x.index_select(0, rows), fitted.y.index_select(0, rows)
            yield x if augment is None else augment(x, generator), y

    with torch.random.fork_rng([] if task.device == "cpu" else [task.device]):
        return input_share(batches(), step, steps)


def evaluation(subject: Subject) -> Reading:
    """Time of evaluating the validation part, against that of an epoch of training. (playbook P7)"""
    task = subject.task
    part = task.valid
    if part is None:
        return Reading(NAMES[2], "there is no validation part")
    judged, model = part.to(task.device), subject.model()
    seconds = math.inf
    for _ in range(2):
        began = time.perf_counter()
        measure(task, model, judged)
        seconds = min(seconds, time.perf_counter() - began)
    return evaluation_reading(seconds, subject.batches * _timed(subject, subject.batch_size).seconds, len(part))


def evaluation_reading(seconds: float, epoch: float, rows: int) -> Reading:
    """What seconds of evaluation and of an epoch's training say, for ``rows`` validation examples."""
    share = seconds / max(seconds + epoch, 1e-12)
    says = (
        f"evaluation takes {100 * share:.0f} % of an epoch; one validation example is worth {1 / rows:.2g} of accuracy"
    )
    figures = {"share": share, "seconds": seconds, "epoch": epoch, "rows": float(rows)}
    if share <= EVALUATING:
        return Reading(NAMES[2], says, figures)
    every = math.ceil(seconds * (1 - AFFORDED) / (AFFORDED * max(epoch, 1e-9)))
    wanted = max(1, round(rows / every))
    advice = (
        f"evaluate every {every} epochs, or {wanted:,} of the {rows:,} rows (standard error of an accuracy at most "
        f"{0.5 / math.sqrt(wanted):.2g}), to spend a tenth of the time on it"
    )
    finding = Finding(NAMES[2], Severity.WARN, says, advice, {}, (), None, figures | {"every": float(every)})
    return Reading(NAMES[2], says, figures, {}, (finding,))


def smaller(subject: Subject, rows: int) -> Subject:
    """The subject with at most so many training rows, for probes that need no more."""
    part = subject.task.train
    if len(part) <= rows:
        return subject
    return replace(subject, task=replace(subject.task, train=Part(part.x[:rows], part.y[:rows])))
