"""Cross-validation as a trial, for any objective that knows folds: networks too."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, replace

from tunebook.errors import ObjectiveError
from tunebook.objective import EarlyStop, Objective, Run
from tunebook.trial import Goal, Measurement


@dataclass(frozen=True)
class Folded:
    """An objective whose steps are folds: each trains ``inner`` for ``inner_steps`` on ``Context.fold`` = 0, 1, ...

    What counts of a fold is its best step; what is reported is the mean over the folds so far, and the value of the
    fold alone as ``fold_<metric>``. A final training is one of ``inner`` on all data. Folds lie in folders of their own
    below the run's, so a run that is taken up goes on in the fold where it was.

    >>> from tunebook.data import Split
    >>> from tunebook.learners import MlpLearner
    >>> goal = Goal("accuracy", "maximize", pick="last")
    >>> net = MlpLearner().objective("sklearn:wine", Split(), goal, 10, folds=5)
    >>> objective = Folded(net, goal, folds=5, inner_steps=10)     # a study of it has steps=5
    """

    inner: Objective
    goal: Goal
    folds: int
    inner_steps: int

    def __call__(self, run: Run) -> Generator[Measurement, None, EarlyStop | None]:
        if run.context.final:
            return (yield from self._final(run))
        told: list[dict[str, float]] = []
        for step in range(1, min(run.until, self.folds) + 1):
            scores, seconds = self._fold(run, step)
            told.append(scores)
            means = {name: sum(s[name] for s in told) / step for name in scores if all(name in s for s in told)}
            yield Measurement(step, {**means, f"fold_{run.metric}": scores[run.metric]}, seconds)
        return None

    def _fold(self, run: Run, step: int) -> tuple[dict[str, float], float]:
        """The metrics that count of a fold, and its seconds."""
        context = replace(run.context, fold=step - 1)
        folder = run.folder / f"fold-{step}"
        folder.mkdir(parents=True, exist_ok=True)
        inner = replace(run, context=context, folder=folder, until=self.inner_steps)
        measured = list(self.inner(inner))
        if not measured:
            raise ObjectiveError("a fold measured nothing", where=f"fold {step}", expected="a measurement each step")
        best = min(measured, key=lambda m: self.goal.loss(m.metrics[self.goal.metric]))
        return dict(best.metrics), sum(m.seconds for m in measured)

    def _final(self, run: Run) -> Generator[Measurement, None, EarlyStop | None]:
        last: Measurement | None = None
        for m in self.inner(replace(run, until=self.inner_steps)):
            last = m
        if last is not None:
            yield replace(last, step=run.until)
        return None
