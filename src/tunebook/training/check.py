"""Whether a configuration says how to train: everything that reads it is asked once, and nothing is trained."""

from __future__ import annotations

import torch
from torch import nn

from tunebook.space import Config
from tunebook.training.averaging import average_of
from tunebook.training.gradients import adjustments_of, gradients_of, mixing_of
from tunebook.training.optimizers import optimizer_of
from tunebook.training.schedules import reduction_of, schedule_of
from tunebook.training.settings import flag, whole
from tunebook.training.task import Task

STEPS = 100  # of a schedule, over which its shares are laid


def check_training(task: Task, config: Config) -> None:
    """Raise SettingError for settings of the training that cannot be; of ``task``, the examples are not looked at.

    A model of one weight stands in for the network: optimizers do not ask which.
    """
    with torch.random.fork_rng([]):
        model = nn.Linear(1, 1).to(task.device)
    whole(config, "batch_size", task.batch_size, 1)
    flag(config, "compile", False)
    task.augment(config)
    mixing_of(config)
    schedule_of(config, STEPS)
    reduction_of(config, task.goal)
    average_of(config, model, task.epochs)
    gradients_of(config, task, model)
    adjustments_of(config, optimizer_of(config, model))
