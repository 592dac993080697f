"""A table in a CSV file: which of its columns predict the target, and with what network?"""

import argparse
from pathlib import Path

from sklearn.datasets import load_wine

from tunebook import tune_model


def main() -> None:
    ask = argparse.ArgumentParser(description=__doc__)
    ask.add_argument("--folder", default="tunebook-runs/table")
    ask.add_argument("--trials", type=int, default=24)
    ask.add_argument("--steps", type=int, default=20, help="epochs of a full training")
    told = ask.parse_args()

    path = Path("tunebook-runs") / "wine.csv"  # any table with a column to predict
    path.parent.mkdir(exist_ok=True)
    load_wine(as_frame=True).frame.to_csv(path, index=False)

    result = tune_model("mlp", f"csv:{path}?target=target", **vars(told))
    print(result)


if __name__ == "__main__":
    main()
