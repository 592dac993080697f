"""Each probe fires on a defect that was planted, and is silent on a healthy net."""

import math
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from tunebook.data import open_dataset
from tunebook.diagnose.base import Finding, Severity
from tunebook.errors import SettingError
from tunebook.space import Config, Float
from tunebook.training import Part, Task, classification, regression
from tunebook.training.models import mlp
from tunebook.training.probes import (
    Probed,
    Reading,
    Subject,
    chance,
    evaluation,
    first_loss,
    gradients,
    input_share,
    ladder,
    probe,
    rate_test,
    throughput,
    warmup_search,
)
from tunebook.training.probes.base import traced
from tunebook.training.probes.gradients import Layers, bursts, idle_units, layer_findings, norm_findings, sound_steps
from tunebook.training.probes.rate import zoom
from tunebook.training.probes.speed import evaluation_reading, input_reading, knee, memory_share, rate_findings
from tunebook.training.probes.stability import verdict
from tunebook.training.probes.start import expected_loss
from tunebook.trial import Direction, Goal

Build = Callable[[Config], nn.Module]


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def net(config: Config) -> nn.Module:
    return mlp(config, (1, 8, 8), 10)


def task(build: Build = net, epochs: int = 10, mixed: bool = False) -> Task:
    """Digits; ``mixed``: with labels that have nothing to do with the images."""
    digits = open_dataset("sklearn:digits")
    x, y = torch.tensor(digits.inputs), torch.tensor(digits.targets)
    if mixed:
        y = y[torch.randperm(len(y), generator=torch.Generator().manual_seed(3))]
    return classification(build, Part(x[:1200], y[:1200]), Part(x[1200:], y[1200:]), epochs=epochs)


def checks(*readings: Reading) -> list[str]:
    return [f.check for r in readings for f in r.findings]


SANE: Config = {"lr": 1e-3}


def test_a_healthy_net_is_left_in_peace() -> None:
    told = probe(task(), {"lr": 1e-3, "activation": "relu", "norm": "none"}, steps=1200, seconds=1e9)
    assert [f.says for f in told.findings if f.check not in ("throughput", "input", "evaluation")] == []
    assert {r.probe for r in told.readings} == {
        "first loss", "gradients", "learning rate", "stability", "chance", "throughput", "input", "evaluation",
    }  # fmt: skip
    assert told.left_out == {}


# the start


def test_first_loss_against_a_closed_form() -> None:
    told = first_loss(Subject(task(), SANE))
    assert told.figures["theory"] == pytest.approx(math.log(10)) and told.findings == ()
    values = torch.tensor([1.0, -1.0, 2.0])
    assert expected_loss(values, 1) == pytest.approx(2.0)
    assert expected_loss(torch.zeros(3, 4), 4) == pytest.approx(math.log(2))


def test_first_weights_that_are_too_large() -> None:
    def loud(config: Config) -> nn.Module:
        model = net(config)
        with torch.no_grad():
            list(model.parameters())[-2].mul_(30)
        return model

    (finding,) = first_loss(Subject(task(loud), SANE)).findings
    assert finding.check == "first loss" and finding.severity is Severity.WARN
    assert finding.figures["loss"] > 1.5 * math.log(10)


def test_a_target_that_is_given_away() -> None:
    def knowing(config: Config) -> nn.Module:
        model = nn.Linear(1, 1)
        with torch.no_grad():
            model.weight.fill_(1.0)
            model.bias.zero_()
        return model

    x = torch.randn(200, 1, generator=torch.Generator().manual_seed(0))
    known = regression(knowing, Part(x, x[:, 0]), None, epochs=2, goal=Goal("train_rmse"))
    assert checks(first_loss(Subject(known, SANE))) == ["first loss"]


def test_labels_that_say_nothing_are_not_better_than_chance() -> None:
    (finding,) = chance(Subject(task(epochs=3, mixed=True), SANE), 60).findings
    assert finding.severity is Severity.BAD and "not better than chance" in finding.says
    short = chance(Subject(task(epochs=100, mixed=True), SANE), 60).findings[0]
    assert short.severity is Severity.WARN and "3 % of the steps" in short.says
    assert chance(Subject(task(), SANE), 60).findings == ()


def test_a_metric_that_does_not_look_at_the_labels() -> None:
    def sure(outputs: Tensor, targets: Tensor) -> float:
        return 0.9 if float(outputs.std(0).mean()) > 1e-3 else 0.1

    broken = replace(task(), metrics={"accuracy": sure})
    (finding,) = chance(Subject(broken, SANE), 60).findings
    assert finding.severity is Severity.BAD and "shuffled labels" in finding.says


def test_chance_of_numbers() -> None:
    x = torch.randn(400, 3, generator=torch.Generator().manual_seed(0))
    y = x @ torch.tensor([1.0, 2.0, 0.0])
    made = regression(lambda config: nn.Linear(3, 1), Part(x[:300], y[:300]), Part(x[300:], y[300:]), epochs=20)
    told = chance(Subject(made, {"lr": 0.05}), 90)
    assert told.findings == ()
    assert told.figures["constant"] == pytest.approx(float(((y[300:] - y[:300].mean()) ** 2).mean() ** 0.5), rel=1e-5)
    assert told.figures["trained"] < 0.3 * told.figures["constant"]


# the learning rate


@pytest.mark.parametrize("config", [{"lr": 3.0}, {"lr": 1e-7}, {"optimizer": "sgd", "optimizer.sgd.lr": 30.0}])
def test_a_learning_rate_that_is_far_off(config: Config) -> None:
    subject = Subject(task(), config)
    reading, sweep = rate_test(subject, 40)
    finding = next(f for f in reading.findings if f.check == "learning rate")
    proposed = finding.proposal[subject.rate_name]
    assert isinstance(proposed, Float) and proposed.low < sweep.best <= 1.01 * proposed.high
    assert not proposed.low <= subject.rate <= proposed.high
    assert 1e-3 < sweep.best < 1.0 and sweep.ends[sweep.best] < 0.5
    assert ("too low" in finding.says) == (subject.rate < 1)


def test_the_sweep_goes_on_until_the_best_is_inside() -> None:
    _, sweep = rate_test(Subject(task(), {"lr": 1e-2}), 30)
    rates = sorted(sweep.losses)
    assert rates[0] < sweep.best < rates[-1]
    firsts = [losses[0] for losses in sweep.losses.values()]
    assert len(set(firsts)) == 1  # the same weights on the same batch


def test_verdicts_of_known_curves() -> None:
    rng = np.random.default_rng(0)
    t = np.arange(200)
    noise = rng.normal(0, 0.1, 200)
    falls = 0.3 + 2 * np.exp(-t / 40) + noise
    assert verdict(falls) == "none"
    assert verdict(np.full(200, 2.3) + noise) == "none"  # it does not learn, but it is stable
    assert verdict(2.3 + t / 20 + noise) == "early"
    assert verdict(np.where(t < 100, falls, 3.0 + noise)) == "mid"
    assert verdict(np.where((t > 50) & (t < 56), 2.0, falls)) == "none"  # a spike that heals
    assert verdict(np.append(falls, math.nan)) == "mid"
    assert verdict(np.array([math.nan])) == "early"


def test_verdicts_are_seldom_wrong() -> None:
    rng = np.random.default_rng(1)
    t = np.arange(80)
    wrong = 0
    for _ in range(300):
        low, tau, sd = rng.uniform(0.05, 1.5), rng.uniform(5, 200), rng.uniform(0.02, 0.4)
        wrong += verdict(low + (2.3 - low) * np.exp(-t / tau) + rng.normal(0, sd, 80)) != "none"
    assert wrong <= 3


def test_every_step_at_twice_the_best_rate() -> None:
    subject = Subject(task(), {"optimizer": "sgd", "lr": 0.3})
    assert zoom(subject, 0.1, 60).findings == ()
    (finding,) = zoom(subject, 3.0, 60).findings
    assert finding.check == "stability" and finding.severity is Severity.WARN


def test_the_ladder_takes_the_first_fix_that_helps() -> None:
    told = ladder(Subject(task(), {"optimizer": "sgd", "lr": 3.0}), 0.1, 60)
    (finding,) = told.findings
    assert finding.check == "ladder" and set(finding.proposal) <= {"warmup", "clip_norm", "lr"}
    fixed = Subject(task(), {"optimizer": "sgd", "lr": 3.0}).told(**finding.proposal)
    assert verdict(traced(fixed, 60).losses) == "none" or "warmup" in finding.proposal
    # where nothing else can help, the rate is what is left
    last = ladder(Subject(task(), {"optimizer": "adam", "lr": 1e4, "clip_norm": 1e9}), 1e-3, 40)
    assert dict(last.findings[0].proposal) == {"lr": 1e-3}


def test_warm_up_is_proposed_only_where_it_helps() -> None:
    made = task(epochs=30)
    assert warmup_search(Subject(made, {"optimizer": "sgd", "lr": 0.1}), 0.01).figures["steps"] == 0
    assert warmup_search(Subject(made, {"optimizer": "sgd", "lr": 0.1}), 30.0).findings == ()


class Steep(nn.Module):
    """Its loss is steep only at the start: what it learns first makes all else flat."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.tensor([6.0]))
        self.b = nn.Parameter(torch.tensor([6.0]))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.a * self.b * x
        return out


def test_warm_up_is_found_where_it_helps() -> None:
    x = torch.ones(640, 1)
    made = regression(lambda config: Steep(), Part(x, 0.0 * x[:, 0]), None, epochs=30, goal=Goal("train_rmse"))
    subject = Subject(made, {"optimizer": "sgd", "lr": 0.01})
    assert verdict(traced(subject.at(0.2), 60).losses) != "none"
    (finding,) = warmup_search(subject, 0.02).findings
    assert finding.figures["steps"] in (10, 100, 1000) and 0 < finding.proposal["warmup"] <= 0.1  # type: ignore[operator]


# gradients


def test_a_clip_that_changes_most_updates() -> None:
    clipped = Subject(task(), {"optimizer": "sgd", "lr": 1e-2, "clip_norm": 0.05})
    (finding,) = gradients(clipped, 60).findings
    assert finding.proposal["lr"] == pytest.approx(1e-2 / 3)
    assert finding.proposal["clip_norm"] == pytest.approx(np.quantile(traced(clipped, 60).norms, 0.9))
    assert checks(gradients(Subject(task(), {"lr": 1e-3, "clip_norm": 3.0}), 60)) == []


def test_a_clip_is_no_lower_rate_where_steps_do_not_depend_on_the_size_of_gradients() -> None:
    free = Subject(task(), {"lr": 1e-3, "clip_norm": 0.05})
    (finding,) = gradients(free, 60).findings
    assert finding.severity is Severity.INFO and finding.proposal == {} and "adam" in finding.says
    losses = traced(free, 60).losses
    assert losses[-1] == pytest.approx(traced(free.told(clip_norm=0.005), 60).losses[-1], rel=0.01)


def test_gradients_that_burst() -> None:
    rng = np.random.default_rng(0)
    norms = rng.lognormal(0, 0.3, 100)
    assert norm_findings(norms, 0.0, "lr", 0.1) == []
    assert bursts(norms)[:5].tolist() == [1.0] * 5
    norms[60] = 80.0
    (finding,) = norm_findings(norms, 0.0, "lr", 0.1)
    assert finding.proposal["clip_norm"] == pytest.approx(np.quantile(np.delete(norms, 60), 0.9))


class Recurrent(nn.Module):
    """A plain recurrent network over the 64 pixels, its recurrent matrix orthogonal times a gain."""

    def __init__(self, gain: float) -> None:
        super().__init__()
        self.cells, self.head = nn.RNN(1, 16, nonlinearity="relu", batch_first=True), nn.Linear(16, 10)
        with torch.no_grad():
            self.cells.weight_hh_l0.copy_(gain * torch.linalg.qr(torch.randn(16, 16))[0])

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.cells(x.flatten(1)[..., None])[0][:, -1])
        return out


def test_gradients_that_explode_in_time() -> None:
    config: Config = {"optimizer": "sgd", "lr": 1e-2}
    told = gradients(Subject(task(lambda c: Recurrent(6.0)), config), 20)
    assert told.findings[0].severity is Severity.BAD and "overflows" in told.findings[0].says
    assert gradients(Subject(task(lambda c: Recurrent(1.0)), config), 20).findings == ()


def test_a_deep_net_of_sigmoids() -> None:
    def deep(config: Config) -> nn.Module:
        layers: list[nn.Module] = [nn.Flatten(), nn.Linear(64, 32)]
        for _ in range(9):
            layers += [nn.Sigmoid(), nn.Linear(32, 32)]
        return nn.Sequential(*layers, nn.Sigmoid(), nn.Linear(32, 10))

    told = gradients(Subject(task(deep), {"lr": 1e-3, "activation": "sigmoid", "norm": "none"}), 20)
    (finding,) = told.findings
    assert "vanish" in finding.says
    assert finding.proposal == {"activation": "relu", "norm": "batch"}


def test_units_that_are_dead_or_saturated() -> None:
    def dead(config: Config) -> nn.Module:
        return nn.Sequential(nn.Flatten(), Shifted(-50.0), nn.ReLU(), nn.Linear(64, 10))

    told = gradients(Subject(task(dead), {"lr": 1e-3, "activation": "relu"}), 10)
    assert checks(told) == ["activations"] and told.figures["idle units"] == 1.0
    assert told.findings[0].proposal == {"activation": "leaky_relu"}
    x = torch.randn(50, 3, 4, 4)
    x[:, 0] = -1.0
    assert idle_units(nn.Sequential(nn.ReLU()), x) == {"0": pytest.approx(1 / 3)}
    assert idle_units(nn.Sequential(nn.Tanh()), torch.tensor([[0.0, 10.0]])) == {"0": 0.5}
    assert idle_units(nn.Sequential(nn.Sigmoid()), torch.tensor([[-1.0, 0.0]])) == {"0": 0.0}


class Shifted(nn.Module):
    """A linear layer of 64 with a large shift."""

    def __init__(self, by: float) -> None:
        super().__init__()
        self.inner, self.by = nn.Linear(64, 64), by

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.inner(x) + self.by
        return out


def test_steps_that_change_next_to_nothing() -> None:
    (finding,) = gradients(Subject(task(), {"lr": 1e-9}), 20).findings
    assert finding.check == "updates" and finding.proposal == {"lr": pytest.approx(1e-8)}
    subject = Subject(task(), SANE)
    (fast,) = layer_findings(Layers({"a": 0.5, "b": 0.2}, {"a": 1.0, "b": 1.0}), subject)
    assert "too much" in fast.says and fast.proposal == {"lr": pytest.approx(1e-4)}
    assert layer_findings(Layers({"a": 1e-3, "b": 1e-2}, {"a": 1.0, "b": 1.0}), subject) == []


# speed


def test_the_knee_of_throughput() -> None:
    perfect = {8: 100.0, 16: 200.0, 32: 390.0, 64: 400.0, 128: 405.0}
    assert knee(perfect) == 32
    assert knee({8: 100.0, 16: 102.0, 32: 101.0}) == 8
    assert knee({8: 100.0, 16: 90.0, 32: 400.0, 64: 800.0}) == 64  # one bad measurement
    (finding,) = rate_findings(perfect, 8)
    assert finding.proposal == {"batch_size": 32} and finding.figures["gain"] == pytest.approx(3.9)
    assert rate_findings(perfect, 64) == [] and rate_findings({32: 390.0, 64: 400.0}, 32) == []
    assert rate_findings({8: 100.0, 16: 200.0}, 64, "memory ends")[0].proposal == {"batch_size": 16}


def test_batch_sizes_up_to_the_limit_of_memory() -> None:
    told = throughput(Subject(task(), {"batch_size": 16}))
    sizes, rates = told.curves["samples a second"]
    assert sizes == [8.0, 16.0, 32.0, 64.0] and min(rates) > 0
    memory = dict(zip(*told.curves["memory"], strict=True))
    assert memory[64.0] > memory[8.0]
    limited = throughput(Subject(task(), {"batch_size": 16}), limit=int(memory[32.0]))
    assert limited.figures["largest"] == 32 and "limit" in limited.says
    nothing = throughput(Subject(task(), {"batch_size": 16}), limit=10)
    assert nothing.findings[0].severity is Severity.BAD


def test_a_net_that_runs_out_of_memory() -> None:
    class Greedy(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(64, 10)

        def forward(self, x: Tensor) -> Tensor:
            if len(x) > 16:
                torch.empty(1 << 60)
            out: Tensor = self.head(x.flatten(1))
            return out

    told = throughput(Subject(task(lambda config: Greedy()), {"batch_size": 64}))
    assert told.figures["largest"] == 16 and "memory ends" in told.says
    assert told.findings[0].proposal == {"batch_size": 16}


class Sleepy(Dataset[tuple[Tensor, Tensor]]):
    """A data set that takes its time."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def __len__(self) -> int:
        return 24

    def __getitem__(self, i: int) -> tuple[Tensor, Tensor]:
        time.sleep(self.seconds)
        return torch.randn(64), torch.tensor(i % 10)


def test_a_loader_that_is_slow() -> None:
    model = nn.Linear(64, 10)

    def step(x: Tensor, y: Tensor) -> None:
        nn.functional.cross_entropy(model(x), y).backward()  # type: ignore[no-untyped-call]

    slow = input_share(DataLoader(Sleepy(0.01), batch_size=4), step)
    assert slow.figures["share"] > 0.3 and slow.findings[0].figures["workers"] >= 1
    assert "num_workers" in slow.findings[0].advice

    assert memory_share(Subject(task(), SANE), 3).figures["waited"] > 0
    told = input_reading(0.03, 0.01)
    assert told.figures["share"] == pytest.approx(0.75) and told.findings[0].figures["workers"] == 3
    assert input_reading(0.001, 0.01).findings == ()


def test_evaluation_that_takes_longer_than_training() -> None:
    assert evaluation_reading(1.0, 9.0, 500).findings == ()
    (finding,) = evaluation_reading(3.0, 1.0, 30_000).findings
    every = finding.figures["every"]
    assert 3.0 / (3.0 + every * 1.0) <= 0.1 < 3.0 / (3.0 + (every - 1) * 1.0)
    assert 0 < evaluation(Subject(task(), SANE)).figures["share"] < 1
    assert evaluation(Subject(replace(task(), valid=None), SANE)).figures == {}


# all of them


def test_what_is_not_afforded_is_named() -> None:
    told = probe(task(), SANE, steps=120, seconds=1e9)
    assert set(told.left_out) >= {"learning rate"} and "steps" in told.left_out["learning rate"]
    none = probe(task(), SANE, seconds=1e-9)
    assert none.readings == () and "over" in next(iter(none.left_out.values()))
    with pytest.raises(SettingError, match="steps must be positive"):
        probe(task(), SANE, steps=0)


def test_the_gravest_comes_first_and_wins() -> None:
    told = probe(task(epochs=2, mixed=True), {"lr": 10.0}, steps=900, seconds=1e9)
    assert [f.severity for f in told.findings] == sorted((f.severity for f in told.findings), key=list(
        ["bad", "warn", "info"]).index)  # fmt: skip
    assert isinstance(told, Probed) and "lr" in told.proposal
    assert told.findings[0].says in str(told)


@pytest.mark.parametrize("clip_norm", [0.0, 1.0])
def test_a_rate_that_is_too_high_gives_one_proposal(clip_norm: float) -> None:
    told = probe(task(), {"lr": 1.0, "clip_norm": clip_norm}, steps=1200, seconds=1e9)
    first = told.findings[0]
    assert "is too high" in first.says and told.proposal["lr"] == first.proposal["lr"]
    assert isinstance(told.proposal["lr"], Float) and told.proposal["lr"].high < 0.1
    (seen,) = (r for r in told.readings if r.probe == "gradients")
    assert seen.figures["rate"] < 0.1  # those of a training that works
    assert seen.figures["norm p99"] < 10 and {"ladder"}.isdisjoint(r.probe for r in told.readings)
    clip = told.proposal.get("clip_norm", 0.0)
    assert isinstance(clip, float) and clip < 10


def test_a_proposal_is_taken_whole_or_not_at_all() -> None:
    def finding(severity: Severity, proposal: Config) -> Finding:
        return Finding("x", severity, "", "", proposal)

    both: Config = {"lr": 0.3, "clip_norm": 349.0}
    warned = [finding(Severity.WARN, c) for c in ({"lr": 0.03}, both, {"norm": "batch"})]
    told = Probed((Reading("a", "", findings=(finding(Severity.INFO, {"batch_size": 8}), *warned)),))
    assert told.proposal == {"lr": 0.03, "norm": "batch"}
    graver = Probed((*told.readings, Reading("b", "", findings=(finding(Severity.BAD, both),))))
    assert graver.proposal == {**both, "norm": "batch"}
    assert Probed((Reading("a", "", findings=told.readings[0].findings[:1]),)).proposal == {"batch_size": 8}


def test_where_to_clip_is_not_read_off_a_training_that_diverges() -> None:
    norms = np.r_[np.ones(10), 100 * np.ones(20), np.inf]
    (told,) = norm_findings(norms, 0.0, "lr", 0.1, 10)
    assert told.severity is Severity.BAD and told.proposal == {}
    assert norm_findings(norms[:-1], 0.0, "lr", 0.1, 10)[0].proposal == {}
    assert norm_findings(norms, 0.5, "lr", 0.3, 10)[0].proposal == {"lr": pytest.approx(0.1)}
    later = np.r_[np.ones(30), 100 * np.ones(20)]  # it was usual for long enough before
    assert norm_findings(later, 0.0, "lr", 0.1, 30)[0].proposal == {"clip_norm": pytest.approx(1.0)}
    losses = np.r_[np.full(10, 2.3), np.full(20, 9.0), math.nan]
    assert sound_steps(losses, norms) == 10
    assert sound_steps(np.full(31, 2.3), norms) == 31


def test_no_rate_is_proposed_where_all_diverge() -> None:
    reading, _ = rate_test(Subject(task(lambda c: Recurrent(1e6)), {"optimizer": "sgd", "lr": 0.1}), 20, most=4)
    assert "diverges at each learning rate" in reading.findings[0].says and reading.findings[0].proposal == {}


@pytest.mark.parametrize(
    "config",
    [{"ema": 2.0}, {"precision": "fp16"}, {"schedule": "cosin"}, {"warmup": 3.0}, {"mixup": -1.0}, {"l1": -1.0},
     {"micro_batch": -1}, {"on_oom": "hope"}, {"clip_norm": "small"}, {"swa": 1.0}, {"optimizer": "torch:None"}],
)  # fmt: skip
def test_what_could_not_be_run_is_not_probed(config: Config) -> None:
    with pytest.raises(SettingError):
        probe(task(), {**SANE, **config}, steps=60, seconds=1e9)


def test_an_optimizer_of_torch() -> None:
    subject = Subject(task(), {"optimizer": "torch:RAdam", "optimizer.torch:RAdam.lr": 0.01})
    assert subject.rate_name == "optimizer.torch:RAdam.lr" and subject.rate == 0.01
    assert len(traced(subject, 5).losses) == 5


def test_probes_leave_no_trace() -> None:
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    made = task()
    before = made.train.x.clone()
    first = probe(made, SANE, steps=400, seconds=1e9)
    assert torch.equal(torch.rand(3), expected) and torch.equal(made.train.x, before)
    again = probe(made, SANE, steps=400, seconds=1e9)
    names = ("first loss", "gradients", "chance")
    assert [r.figures for r in first.readings if r.probe in names] == [
        r.figures for r in again.readings if r.probe in names
    ]
    assert task().goal.direction is Direction.MAXIMIZE
