"""Checkpoints are kept as long as somebody may need them, and files that are not ours for ever."""

import re

from tunebook import tune_model
from tunebook.playbook.keep import KEPT, expendable
from tunebook.sealed import CHECKPOINT, remove_checkpoints
from tunebook.trial import (
    Closed,
    Context,
    Created,
    Ended,
    Goal,
    Launched,
    Measured,
    Measurement,
    Opened,
    Status,
    Trials,
    apply,
)

GOAL = Goal("loss")


def trial(number, round, loss, status=Status.PAUSED, context=Context()):  # noqa: B008
    return [Created(number, round, {"x": 0.1 * number}, context), Launched(number, 1, 3),
            Measured(number, 1, Measurement(1, {"loss": loss})), Ended(number, 1, status)]  # fmt: skip


def test_what_may_go_on_and_what_is_best_stays():
    events = [Opened("explore", {}, GOAL), *(e for n in range(6) for e in trial(n, "explore", float(n)))]
    trials = apply(Trials(), events)
    assert expendable(trials, GOAL, 3, ()) == [], "the round is open: any of them may go on"
    apply(trials, [Closed("explore", "trials")])
    assert expendable(trials, GOAL, 3, ("explore",)) == []
    assert expendable(trials, GOAL, 3, ()) == [3, 4, 5] and KEPT == 3
    final = trial(6, "finalize", 9.0, Status.COMPLETED, Context(final=True))
    apply(trials, [Opened("finalize", {}, GOAL), *final, Closed("finalize", "trials")])
    assert expendable(trials, GOAL, 3, ()) == [3, 4, 5]


def test_only_our_checkpoints_are_removed(tmp_path):
    ours = tmp_path / f"checkpoint-0000003-{'a' * 64}.safetensors"
    theirs = [tmp_path / name for name in ("checkpoint-3.pt", "model.safetensors", f"{ours.name}.corrupt", "log.txt")]
    for path in (ours, *theirs):
        path.write_bytes(b"12345")
    assert remove_checkpoints(tmp_path) == 5 and sorted(tmp_path.iterdir()) == sorted(theirs)
    assert remove_checkpoints(tmp_path / "none") == 0


def left(folder):
    return {int(p.parent.name) for p in folder.glob("trials/*/*") if re.fullmatch(CHECKPOINT, p.name)}


def test_a_study_frees_what_it_does_not_need(tmp_path):
    told = tune_model("mlp", "sklearn:iris", steps=9, trials=13, folder=tmp_path, workers=0, quiet=True)
    cut = {t.number for t in told.trials.of("explore") if t.status is Status.PAUSED}
    kept = left(tmp_path)
    assert kept and len(cut & kept) < len(cut), "trials that were cut short hold no checkpoint, but the best"
    assert len([n for n in kept if not told.trials[n].round.startswith("confirm")]) <= KEPT + 1
    assert told.model is not None and told.model.is_dir()
