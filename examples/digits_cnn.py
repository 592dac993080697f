"""The main job on real data: a convolutional network on scikit-learn's 1,797 images of handwritten digits.

From nothing to a confirmed, retrained, saved model, with a report that explains every decision. `make demo` runs it.
Run it again and it takes up what is there; another --folder starts afresh.
"""

import argparse

from tunebook import tune_model


def main() -> None:
    ask = argparse.ArgumentParser(description=__doc__)
    ask.add_argument("--folder", default="tunebook-runs/digits-cnn")
    ask.add_argument("--trials", type=int, default=100)
    ask.add_argument("--steps", type=int, default=27, help="epochs of a full training")
    ask.add_argument("--workers", type=int, default=None, help="default: one for each core")
    ask.add_argument("--seed", type=int, default=0)
    told = ask.parse_args()

    result = tune_model("cnn", "sklearn:digits", **vars(told))

    print(result)


if __name__ == "__main__":
    main()
