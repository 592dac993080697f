"""What the report of a study contains: from chapters, trials and findings to blocks."""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from tunebook.analysis.compare import mean_interval
from tunebook.analysis.curves import band, best_so_far, curves, top
from tunebook.analysis.importance import importance, needed
from tunebook.diagnose.base import Finding, Severity
from tunebook.errors import many, times
from tunebook.metrics import possible
from tunebook.playbook.base import Chapter, tell_config
from tunebook.playbook.limits import nearest_to_limits
from tunebook.report.augmented import augmented
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
    Items,
    Lines,
    Mark,
    Marker,
    Matrix,
    Parallel,
    Points,
    Report,
    Scatter,
    Series,
    Table,
    Tone,
    code,
    text,
)
from tunebook.report.best import unconfirmed
from tunebook.report.foreseen import fans
from tunebook.report.goals import goals
from tunebook.report.lengths import lengths
from tunebook.report.probed import probed
from tunebook.report.sample import note_of, some
from tunebook.report.story import Story, TestLook
from tunebook.space import Choice, Float, Int, Parameter, Space, Value
from tunebook.trial import Goal, Status, Trial

NOTHING_TO_TUNE = "nothing is left to tune: every hyperparameter of the space is a constant"
FEWEST = 3
SHOWN_CURVES = 5
SHOWN_LINES = 300
SHOWN_POINTS = 1000  # of the history
SHOWN_SLICE = 500
SHOWN_ROWS = 400
SHOWN_FAILURES = 10
SHOWN_TRACES = 3
_TONES: Mapping[Status, Tone] = {
    Status.COMPLETED: "info",
    Status.PAUSED: "muted",
    Status.STOPPED: "muted",
    Status.FAILED: "bad",
}


def study_report(story: Story) -> Report:
    """The whole report: summary, decisions, figures, the configuration, and how to do it again."""
    parts = (_summary, _final, goals, _decisions, _probes, _failures, _figures, _record)
    blocks: list[Block] = [block for part in parts for block in part(story)]
    direction = "higher" if story.goal.sign < 0 else "lower"
    aim = f"{story.goal.metric} ({direction} is better)" if story.goal.plain else str(story.goal)
    ran = f"{many(len(story.trials), 'trial')}, {_time(story.trials.spent)} of work"
    return Report(story.name, tuple(blocks), f"{aim}, {ran}")


# summary


def _summary(story: Story) -> Iterable[Block]:
    yield Heading("Summary")
    yield text(_verdict(story), style="lead")
    yield Cards(tuple(_cards(story)))
    if callout := _broken(story):
        yield callout
    for finding in _unique(f for c in story.chapters for f in c.conclusion.findings if f.severity is Severity.BAD):
        yield _callout(finding)


def _broken(story: Story) -> Callout | None:
    """What to mend, where the last trials all failed in one way."""
    ended = [t for t in story.trials.values() if t.status in (Status.FAILED, Status.COMPLETED, Status.STOPPED)]
    last = [t.failure for t in ended[-FEWEST:] if t.failure is not None]
    if len(last) < FEWEST or len({(f.kind, f.message, f.where) for f in last}) > 1:
        return None
    says = f"The last {FEWEST} trials that ended all failed: {last[0].line}"
    if last[0].where:
        says += f" ({last[0].where})"
    advice = "Mend it, then resume the study; the trials that failed count in its budget."
    return Callout("bad", says, advice, "Failing")


def _verdict(story: Story) -> str:
    if not story.finished and story.best is None:
        near = nearest_to_limits(story.goal, {}, story.trials)
        short = "Nothing keeps the limits so far" if near else "Nothing has succeeded so far"
        return f"{short}: {many(len(story.trials), 'trial')} ran."
    if story.asked:
        asked = f"Somebody's own loop asked for {many(len(story.trials), 'trial')} so far; nothing was confirmed."
        return " ".join([asked, *(str(o.about.get("proposals", "")) for o in story.trials.opened.values())]).strip()
    if not story.finished:
        return f"The study is not finished: this is what {many(len(story.trials), 'trial')} show so far."
    stop = story.chapters[-1].conclusion.stop
    told = story.confirmation
    if stop:
        return f"The playbook stopped: {stop}."
    if told is None:
        few = f"The budget did not suffice to confirm a winner on fresh {story.unit}s; treat the best value as a hope."
        fixed = not any(c.round.space.dim for c in story.chapters)
        return f"{NOTHING_TO_TUNE.capitalize()}." if fixed else few
    return _verdict_of_repeats(story, told)


def _verdict_of_repeats(story: Story, told: Mapping[str, list[float]]) -> str:
    gain, seeds = _mean(told["winner"]) - _mean(told["baseline"]), many(len(told["winner"]), story.unit)
    own = next((o for o in story.outcomes if o.config == story.base.baseline), None)
    if story.base.adopted and own is not None and (over := own.broken(story.goal)):
        return (f"The default is beyond {', '.join(over)}. The tuned configuration keeps the limits on {seeds}, with "
                f"{story.goal.metric} {_mean(told['winner']):.4g}.")  # fmt: skip
    if story.base.adopted:
        return (
            f"The tuned configuration beats the default by {abs(gain):.4g} {story.goal.metric} "
            f"on {seeds} that the search never saw; the difference is separable from noise."
        )
    if story.base.config != story.base.baseline:
        return (f"No configuration is separably better than the default; one is {abs(gain):.4g} {story.goal.metric} "
                f"better on average of {seeds} and is used.")  # fmt: skip
    return "No configuration was found that is separably better than the default, so the default stays."


def _cards(story: Story) -> Iterable[Card]:
    told = story.confirmation
    metric = story.goal.metric
    if told is not None:
        yield Card(f"default, {metric}", *_with_interval(told["baseline"], metric))
        tone: Tone = "good" if story.base.adopted else "plain"
        yield Card(f"tuned, {metric}", *_with_interval(told["winner"], metric), tone=tone)
    if story.look is not None:
        for name, (value, low, high) in list(story.look.metrics.items())[:1]:
            looks = len(story.trials.looks)
            note = f"95 % interval {low:.4g} to {high:.4g}; {many(story.look.rows, 'row')}, looked at {times(looks)}"
            yield Card(f"test, {name}", f"{value:.4g}", note)
    failed = sum(t.status is Status.FAILED for t in story.trials.values())
    yield Card("trials", str(len(story.trials)), f"{failed} failed; {_time(story.trials.spent)} of work")


def _with_interval(values: Sequence[float], metric: str) -> tuple[str, str]:
    mean, low, high = possible(metric, mean_interval(values))
    return f"{mean:.4g}", f"95 % interval {low:.4g} to {high:.4g}, {many(len(values), 'seed')}"


def _time(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 3600 else f"{seconds / 3600:.1f} h"


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


# the configuration


def _final(story: Story) -> Iterable[Block]:
    if story.finished and story.beyond:
        yield Heading("No configuration keeps the limits")
        yield text(f"{story.beyond[0].upper()}{story.beyond[1:]}.")
        return
    if not story.finished and story.best is None:
        near = nearest_to_limits(story.goal, {}, story.trials)
        yield Heading("No configuration keeps the limits so far" if near else "No configuration so far")
        yield text(f"{near[0].upper()}{near[1:]}." if near else "No trial has succeeded yet.")
        return
    yield Heading("The configuration to use" if story.finished else "The configuration so far, not confirmed")
    if not story.finished and story.best is not None:
        best = story.best
        yield text(unconfirmed(story.goal.metric, story.recommended, best.value(story.goal), best.number))
    rows = [
        (name, _shown(value), _shown(story.base.baseline.get(name)), _range(story.space, name))
        for name, value in story.config.items()
    ]
    columns = (Column("hyperparameter", "code"), Column("value", "code"), Column("default", "code"), Column("searched"))
    yield Table(columns, rows, note="Constants were not searched: every conclusion holds for these values only.")
    if story.model is not None:
        yield text(
            "The model is in ", code(str(story.model)), ". It was trained on training and validation part together."
        )
        if size := story.trials.notes.get("capacity"):
            yield text(
                f"It learned {many(size['parameters'], 'number')}; one example takes {_amount(size['flops'])}flop, a "
                f"step of its training {_amount(size['memory'])}byte of memory."
            )
        yield from _ensemble(story)
        if made := story.trials.notes.get("augmented"):
            yield from augmented(made)
    if story.look is not None:
        yield from _look(story.look)


def _amount(value: float) -> str:
    """A number with the letter for its thousands, to put before a unit."""
    for letter in ("", "k", "M", "G"):
        if value < 1000:
            return f"{value:.3g} {letter}"
        value /= 1000
    return f"{value:.3g} T"


def _ensemble(story: Story) -> Iterable[Block]:
    """What the model is made of where it is an ensemble, and what that gained."""
    told = story.trials.notes.get("ensemble", {})
    if not told.get("used"):
        return
    gain = f"{told['difference']:+.4g} {story.goal.metric} (95 % interval {told['low']:+.4g} to {told['high']:+.4g})"
    yield text(
        f"It is an ensemble of {many(len(told['members']), 'model')} ({told['kind']}), chosen by what trials predicted "
        "for rows that they were not trained on. Against the configuration above alone that makes "
        f"{gain}, on rows that were not looked at to choose: {told['why']}."
    )
    pairs = zip(told["members"], told["weights"], strict=True)
    rows = [[weight, number, tell_config(story.trials[number].config)] for number, weight in pairs]
    yield Table((Column("weight", "number"), Column("trial", "number"), Column("configuration")), rows)


def _shown(value: Value) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _range(space: Space, name: str) -> str:
    p: Parameter | None = space.parameters.get(name)
    if isinstance(p, Choice):
        return ", ".join(map(str, p.options))
    if isinstance(p, Float | Int):
        return f"{p.low:.4g} to {p.high:.4g}" + (", log" if p.log else "")
    return "constant"


def _look(look: TestLook) -> Iterable[Block]:
    rows = [(name, *values) for name, values in look.metrics.items()]
    columns = (Column("metric"), *(Column(c, "number") for c in ("value", "low", "high")))
    yield Table(columns, rows, title=f"Test part, {look.rows} rows", note="Intervals are at 95 %.")
    if look.confusion:
        yield Matrix("Confusion matrix of the test part", look.classes, look.classes, look.confusion, "counts",
                     "truth", "predicted", note="Rows are the truth; what lies off the diagonal is wrong.")  # fmt: skip


# decisions


def _decisions(story: Story) -> Iterable[Block]:
    if story.chapters:
        yield Heading("What was done, and why")
    for i, chapter in enumerate(story.chapters, 1):
        yield Heading(chapter.round.name.capitalize(), 2, f"Stage {i}")
        said = chapter.conclusion.says
        yield Facts(
            (
                ("Question", text(chapter.round.question)),
                ("Ran", text(_ran(chapter))),
                *((("Learned", text(" ".join(said[:-1]))),) if len(said) > 1 else ()),
                ("Decided", text(said[-1])),
            )
        )
        for finding in chapter.conclusion.findings:
            yield _callout(finding)


def _ran(chapter: Chapter) -> str:
    if not chapter.trials:
        return "Nothing new: the trials so far answer it."
    steps, seconds = sum(t.step for t in chapter.trials), sum(t.seconds for t in chapter.trials)
    how = (
        "listed runs" if chapter.round.runs else f"sampler {chapter.round.sampler}, scheduler {chapter.round.scheduler}"
    )
    full = chapter.round.steps * len(chapter.trials)
    return (
        f"{many(len(chapter.trials), 'trial')} ({how}), {many(steps, 'step')} of at most {full:,}, "
        f"{_time(seconds)} of training; {_numbers([t.number for t in chapter.trials])}."
    )


def _numbers(told: Sequence[int]) -> str:
    return f"number {told[0]}" if len(told) == 1 else f"numbers {told[0]} to {told[-1]}"


def _callout(finding: Finding) -> Callout:
    return Callout(finding.severity.value, finding.says, finding.advice, finding.check)


def _unique(findings: Iterable[Finding]) -> list[Finding]:
    return list({(f.check, f.says): f for f in findings}.values())


def _probes(story: Story) -> Iterable[Block]:
    return probed(story.trials.notes.get("probes"))


# failures


def _failures(story: Story) -> Iterable[Block]:
    """What failed, how often, and the first error of each sort in full."""
    sorts: dict[tuple[str, str, str], list[Trial]] = {}
    for t in story.trials.values():
        if t.failure is not None:
            sorts.setdefault((str(t.failure.kind), t.failure.line, t.failure.where), []).append(t)
    if not sorts:
        return
    yield Heading("What failed")
    often = sorted(sorts.items(), key=lambda item: -len(item[1]))
    rows = [(len(trials), *sort, trials[0].number) for sort, trials in often[:SHOWN_FAILURES]]
    heads = (Column("trials", "number"), Column("kind"), Column("error"), Column("where", "code"))
    rest = len(often) - len(rows)
    note = f"The {SHOWN_FAILURES} most frequent; {many(rest, 'more sort')} left out." if rest else ""
    yield Table((*heads, Column("first", "number")), rows, note=note)
    shown = [f for _, trials in often[:SHOWN_TRACES] if (f := trials[0].failure) is not None and f.traceback]
    for failure in shown:
        yield Fold(failure.line[:100], (Code(failure.traceback, "What it raised, or printed last"),))


# figures


def _figures(story: Story) -> Iterable[Block]:
    yield Heading("The trials in figures")
    yield _history(story)
    yield _confirmed(story)
    yield _learning(story)
    if story.base.steps > 1:
        yield lengths(story.search, story.goal, story.base.steps)
    yield _importance(story)
    yield Heading("Hyperparameter by hyperparameter", 2)
    yield Grid(tuple(_slice(story, name) for name in story.space.names))
    yield _parallel(story)


def _empty(n: int) -> str:
    return "" if n >= FEWEST else f"Too few trials: {n} of {FEWEST} needed."


def _history(story: Story) -> Scatter:
    told = best_so_far(story.search, story.goal)
    values = dict(zip(told.numbers, told.value.tolist(), strict=True))
    there = [t for t in story.search if t.number in values]
    shown = some(there, story.goal, SHOWN_POINTS)
    points = []
    for status in Status:
        mine = [t.number for t in shown if t.status is status]
        if mine:
            y = [values[n] for n in mine]
            marker: Marker = "cross" if status is Status.FAILED else "ring" if status is Status.PAUSED else "circle"
            points.append(Points(status.value, mine, y, [f"trial {n}" for n in mine], marker=marker,
                                 tone=_TONES.get(status, "plain")))  # fmt: skip
    line = _steps(told.numbers, told.best.tolist())
    marks = [Mark("x", c.trials[0].number - 0.5, c.round.name) for c in story.chapters if c.trials]
    return Scatter("History", Axis("trial"), Axis(story.goal.metric), tuple(points), (line,), tuple(marks),
                   note=_notes(_of_luck(story), note_of(len(shown), len(there))),
                   empty=_empty(len(values)))  # fmt: skip


def _of_luck(story: Story) -> str:
    if not story.finished and story.recommended is not None and story.recommended.exact:
        return ""
    return f"The best of many noisy values flatters; the confirmed values are those on fresh {story.unit}s."


def _steps(x: Sequence[int], best: Sequence[float]) -> Series:
    """The best so far, where it changes."""
    kept = [i for i in range(len(x)) if i in (0, len(x) - 1) or best[i] != best[i - 1]]
    return Series("best so far", [x[i] for i in kept], [best[i] for i in kept], step=True, tone="good")


def _notes(*said: str) -> str:
    return " ".join(filter(None, said))


_UNCONFIRMED = ("No budget was left to confirm a winner.",
                "Only the playbook confirms on fresh seeds; this study has a loop of its own.")  # fmt: skip
_RINGS = {
    "seed": "Each ring is a training with a seed that the search never used.",
    "fold": "Each ring is a fold that the search never used.",
    "part": "Each ring is a part of the rows of a fold that the search never used.",
}


def _confirmed(story: Story) -> Scatter:
    told = story.confirmation or {}
    names = {"baseline": "default", "winner": "tuned"}
    x = [names[name] for name, values in told.items() for _ in values]
    y = [v for values in told.values() for v in values]
    means = [mean_interval(values)[0] for values in told.values()]
    points = (
        Points(f"a fresh {story.unit}", x, y, marker="ring", tone="info"),
        Points("mean", [names[n] for n in told], means, marker="star", tone="good"),
    )
    return Scatter(f"Confirmation on fresh {story.unit}s", Axis("", "category", categories=list(names.values())),
                   Axis(story.goal.metric), points, empty="" if told else _UNCONFIRMED[story.asked],
                   note=_RINGS[story.unit])  # fmt: skip


def _learning(story: Story) -> Lines:
    best = top(story.search, story.base.space, story.goal, SHOWN_CURVES)
    metric = story.goal.metric
    series: list[Series] = []
    spread = band(curves([t for t in story.search if t.curve], metric), (0.1, 0.5, 0.9))
    if len(spread.steps):
        low, mid, high = (row.tolist() for row in spread.values)
        steps = spread.steps.tolist()
        series.append(Series("all trials, median and 80 % band", steps, mid, low, high, tone="muted"))
    for trial in best:
        for name, role, dash in ((metric, "validation", "solid"), (f"train_{metric}", "training", "dashed")):
            points = [(m.step, m.metrics[name]) for m in trial.curve if name in m.metrics]
            if points:
                x, y = zip(*points, strict=True)
                series.append(Series(f"trial {trial.number}", x, y, role=role, dash=dash))  # type: ignore[arg-type]
    series += fans(story.search, story.goal, story.base.steps)
    return Lines(f"Learning curves of the {len(best)} best trials", Axis("step"), Axis(metric), tuple(series),
                 note="Solid is validation, dashed training: a widening gap is overfitting, two poor ones underfit.",
                 empty="" if series else "Nothing was measured.")  # fmt: skip


def _importance(story: Story) -> Bars:
    told = importance(story.search, story.space, story.goal)
    bars = tuple(Bar(i.name, i.value, i.low, i.high) for i in told)
    empty = "" if bars else f"Too few trials: about {needed(story.space)} configurations needed."
    free = replace(story.goal, limits=())
    out = sum(math.isfinite(t.loss(free)) and not math.isfinite(t.loss(story.goal)) for t in story.search)
    beyond = f"{many(out, 'trial')} beyond the limits left out." if out else ""
    return Bars("Importance", Axis("share of the variation"), bars, empty=_notes(empty, beyond) if empty else "",
                note=_notes("Share of the variation over its range that each explains, with a 90 % interval.",
                            beyond))  # fmt: skip


def _axis(p: Parameter, label: str) -> Axis:
    if isinstance(p, Float | Int):
        return Axis(label, "log" if p.log else "linear")
    assert isinstance(p, Choice)
    return Axis(label, "category", categories=[str(o) for o in p.options])


def _slice(story: Story, name: str) -> Scatter:
    p = story.space.parameters[name]
    there = [t for t in story.search if name in t.config and t.curve]
    mine = some(there, story.goal, SHOWN_SLICE)
    whole: list[Trial] = []
    cut: list[Trial] = []
    for t in mine:
        (whole if t.step >= story.base.steps or t.status is Status.COMPLETED else cut).append(t)
    points = [_slice_points(story, name, "to the end", whole), _slice_points(story, name, "cut short", cut)]
    chosen = story.config.get(name)
    marks = (
        [Mark("x", float(chosen), "chosen")] if isinstance(chosen, int | float) and not isinstance(p, Choice) else []
    )
    return Scatter(name, _axis(p, name), Axis(story.goal.metric), [q for q in points if q.x], marks=tuple(marks),
                   shade="trial", note=note_of(len(mine), len(there)), empty=_empty(len(mine)))  # fmt: skip


def _slice_points(story: Story, name: str, label: str, trials: Sequence[Trial]) -> Points:
    x = [str(t.config[name]) if isinstance(story.space.parameters[name], Choice) else t.config[name] for t in trials]
    y = [t.value(story.goal) for t in trials]
    numbers = [t.number for t in trials]
    marker: Marker = "circle" if label == "to the end" else "ring"
    return Points(label, x, y, [f"trial {n}" for n in numbers], numbers, marker)


def _parallel(story: Story) -> Parallel:
    there = [t for t in story.search if math.isfinite(t.loss(story.goal))]
    told = some(there, story.goal, SHOWN_LINES)
    names = story.space.names
    axes = [_axis(story.space.parameters[n], n) for n in names] + [Axis(story.goal.metric)]
    rows = []
    for t in told:
        cells = [t.config.get(n) for n in names]
        shown = [None if c is None else str(c) if isinstance(story.space.parameters[n], Choice) else c
                 for n, c in zip(names, cells, strict=True)]  # fmt: skip
        rows.append([*shown, t.value(story.goal)])
    return Parallel("Parallel coordinates", axes, rows, [f"trial {t.number}" for t in told],
                    "higher" if story.goal.sign < 0 else "lower", empty=_empty(len(told)),
                    note=_notes("Drag along an axis to keep the trials that pass there.",
                                note_of(len(told), len(there))))  # fmt: skip


# the record


def _record(story: Story) -> Iterable[Block]:
    yield Heading("The record")
    job = story.trials.notes.get("job", {})
    command = job.get("command", "")
    if command:
        yield Code(f"cd {shlex.quote(str(job.get('cwd', '.')))}\n{command}", "The command that reproduces it")
    if seen := job.get("notes"):
        yield Heading("What was seen in the data", 2)
        yield Items(tuple(text(line) for line in seen))
    told = {k: v for k, v in job.items() if k not in ("command", "argv", "cwd", "notes")}
    rows = [(k, v if isinstance(v, str) else json.dumps(v)) for k, v in told.items()]
    yield Table(
        (Column("what"), Column("value", "code")), rows, title="Where it comes from", empty="" if rows else "Not noted."
    )
    yield Fold("All trials", (_all_trials(story),))


def _all_trials(story: Story) -> Table:
    goal = story.goal
    names = list(dict.fromkeys(n for t in story.trials.values() for n in t.config))
    numbers = ("trial", "steps", goal.metric, "seconds")
    heads = ("trial", "round", "status", "steps", goal.metric, "seconds", *names, "note")
    columns = [Column(h, "number" if h in numbers and h not in names else "text") for h in heads]
    rows = []
    shown = some(list(story.trials.values()), goal, SHOWN_ROWS)
    for t in shown:
        value = t.value(goal) if not t.context.final else t.value(Goal(f"train_{goal.metric}", goal.direction))
        cells = [_shown(t.config[n]) if n in t.config else None for n in names]
        said = t.failure.line if t.failure is not None else t.note
        rows.append([t.number, t.round, t.status.value, t.step, value, t.seconds, *cells, said])
    best = story.best
    marked = [i for i, t in enumerate(shown) if t is best]
    note = _notes("The value of a final training is that on its training data.",
                  note_of(len(shown), len(story.trials)))  # fmt: skip
    return Table(columns, rows, marked=marked, note=note)
