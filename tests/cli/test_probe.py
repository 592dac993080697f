"""Probing a job before it is run."""

import json

import pytest

from tunebook.record import read_record
from tunebook.report.probed import probed

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
    assert [r["probe"] for r in told["readings"]][:3] == ["first loss", "gradients", "learning rate"]
    assert not [f for f in told["findings"] if f["severity"] == "bad"]
    assert told["config"]["optimizer.adam.lr"] == 0.001


def test_a_rate_that_is_far_off_is_told_with_a_range(here, job):
    code, out, _ = here("probe", job, "--with", "optimizer.adam.lr=5.0", *QUICK)
    assert code == 0 and "is too high" in out
    assert "optimizer.adam.lr = 0.0" in out.split("proposed:")[1]
    code, _, err = here("probe", job, "--with", "lr=5.0", *QUICK)
    assert code == 2 and "no such hyperparameter" in err


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
