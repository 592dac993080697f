"""The drop-ins are scikit-learn estimators like any other."""

import pickle
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import cross_val_score, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.utils.estimator_checks import parametrize_with_checks

from tunebook.errors import SettingError
from tunebook.interop.sklearn import TunedClassifier, TunedRegressor, TunedSearchCV
from tunebook.space import Choice, Float, Space

C = Space(C=Float(1e-3, 1e3, log=True, default=1.0))


@parametrize_with_checks([TunedSearchCV(LogisticRegression(), C, trials=2, cv=2)])
def test_it_passes_the_checks_of_scikit_learn(estimator: Any, check: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the checks make estimators warn on purpose
        check(estimator)


def test_a_search_finds_a_better_configuration_than_the_default() -> None:
    x, y = load_breast_cancer(return_X_y=True)
    pipe = make_pipeline(StandardScaler(), LogisticRegression(C=1e-4, max_iter=2000))
    space = Space(logisticregression__C=Float(1e-4, 1e4, log=True, default=1e-4))
    search = TunedSearchCV(pipe, space, trials=12, cv=3, random_state=0, scoring="neg_log_loss").fit(x, y)
    assert len(search.cv_results_["params"]) == 12
    assert search.cv_results_["params"][0] == {"logisticregression__C": pytest.approx(1e-4)}
    assert search.best_score_ > search.cv_results_["mean_test_score"][0] + 0.1
    assert search.score(x, y) > -0.1
    again = TunedSearchCV(pipe, space, trials=12, cv=3, random_state=0, scoring="neg_log_loss").fit(x, y)
    assert again.cv_results_["params"] == search.cv_results_["params"]
    loaded = pickle.loads(pickle.dumps(search))
    assert (loaded.predict(x) == search.predict(x)).all()


def test_conditional_spaces_and_several_scores() -> None:
    x, y = load_wine(return_X_y=True)
    space = Space(
        kernel=Choice({"linear": Space(), "rbf": Space(gamma=Float(1e-4, 1.0, log=True))}), C=Float(0.1, 10.0, log=True)
    )
    search = TunedSearchCV(SVC(), space, trials=12, cv=3, scoring=["accuracy", "balanced_accuracy"], refit="accuracy",
                           sampler="random", random_state=1).fit(x, y)  # fmt: skip
    kinds = {p["kernel"] for p in search.cv_results_["params"]}
    assert kinds == {"linear", "rbf"}
    assert all(("gamma" in p) == (p["kernel"] == "rbf") for p in search.cv_results_["params"])
    assert cross_val_score(clone(search), x, y, cv=2).mean() > 0.8
    for bad in ({"sampler": "tpee"}, {"trials": 0}):
        with pytest.raises(SettingError):
            clone(search).set_params(**bad).fit(x, y)


def test_fits_that_fail_are_no_end() -> None:
    x, y = load_diabetes(return_X_y=True)
    search = TunedSearchCV(Ridge(), {"alpha": Float(-1.0, 1.0, default=0.5)}, trials=8, cv=2, sampler="random")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn tells of fits that fail
        search.fit(x, y)
    assert 1 <= len(search.cv_results_["params"]) < 8  # half of the space cannot be
    assert search.best_params_["alpha"] >= 0


def test_a_classifier_finds_its_family(tmp_path: Path) -> None:
    x, y = load_wine(return_X_y=True)
    names = np.array(["red", "white", "rose"])[y]
    x = x.copy()
    x[::9, 3] = np.nan
    a, b, c, d = train_test_split(x, names, random_state=0, stratify=names)
    model = TunedClassifier(time_limit=None, trials=16, families=("logistic", "knn"), workers=0, folder=tmp_path)
    model.fit(a, c)
    assert model.classes_.tolist() == ["red", "rose", "white"]
    assert model.score(b, d) > 0.9
    assert model.predict_proba(b).sum(axis=1) == pytest.approx(1.0)
    assert (model.predict(b) == model.classes_[model.predict_proba(b).argmax(axis=1)]).all()
    assert (tmp_path / "study" / "report.html").exists()
    assert (pickle.loads(pickle.dumps(model)).predict(b) == model.predict(b)).all()
    with pytest.raises(ValueError, match="features"):
        model.predict(b[:, :5])
    with pytest.raises(ValueError, match="1 class"):
        clone(model).fit(a, np.zeros(len(a)))


def test_a_regressor_takes_data_frames_with_texts() -> None:
    pd = pytest.importorskip("pandas")
    told = load_diabetes(as_frame=True)
    frame = told.data.assign(kind=np.where(told.data["sex"] > 0, "a", "b")).drop(columns="sex")
    model = TunedRegressor(time_limit=None, trials=10, families=("linear",), workers=0)
    model.fit(frame[:300], told.target[:300])
    assert model.score(frame[300:], told.target[300:]) > 0.35
    assert model.feature_names_in_.tolist() == list(frame.columns)
    assert isinstance(frame, pd.DataFrame)
