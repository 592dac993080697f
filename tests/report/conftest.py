"""Reports to render: one that could be real, one of every block in every state, and the names of hostile people."""

import math

import numpy as np
import pytest

from tunebook.report.base import (
    Axis,
    Bar,
    Bars,
    Block,
    Callout,
    Card,
    Cards,
    Code,
    Column,
    Facts,
    Fold,
    Grid,
    Heading,
    Image,
    Images,
    Items,
    Lines,
    Mark,
    Matrix,
    Parallel,
    Points,
    Report,
    Scatter,
    Series,
    Table,
    code,
    em,
    facts,
    strong,
    text,
)

PAYLOADS = (
    "<script>window.__pwn=1</script>",
    "</script><script>window.__pwn=1</script>",
    "</title><script>window.__pwn=1</script>",
    "</style><script>window.__pwn=1</script>",
    "<img src=x onerror=window.__pwn=1>",
    "<svg onload=window.__pwn=1>",
    "<svg><script>window.__pwn=1</script></svg>",
    '" onmouseover="window.__pwn=1',
    "' onfocus='window.__pwn=1' autofocus='",
    "javascript:window.__pwn=1",
    "<iframe srcdoc='<script>parent.__pwn=1</script>'>",
    "<a href=javascript:window.__pwn=1>x</a>",
    "<!-- --!><script>window.__pwn=1</script>",
    "<!--<script>",
    "]]><script>window.__pwn=1</script>",
    "&lt;script&gt;window.__pwn=1&lt;/script&gt;",
    "&#60;b&#62;",
    "${window.__pwn=1}",
    "{{window.__pwn=1}}",
    "`window.__pwn=1`",
    "\\u003cscript\\u003ewindow.__pwn=1\\u003c/script\\u003e",
    "\u2028window.__pwn=1//\u2029",
    "';window.__pwn=1;//",
    "__proto__",
    "constructor",
    "<style>*{display:none}</style>",
    "<base href=//evil.example>",
    "<meta http-equiv=refresh content=0>",
    "a\x1b[31mred\x1b[0m",
    "a\x1b]0;title\x07b",
    "a\x9b31mb",
    "a\rb\x08\x08c",
    "line one\nline two\n# heading",
    "| a | b |\n|---|---|",
    "``` \n<b>bold</b>",
    "[click](javascript:window.__pwn=1) ![x](http://evil.example/x.png)",
    "[bold red]markup[/bold red] :warning: [link=http://evil.example]x[/link]",
    "=cmd|' /C calc'!A0",
    "abc\u202edef\u2066ghi",
    "nul\x00 and \ud800 surrogate \x7f",
    "**strong** _em_ ~~gone~~ 1. one\n- two",
)


def every_block(name: str) -> tuple[Block, ...]:
    """One of each block with ``name`` in each place that takes words."""
    axis, other = Axis(name), Axis(name, "category", categories=(name, "other"))
    table = Table((Column(name), Column(name, "code"), Column(name, "number")), [(name, name, 1.5)], name, name)
    line = Series(name, [1, 2, 3], [3, 2, 1], [2, 1, 0], [4, 3, 2], role=name)
    lines = Lines(
        name,
        axis,
        axis,
        [line, Series("other", [1, 2, 3], [1, 2, 3], role="r", dash="dashed")],
        [Mark("x", 2, name)],
        name,
    )
    points = [Points(name, [name, "other"], [1, 2], [name, "b"], [1, 2]), Points("x", [name], [1], marker="star")]
    scatter = Scatter(name, other, axis, points, [], [Mark("y", 1, name)], name, name)
    bars = Bars(name, axis, [Bar(name, 1, 0.5, 2), Bar("b", -1)], name)
    matrix = Matrix(name, [name, "b"], [name, "b"], [[5, 1], [0, 7]], "counts", name, name, name)
    parallel = Parallel(name, [axis, other, Axis(name)], [(1, name, 2), (2, "other", 3)], [name, "b"], note=name)
    images = Images(name, [Image([[0, 128], [255, 64]], name, "bad")], name)
    return (
        Heading(name, 1, name), text(name, strong(name), em(name), code(name)), text(name, style="lead"),
        Items((text(name), text(code(name)))), Items((text(name),), ordered=True), Facts(((name, text(name)),)),
        *(Callout(severity, name, name, name) for severity in ("good", "info", "warn", "bad")),
        Cards((Card(name, name, name, "good"), Card("plain", "1"))), Code(name, name), table,
        lines, scatter, bars, matrix, parallel, images,
        Grid((lines, scatter)), Fold(name, (text(name), Heading(name, 2), bars)),
    )  # fmt: skip


def hard_numbers() -> tuple[Block, ...]:
    """Figures over nothing, one point, NaN, infinities and ranges that overflow."""
    nan, inf = math.nan, math.inf
    columns = {
        "nothing": [], "one": [0.5], "same": [2, 2, 2], "all NaN": [nan, nan], "mixed": [1, nan, 3, inf, -inf, 2],
        "huge": [-1.7e308, 0, 1.7e308], "tiny": [5e-324, 1e-320, 2e-310], "wide": [1e-300, 1, 1e300],
        "outliers": [*range(40), 1e9, -1e12], "zeros": [0, 0, 0], "negative": [-3, -2, -1], "close": [1e16, 1e16 + 2],
    }  # fmt: skip
    blocks: list[Block] = []
    for name, values in columns.items():
        steps = list(range(len(values)))
        for scale in ("linear", "log"):
            axis = Axis("v", scale)
            blocks += [
                Lines(name, Axis("step", scale), axis, [Series("s", steps, values)], [Mark("y", 1, "m"), Mark("x", 0)]),
                Lines(name, axis, axis, [Series("s", values, values, values, values, step=True)]),
                Scatter(name, axis, axis, [Points("p", values, values, shade=values)], [Series("s", steps, values)]),
                Parallel(name, [axis, Axis("w"), Axis("c", "category")],
                         [(v, v, str(v)) for v in values], [f"t{i}" for i in steps]),
                Parallel(name, [Axis("c", "category"), axis], [(None, v) for v in values], [f"t{i}" for i in steps]),
            ]  # fmt: skip
        blocks += [
            Bars(name, Axis("v"), [Bar(str(i), v, v, v) for i, v in enumerate(values)]),
            Bars(name, Axis("v"), [Bar(str(i), v) for i, v in enumerate(values)]),
            *(Matrix(name, ["r"], [str(i) for i in steps], [values], kind) for kind in ("counts", "signed", "plain")),
            Table([Column("v", "number"), Column("t")], [(v, v) for v in values], name),
        ]
    blocks += [
        Lines("empty", Axis("x"), Axis("y"), [], empty="too few trials: 1 of 3 needed"),
        Bars("empty", Axis("x"), [], empty="too few trials: 1 of 3 needed"), Images("none", []),
        Matrix("no", [], [], []),
        Table([Column("a")], [], "empty", empty="No trial has failed."), Cards(()), Items(()),
        Facts(()), text(), Code(""),
        Scatter("two ways", Axis("a", "category"), Axis("y"), [Points("p", [None, "a", "b"], [1, nan, 2])]),
        Table([Column("n", "number")], [(10**400,), (True,), (None,), ("text",), (np.float32(0.5),), (np.int64(3),)]),
    ]  # fmt: skip
    return tuple(blocks)


@pytest.fixture
def payloads() -> tuple[str, ...]:
    return PAYLOADS


@pytest.fixture
def hostile() -> Report:
    blocks = [block for name in PAYLOADS for block in every_block(name)]
    return Report("".join(PAYLOADS), blocks, PAYLOADS[0])


@pytest.fixture
def hard() -> Report:
    return Report("Hard numbers", hard_numbers())


@pytest.fixture
def sample() -> Report:
    return sample_report()


# ------------------------------------------------------------------- a report as a tuning job would give it


def sample_report(trials: int = 96, epochs: int = 24) -> Report:
    """A made-up tuning of a convolutional network on digits, of a shape that real ones have."""
    job = _Job(trials, epochs)
    return Report(
        "Digits with a small convolutional network",
        (*job.summary(), *job.chapters(), *job.figures(), *job.ending()),
        "Study digits-cnn · 96 trials · 41 minutes on 2 workers · seed 7",
    )


class _Job:
    def __init__(self, trials: int, epochs: int) -> None:
        rng = np.random.default_rng(7)
        self.n, self.steps = trials, np.arange(1, epochs + 1)
        self.lr = 10 ** rng.uniform(-4.3, -0.7, trials)
        self.late = np.arange(trials) >= trials * 0.55
        self.lr[self.late] = 10 ** rng.normal(-2.25, 0.28, self.late.sum())
        self.filters = rng.choice([8, 16, 24, 32, 48, 64], trials)
        self.dropout = rng.uniform(0, 0.6, trials)
        self.decay = 10 ** rng.uniform(-6, -2, trials)
        self.kernel = rng.choice([3, 5, 7], trials)
        self.optimizer = rng.choice(["sgd", "adam", "adamw"], trials, p=[0.3, 0.3, 0.4])
        self.momentum = np.where(self.optimizer == "sgd", rng.uniform(0.6, 0.99, trials), np.nan)
        off = np.log10(self.lr) + 2.2 + (self.optimizer == "sgd") * -0.6
        self.final = 0.028 + 0.05 * off**2 + 0.05 * (self.dropout - 0.25) ** 2 + 0.12 / self.filters
        self.final *= rng.lognormal(0, 0.18, trials)
        self.final[self.late] *= 0.72
        failed = self.lr > 0.07
        self.final[failed & (rng.uniform(size=trials) < 0.6)] = np.nan
        self.final[np.flatnonzero(failed & np.isfinite(self.final))[:2]] *= 30
        self.stopped = (self.final > 0.12) & (rng.uniform(size=trials) < 0.8)
        self.labels = [f"trial {i}" for i in range(trials)]
        self.best = int(np.nanargmin(self.final))
        self.rng = rng

    def curve(self, i: int) -> tuple[np.ndarray, np.ndarray]:
        t = self.steps / self.steps[-1]
        end = self.final[i]
        valid = end + (1.4 - end) * np.exp(-7 * t) + 0.05 * end * t**3
        valid *= self.rng.lognormal(0, 0.04, len(t))
        train = 0.6 * end + (1.5 - end) * np.exp(-6.2 * t) - 0.25 * end * t
        return np.maximum(train * self.rng.lognormal(0, 0.02, len(t)), 1e-4), valid

    def summary(self) -> tuple[Block, ...]:
        return (
            text("The confirmed configuration reaches ", strong("98.6 %"), " validation accuracy, 1.9 points above the "
                 "baseline (95 % interval 1.2 to 2.6 over 5 fresh seeds). On the test set, looked at once, it scores ",
                 strong("98.1 %"), ".", style="lead"),
            Cards((
                Card("Test accuracy", "98.1 %", "95 % interval 96.5 to 99.1", "good"),
                Card("Validation loss", f"{np.nanmin(self.final):.4f}", f"trial {self.best}, baseline 0.1127"),
                Card("Trials", str(self.n), f"{int(self.stopped.sum())} stopped early, "
                     f"{int(np.isnan(self.final).sum())} failed"),
                Card("Compute", "41 min", "68 % spent exploring"),
            )),
            Callout("warn", "The best learning rates lie within 4 % of the lower end of the range of weight_decay, in "
                    "5 of the best 10 trials.", "Widen weight_decay down to 1e-8 and run 20 more trials.",
                    "The search range may be too narrow"),
            Callout("info", "Seeds alone move the validation loss by ± 0.004; 6 trials are within that of the best.",
                    title="Six trials cannot be told apart"),
        )  # fmt: skip

    def chapters(self) -> tuple[Block, ...]:
        return (
            Heading("Baseline", 1, "Stage 1"),
            facts(question="Does the default configuration learn at all?",
                  ran="1 configuration on 5 seeds, 24 epochs each.",
                  learned=text("Accuracy 96.7 % ± 0.4, the majority class gives 10.2 %. A step takes 3.1 ms."),
                  decided=text("Keep ", code("steps_per_epoch = 36"), " and the batch size of 32.")),
            Heading("Explore", 1, "Stage 2"),
            text("Which hyperparameters matter, and where do good values lie? Quasi-random points, so that every slice "
                 "below can be read as an experiment of its own."),
            facts(question="Which of seven hyperparameters matter, and in which ranges?",
                  ran="53 quasi-random configurations with successive halving, 6 to 24 epochs.",
                  learned=text(code("learning_rate"), " explains 62 % of the spread; above 0.12 training diverges."),
                  decided=text("Narrow ", code("learning_rate"), " to [0.0008, 0.05], freeze ", code("kernel"),
                               " at 3.")),
            Callout("bad", "9 of 11 trials with a learning_rate above 0.12 ended without a finite loss.",
                    "Cut the range at 0.12, or add warm-up.", "Training diverges"),
            self.history(),
            Heading("Slices", 2),
            text("Each point is a trial, the star the best; the colour tells how late a trial came."),
            Grid(self.slices(), 2),
        )  # fmt: skip

    def history(self) -> Scatter:
        x, done = np.arange(self.n), np.isfinite(self.final)
        whole, cut = done & ~self.stopped, done & self.stopped
        named = [str(label) for label in self.labels]

        def pick(mask: np.ndarray) -> list[str]:
            return [named[i] for i in np.flatnonzero(mask)]

        best = np.fmin.accumulate(self.final)
        return Scatter(
            "History", Axis("trial"), Axis("validation loss", "log"),
            [Points("completed", x[whole], self.final[whole], pick(whole)),
             Points("stopped early", x[cut], self.final[cut], pick(cut), marker="ring", tone="muted"),
             Points("failed", x[~done], self.final[~done], pick(~done), marker="cross", tone="bad"),
             Points("best", [self.best], [self.final[self.best]], [named[self.best]], marker="star", tone="good")],
            [Series("best so far", x, best, step=True, tone="good")], [Mark("y", 0.1127, "baseline")],
            note=f"The best value was found in trial {self.best}; the model-based stage began at trial 53.",
        )  # fmt: skip

    def slices(self) -> tuple[Scatter, ...]:
        names = ("learning_rate", "filters", "dropout", "weight_decay", "kernel", "optimizer")
        values = (self.lr, self.filters, self.dropout, self.decay, [str(k) for k in self.kernel], list(self.optimizer))
        scales = ("log", "linear", "linear", "log", "category", "category")
        done = np.isfinite(self.final)
        return tuple(
            Scatter(name, Axis(name, scale, categories=("3", "5", "7") if name == "kernel" else ()),
                    Axis("validation loss", "log"),
                    [Points("trials", [v for v, d in zip(column, done, strict=True) if d], self.final[done],
                            [self.labels[i] for i in np.flatnonzero(done)], np.flatnonzero(done)),
                     Points("best", [column[self.best]], [self.final[self.best]], marker="star", tone="bad")],
                    shade="trial")
            for name, column, scale in zip(names, values, scales, strict=True)
        )  # fmt: skip

    def figures(self) -> tuple[Block, ...]:
        top = np.argsort(self.final)[:4]
        series: list[Series] = []
        everyone = np.array([self.curve(i)[1] for i in np.flatnonzero(np.isfinite(self.final))])
        low, mid, high = np.quantile(everyone, [0.1, 0.5, 0.9], axis=0)
        series.append(Series("all trials, middle 80 %", self.steps, mid, low, high, tone="muted"))
        for i in top:
            train, valid = self.curve(i)
            series.append(Series(f"trial {i}", self.steps, train, role="training", dash="dashed"))
            series.append(Series(f"trial {i}", self.steps, valid, role="validation"))
        names = ("learning_rate", "optimizer", "filters", "dropout", "weight_decay", "momentum", "kernel")
        shares = (0.62, 0.14, 0.081, 0.055, 0.031, 0.012, 0.004)
        bars = [Bar(n, s, max(0, s - 0.02 - s / 8), s + 0.02 + s / 8) for n, s in zip(names, shares, strict=True)]
        return (
            Heading("Exploit", 1, "Stage 3"),
            facts(question="What is the best configuration in the refined space?",
                  ran="43 configurations proposed by a model of the earlier ones.",
                  decided=text("Take 4 finalists to confirmation.")),
            Lines("Learning curves of the four best trials", Axis("epoch"), Axis("loss", "log"), series,
                  [Mark("x", 19, "best epoch")], "Training and validation part after epoch 15: mild overfitting."),
            Bars("Importance", Axis("share of the variance of the loss"), bars,
                 "Whiskers: 95 % interval over bootstrap samples of the trials."),
            self.parallel(),
        )  # fmt: skip

    def parallel(self) -> Parallel:
        axes = [
            Axis("learning_rate", "log"),
            Axis("optimizer", "category"),
            Axis("filters"),
            Axis("dropout"),
            Axis("weight_decay", "log"),
            Axis("momentum"),
            Axis("loss", "log"),
        ]
        rows = [
            (
                self.lr[i],
                str(self.optimizer[i]),
                self.filters[i],
                self.dropout[i],
                self.decay[i],
                None if np.isnan(self.momentum[i]) else self.momentum[i],
                self.final[i],
            )
            for i in range(self.n)
        ]
        return Parallel("Parallel coordinates", axes, rows, self.labels,
                        note="Parameters from left to right by importance; the outcome is the last axis.")  # fmt: skip

    def ending(self) -> tuple[Block, ...]:
        confusion = np.diag([35, 34, 35, 36, 35, 36, 36, 35, 31, 35])
        for i, j, n in ((8, 1, 2), (8, 9, 1), (9, 3, 1), (3, 5, 1), (4, 9, 1), (1, 8, 1)):
            confusion[i, j] += n
        digits = [str(d) for d in range(10)]
        order = [int(i) for i in np.argsort(self.final)]
        rows = [(i, self.final[i], self.lr[i], str(self.optimizer[i]), int(self.filters[i]), self.dropout[i],
                 self.decay[i], "failed" if np.isnan(self.final[i]) else "stopped" if self.stopped[i] else "completed")
                for i in order]  # fmt: skip
        columns = [Column("trial", "number"), Column("loss", "number"), Column("learning_rate", "number"),
                   Column("optimizer"), Column("filters", "number"), Column("dropout", "number", 3),
                   Column("weight_decay", "number", 3), Column("status")]  # fmt: skip
        return (
            Heading("Confirm", 1, "Stage 4"),
            Table([Column("configuration"), Column("seeds", "number"), Column("accuracy", "number"),
                   Column("95 % interval"), Column("difference to baseline", "number"), Column("p", "number", 2)],
                  [("finalist A (trial 81)", 5, 0.9861, "0.983 to 0.989", 0.0192, 0.0007),
                   ("finalist B (trial 77)", 5, 0.9844, "0.980 to 0.988", 0.0175, 0.0012),
                   ("finalist C (trial 90)", 5, 0.9839, "0.979 to 0.988", 0.017, 0.0021),
                   ("baseline", 5, 0.9669, "0.961 to 0.972", None, None)],
                  "Finalists on fresh seeds", "Paired over seeds; p by a permutation test.", [0]),
            Callout("good", "Finalist A beats the baseline on all 5 seeds.", title="Adopted"),
            Heading("Finalize", 1, "Stage 5"),
            Matrix("Confusion on the test set", digits, digits, confusion, "counts", "true digit", "predicted digit",
                   "8 is the hardest digit: 3 of 34 are missed."),
            Images("Test digits it gets wrong", [self.digit(k) for k in range(7)],
                   "All seven errors of 360 digits."),
            Code("learning_rate = 0.0061\noptimizer = \"adamw\"\nfilters = 48\ndropout = 0.22\nweight_decay = 3.1e-6\n",
                 "Final configuration"),
            Code("tunebook run examples/digits_cnn.py --seed 7 --trials 96 --workers 2", "Reproduce this report"),
            Heading("All trials"),
            Table(columns, rows, "Trials, best first", marked=[0]),
            Fold("How this report was made", (text("Numbers come from the record of the study alone."),)),
        )  # fmt: skip

    def digit(self, k: int) -> Image:
        y, x = np.mgrid[0:8, 0:8]
        upper, lower = (y - 2) ** 2 + (x - 3.5) ** 2, (y - 5.4) ** 2 + (x - 3.5) ** 2
        ring = np.exp(-((np.sqrt(upper) - 1.6) ** 2) * 2) + np.exp(-((np.sqrt(lower) - 1.9) ** 2) * 2)
        noisy = 255 * np.clip(ring + self.rng.normal(0, 0.1, ring.shape), 0, 1)
        return Image(noisy.astype(int), f"8, read as {(k * 7 + 1) % 8}", "bad")
