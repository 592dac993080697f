"""Finalize: train the adopted configuration once more, on training and validation part together.

There is no validation part left to stop early on, so the number of steps is the one that the confirmed runs found best.
"""

from __future__ import annotations

from statistics import median

from tunebook.errors import many
from tunebook.playbook.base import Base, Conclusion, Round, Stage, of_run, tell_change
from tunebook.playbook.confirm import is_repeat
from tunebook.trial import Context, Failure, Status, Trials, config_key


class Finalize(Stage):
    """The last training, which leaves the model behind."""

    name = "finalize"

    def design(self, base: Base, trials: Trials) -> Round | None:
        if base.left(trials) < 1:
            return None
        steps = base.steps if base.folds else best_steps(base, trials)
        run = (base.config, Context(seed=base.fresh_seed(2_000_000), final=True))
        if hopeless(base, trials) is not None:
            question = "The model: can the configuration to use be trained?"
            return Round(base.called(self.name), question, base.space, base.goal, steps, 0, runs=(run,))
        what, long = tell_change(base.config, base.baseline), many(steps, "step")
        question = f"The model: {what}, on all data but the test part, for {long}."
        # a fit cannot be paused: what is one fold longer than those that were measured may end after the search does
        share = 2.0 if base.folds else 1.0
        return Round(base.called(self.name), question, base.space, base.goal, steps, 1, "listed", "full", (run,),
                     share=share, metric=f"train_{base.goal.metric}")  # fmt: skip

    def conclude(self, base: Base, round: Round, trials: Trials) -> Conclusion:
        if not round.trials and (failure := hopeless(base, trials)) is not None:
            why = f"the configuration to use failed whenever it was trained: {failure.line.rstrip('.')}"
            return Conclusion((f"No model: {why}.",), base, stop=f"no model, as {why}")
        if not trials.count(round.name):
            return Conclusion(("No time was left for the last training.",), base, stop="no time for the last training")
        trial = of_run(round, trials)
        if trial.status is Status.FAILED and trial.failure is not None:
            failed = f"The final training failed: {trial.failure.line}."
            return Conclusion((failed,), base, stop="final training failed")
        says = f"Trained for {many(trial.step, 'step')}, the median of the best steps of the confirmed runs."
        if base.folds:
            says = "Trained once more, on all rows but those of the test part."
        return Conclusion((says,), base, figures={"trial": trial.number})


def hopeless(base: Base, trials: Trials) -> Failure | None:
    """The last failure of the adopted configuration, if it has been tried and never came to an end.

    What the machine is to blame for says nothing of the next time.
    """
    key = config_key(base.config)
    runs = [t for t in trials.values() if t.key == key and not t.context.final]
    failures = [t.failure for t in runs if t.status is Status.FAILED and t.failure is not None]
    if not failures or len(failures) < len(runs) or any(f.kind.retried for f in failures):
        return None
    return failures[-1]


def best_steps(base: Base, trials: Trials) -> int:
    """Median best step of the runs of the adopted configuration; all steps if there are none."""
    key = config_key(base.config)
    runs = [
        t
        for t in trials.values()
        if t.key == key and not t.context.final and t.status in (Status.COMPLETED, Status.STOPPED)
    ]
    confirmed = [t for t in runs if is_repeat(t)] or runs
    scored = [m.step for m in (t.scored(base.goal) for t in confirmed) if m is not None]
    return max(1, round(median(scored))) if scored else base.steps
