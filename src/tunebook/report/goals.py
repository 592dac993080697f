"""Several goals and limits: the front, and what was confirmed of it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from tunebook.analysis.compare import mean_interval
from tunebook.errors import many
from tunebook.metrics import possible
from tunebook.outcomes import Outcome, amount, front, once, standing
from tunebook.playbook.base import tell_change, tell_config
from tunebook.report.base import Axis, Block, Column, Fold, Heading, Marker, Points, Scatter, Table, Tone, text
from tunebook.report.story import Story
from tunebook.trial import Goal, Trial, config_key

WIDE = 30


def goals(story: Story) -> Iterable[Block]:
    """The blocks of a study with several goals or limits; none of another."""
    goal = story.goal
    best = once(front(story.searched, goal)) if goal.also else []
    if goal.plain or not (best or story.outcomes):
        return
    yield Heading("The front" if goal.also else "The limits")
    better = "; ".join(f"{g.metric}: {'higher' if g.sign < 0 else 'lower'} is better" for g in goal.goals)
    limits = f" Limits: {', '.join(map(str, goal.limits))}." if goal.limits else ""
    rule = f"What is used is the best in {goal.metric}{' that keeps all limits' if goal.limits else ''}, if it is " + (
        "separably better than the default." if not goal.limits else
        "separably better than the default, or the default does not keep them.")  # fmt: skip
    said = f"No trial on the front is beaten in all goals by another ({better}). " if goal.also else ""
    yield text(f"{said}{rule}{limits}")
    if goal.also:
        yield _scatter(story, best)
    if story.outcomes:
        yield _confirmed(story)
    if best:
        rows: list[list[float | str]] = [[t.number, *t.values(goal).values(), tell_config(t.config)] for t in best]
        columns = (Column("trial", "number"), *(Column(n, "number") for n in goal.named), Column("configuration"))
        single = Table(columns, rows, note="Single values: some may have been lucky.")
        yield Fold(f"The front of the search: {many(len(best), 'trial')}", (single,)) if story.outcomes else single


def _scatter(story: Story, best: Sequence[Trial]) -> Scatter:
    first, second = story.goal.goals[:2]
    keys = {t.key for t in best}
    others = [t for t in story.searched if t.key not in keys and all(map(math.isfinite, t.losses(story.goal)))]
    beaten = _near(story, best, others)
    left = len(others) - len(beaten)
    points = [_points(story.goal, "beaten, or beyond a limit" if story.goal.limits else "beaten", beaten, "ring"),
              _points(story.goal, "on the front", best, "circle")]  # fmt: skip
    if story.outcomes:
        means = [o.means for o in story.outcomes]
        values = [m[first.metric] for m in means], [m[second.metric] for m in means]
        labels = [_called(story, o) for o in story.outcomes]
        points.append(Points(f"confirmed, mean over {story.unit}s", *values, labels, marker="star", tone="good"))
    shown = [p for p in points if p.x]
    x = _axis(first.metric, [float(v) for p in shown for v in p.x if v is not None])
    y = _axis(second.metric, [v for p in shown for v in p.y])
    return Scatter(f"{first.metric} and {second.metric}", x, y, shown,
                   note=f"{many(left, 'trial')} far from the front left out." if left else "")  # fmt: skip


def _near(story: Story, best: Sequence[Trial], others: Sequence[Trial]) -> list[Trial]:
    """Those of the other trials beside which the front can still be seen: within twice its extent, and that of what was
    confirmed, of its worst."""
    rows = [t.losses(story.goal) for t in best]
    rows += [tuple(g.loss(o.means[g.metric]) for g in story.goal.goals) for o in story.outcomes]
    worst, least = [[f(column) for column in zip(*rows, strict=True)] for f in (max, min)]
    ends = [w + 2 * (w - x) if w > x else math.inf for w, x in zip(worst, least, strict=True)]
    return [t for t in others if all(v <= e for v, e in zip(t.losses(story.goal)[:2], ends[:2], strict=True))]


def _axis(name: str, values: Sequence[float]) -> Axis:
    """An axis; logarithmic where values are of different orders."""
    return Axis(name, "log" if min(values) > 0 and max(values) > WIDE * min(values) else "linear")


def _points(goal: Goal, label: str, trials: Sequence[Trial], marker: Marker) -> Points:
    first, second = goal.metrics[:2]
    values = [t.values(goal) for t in trials]
    tone: Tone = "muted" if marker == "ring" else "info"
    return Points(label, [v[first] for v in values], [v[second] for v in values],
                  [f"trial {t.number}" for t in trials], marker=marker, tone=tone)  # fmt: skip


def _confirmed(story: Story) -> Table:
    """Means and intervals of baseline and finalists, the used one marked."""
    used = config_key(story.config)
    rows: list[list[float | str]] = []
    for o, stands in zip(story.outcomes, standing(story.outcomes, story.goal), strict=True):
        n = len(next(iter(o.values.values())))
        cells = [_with_interval(name, o.values[name]) for name in story.goal.named]
        rows.append([_called(story, o), n, *cells, stands])
    columns = (Column("configuration"), Column(f"{story.unit}s", "number"), *map(Column, story.goal.named), Column(""))
    marked = [i for i, o in enumerate(story.outcomes) if config_key(o.config) == used]
    return Table(columns, rows, marked=marked, title=f"Confirmed on fresh {story.unit}s",
                 note="Mean and its 95 % interval. Marked: what is used.")  # fmt: skip


def _called(story: Story, outcome: Outcome) -> str:
    own = config_key(outcome.config) == config_key(story.base.baseline)
    return "the default" if own else tell_change(outcome.config, story.base.baseline)


def _with_interval(metric: str, values: Sequence[float]) -> str:
    mean, low, high = possible(metric, mean_interval(values))
    sure = not math.isfinite(low) or low == high
    return amount(mean) if sure else f"{amount(mean)} ({amount(low)} to {amount(high)})"
