"""The configuration to use, and how much is known about it: confirmed on fresh seeds, or only seen once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from tunebook.analysis.compare import mean_interval
from tunebook.cli.words import cell, clean, clean_lines, table
from tunebook.errors import many, times
from tunebook.metrics import possible
from tunebook.outcomes import Outcome, front_of, standing
from tunebook.playbook.limits import nearest_to_limits
from tunebook.record import Record
from tunebook.report.best import unconfirmed
from tunebook.report.story import Story
from tunebook.samplers.recommend import Recommendation


def answer_of(record: Record, story: Story | None) -> dict[str, Any]:
    """What to use, as plain JSON; ``config`` is None when nothing succeeded."""
    goal = record.goal
    best = record.best
    told: dict[str, Any] = {
        "study": record.name,
        "finished": record.finished,
        "asked": record.asked,
        "source": "nothing succeeded",
        "config": None,
        "metric": goal.metric if goal else None,
        "direction": str(goal.direction) if goal else None,
        "confirmed": None,
        "observed": None,
    }
    if goal is not None and not goal.plain:
        told["goals"] = {g.metric: str(g.direction) for g in goal.goals}
        told["limits"] = [str(limit) for limit in goal.limits]
    if story is not None and record.finished and story.beyond:
        return told | {"source": "nothing keeps the limits", "why": story.beyond}
    if best is None or goal is None:
        near = "" if goal is None else nearest_to_limits(goal, {}, record.trials)
        return told | ({"source": "nothing keeps the limits", "why": near} if near else {})
    told["observed"] = {"trial": best.number, "value": best.value(goal), "config": dict(best.config)}
    told |= {"source": "best observed", "config": dict(best.config)}
    if goal.also:
        told["front"] = [
            {"trial": t.number, "values": t.values(goal), "config": dict(t.config)} for t in record.front
        ]
    if story is not None and record.finished:
        kept = "default" if story.base.config == story.base.baseline else "best observed"
        told |= {"source": "confirmed" if story.base.adopted else kept, "config": dict(story.base.config)}
        told["confirmed"] = _confirmed(story)
        told["repeats"] = f"{story.unit}s"
        stands = standing(story.outcomes, goal)
        told["outcomes"] = [_outcome(o, s, story) for o, s in zip(story.outcomes, stands, strict=True)]
        told |= outputs_of(story)
        return told
    surest = None if story is None else story.recommended
    if surest is not None:
        told |= {"source": "recommended", "config": dict(surest.config), "recommended": _recommended(surest)}
    return told | {"says": unconfirmed(goal.metric, surest, best.value(goal), best.number)}


def _recommended(best: Recommendation) -> dict[str, Any]:
    low, high = (v if math.isfinite(v) else None for v in (best.low, best.high))
    return {"trial": best.trial, "value": best.mean, "low": low, "high": high, "exact": best.exact}


def outputs_of(story: Story) -> dict[str, Any]:
    """The model and its test, where there are some."""
    test = None
    if story.look is not None:
        test = {k: {"value": v, "low": low, "high": high} for k, (v, low, high) in story.look.metrics.items()}
    return {"model": str(story.model) if story.model else None, "test": test, "looks": len(story.trials.looks)}


def _confirmed(story: Story) -> dict[str, Any] | None:
    told = story.confirmation
    if told is None:
        return None
    figures = next(c.conclusion.figures for c in reversed(story.chapters) if "winner" in c.conclusion.figures)
    difference = {"value": figures["difference"], "low": figures["low"], "high": figures["high"]}
    metric = story.goal.metric
    own = next((o for o in story.outcomes if o.config == story.base.baseline), None)
    return {
        "adopted": story.base.adopted,
        "separable": story.base.adopted and figures["separable"],
        "default_beyond": own.broken(story.goal) if own is not None else [],
        "default": _summary(metric, told["baseline"], story.unit),
        "finalist": _summary(metric, told["winner"], story.unit),
        "difference": difference,
    }


def _outcome(outcome: Outcome, stands: str, story: Story) -> dict[str, Any]:
    """A configuration that was confirmed, or was not: its metrics over the repeats, and where it stands."""
    return {
        "config": dict(outcome.config),
        "used": outcome.config == story.base.config,
        "values": {name: _summary(name, v, story.unit) for name, v in outcome.values.items()},
        "beyond": outcome.broken(story.goal),
        "front": outcome in front_of(story.outcomes, story.goal),
        "stands": stands,
    }


def _summary(metric: str, values: Sequence[float], unit: str) -> dict[str, Any]:
    mean, low, high = possible(metric, mean_interval(values))
    return {"mean": mean, "low": low, "high": high, f"{unit}s": len(values)}


def in_words(told: dict[str, Any]) -> str:
    """The answer for people."""
    if told["config"] is None:
        return f"{clean(told['study'])}: {clean_lines(told.get('why', 'no trial has succeeded yet'))}"
    lines = [*_says(told), "", table(("hyperparameter", "value"), told["config"].items())]
    if told.get("limits"):
        lines += ["", f"within the limits {', '.join(map(clean, told['limits']))}"]
    if told.get("outcomes"):
        lines += ["", *_in_a_table(told)]
        if told.get("front"):
            lines += [f"the front of the whole search, single values: tunebook report {clean(told['study'])}"]
    elif told.get("front"):
        goals = told["goals"]
        heads = ("trial", *(f"{clean(m)} ({direction})" for m, direction in goals.items()))
        rows = [(t["trial"], *(t["values"][m] for m in goals)) for t in told["front"]]
        lines += ["", "No trial beats one of these in all goals; what is told above is the best by the first:"]
        lines += [table(heads, rows), "a trial's configuration: tunebook show STUDY --trial N"]
    test = told.get("test")
    if test:
        heads, rows = ("test part", "value", "low", "high"), [(k, *v.values()) for k, v in test.items()]
        lines += ["", table(heads, rows), f"looked at {times(told['looks'])}; intervals are at 95 %"]
    if told.get("model"):
        lines += ["", f"model: {clean(told['model'])}"]
    return "\n".join(lines)


def _says(told: dict[str, Any]) -> list[str]:
    metric, observed, confirmed = clean(told["metric"]), told["observed"], told["confirmed"]
    unit = told.get("repeats", "seeds")
    if told["asked"] or not told["finished"]:
        why = "on fresh seeds" if told["asked"] else "yet: the study is not finished"
        return [f"Not confirmed {why}. {clean(told['says'])}"]
    seen = f"The best single value was {metric} {cell(observed['value'])} (trial {observed['trial']})"
    if confirmed is None:
        kept = "the default stays" if told["source"] == "default" else "use it with care"
        return [f"Nothing was confirmed on fresh {unit}, so {kept}. {seen}."]
    default, finalist, gain = confirmed["default"], confirmed["finalist"], confirmed["difference"]
    lines = [
        f"default: {metric} {_mean(default, unit)}",
        f"finalist: {metric} {_mean(finalist, unit)}",
        f"difference {gain['value']:+.4g} (95 % interval, for all finalists together, {gain['low']:+.4g} to "
        f"{gain['high']:+.4g})",
    ]
    if confirmed["adopted"] and confirmed["default_beyond"]:
        over = clean(", ".join(confirmed["default_beyond"]))
        return [f"Confirmed on {unit} that the search never saw: it keeps the limits; the default is beyond {over}.",
                *lines, f"{seen}."]  # fmt: skip
    if confirmed["adopted"]:
        sure = f"Confirmed on {unit} that the search never saw: separably better than the default."
        return [sure, *lines, f"{seen}."]
    if told["source"] != "default":
        return ["Not separably better than the default, but better on average, so it is used.", *lines, f"{seen}."]
    return ["No finalist is separably better than the default, so the default stays.", *lines, f"{seen}."]


def _in_a_table(told: dict[str, Any]) -> list[str]:
    """What baseline and finalists came to, metric by metric."""
    outcomes = told["outcomes"]
    metrics = list(outcomes[0]["values"])
    names = [n for n in outcomes[0]["config"] if len({str(o["config"].get(n)) for o in outcomes}) > 1]
    rows = [("used" if o["used"] else "", *(cell(o["values"][m]["mean"]) for m in metrics),
             o["stands"], *(o["config"].get(n) for n in names)) for o in outcomes]  # fmt: skip
    return ["The default, which is first, and the finalists, means over fresh repeats:",
            table(("", *map(clean, metrics), "", *names), rows)]  # fmt: skip


def _mean(told: dict[str, Any], unit: str) -> str:
    over = many(told[unit], unit.removesuffix("s"))
    return f"{told['mean']:.5g} over {over} (95 % interval {told['low']:.5g} to {told['high']:.5g})"
