"""Drop-ins for scikit-learn: a search over one estimator, and estimators that look for the family themselves.

    search = TunedSearchCV(LogisticRegression(), Space(C=Float(1e-4, 1e4, log=True)), trials=30).fit(X, y)
    model = TunedClassifier(time_limit="5m").fit(X, y)
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any, Self

import numpy as np
from joblib import effective_n_jobs
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.model_selection._search import BaseSearchCV
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_array, check_consistent_length, check_is_fitted, column_or_1d, validate_data

from tunebook.data import encode_table, from_arrays, save_arrays
from tunebook.errors import SettingError
from tunebook.jobs import load
from tunebook.samplers import Sampler, sampler_named
from tunebook.space import Config, Parameter, Space, Value
from tunebook.tables import goal_of, tune_table
from tunebook.trial import Direction, Failure, FailureKind, Goal, Measurement, Status, Trial

Array = NDArray[Any]
TARGET = "tunebook target"


class TunedSearchCV(BaseSearchCV):  # type: ignore[misc]
    """A search like ``RandomizedSearchCV``, by tunebook's samplers, over a ``Space``; all else is scikit-learn's.

    estimator   what is tuned
    space       a Space, or a mapping of names to Float, Int and Choice; what stands below an option of a choice is
                given to the estimator by its last name (``kernel.rbf.gamma`` sets ``gamma``)
    trials      how many configurations are evaluated; the first is the space's default
    sampler     tpe, gp, random, quasi, ...
    """

    _required_parameters = ("estimator", "space")

    def __init__(  # noqa: PLR0913  (scikit-learn's own arguments)
        self,
        estimator: Any,
        space: Space | Mapping[str, Parameter | Value],
        *,
        trials: int = 20,
        sampler: str = "tpe",
        random_state: int | np.random.RandomState | None = None,
        scoring: Any = None,
        n_jobs: int | None = None,
        refit: Any = True,
        cv: Any = None,
        verbose: int = 0,
        pre_dispatch: Any = "2*n_jobs",
        error_score: Any = np.nan,
        return_train_score: bool = False,
    ) -> None:
        super().__init__(
            estimator=estimator,
            scoring=scoring,
            n_jobs=n_jobs,
            refit=refit,
            cv=cv,
            verbose=verbose,
            pre_dispatch=pre_dispatch,
            error_score=error_score,
            return_train_score=return_train_score,
        )
        self.space, self.trials, self.sampler, self.random_state = space, trials, sampler, random_state

    def _run_search(self, evaluate_candidates: Callable[[Sequence[Config]], Mapping[str, Any]]) -> None:
        # a copy: a space remembers what it was asked, and parameters of an estimator must stay what they are
        space = deepcopy(self.space) if isinstance(self.space, Space) else Space(dict(self.space))
        if isinstance(self.trials, bool) or not isinstance(self.trials, int) or self.trials < 1:
            raise SettingError("trials must be a whole number above 0", where="trials", got=repr(self.trials))
        sampler = sampler_named(self.sampler, space, Goal("score", Direction.MAXIMIZE), _seed(self.random_state))
        done, failed = 0, None
        while done < self.trials:
            room = min(max(1, effective_n_jobs(self.n_jobs)), self.trials - done)
            configs: list[Config] = [space.default] if done == 0 else list(sampler.ask(room, [], done))
            if not configs:  # the space has no more
                break
            told = [_parameters(space, c) for c in configs]
            try:
                results = evaluate_candidates(told)
                scores = list(results[f"mean_test_{self._told}"][-len(configs) :])
                failed = None
            except ValueError as error:
                if self.error_score == "raise" or "fits failed" not in str(error):
                    raise
                failed, scores = error, [math.nan] * len(configs)  # none of this batch: what comes next may be better
            _tell(sampler, configs, scores, done)
            done += len(configs)
        if failed is not None and not sampler.history.feasible.any():
            raise failed

    @property
    def _told(self) -> str:
        """Which of several scores is optimised."""
        many = isinstance(self.scoring, list | tuple | set | dict)
        if not many:
            return "score"
        return self.refit if isinstance(self.refit, str) else str(sorted(self.scoring)[0])


def _seed(state: Any) -> int:
    if state is None:
        return 0
    return int(state.randint(2**31 - 1)) if isinstance(state, np.random.RandomState) else int(state)


def _parameters(space: Space, config: Config) -> dict[str, Value]:
    """What the estimator is to be given."""
    nests = {name for name, p in space.parameters.items() if any(n.startswith(f"{name}.") for n in config)}
    known = {name: v for name, v in config.items() if name not in nests or "." not in name}
    return {name.rpartition(".")[2]: value for name, value in known.items()}


def _tell(sampler: Sampler, configs: Sequence[Config], scores: Sequence[float], first: int) -> None:
    trials = []
    for i, (config, score) in enumerate(zip(configs, scores, strict=True)):
        sound = math.isfinite(score)
        failure = None if sound else Failure(FailureKind.USER_ERROR, "the fit failed")
        curve = (Measurement(1, {"score": float(score)}),) if sound else ()
        status = Status.COMPLETED if sound else Status.FAILED
        trials.append(Trial(first + i, "search", config, status=status, until=1, curve=curve, failure=failure))
    sampler.tell(trials)


class _Tuned(BaseEstimator):  # type: ignore[misc]
    """What classifier and regressor share. Everything that is fitted ends with an underscore."""

    def __init__(
        self,
        time_limit: str | float | None = "60s",
        trials: int = 10_000,
        metric: str | None = None,
        families: Sequence[str] = (),
        workers: int | None = None,
        random_state: int | None = None,
        folder: str | Path | None = None,
    ) -> None:
        self.time_limit, self.trials, self.metric, self.families = time_limit, trials, metric, families
        self.workers, self.random_state, self.folder = workers, random_state, folder

    def _tune(self, X: Any, targets: Array, task: str) -> Self:
        with tempfile.TemporaryDirectory(prefix="tunebook-") as temporary:
            folder = Path(self.folder if self.folder is not None else temporary)
            folder.mkdir(parents=True, exist_ok=True)
            data = self._kept(X, targets, task, folder)
            result = tune_table(data, goal_of(self.metric), None, tuple(self.families), test=0.0,
                                time_limit=self.time_limit, trials=self.trials, workers=self.workers,
                                seed=self.random_state or 0, folder=folder / "study", quiet=True)  # fmt: skip
            if result.model is None:
                raise SettingError("no model was trained: the budget was too small", where="time_limit",
                                   got=str(self.time_limit), fix="more time")  # fmt: skip
            self.model_ = load(result.model)
        self.config_ = dict(result.config)
        return self

    def _kept(self, X: Any, targets: Array, task: str, folder: Path) -> str:
        """Write the data where workers find it; returns its reference."""
        if self._is_frame(X):
            path = folder / "data.csv"
            X.assign(**{TARGET: targets}).to_csv(path, index=False)
            return f"csv:{path}?target={TARGET}&task={task}"
        path = folder / "data.npz"
        save_arrays(from_arrays(X, targets, kind="table", task=task), path)  # type: ignore[arg-type]
        return f"npz:{path}"

    @staticmethod
    def _is_frame(X: Any) -> bool:
        return hasattr(X, "to_csv") and hasattr(X, "assign")

    def _checked(self, X: Any, y: Any = None) -> Any:
        """A data frame as it is, anything else as an array of numbers."""
        if self._is_frame(X):
            validate_data(self, X, reset=y is not None, skip_check_array=True)
            return X
        told: Any = validate_data(self, X, reset=y is not None, ensure_all_finite="allow-nan", dtype=np.float64)
        return told

    def _inputs(self, X: Any) -> Array:
        check_is_fitted(self, "model_")
        X = self._checked(X)
        if not self._is_frame(X):
            return np.asarray(check_array(X, ensure_all_finite="allow-nan", dtype=np.float64))
        with tempfile.TemporaryDirectory(prefix="tunebook-") as temporary:
            path = Path(temporary) / "rows.csv"
            X.to_csv(path, index=False)
            return encode_table(path, self.model_.card.encoding)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags


class TunedClassifier(ClassifierMixin, _Tuned):  # type: ignore[misc]
    """A classifier that finds its family, its hyperparameters and an ensemble itself: see ``tunebook.tables``.

    Takes arrays of numbers (NaN where a value is missing) and data frames with texts and dates. All rows are learned
    from. ``model_`` is the model, ``config_`` the configuration to use.
    """

    def fit(self, X: Any, y: Any) -> Self:
        """Tune and train. Raises TunebookError."""
        X = self._checked(X, y)
        y = column_or_1d(y, warn=True)
        check_consistent_length(X, y)
        check_classification_targets(y)
        self.classes_, codes = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"a classifier needs two classes or more; got 1 class: {self.classes_[0]!r}")
        # labels of one width, so that their order as texts is that of their codes
        labels = np.array([f"class {c:06}" for c in codes])
        return self._tune(X, labels, "classification")

    def predict(self, X: Any) -> Array:
        """(n,) labels."""
        told = self.model_.predict(self._inputs(X))
        labels: Array = self.classes_[[int(name.rpartition(" ")[2]) for name in told]]
        return labels

    def predict_proba(self, X: Any) -> Array:
        """(n, classes) probabilities, in the order of ``classes_``."""
        told: Array = self.model_.predict_proba(self._inputs(X))
        return told


class TunedRegressor(RegressorMixin, _Tuned):  # type: ignore[misc]
    """A regressor that finds its family, its hyperparameters and an ensemble itself: see ``TunedClassifier``."""

    def fit(self, X: Any, y: Any) -> Self:
        """Tune and train. Raises TunebookError."""
        X = self._checked(X, y)
        y = np.asarray(column_or_1d(y, warn=True), dtype=np.float64)
        check_consistent_length(X, y)
        return self._tune(X, y, "regression")

    def predict(self, X: Any) -> Array:
        """(n,) values."""
        told: Array = self.model_.predict(self._inputs(X))
        return told
