"""What a study is told before it begins: points to try first, and earlier studies to learn from."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from tunebook import Goal, Run, Space, Study, objective, open_study, tune
from tunebook.errors import SettingError, SpaceError, StudyNotFound
from tunebook.samplers import GPSampler, TPESampler
from tunebook.space import Choice, Config, Float, Int
from tunebook.trial import Created, Ended, Launched, Measured, Measurement, Status, Trial, Trials, apply, config_key
from tunebook.warm import MOST, WARM, scored

GOAL = Goal("loss")
SPACE = Space(x=Float(0, 1), y=Float(0, 1), kind=Choice(["b", "a"]), fixed=3)


def loss(config: Config, centre: float = 0.7) -> float:
    away = sum((float(config[k]) - centre) ** 2 for k in ("x", "y"))  # type: ignore[arg-type]
    return float(away + (config["kind"] == "a"))


@objective
def weigh(run: Run) -> float:
    return loss(run.config)


def work(study: Study, n: int, centre: float = 0.7) -> list[Trial]:
    out = []
    for _ in range(n):
        trial = study.ask(1)[0]
        out.append(study.tell(trial.number, loss=loss(trial.config, centre)))
    return out


# points first


def test_points_are_tried_first_and_the_record_knows_them(tmp_path: Path) -> None:
    wanted: list[Config] = [{"x": 0.25}, {"x": 0.5, "y": 0.125, "kind": "a"}, {"y": 1.0}]
    with open_study(SPACE, GOAL, sampler="random", folder=tmp_path) as study:
        study.try_first(*wanted[:2])
        study.try_first(wanted[2], wanted[0])
        assert study.ask(1)[0].config == {"x": 0.25, "y": 0.5, "kind": "b", "fixed": 3}
    with open_study(SPACE, GOAL, sampler="random", folder=tmp_path) as study:  # as after a driver was lost
        assert study.ask(3)[0].config["x"] == 0.25, "it was not told of, so it is handed out again"
        second, third, fourth = (t.config for t in study.ask(3))
        assert second == {"x": 0.5, "y": 0.125, "kind": "a", "fixed": 3}
        assert third == {"x": 0.5, "y": 1.0, "kind": "b", "fixed": 3}
        assert fourth == own_proposal(tmp_path) and study.ask(1)[0].config not in (second, third, fourth)


def own_proposal(folder: Path) -> Config:
    """What the sampler itself proposes for trial 3, whatever was tried first."""
    with open_study(SPACE, GOAL, sampler="random", folder=folder / "other") as study:
        return study.ask(4)[3].config


def test_what_was_tried_is_not_tried_again(tmp_path: Path) -> None:
    with open_study(SPACE, GOAL, sampler="quasi", folder=tmp_path) as study:
        first = study.ask(1)[0].config
        study.try_first(first, first)
        assert config_key(study.ask(1)[0].config) != config_key(first)


@pytest.mark.parametrize(
    ("config", "says"),
    [({"x": 2.0}, "outside its range"), ({"z": 1}, "not a hyperparameter here"), ({"kind": "c"}, "outside its range"),
     ({"x": "0.5"}, "outside its range")],
)  # fmt: skip
def test_points_outside_of_the_space_are_refused(config: Config, says: str, tmp_path: Path) -> None:
    with open_study(SPACE, GOAL, sampler="quasi", folder=tmp_path) as study:
        with pytest.raises(SpaceError, match=says):
            study.try_first({"x": 0.5}, config)
        assert "first" not in study.trials.notes


def test_only_what_is_wrong_with_a_point_is_told(tmp_path: Path) -> None:
    opt = Choice({"sgd": Space(momentum=Float(0, 1)), "adam": Space(beta1=Float(0.5, 0.99))})
    with open_study(Space(layers=Int(1, 4), lr=Float(0, 1), opt=opt), GOAL, folder=tmp_path) as study:
        with pytest.raises(SpaceError) as refused:
            study.try_first({"layers": 2.5})
        assert [(p.where, p.what) for p in refused.value.problems] == [("layers", "outside its range")]
        with pytest.raises(SpaceError, match="add opt='adam': it exists only there") as refused:
            study.try_first({"opt.adam.beta1": 0.9})
        assert len(refused.value.problems) == 1
        study.try_first({"opt.adam.beta1": 0.9, "opt": "adam"})
        assert study.ask()[0].config == {"layers": 3, "lr": 0.5, "opt": "adam", "opt.adam.beta1": 0.9}


def test_points_with_what_does_not_exist_beside_them_are_refused(tmp_path: Path) -> None:
    space = Space(kind=Choice({"a": Space(depth=Int(1, 9)), "b": Space()}))
    with (
        open_study(space, GOAL, sampler="quasi", folder=tmp_path) as study,
        pytest.raises(SpaceError, match="not a hyperparameter here"),
    ):
        study.try_first({"kind": "b", "kind.a.depth": 3})


def test_a_playbook_tries_points_first_and_learns(tmp_path: Path) -> None:
    with open_study(SPACE, GOAL, sampler="random", folder=tmp_path / "old") as study:
        best = min(work(study, 10), key=lambda t: t.loss(GOAL)).config
    told = {"trials": 10, "workers": 0, "folder": tmp_path / "new", "quiet": True}
    first: list[Config] = [{"x": 0.125, "y": 0.25}]
    result = tune(weigh, SPACE, GOAL, first=first, warm_start=[tmp_path / "old"], **told)  # type: ignore[arg-type]
    searched = [t.config for t in result.trials.of("explore")]
    assert searched[0] == {"x": 0.125, "y": 0.25, "kind": "b", "fixed": 3}
    assert best in searched
    again = tune(weigh, SPACE, GOAL, **told)  # type: ignore[arg-type]
    assert [t.config for t in again.trials.values()] == [t.config for t in result.trials.values()]


@pytest.mark.parametrize(("name", "value"), [("first", {"x": 0.5}), ("warm_start", "folder")])
def test_lists_are_wanted(name: str, value: object, tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=f"{name} is not a list"):
        tune(weigh, SPACE, GOAL, folder=tmp_path, **{name: value})  # type: ignore[arg-type]


@pytest.mark.parametrize("given", ["folder", Path("folder")])
def test_a_list_of_earlier_studies_is_wanted(given: object, tmp_path: Path) -> None:
    with (
        pytest.raises(SettingError, match="warm_start is not a list"),
        open_study(SPACE, GOAL, folder=tmp_path, warm_start=given),  # type: ignore[arg-type]
    ):
        pass


def test_points_need_an_open_round(tmp_path: Path) -> None:
    with (
        Study(open_study(SPACE, GOAL, folder=tmp_path).store, tmp_path) as study,
        pytest.raises(SettingError, match="no round is open"),
    ):
        study.try_first({"x": 0.5})


# earlier studies


@pytest.mark.parametrize("sampler", ["gp", "tpe", "cmaes", "grid"])
def test_the_best_of_earlier_studies_come_first(sampler: str, tmp_path: Path) -> None:
    with open_study(SPACE, GOAL, sampler="random", folder=tmp_path / "old") as study:
        old = work(study, 12)
    best = sorted(old, key=lambda t: t.loss(GOAL))[:3]
    with open_study(SPACE, GOAL, sampler=sampler, folder=tmp_path / "new", warm_start=[tmp_path / "old"]) as study:
        assert [t.config for t in study.ask(3)] == [t.config for t in best]
        assert study.ask(1)[0].config not in [t.config for t in best]


def test_gp_learns_from_an_earlier_study_on_another_scale(tmp_path: Path) -> None:
    """Gains in millions, another name among the hyperparameters, wider ranges: only the order of its trials counts."""
    axes = {f"x{i}": Float(0, 1) for i in range(5)}
    before = Space({**axes, "x0": Float(-1, 2), "gone": Int(1, 3)})

    def away(config: Config) -> float:
        wanted = (0.15, 0.85, 0.25, 0.75, 0.35)
        return sum((float(config[n]) - w) ** 2 for n, w in zip(axes, wanted, strict=True))  # type: ignore[arg-type]

    with open_study(before, Goal("gain", "maximize"), sampler="quasi", folder=tmp_path / "old") as study:  # type: ignore[arg-type]
        for trial in study.ask(60):
            study.tell(trial.number, gain=7.0 - 1e6 * away(trial.config))
    means = []
    for warm in ([tmp_path / "old"], []):
        best = []
        for seed in range(3):
            folder = tmp_path / f"new{len(warm)}{seed}"
            with open_study(Space(axes), GOAL, sampler="gp", seed=seed, folder=folder, warm_start=warm) as study:
                for _ in range(8):
                    trial = study.ask(1)[0]
                    study.tell(trial.number, loss=away(trial.config))
                best.append(study.front[0].value(GOAL))
        means.append(np.mean(best))
    assert means[0] < 0.5 * means[1], means


def test_a_misleading_study_is_given_up(tmp_path: Path) -> None:
    with open_study(SPACE, GOAL, sampler="quasi", folder=tmp_path / "old") as study:
        work(study, 40, centre=0.1)
    with open_study(SPACE, GOAL, sampler="gp", folder=tmp_path / "new", warm_start=[tmp_path / "old"]) as study:
        assert min(t.loss(GOAL) for t in work(study, 40, centre=0.9)) < 0.01


def test_what_was_learned_is_in_the_record(tmp_path: Path) -> None:
    with open_study(SPACE, GOAL, sampler="random", folder=tmp_path / "old") as study:
        work(study, 10)
    runs = []
    for name in ("whole", "cut"):
        with open_study(SPACE, GOAL, sampler="gp", folder=tmp_path / name, warm_start=[tmp_path / "old"]) as study:
            work(study, 12 if name == "whole" else 5)
            runs.append([t.config for t in study.trials.values()])
            assert study.trials.notes[WARM]["studies"] == [{"name": "old", "trials": 10, "taken": 10}]
    shutil.rmtree(tmp_path / "old")
    with open_study(SPACE, GOAL, sampler="gp", folder=tmp_path / "cut") as study:
        work(study, 7)
        assert [t.config for t in study.trials.values()] == runs[0]


def test_studies_that_teach_nothing_are_refused(tmp_path: Path) -> None:
    with pytest.raises(StudyNotFound), open_study(SPACE, GOAL, folder=tmp_path / "a", warm_start=[tmp_path / "none"]):
        pass
    with open_study(SPACE, GOAL, folder=tmp_path / "empty"):
        pass
    refused = pytest.raises(SettingError, match="nothing can be learned")
    with refused, open_study(SPACE, GOAL, folder=tmp_path / "b", warm_start=[tmp_path / "empty"]):
        pass
    with open_study(Space(other=Float(0, 1)), GOAL, folder=tmp_path / "other") as study:
        study.tell(study.ask()[0], loss=1.0)
    refused = pytest.raises(SettingError, match="nothing can be learned")
    with refused, open_study(SPACE, GOAL, folder=tmp_path / "b", warm_start=[tmp_path / "other"]):
        pass
    with open_study(SPACE, GOAL, folder=tmp_path / "b") as study:  # the claim was given back
        assert WARM not in study.trials.notes


def trials(losses: list[float | None], repeats: int = 1) -> Trials:
    told = Trials()
    for i, value in enumerate(v for v in losses for _ in range(repeats)):
        config = {"x": i // repeats / len(losses)}
        told = apply(told, [Created(i, "r", config), Launched(i, 1, 1)])
        if value is not None:
            told = apply(told, [Measured(i, 1, Measurement(1, {"loss": value}))])
        status = Status.FAILED if value is None else Status.COMPLETED
        told = apply(told, [Ended(i, 1, status)])
    return told


def test_scores_are_normal_quantiles_of_ranks() -> None:
    pairs = scored(trials([5.0, None, 1e9, -3.0], repeats=2), GOAL)
    assert [c["x"] for c, _ in pairs] == [0.75, 0.0, 0.5, 0.25]
    assert [s for _, s in pairs] == pytest.approx([-1.1503, -0.3186, 0.3186, 1.1503], abs=1e-4)
    assert scored(Trials(), GOAL) == []


def test_of_many_the_best_third_and_others_evenly() -> None:
    pairs = scored(trials([float(i) for i in range(1000)]), GOAL)
    ranks = [round(float(c["x"]) * 1000) for c, _ in pairs]  # type: ignore[arg-type]
    assert len(pairs) == MOST and ranks[:100] == list(range(100)) and ranks[-1] == 999
    assert np.diff(ranks[100:]).min() >= 4 and [s for _, s in pairs] == sorted(s for _, s in pairs)


@pytest.mark.parametrize("make", [GPSampler, TPESampler])
def test_the_order_of_learning_and_telling_does_not_matter(make: type) -> None:
    configs = SPACE.decode(np.random.default_rng(0).random((20, SPACE.dim)))
    told = [Trial(i, "r", c, status=Status.COMPLETED, until=1, curve=(Measurement(1, {"loss": loss(c)}),))
            for i, c in enumerate(configs[:8])]  # fmt: skip
    asked = []
    for first in (True, False):
        sampler = make(SPACE, GOAL, 0)
        for step in (first, not first):
            if step:
                sampler.warm(configs[8:], np.linspace(-1, 1, 12).tolist())
                sampler.ask(1, [], 99)
            else:
                sampler.tell(told)
        asked.append(sampler.ask(5, [], 8))
    assert asked[0] == asked[1] and asked[0][:3] == configs[8:11]
