"""Is the start sane? The loss of the untrained model against its theoretical value, and a short training against chance
and against one on shuffled labels. (playbook P1)"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from tunebook.diagnose.base import Finding, Severity
from tunebook.training.evaluate import fast_layout, predict
from tunebook.training.losses import flat
from tunebook.training.probes.base import Reading, Subject, sample, traced
from tunebook.training.seeds import seeded
from tunebook.training.task import Part

ROWS = 512
LARGE, SMALL = 2.0, 0.5  # times the theoretical value
SPREAD = 0.5  # what outputs of the size of 1 add to it
RESAMPLES = 60
SURE = 2.0  # standard errors
WHOLE = 0.5  # of the steps of a full training, after which it must have learned something


def expected_loss(y: Tensor, classes: int) -> float:
    """The loss of outputs that know nothing: ln(classes) for codes, ln 2 for several labels, else the mean square.

    ``y`` are targets: (n,) codes, (n, labels) zeros and ones, or (n,) values that were standardised.
    """
    if not y.is_floating_point():
        return math.log(max(2, classes))
    return math.log(2) if y.ndim == 2 and classes > 1 else float((y.double() ** 2).mean())


def first_loss(subject: Subject) -> Reading:
    """The loss at initialisation: median over three draws of the weights, on 512 rows of the training part."""
    x, y = sample(subject, ROWS)
    plain = subject.task.metrics.get("loss", subject.task.loss(subject.config))
    losses, classes = [], 1
    for k in range(3):
        model = replace(subject, seed=subject.seed + k).model().train()
        with seeded(subject.seed, 1, subject.task.device), torch.no_grad():
            outputs = model(fast_layout(x))
        classes = outputs.shape[1] if outputs.ndim > 1 else 1
        losses.append(float(plain(outputs, y)))
    loss, theory = float(np.median(losses)), expected_loss(y, classes)
    says = f"the untrained model has a loss of {loss:.3g}; outputs that know nothing have {theory:.3g}"
    return Reading("first loss", says, {"loss": loss, "theory": theory}, {}, tuple(loss_findings(loss, theory)))


def loss_findings(loss: float, theory: float) -> list[Finding]:
    """What an odd loss at initialisation says."""
    figures = {"loss": loss, "theory": theory}
    if not math.isfinite(loss):
        says, advice = "the loss of the untrained model is not finite", "look at the inputs and the first weights"
        return [Finding("first loss", Severity.BAD, says, advice, {}, (), None, figures)]
    if loss > LARGE * theory + SPREAD:
        says = f"the untrained model is sure and wrong: its loss is {loss:.3g}, that of outputs near 0 is {theory:.3g}"
        advice = "smaller weights in the last layer (or zeros), standardised inputs and targets"
        return [Finding("first loss", Severity.WARN, says, advice, {}, (), None, figures)]
    if loss < SMALL * theory:
        says = f"the untrained model knows too much: its loss is {loss:.3g}, chance has {theory:.3g}"
        advice = "look for the target among the inputs, a constant target, or a loss that is not a mean"
        return [Finding("first loss", Severity.WARN, says, advice, {}, (), None, figures)]
    return []


def constant_outputs(y: Tensor, like: Tensor) -> Tensor:
    """Outputs (n, ...) like ``like`` of the best predictor that looks at no input, learned from the targets ``y``."""
    if not y.is_floating_point():
        shares = torch.bincount(y, minlength=like.shape[1]).to(like.dtype) + 0.5
        return torch.log(shares / shares.sum()).expand_as(like)
    if y.ndim == 2 and like.ndim == 2 and like.shape[1] > 1:
        share = (y.to(like.dtype).sum(0) + 0.5) / (len(y) + 1)
        return torch.logit(share).expand_as(like)
    return y.mean().to(like.dtype).expand(like.shape)


def chance(subject: Subject, steps: int) -> Reading:
    """A training of ``steps`` steps, and one on shuffled labels, against the best constant, on the validation part.

    Scores are of the goal metric; their errors come from resampling the rows of the part. Without a validation part
    the training part is judged.
    """
    task = subject.task
    judged = (task.valid or task.train).to(task.device)
    real = predict(traced(subject, steps).model, judged.x)
    order = torch.randperm(len(task.train), generator=torch.Generator().manual_seed(subject.seed + 1))
    mixed = replace(subject, task=replace(task, train=Part(task.train.x, task.train.y[order])))
    shuffled = predict(traced(mixed, steps).model, judged.x)
    constant = constant_outputs(task.train.y.to(task.device), flat(real) if real.shape[1:] == (1,) else real)
    scores, gain, odd = _compared(subject, [real, shuffled, constant], judged.y)
    metric = task.goal.metric.removeprefix("train_")
    says = (
        f"after {steps} steps {metric} is {scores[0]:.3g}; on shuffled labels {scores[1]:.3g}, without looking at the "
        f"input {scores[2]:.3g}"
    )
    figures = {"trained": scores[0], "shuffled": scores[1], "constant": scores[2], "gain": gain, "leak": odd}
    figures["share"] = steps / subject.total
    return Reading("chance", says, figures, {}, tuple(chance_findings(figures, metric)))


def _compared(subject: Subject, outputs: list[Tensor], y: Tensor) -> tuple[list[float], float, float]:
    """Scores, and how many standard errors the first is better than the third, and the second than the third."""
    task = subject.task
    metric = task.metrics[task.goal.metric.removeprefix("train_")]

    def losses(rows: Tensor | None) -> list[float]:
        told = outputs if rows is None else [o[rows] for o in outputs]
        return [task.goal.loss(float(metric(o, y if rows is None else y[rows]))) for o in told]

    generator = torch.Generator().manual_seed(0)
    whole = losses(None)
    draws = []
    for _ in range(RESAMPLES):
        rows = torch.randint(len(y), (len(y),), generator=generator).to(y.device)
        if y.is_floating_point() or bool((y[rows] != y[rows[0]]).any()):
            draws.append(losses(rows))
    told = np.array(draws)
    better = [(whole[2] - whole[i]) / max(float(np.std(told[:, 2] - told[:, i])), 1e-12) for i in (0, 1)]
    values = [task.goal.sign * loss for loss in whole]
    return values, *(b if math.isfinite(b) else -math.inf for b in better)  # type: ignore[return-value]


def chance_findings(figures: dict[str, float], metric: str) -> list[Finding]:
    """Refuse what has learned nothing, or what scores where nothing can be learned.

    ``gain`` and ``leak`` are standard errors by which the training and the one on shuffled labels beat the constant,
    ``share`` is that of the steps of a full training. A network on shuffled labels still gives alike inputs one label,
    and so is lucky or unlucky for whole groups: it must also come half as far as the real one.
    """
    gained, kept = (abs(figures[k] - figures["constant"]) for k in ("trained", "shuffled"))
    if figures["leak"] > 2 * SURE and kept > 0.5 * gained:
        says = f"trained on shuffled labels {metric} is still {figures['shuffled']:.3g}, where "
        says += f"{figures['constant']:.3g} is chance"
        advice = "the metric does not measure what it says, or it sees the labels in another way: mend that first"
        return [Finding("chance", Severity.BAD, says, advice, {}, (), None, figures)]
    if figures["gain"] < SURE:
        says = f"it is not better than chance: {metric} {figures['trained']:.3g} against {figures['constant']:.3g}"
        whole = figures["share"] >= WHOLE
        says += "" if whole else f", after {100 * figures['share']:.0f} % of the steps of a full training"
        advice = "look at the data, the labels and the learning rate before tuning anything else"
        return [Finding("chance", Severity.BAD if whole else Severity.WARN, says, advice, {}, (), None, figures)]
    return []
