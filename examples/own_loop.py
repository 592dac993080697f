"""Somebody's plain PyTorch loop, tuned: the lines that changed are marked."""

import argparse

import torch
from sklearn.datasets import load_digits
from torch import nn

import tunebook
from tunebook import Float, Goal, Int, Space
from tunebook.interop.torch import Epochs


@tunebook.objective  # 1: the function takes a run ...
def train(run):
    torch.manual_seed(run.seed)
    lr, hidden = run.config["lr"], run.config["hidden"]  # 2: ... reads its hyperparameters from it ...

    digits = load_digits()
    x = torch.tensor(digits.data, dtype=torch.float32) / 16
    y = torch.tensor(digits.target)
    x_train, y_train, x_valid, y_valid = x[:1200], y[:1200], x[1200:1500], y[1200:1500]

    model = nn.Sequential(nn.Linear(64, hidden), nn.ReLU(), nn.Linear(hidden, 10))
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    epochs = Epochs(run, model, optimizer)  # 3: ... goes on where it was ...
    for _ in epochs:
        for rows in torch.randperm(len(x_train)).split(64):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x_train[rows]), y_train[rows]).backward()
            optimizer.step()
        with torch.no_grad():
            accuracy = (model(x_valid).argmax(1) == y_valid).float().mean()
        epochs.report(accuracy=accuracy)  # 4: ... and reports to it.


def main() -> None:
    ask = argparse.ArgumentParser(description=__doc__)
    ask.add_argument("--folder", default="tunebook-runs/own-loop")
    ask.add_argument("--trials", type=int, default=30)
    ask.add_argument("--steps", type=int, default=9, help="epochs of a full training")
    told = ask.parse_args()

    space = Space(lr=Float(1e-3, 1.0, log=True), hidden=Int(8, 256, log=True))
    result = tunebook.tune(train, space, Goal("accuracy", "maximize"), **vars(told))
    print(result)


if __name__ == "__main__":
    main()
