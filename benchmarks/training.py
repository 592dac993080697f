"""The training loop beside what people write and beside three frameworks: samples a second, and time to an accuracy.

    python benchmarks/training.py                         everything, some minutes
    python benchmarks/training.py --only mlp-digits,gru   some cases; ``workers`` is one too
    python benchmarks/training.py --loops tunebook,plain --rounds 9
    python benchmarks/training.py --quick --json out.json

Cases (one thread): ``mlp-digits`` scikit-learn's digits, two hidden layers of 128; ``mlp-table`` 50,000 rows of 54
columns and 7 classes that make_classification generates; ``cnn`` digits scaled up to 28x28, two blocks of convolution;
``gru`` and ``transformer`` mnist1d. What the loops have in common is told in ``loops.py``.

The loops take turns, in an order that rotates from round to round, each round with a seed of its own. Rates are of
the epochs after the first, evaluation included; ratios are of pairs within a round: median [least, most]. The
verdict is by CPU time on a CPU, which other processes disturb less than wall time, and by wall time on a GPU
(--device cuda). ``use`` is the share of what a large matmul reaches on the same device in float32: FLOPs a sample,
counted by torch forward and backward, times samples a second.

``workers``: a study of equal trials with one worker process and with two; the processes are there before the clock
runs. By CPU time the speed-up is told as twice the CPU time a trial alone over that of one beside another.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import numpy as np  # noqa: E402  (after the number of threads is settled)
import torch  # noqa: E402
from torch import Tensor, nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402
from torch.utils.flop_counter import FlopCounterMode  # noqa: E402

from loops import LOOPS, Case, Watch, followed, missing  # noqa: E402  (beside this file)
from tunebook.data import Split, open_dataset  # noqa: E402
from tunebook.executors.local import LocalExecutor  # noqa: E402
from tunebook.learners import learner_named  # noqa: E402
from tunebook.objective import Run  # noqa: E402
from tunebook.samplers import RandomSampler  # noqa: E402
from tunebook.schedulers import FullScheduler  # noqa: E402
from tunebook.space import Float, Space  # noqa: E402
from tunebook.stores.memory import MemoryStore  # noqa: E402
from tunebook.study import Search, Study  # noqa: E402
from tunebook.training import Part  # noqa: E402
from tunebook.training.models import cnn, mlp  # noqa: E402
from tunebook.trial import Direction, Goal, Measurement, Status  # noqa: E402

SMALL: Mapping[str, float] = {"plain": 2.0, "skorch": 1.5, "lightning": 1.5, "keras": 1.5}
LEAST = 1.0  # on every other case
SIDE_BY_SIDE = 1.8
ALIKE, LENGTH = 8, 30  # trials of the study of ``workers``, and epochs of each


# models that tunebook's builders do not have in this form, so that everybody gets the same


class Recurrent(nn.Module):
    """A GRU over (n, 1, length), its last state through a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.gru, self.head = nn.GRU(1, 32, batch_first=True), nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.gru(x.transpose(1, 2))[0][:, -1])
        return out


class Attentive(nn.Module):
    """Two Transformer encoder layers of width 32 over (n, 1, 40), their mean through a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.into, self.place = nn.Linear(1, 32), nn.Parameter(0.02 * torch.randn(40, 32))
        layer = nn.TransformerEncoderLayer(32, 4, 64, 0.0, batch_first=True, norm_first=True)
        self.layers, self.head = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False), nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.layers(self.into(x.transpose(1, 2)) + self.place).mean(1))
        return out


# cases


def parts(x: np.ndarray, y: np.ndarray, valid: int) -> tuple[Part, Part]:
    """Training and validation part: rows in an order of their own, the last ``valid`` of them to be judged by."""
    order = np.random.default_rng(0).permutation(len(y))
    inputs, targets = torch.tensor(x[order], dtype=torch.float32), torch.tensor(y[order], dtype=torch.int64)
    return Part(inputs[:-valid], targets[:-valid]), Part(inputs[-valid:], targets[-valid:])


def mlp_digits() -> Case:
    digits = open_dataset("sklearn:digits")
    told = parts(digits.inputs, digits.targets, 360)
    return Case("mlp-digits", "MLP 64-128-128-10, digits", lambda: mlp({}, (64,), 10), *told, 64, 16, 0.93)


def mlp_table() -> Case:
    from sklearn.datasets import make_classification

    x, y = make_classification(50_000, 54, n_informative=20, n_redundant=10, n_classes=7, random_state=0)
    told = parts(x, y, 10_000)
    says = "MLP 54-128-128-7, 50,000 generated rows"
    return Case("mlp-table", says, lambda: mlp({}, (54,), 7), *told, 256, 4, 0.75)


def cnn_images() -> Case:
    digits = open_dataset("sklearn:digits")
    images = F.interpolate(torch.tensor(digits.inputs), size=28, mode="bilinear").numpy()
    told = parts(images, digits.targets, 360)
    return Case("cnn", "CNN on 28x28 images (digits)", lambda: cnn({}, (1, 28, 28), 10), *told, 64, 4, 0.90)


def sequences(name: str, says: str, build: Callable[[], nn.Module], target: float) -> Case:
    data = open_dataset("mnist1d")
    return Case(name, says, build, *parts(data.inputs[:4000], data.targets[:4000], 1000), 64, 4, target, lr=3e-3)


CASES: Mapping[str, Callable[[], Case]] = {
    "mlp-digits": mlp_digits,
    "mlp-table": mlp_table,
    "cnn": cnn_images,
    "gru": partial(sequences, "gru", "GRU of 32, mnist1d", Recurrent, 0.25),
    "transformer": partial(sequences, "transformer", "Transformer 2 x 32, mnist1d", Attentive, 0.30),
}
FEW = ("mlp-digits", "mlp-table")  # whose steps are so small that the loop around them counts


# figures


@dataclass(frozen=True)
class Line:
    """A loop on a case: medians over the rounds, and how many times as fast tunebook's loop is, paired by round."""

    case: str
    loop: str
    samples: float  # a second of wall time
    cpu: float  # microseconds of CPU time a sample
    to_target: float  # seconds of CPU time (of wall time on a GPU) to the target accuracy; nan if it was not reached
    use: float  # share of the matmul peak
    times: tuple[float, float, float]  # by CPU time: median, least, most
    times_wall: tuple[float, float, float]
    target: float | None
    met: bool | None


def rate(watch: Watch, rows: int, clock: str) -> float:
    """Samples a second over the epochs after the first."""
    told = watch.cpu if clock == "cpu" else watch.wall
    return rows * (len(told) - 1) / (told[-1] - told[0])


def reached(watch: Watch, target: float, clock: str) -> float:
    """Seconds until the validation accuracy was first at least the target; nan if it never was."""
    told = watch.cpu if clock == "cpu" else watch.wall
    return next((t for t, a in zip(told, watch.accuracy, strict=True) if a >= target), float("nan"))


def spread(values: Sequence[float]) -> tuple[float, float, float]:
    return statistics.median(values), min(values), max(values)


def lines(case: Case, told: Mapping[str, list[Watch]], peak: float) -> Iterator[Line]:
    """One line a loop, from its trainings by round."""
    rows, clock = len(case.train), "cpu" if case.device == "cpu" else "wall"
    work = flops(case)
    rates = {c: {name: [rate(w, rows, c) for w in watches] for name, watches in told.items()} for c in ("cpu", "wall")}
    for name, watches in told.items():
        times = {
            c: spread([a / b for a, b in zip(r.get("tunebook", r[name]), r[name], strict=True)])
            for c, r in rates.items()
        }
        wanted = (SMALL[name] if case.name in FEW else LEAST) if name in SMALL and "tunebook" in told else None
        samples = statistics.median(rates["wall"][name])
        yield Line(
            case.name,
            name,
            samples,
            1e6 / statistics.median(rates["cpu"][name]),
            statistics.median(reached(w, case.target, clock) for w in watches),
            work * statistics.median(rates[clock][name]) / peak,
            times["cpu"],
            times["wall"],
            wanted,
            None if wanted is None else times[clock][0] >= wanted,
        )


def flops(case: Case) -> float:
    """Floating-point operations of one sample's training step, by torch's counter, on the CPU."""
    model = replace(case, device="cpu").model(0)
    with FlopCounterMode(display=False) as counter:
        x, y = case.train.x[: case.batch_size], case.train.y[: case.batch_size]
        F.cross_entropy(model(x), y).backward()  # type: ignore[no-untyped-call]
    return counter.get_total_flops() / case.batch_size


def matmul_peak(device: str) -> float:
    """Floating-point operations a second of a large float32 matrix product; the best of several."""
    n = 1024 if device == "cpu" else 8192
    a, b = torch.randn(n, n, device=device), torch.randn(n, n, device=device)
    best = float("inf")
    for _ in range(12):
        began = time.process_time() if device == "cpu" else time.perf_counter()
        a @ b
        if device != "cpu":
            torch.cuda.synchronize()
        best = min(best, (time.process_time() if device == "cpu" else time.perf_counter()) - began)
    return 2 * n**3 / best


def measured(case: Case, loops: Sequence[str], rounds: int) -> dict[str, list[Watch]]:
    """The loops take turns; before that each runs two epochs that are not counted."""
    for name in loops:
        followed(name, replace(case, epochs=2), 0)
    told: dict[str, list[Watch]] = {name: [] for name in loops}
    for seed in range(rounds):
        at = seed % len(loops)
        for name in (*loops[at:], *loops[:at]):
            told[name].append(followed(name, case, seed))
    return told


# two workers


def with_cpu(run: Run) -> Iterator[Measurement]:
    """A training on digits whose measurements tell the CPU time too."""
    objective = learner_named("mlp").objective(
        "sklearn:digits", Split(seed=0), Goal("accuracy", Direction.MAXIMIZE), LENGTH
    )
    began = time.process_time()
    for m in objective(run):
        yield replace(m, metrics={**m.metrics, "cpu": time.process_time() - began})


def equal_trials(workers: int) -> tuple[float, float]:
    """Wall seconds of a study of equal trials, and CPU seconds a trial."""
    space, goal = Space(lr=Float(1e-4, 1e-3, log=True)), Goal("accuracy", Direction.MAXIMIZE)
    with (
        tempfile.TemporaryDirectory() as folder,
        LocalExecutor(with_cpu, workers) as executor,
        Study(MemoryStore(), Path(folder), executor) as study,
    ):
        for name, n in (("first", workers), ("told", ALIKE)):
            began = time.perf_counter()
            study.run(Search(name, space, goal, RandomSampler(space, goal, 0), FullScheduler(goal, LENGTH)), n)
            wall = time.perf_counter() - began
        done = [t for t in study.trials.of("told") if t.status is Status.COMPLETED]
        if len(done) != ALIKE:
            raise RuntimeError(f"{len(done)} whole trials of {ALIKE}: {[t.failure for t in study.trials.values()]}")
        return wall, statistics.mean(t.curve[-1].metrics["cpu"] for t in done)


def side_by_side(rounds: int) -> dict[str, float | bool]:
    """How many times as fast two workers are as one, paired by round."""
    pairs = [(equal_trials(1), equal_trials(2)) for _ in range(rounds)]
    wall, cpu = (statistics.median(p) for p in ([a[0] / b[0] for a, b in pairs], [2 * a[1] / b[1] for a, b in pairs]))
    return {"wall": wall, "cpu": cpu, "target": SIDE_BY_SIDE, "met": wall >= SIDE_BY_SIDE}


# what is printed


def as_text(line: Line) -> str:
    met = {True: "MET", False: "MISSED", None: ""}[line.met]
    by = "" if line.loop == "tunebook" else "{:5.2f} [{:.2f}, {:.2f}]".format(*line.times)
    wall = "" if line.loop == "tunebook" else f"{line.times_wall[0]:.2f}"
    wanted = "" if line.target is None else f">= {line.target:g}"
    return (
        f"{line.case:12} {line.loop:10} {line.samples:10,.0f} {line.cpu:8.2f} {line.to_target:8.3f} "
        f"{100 * line.use:5.1f} %  {by:20} {wall:>6}  {wanted:7} {met}"
    ).rstrip()


def about(device: str, peak: float) -> dict[str, str]:
    from importlib.metadata import version

    names = ("torch", "skorch", "lightning", "keras")
    told = {name: version(name) for name in names if not missing(name)}
    where = torch.cuda.get_device_name() if device != "cpu" else platform.processor() or platform.machine()
    return {
        "python": platform.python_version(),
        **told,
        "device": where,
        "cores": str(os.cpu_count()),
        "load": f"{os.getloadavg()[0]:.1f}",
        "matmul": f"{peak / 1e9:.1f} GFLOP/s",
    }


def on(case: Case, device: str) -> Case:
    return replace(case, device=device, train=case.train.to(device), valid=case.valid.to(device))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join([*CASES, "workers"]), help="cases, by name")
    parser.add_argument("--loops", default=",".join(LOOPS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="one round of three epochs a case")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", type=Path, help="a file for all figures")
    told = parser.parse_args()
    torch.set_num_threads(1)
    wanted = told.only.split(",")
    if unknown := [name for name in wanted if name not in (*CASES, "workers")]:
        parser.error(f"no such case: {', '.join(unknown)}")
    rounds = 1 if told.quick else told.rounds
    lost = {name: why for name in told.loops.split(",") if (why := missing(name))}
    loops = [name for name in told.loops.split(",") if name not in lost]
    peak = matmul_peak(told.device)
    out: dict[str, object] = {"about": about(told.device, peak), "missing": lost, "rounds": rounds}
    print("; ".join(f"{k} {v}" for k, v in about(told.device, peak).items()))
    for name, why in lost.items():
        print(f"{name} is not here: {why}")
    print(
        f"{'case':12} {'loop':10} {'samples/s':>10} {'us CPU':>8} {'to target':>9} {'use':>6}  "
        f"{'times by CPU':20} {'wall':>6}  wanted"
    )
    found: list[Line] = []
    for name in wanted:
        if name == "workers":
            continue
        case = CASES[name]() if told.device == "cpu" else on(CASES[name](), told.device)
        case = replace(case, epochs=3) if told.quick else case
        for line in lines(case, measured(case, loops, rounds), peak):
            print(as_text(line), flush=True)
            found.append(line)
    out["lines"] = [asdict(line) for line in found]
    if "workers" in wanted:
        two = side_by_side(rounds)
        out["workers"] = two
        print(f"two workers are {two['wall']:.2f} times as fast as one by wall time, {two['cpu']:.2f} by CPU time a "
              f"trial; wanted {SIDE_BY_SIDE}: {'MET' if two['met'] else 'MISSED'}")  # fmt: skip
    if told.json:
        told.json.write_text(json.dumps(out, indent=1))


if __name__ == "__main__":
    main()
