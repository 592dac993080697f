"""What the steps of a training do: gradient norms and where to clip, updates against weights, units that are dead.

(playbook I3; the ratio of update to weight and the share of dead or saturated units are what practitioners look at
beside it)
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tunebook.diagnose.base import Finding, Severity
from tunebook.space import Array, Parameter, Value
from tunebook.training.evaluate import fast_layout
from tunebook.training.probes.base import Reading, Step, Subject, Trace, by_step, sample, traced
from tunebook.training.probes.stability import verdict
from tunebook.training.settings import real

CLIPPED = 0.9  # quantile of the norms at which to clip
MOSTLY = 0.5
BURST = 10.0  # times what is usual around it
WINDOW = 20
FAST, SLOW = 0.1, 1e-6  # of a weight's norm, changed by a step
VANISHED = 1e-3
DEAD = 0.5
BOUND = 0.97  # of the range of a sigmoid or tanh, from where it hardly answers any more
SETTLING = 5  # steps that are left out: those of the first ones are of another kind
SCALE_FREE = ("adam", "adamw", "nadam", "rmsprop", "adagrad")  # steps are the same for gradients times a constant
RISEN = 2.0  # times the first loss
SHOWN = (0.05, 0.25, 0.5, 0.75, 0.9, 0.99)


def quantile(values: Array, q: float) -> float:
    """Quantile of the finite values; nan without one."""
    sound = values[np.isfinite(values)]
    return float(np.quantile(sound, q)) if len(sound) else math.nan


def bursts(norms: Array) -> Array:
    """Each finite norm (n,) over the median of the 20 before it; 1 for the first five, which have too few."""
    out = np.ones(len(norms))
    for i in range(SETTLING, len(norms)):
        before = quantile(norms[max(0, i - WINDOW) : i], 0.5)
        if math.isfinite(norms[i]) and math.isfinite(before):
            out[i] = norms[i] / max(before, 1e-30)
    return out


def bursting(norms: Array) -> NDArray[np.bool_]:
    """Which of the norms (n,) are far above what was usual just before them, or not finite."""
    return ~np.isfinite(norms) | (bursts(norms) >= BURST)


def sound_steps(losses: Array, norms: Array) -> int:
    """How many steps from the first on say what is usual: of a training that diverges, those before it went astray."""
    if verdict(losses) == "none":
        return len(norms)
    astray = bursting(norms) | ~(losses <= RISEN * abs(losses[0]))
    return int(np.argmax(astray)) if bool(astray.any()) else 0


def norm_findings(
    norms: Array, clip_norm: float, rate_name: str, rate: float, sound: int | None = None, optimizer: str = "sgd"
) -> list[Finding]:
    """What the gradient norms (n,) of the steps, before clipping, say about clipping. (playbook I3)

    Of a training that diverged the first ``sound`` steps say where to clip, if they are more than 20, or nothing does.
    """
    usual = norms[:sound]
    diverged = sound is not None and sound < len(norms)
    at = quantile(usual[~bursting(usual)], CLIPPED) if not diverged or len(usual) > WINDOW else math.nan
    figures = {
        "p50": quantile(norms, 0.5),
        "p90": quantile(norms, CLIPPED),
        "largest": float(np.max(norms)),
        "clip_norm": clip_norm,
    }
    if clip_norm > 0:
        share = float(np.mean(~(norms <= clip_norm)))
        if share <= MOSTLY:
            return []
        says = f"clipping at {clip_norm:.3g} changes {100 * share:.0f} % of the updates: it "
        if optimizer in SCALE_FREE:
            says += f"hardly matters to {optimizer}, which divides by the size of the gradients"
            advice = "leave it, or clip higher to touch bursts alone"
            figures |= {"share": share}
            return [Finding("gradients", Severity.INFO, says, advice, {}, (), "clip_norm", figures)]
        says += "acts as a lower learning rate"
        proposal: dict[str, Value | Parameter] = {rate_name: rate / 3}
        proposal |= {"clip_norm": at} if math.isfinite(at) else {}
        advice = "lower the learning rate instead"
        advice += f", and clip at the 90th percentile, {at:.3g}" if math.isfinite(at) else ""
        return [
            Finding("gradients", Severity.WARN, says, advice, proposal, (), "clip_norm", figures | {"share": share})
        ]
    if not bool(np.isfinite(norms).all()):
        says = f"the gradient overflows at step {int(np.argmin(np.isfinite(norms)))}"
        known = len(norms) > WINDOW and math.isfinite(at)
        advice = (
            f"clip gradients{f' at {at:.3g}, the 90th percentile before that' if known else ''}; a smaller gain of "
        )
        advice += "recurrent weights, shorter sequences, a gated cell"
        proposal = {"clip_norm": at} if known else {}
        return [Finding("gradients", Severity.BAD, says, advice, proposal, (), "clip_norm", figures)]
    if not bool(bursting(norms).any()):
        return []
    says = f"gradients burst: the norm is up to {float(bursts(norms).max()):.0f} times what it was just before"
    if not math.isfinite(at):
        says += "; the training diverges, so its gradients do not say where to clip"
        return [Finding("gradients", Severity.WARN, says, "lower the learning rate", {}, (), rate_name, figures)]
    advice = f"clip at the 90th percentile, {at:.3g}: it touches the bursts and little else"
    return [Finding("gradients", Severity.WARN, says, advice, {"clip_norm": at}, (), "clip_norm", figures)]


@dataclass(frozen=True)
class Layers:
    """By layer, in the order of the model: the median ratio of update to weight, and the gradient per weight (RMS)."""

    updates: Mapping[str, float]
    gradients: Mapping[str, float]


class _Watched:
    """Follows the weights of layers from step to step."""

    def __init__(self) -> None:
        self.before: dict[str, Tensor] = {}
        self.updates: dict[str, list[float]] = {}
        self.gradients: dict[str, list[float]] = {}

    def __call__(self, step: Step) -> None:
        told = {n: p for n, p in step.model.named_parameters() if p.ndim > 1 and p.grad is not None}
        for name, p in told.items():
            now = p.detach()
            if name in self.before:
                was = self.before[name]
                self.updates.setdefault(name, []).append(float((now - was).norm() / was.norm().clamp_min(1e-12)))
            assert p.grad is not None
            self.gradients.setdefault(name, []).append(float(p.grad.norm()) / math.sqrt(p.numel()))
            self.before[name] = now.clone()

    def layers(self) -> Layers:
        return Layers({n: float(np.median(v)) for n, v in self.updates.items()},
                      {n: float(np.median(v)) for n, v in self.gradients.items()})  # fmt: skip


def layer_findings(layers: Layers, subject: Subject) -> list[Finding]:
    """Updates that are out of proportion to the weights, and gradients that vanish on their way to the first layer."""
    ends = list(layers.gradients.values())
    if len(ends) > 2 and ends[-1] > 0 and ends[0] < VANISHED * ends[-1]:
        share = ends[0] / ends[-1]
        says = f"gradients vanish: those of the first layer are {share:.1g} times those of the last"
        advice = "another activation, normalisation or residual connections; fewer layers"
        return [Finding("updates", Severity.WARN, says, advice, _livelier(subject), (), None, {"share": share})]
    usual = float(np.median(list(layers.updates.values()))) if layers.updates else SLOW
    if SLOW <= usual <= FAST:
        return []
    fast, rate, name = not usual < SLOW, subject.rate, subject.rate_name
    says = f"a step changes the weights by {usual:.1g} of their norm: " + ("too much" if fast else "next to nothing")
    advice = "about 0.001 is usual (0.0001 to 0.01): " + ("lower" if fast else "raise") + " the learning rate"
    change: dict[str, Value | Parameter] = {name: rate / 10 if fast else rate * 10}
    return [Finding("updates", Severity.WARN, says, advice, change, (), name, {"ratio": usual})]


def _livelier(subject: Subject) -> dict[str, Value | Parameter]:
    """What of the configuration keeps signals alive in depth."""
    config = subject.config
    change: dict[str, Value | Parameter] = {}
    if config.get("activation") in ("sigmoid", "tanh"):
        change["activation"] = "relu"
    if config.get("norm") == "none":
        change["norm"] = "batch"
    return change


def idle_units(model: nn.Module, x: Tensor) -> dict[str, float]:
    """Share of idle units by activation layer, for inputs (n, ...): of ReLU those that are 0 for all n, of sigmoid and
    tanh the values at the ends of their range. What a model calls as a function, not as a layer, is not seen."""
    shares: dict[str, float] = {}
    hooks = []
    for name, layer in model.named_modules():
        if isinstance(layer, nn.ReLU | nn.ReLU6 | nn.Sigmoid | nn.Tanh):

            def told(layer: nn.Module, inputs: object, out: Tensor, name: str = name) -> None:
                if isinstance(layer, nn.ReLU | nn.ReLU6):
                    axes = [i for i in range(out.ndim) if i != 1]
                    shares[name] = float((out.detach().amax(axes) <= 0).double().mean())
                else:
                    spread = (2 * out.detach() - 1) if isinstance(layer, nn.Sigmoid) else out.detach()
                    shares[name] = float((spread.abs() > BOUND).double().mean())

            hooks.append(layer.register_forward_hook(told))
    try:
        with torch.no_grad():
            model.eval()(fast_layout(x))
    finally:
        for hook in hooks:
            hook.remove()
    return shares


def idle_findings(shares: Mapping[str, float], subject: Subject) -> list[Finding]:
    """Layers most of whose units do not answer."""
    bad = {name: share for name, share in shares.items() if share > DEAD}
    if not bad:
        return []
    name, share = max(bad.items(), key=lambda item: item[1])
    says = (
        f"{len(bad)} of {len(shares)} activation layers are mostly idle: {100 * share:.0f} % of {name or 'the layer'}"
    )
    advice = "a lower learning rate or warm-up, smaller first weights, normalisation, or a leaky activation"
    proposal: dict[str, Value | Parameter] = {"activation": "leaky_relu"} if "activation" in subject.config else {}
    return [Finding("activations", Severity.WARN, says, advice, proposal, (), None, {"share": share})]


def gradients(subject: Subject, steps: int = 100) -> Reading:
    """Norms, updates and activations of a short training of the configuration."""
    watched = _Watched()
    trace: Trace = traced(subject, steps, watch=watched)
    layers = watched.layers()
    shares = idle_units(trace.model, sample(subject, 256)[0])
    limit = real(subject.config, "clip_norm", 0.0)
    idle = idle_findings(shares, subject)  # they explain updates that are next to nothing
    sound = sound_steps(trace.losses, trace.norms)
    findings = [*norm_findings(trace.norms, limit, subject.rate_name, subject.rate, sound, subject.optimizer[0]),
                *(idle or layer_findings(layers, subject))]  # fmt: skip
    figures = {f"norm p{100 * q:g}": quantile(trace.norms, q) for q in SHOWN}
    if layers.updates:
        figures["update to weight"] = float(np.median(list(layers.updates.values())))
    if shares:
        figures["idle units"] = max(shares.values())
    figures["rate"] = subject.rate
    says = f"at the learning rate {subject.rate:.2g}: gradient norms {figures['norm p50']:.3g} (median), "
    says += f"{figures['norm p90']:.3g} (90th percentile)"
    if "update to weight" in figures:
        says += f"; a step changes weights by {figures['update to weight']:.1g} of their norm"
    curves = {"gradient norm": by_step(trace.norms), "updates": by_step(np.array(list(layers.updates.values()))),
              "gradient by layer": by_step(np.array(list(layers.gradients.values())))}  # fmt: skip
    return Reading("gradients", says, figures, curves, tuple(findings))
