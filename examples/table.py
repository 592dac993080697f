"""A table in a CSV file: which of its columns predict the target, and with what network?"""

from pathlib import Path

from sklearn.datasets import load_wine

from tunebook import tune_model


def main() -> None:
    wine = load_wine(as_frame=True)
    path = Path("tunebook-runs") / "wine.csv"
    path.parent.mkdir(exist_ok=True)
    wine.frame.to_csv(path, index=False)

    result = tune_model("mlp", f"csv:{path}?target=target", steps=20, trials=24, folder="tunebook-runs/table")
    print(result)


if __name__ == "__main__":
    main()
