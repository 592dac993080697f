"""Probing a job before it is run."""

import json

import pytest

from tunebook.cli.probe import changed
from tunebook.errors import SettingError
from tunebook.record import read_record
from tunebook.report.probed import probed
from tunebook.space import Choice, Int, Space

JOB = 'model = "mlp"\ndata = "sklearn:digits"\nsteps = 4\ntrials = 3\nworkers = 0\nseed = 2\n'
QUICK = ("--steps", "400", "--time-limit", "1h")
OWN = """
from functools import partial
import torch
from torch import nn
from tunebook.training import Part, classification, train

x = torch.randn(400, 5, generator=torch.Generator().manual_seed(0))
y = (x[:, 0] > 0).long()
task = classification(lambda c: nn.Linear(5, 2), Part(x[:300], y[:300]), Part(x[300:], y[300:]), epochs=20)
objective = partial(train, task)

def other(run):
    return 1.0
"""
SPACE = '[space.lr]\ntype = "float"\nlow = 1e-4\nhigh = 1.0\nlog = true\ndefault = 0.01\n'


@pytest.fixture
def job(folder):
    (folder / "job.toml").write_text(JOB)
    return "job.toml"


def test_a_sane_job_has_no_bad_findings(here, job):
    code, out, err = here("probe", job, "--json", *QUICK)
    told = json.loads(out)
    assert code == 0, err
    assert [r["probe"] for r in told["readings"]][:3] == ["first loss", "learning rate", "gradients"]
    assert not [f for f in told["findings"] if f["severity"] == "bad"]
    assert told["config"]["optimizer.adam.lr"] == 0.001


def test_a_rate_that_is_far_off_is_told_with_a_range(here, job):
    code, out, _ = here("probe", job, "--with", "optimizer.adam.lr=5.0", *QUICK)
    assert code == 0 and "is too high" in out
    assert "optimizer.adam.lr = 0.0" in out.split("proposed:")[1]
    code, _, err = here("probe", job, "--with", "lr=5.0", *QUICK)
    assert code == 2 and "no such hyperparameter" in err


def test_another_option_brings_its_defaults(here, job):
    code, out, err = here("probe", job, "--with", "optimizer=sgd", "--json", *QUICK)
    told = json.loads(out)["config"]
    assert code == 0, err
    assert "optimizer.adam.lr" not in told
    assert told["optimizer.sgd.lr"] == 0.03 and told["optimizer.sgd.nesterov"] is True
    code, out, _ = here("probe", job, "--with", "optimizer.sgd.lr=0.1", "--with", "ema=0.9", "--json", *QUICK)
    told = json.loads(out)["config"]
    assert code == 0 and told["optimizer"] == "sgd" and told["optimizer.sgd.momentum"] == 0.9 and told["ema"] == 0.9


SGD = Space(depth=Int(1, 4, default=2), optimizer=Choice({"adam": Space(lr=0.001), "sgd": Space(lr=0.1)}))


def test_what_is_changed_is_what_a_study_would_try():
    assert changed(SGD, []) == SGD.default
    assert changed(SGD, ["optimizer=sgd"]) == {"depth": 2, "optimizer": "sgd", "optimizer.sgd.lr": 0.1}
    assert changed(SGD, ["optimizer.sgd.lr=1"]) == {"depth": 2, "optimizer": "sgd", "optimizer.sgd.lr": 1}
    assert changed(SGD, ["optimizer=rmsprop", "noise=0.1"]) == {"depth": 2, "optimizer": "rmsprop", "noise": 0.1}
    assert changed(SGD, ["units=8"], ["units"])["units"] == 8


@pytest.mark.parametrize(
    ("changes", "says"),
    [(["units=8"], "no such hyperparameter"), (["depht=8"], "did you mean 'depth'"), (["lr=1"], "optimizer.adam.lr"),
     (["optimizer=adam", "optimizer.sgd.lr=1"], "another option"), (["depth"], "NAME=VALUE")],
)  # fmt: skip
def test_changes_that_nothing_would_read(changes, says):
    with pytest.raises(SettingError, match=says):
        changed(SGD, changes)


@pytest.mark.parametrize(
    ("change", "says"), [("dropuot=0.3", "dropout"), ("ema=2.0", "ema"), ("precision=fp16", "fp16"), ("factor=2", "")]
)
def test_what_could_not_be_run_is_not_probed(here, job, folder, change, says):
    code, out, err = here("probe", job, "--with", change, *QUICK)
    assert code == 2 and says in err and "Nothing odd" not in out
    name, _, value = change.partition("=")
    value = value if name != "precision" else f'"{value}"'
    (folder / job).write_text(f"{JOB}[space]\n{name} = {value}\n")
    code, out, err = here("probe", job, *QUICK)
    assert code == 2 and says in err and "Nothing odd" not in out


def test_findings_are_kept_in_the_study_and_its_report(here, job, folder):
    code, _, err = here("probe", job, "--keep", *QUICK)
    assert code == 0 and "no study" in err
    assert here("run", "--config", job, "-q")[0] == 0
    code, _, err = here("probe", job, "--with", "optimizer.adam.lr=5.0", "--keep", *QUICK)
    assert code == 0 and "kept in the record" in err
    note = read_record(folder / "tunebook-runs" / "digits").trials.notes["probes"]
    assert any("too high" in f["says"] for f in note["findings"])
    report = here("report", "digits", "--format", "md", "-o", "-")[1]
    assert "Probes" in report and "is too high" in report
    assert json.loads(here("show", "digits", "--json")[1])["status"] == "finished"


def test_a_task_of_ones_own(here, folder):
    (folder / "mine_probed.py").write_text(OWN)
    head = 'objective = "mine_probed.py:objective"\nmetric = "accuracy"\nsteps = 20\n'
    (folder / "own.toml").write_text(head + SPACE)
    code, out, err = here("probe", "own.toml", *QUICK)
    assert code == 0, err
    assert "probed: lr=0.01" in out
    (folder / "own.toml").write_text(head.replace(":objective", ":other") + SPACE)
    code, _, err = here("probe", "own.toml", *QUICK)
    assert code == 2 and "cannot be looked into" in err


def test_probes_are_for_networks(here, folder):
    (folder / "job.toml").write_text(JOB.replace("mlp", "forest"))
    code, _, err = here("probe", "job.toml")
    assert code == 2 and "probes are for networks" in err


def test_a_study_that_was_not_probed_says_nothing():
    assert list(probed(None)) == []
