"""Classic learners on tables: what each family shares, and how one is trained, fold by fold or round by round."""

from __future__ import annotations

import math
import time
import warnings
import zipfile
from abc import abstractmethod
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from tunebook.data import Dataset, Folds, Split
from tunebook.errors import DataError, MissingExtraError, Problem, SettingError, nearest
from tunebook.learners.base import MODEL, Learner
from tunebook.learners.fitted import Estimator, Fitted
from tunebook.learners.saved import TableCard, save_table_model
from tunebook.learners.view import View, view
from tunebook.measurement import latency
from tunebook.objective import EarlyStop, Run
from tunebook.space import Choice, Config, Int, Space
from tunebook.trial import Context, Goal, Measurement

Array = NDArray[Any]
RARE = 0.2  # a class with less than this share of the rows of a fair one makes the classes imbalanced
PARTS = 5  # of the rows that a large table's configurations are validated on
BOTH = ("classification", "regression")


class TableLearner(Learner):
    """A family of models that are fitted in one go. Subclasses write ``space`` and ``fit``.

    ``scaled`` families take filled and standardised inputs; the others deal with missing values themselves.
    """

    tasks: ClassVar[tuple[str, ...]] = BOTH
    scaled: ClassVar[bool] = True

    def metrics(self, dataset: Dataset) -> list[str]:
        return [name for name in super().metrics(dataset) if name != "loss"]

    def costs(self) -> list[str]:
        return [*super().costs(), "latency"]

    @abstractmethod
    def fit(self, config: Config, view: View, seed: int) -> Fitted:
        """Train on the view's training rows."""

    def load(self) -> None:
        """Load the packages that it needs. Raises MissingExtraError."""
        sklearn("ensemble")

    def whole(self, dataset: Dataset) -> Space:
        """The space of complete fits, as of cross-validation: with the number of rounds, where there are rounds."""
        return self.space(dataset)

    def objective(self, data: str, split: Split, goal: Goal, steps: int, folds: Folds | None = None) -> TableObjective:
        """As ``Learner.objective``: step s of ``steps`` trains on s / steps of the training part.

        With ``folds``, step s is its fold s, and ``steps`` must be ``folds.steps``.
        """
        return TableObjective(self, data, split, goal, steps, folds)

    def check(self, dataset: Dataset) -> None:
        """Raise DataError for data that the family is not for."""
        if dataset.task not in self.tasks:
            raise DataError(f"{self.name} is not for a {dataset.task}", where=dataset.name,
                            expected=" or ".join(self.tasks), fix="tunebook tune looks at all that fit")  # fmt: skip
        if dataset.inputs.dtype.kind != "f":
            raise DataError(f"{self.name} needs inputs that are measured", where=dataset.name,
                            got=f"inputs of {dataset.inputs.dtype}", expected="floating-point numbers")  # fmt: skip


class RoundsLearner(TableLearner):
    """A family that is trained in rounds: a step is ``rounds_per_step`` of them, and a run can be taken up again."""

    scaled: ClassVar[bool] = False
    most_rounds: ClassVar[int] = 1000
    default_rounds: ClassVar[int] = 100

    def whole(self, dataset: Dataset) -> Space:
        space = self.space(dataset)
        rounds = Int(20, self.most_rounds, log=True, default=self.default_rounds)
        return Space({"rounds": rounds, **space.parameters})

    def fit(self, config: Config, view: View, seed: int) -> Fitted:
        return self.rounds(config, view, seed, whole(config, "rounds", self.default_rounds), None)[0]

    @abstractmethod
    def rounds(self, config: Config, view: View, seed: int, to: int, state: Any) -> tuple[Fitted, Any]:
        """Train to round ``to``, going on from the state of an earlier call (None at the start); returns both."""

    @abstractmethod
    def keep(self, state: Any) -> bytes:
        """A state as bytes."""

    @abstractmethod
    def take_up(self, kept: bytes) -> Any:
        """A state that was kept. Raises CheckpointError."""

    def objective(self, data: str, split: Split, goal: Goal, steps: int, folds: Folds | None = None) -> TableObjective:
        """As ``Learner.objective``: a step is ``rounds_per_step`` boosting rounds; with ``folds``, a fold."""
        return TableObjective(self, data, split, goal, steps, folds)


@dataclass(frozen=True)
class TableObjective:
    """Trains a classic learner on named data; picklable, and small.

    Without ``folds`` it trains on the training part and validates on the validation part of the split; with them each
    step is a fold of both, and what is reported is the mean over the folds so far (``fold_<metric>`` is that of the
    fold alone). ``keep`` writes the predictions for the rows that were validated on to the run's folder. A final
    training takes training and validation part together and saves the model in the run's folder under ``model``.

    A fold is not begun when it would end after the run has taken ``limit`` seconds, or after the time ``ends`` (seconds
    since the epoch), as far as the folds before it tell: the run ends there.
    """

    learner: TableLearner
    data: str
    split: Split
    goal: Goal
    steps: int
    folds: Folds | None = None
    keep: bool = True
    limit: float = math.inf
    ends: float = math.inf

    def __post_init__(self) -> None:
        if self.folds is not None and self.steps != self.folds.steps:
            raise SettingError("a step is a fold here", where="steps", got=str(self.steps),
                               expected=str(self.folds.steps), code="CONFIG-056")  # fmt: skip

    def __setstate__(self, state: dict[str, Any]) -> None:
        """A worker that gets it loads the packages and the data at once, so that no run's limit has to pay for it."""
        self.__dict__.update(state)
        self.learner.load()
        with suppress(DataError):  # what is wrong with the data is for the run to tell
            self.view(Context(), 1 if self.folds else 0)

    def __call__(self, run: Run) -> Iterator[Measurement]:
        if run.context.final:
            return self._final(run)
        if self.folds is not None:
            return self._folds(run)
        if isinstance(self.learner, RoundsLearner):
            return self._rounds(run, self.learner)
        return self._fraction(run)

    def view(self, context: Context, step: int = 0) -> View:
        """The data of a context; the process keeps the last few."""
        told = view(self.data, self.split, self.folds, step, replace(context, seed=0))
        self.learner.check(told.dataset)
        return told

    def _fraction(self, run: Run) -> Iterator[Measurement]:
        """One fit, on the share of the training part that the step stands for."""
        share = run.context.fraction * run.until / self.steps
        seen = self.view(replace(run.context, fraction=min(1.0, share)))
        yield self._measured(run, self.learner.fit(run.config, seen, run.seed), seen, run.until, time.perf_counter())

    def _rounds(self, run: Run, learner: RoundsLearner) -> Iterator[Measurement]:
        seen, each = self.view(run.context), whole(run.config, "rounds_per_step", 10)
        kept = _Kept(run.folder, seen.fingerprint)
        done, told = kept.latest(run.until)
        state = None if told is None else learner.take_up(told)
        if done:  # what it measured may not have been heard of
            began = time.perf_counter()
            fitted, state = learner.rounds(run.config, seen, run.seed, done * each, state)
            yield self._measured(run, fitted, seen, done, began)
        for step in range(done + 1, run.until + 1):
            began = time.perf_counter()
            fitted, state = learner.rounds(run.config, seen, run.seed, step * each, state)
            yield self._measured(run, fitted, seen, step, began)
            if step == run.until or step % 3 == 0:
                kept.put(step, learner.keep(state))

    def _folds(self, run: Run) -> Generator[Measurement, None, EarlyStop | None]:
        assert self.folds is not None
        told: dict[int, dict[str, float]] = {}
        taken: list[float] = []
        for step in range(1, run.until + 1):
            cost = next_fold(taken, self.folds.fractions)
            if sum(taken) + cost > self.limit or (step > 1 and time.time() + cost > self.ends):
                return EarlyStop(f"fold {step} would take about {cost:.2g} s: longer than there is time for")
            scores, seconds = self._fold(run, step)
            taken.append(seconds)
            told[step] = scores
            alike = [told[s] for s in self.folds.alike(step)]
            means = {name: sum(s[name] for s in alike) / len(alike) for name in scores if all(name in s for s in alike)}
            alone = {} if self.folds.fractions else {f"fold_{self.goal.metric}": scores[self.goal.metric]}
            yield Measurement(step, {**means, **alone}, seconds)
        return None

    def _fold(self, run: Run, step: int) -> tuple[dict[str, float], float]:
        """Scores of a fold and the seconds it took: from the run's folder, if it was done before."""
        path = run.folder / f"fold-{step}.npz"
        found = read_fold(path)
        if found is not None:
            return found.scores, found.seconds
        began = time.perf_counter()
        seen = self.view(run.context, step)
        fitted = self.learner.fit(run.config, seen, run.seed)
        asked = time.perf_counter()
        predicted = self.predicted(fitted, seen, seen.valid)
        latency = (time.perf_counter() - asked) * 1000 / max(1, len(seen.valid))
        scores = self._scores(fitted, seen, predicted)
        if run.context.fold and self.folds is not None and self.folds.fractions and step == self.folds.steps:
            scores |= self._parts(seen, predicted)
        seconds = time.perf_counter() - began
        if self.keep:
            write_fold(path, Fold(seen.valid, predicted, scores, seconds, latency))
        return scores, seconds

    def _measured(self, run: Run, fitted: Fitted, seen: View, step: int, began: float) -> Measurement:
        scores = self._scores(fitted, seen, self.predicted(fitted, seen, seen.valid))
        return Measurement(step, scores, time.perf_counter() - began)

    def _scores(self, fitted: Fitted, seen: View, predicted: Array) -> dict[str, float]:
        probed, wanted = self.predicted(fitted, seen, seen.probed), self.goal.named
        told = {**seen.scores(wanted, seen.probed, probed, "train_"), **seen.scores(wanted, seen.valid, predicted)}
        if "latency" in wanted:
            told["latency"] = latency(lambda: self.predicted(fitted, seen, seen.valid[:1]))
        return told

    def _parts(self, seen: View, predicted: Array) -> dict[str, float]:
        """The goal's metric on each of some parts of the rows that were validated on, for a comparison in pairs."""
        told: dict[str, float] = {}
        for i in range(PARTS):
            with suppress(DataError):  # a class that is not in a part
                scores = seen.scores(self.goal.named, seen.valid[i::PARTS], predicted[i::PARTS])
                told[f"part{i}_{self.goal.metric}"] = scores[self.goal.metric]
        return told

    @staticmethod
    def predicted(fitted: Fitted, seen: View, rows: Array) -> Array:
        """Predictions for rows: (n, classes) probabilities, or (n,) values in the units of the target."""
        told = fitted.predict(seen.inputs(rows, fitted.scaled))
        return told if seen.classes else seen.undo(told)

    def _final(self, run: Run) -> Iterator[Measurement]:
        """One fit on training and validation part, and its model in the run's folder."""
        began = time.perf_counter()
        seen, config = self.view(run.context), dict(run.config)
        if self.folds is None and isinstance(self.learner, RoundsLearner):
            config["rounds"] = run.until * whole(config, "rounds_per_step", 10)
        fitted = self.learner.fit(config, seen, run.seed)
        scores = seen.scores(self.goal.named, seen.probed, self.predicted(fitted, seen, seen.probed), "train_")
        self.save(run, fitted, seen, scores)
        yield Measurement(run.until, scores, time.perf_counter() - began)

    def save(self, run: Run, fitted: Fitted, seen: View, scores: Mapping[str, float]) -> Path:
        """Save a trained model in the run's folder under ``model``."""
        dataset = seen.dataset
        features = dataset.feature_names or tuple(f"x{i}" for i in range(seen.features))
        about = {"data": self.data, "fingerprint": seen.fingerprint, "rows": len(seen.train), "seed": run.seed,
                 "trial": run.trial}  # fmt: skip
        preprocessor, classes = seen.preprocessor, dataset.classes
        if not self.learner.supervised:  # what it tells are numbers of its own, no targets
            preprocessor, classes = replace(preprocessor, target_center=0.0, target_gain=1.0), ()
        card = TableCard(self.learner.name, run.config, classes, features, preprocessor, fitted.scaled,
                         dataset.encoding, metrics=dict(scores), about=about,
                         label_type=dataset.label_type)  # fmt: skip
        return save_table_model(run.folder / MODEL, card, fitted)


def next_fold(taken: Sequence[float], fractions: Sequence[float] = ()) -> float:
    """Seconds that the next fold will take, from those before it; 0 where nothing is known.

    Folds are alike. Of growing shares of the rows the time grows by a power of the rows, from the last two; where there
    is one only, by the power 0.7, as part of what a small fit takes is the same for all.
    """
    if not taken or not fractions:
        return max(taken[-2:], default=0.0)
    done = len(taken)
    rows = fractions[done] / fractions[done - 1]
    power = 0.7
    if done > 1 and min(taken[-2:]) > 0:
        power = math.log(taken[-1] / taken[-2]) / math.log(fractions[done - 1] / fractions[done - 2])
    told: float = taken[-1] * rows ** min(max(power, 0.5), 2.0)
    return told


@dataclass(frozen=True, eq=False)
class Fold:
    """What a fold gave: the rows that were validated on, what was predicted for them, scores, the seconds that it took,
    and those in which 1,000 rows are predicted."""

    rows: Array
    predicted: Array
    scores: dict[str, float]
    seconds: float
    latency: float = math.nan


def write_fold(path: Path, fold: Fold) -> None:
    """Write a fold to a file, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".tmp-{path.name}")
    with new.open("wb") as file:
        np.savez(file, rows=fold.rows.astype(np.int32), predicted=fold.predicted, names=np.array(list(fold.scores)),
                 scores=np.array([*fold.scores.values(), fold.seconds, fold.latency]))  # fmt: skip
    new.replace(path)


def read_fold(path: Path) -> Fold | None:
    """A fold from its file; None where there is none that can be read: then it is measured again."""
    try:
        with np.load(path, allow_pickle=False) as told:
            values = told["scores"].tolist()
            scores = dict(zip(told["names"].tolist(), values[:-2], strict=True))
            return Fold(told["rows"].astype(np.int64), told["predicted"], scores, values[-2], values[-1])
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None


class _Kept:
    """The state of a run that is trained in rounds, in its folder; only that of the same data is taken up."""

    def __init__(self, folder: Path, data: str) -> None:
        self._folder, self._data = folder, data[:12]

    def put(self, step: int, state: bytes) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / f"rounds-{self._data}-{step:06}"
        new = path.with_name(f".tmp-{path.name}")
        new.write_bytes(state)
        new.replace(path)
        for older in [p for p in self._files() if p != path][:-1]:
            older.unlink(missing_ok=True)

    def latest(self, until: int) -> tuple[int, bytes | None]:
        for path in reversed(self._files()):
            step = int(path.name.rpartition("-")[2])
            if step <= until:
                return step, path.read_bytes()
        return 0, None

    def _files(self) -> list[Path]:
        return sorted(self._folder.glob(f"rounds-{self._data}-*"))


# what families share


def fit_quietly(estimator: Any, inputs: Array, targets: Array | None) -> Any:
    """Fit a scikit-learn estimator; that an optimiser could have gone on is no news worth a line for each trial."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*(converge|terminated early|ITERATIONS|Liblinear).*")
        warnings.filterwarnings("ignore", message=".*(least populated class|ill-conditioned|Singular matrix).*")
        warnings.filterwarnings("ignore", message=".*distinct clusters.*")
        return estimator.fit(inputs, targets)


def fitted(learner: TableLearner, estimator: Any, seen: View) -> Estimator:
    """The estimator, fitted to the training rows of a view."""
    inputs = seen.scaled if learner.scaled else seen.raw
    return Estimator(fit_quietly(estimator, inputs, seen.targets), len(seen.classes), learner.scaled)


def weights(dataset: Dataset) -> dict[str, Choice]:
    """A choice of class weights, where the classes are imbalanced; balanced: inverse to how common each class is."""
    if not dataset.classes:
        return {}
    counts = np.bincount(dataset.targets, minlength=len(dataset.classes))
    if counts.min() >= RARE * len(dataset) / len(dataset.classes):
        return {}
    return {"class_weight": Choice(["none", "balanced"])}


def whole(config: Config, name: str, default: int) -> int:
    """A whole number of a configuration."""
    return int(config.get(name, default))  # type: ignore[arg-type]


def class_weight(config: Config) -> str | None:
    """What scikit-learn calls it."""
    told = config.get("class_weight", "none")
    return None if told == "none" else str(told)


def known(config: Config, names: Sequence[str], learner: str) -> None:
    """Raise SettingError, with the nearest name, for hyperparameters that a family does not have."""
    found = [
        Problem(f"{learner} has no hyperparameter of this name", key, repr(value), nearest(key, names))
        for key, value in config.items()
        if key.partition(".")[0] not in names
    ]
    if found:
        raise SettingError(found)


def sklearn(module: str) -> Any:
    """A module of scikit-learn. Raises MissingExtraError."""
    from importlib import import_module  # noqa: PLC0415

    try:
        return import_module(f"sklearn.{module}")
    except ModuleNotFoundError as error:
        raise MissingExtraError.of("scikit-learn", "data", "classic learners") from error
