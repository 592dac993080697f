"""tunebook: the deep learning tuning playbook as software.

A person brings a model and data; tunebook runs the whole cycle that careful practitioners do by hand, and says why.
What needs more than numpy is loaded when it is first used, so that `import tunebook` and `tunebook --help` are quick.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from tunebook.errors import TunebookError as TunebookError
from tunebook.objective import EarlyStop as EarlyStop
from tunebook.objective import Run as Run
from tunebook.objective import objective as objective
from tunebook.space import Choice as Choice
from tunebook.space import Float as Float
from tunebook.space import Int as Int
from tunebook.space import Space as Space
from tunebook.space import branch as branch
from tunebook.trial import Context as Context
from tunebook.trial import Goal as Goal
from tunebook.trial import Limit as Limit
from tunebook.trial import Measurement as Measurement
from tunebook.trial import Trial as Trial

if TYPE_CHECKING:
    from tunebook.jobs import Result as Result
    from tunebook.jobs import load as load
    from tunebook.jobs import open_study as open_study
    from tunebook.jobs import tune as tune
    from tunebook.jobs import tune_model as tune_model
    from tunebook.study import Search as Search
    from tunebook.study import Study as Study
    from tunebook.tables import tune_table as tune_table

__version__ = "0.1.0"

_LATER = {
    "Result": "jobs",
    "Search": "study",
    "Study": "study",
    "load": "jobs",
    "open_study": "jobs",
    "tune": "jobs",
    "tune_model": "jobs",
    "tune_table": "tables",
}

__all__ = [
    "Choice",
    "Context",
    "EarlyStop",
    "Float",
    "Goal",
    "Int",
    "Limit",
    "Measurement",
    "Result",
    "Run",
    "Search",
    "Space",
    "Study",
    "Trial",
    "TunebookError",
    "branch",
    "load",
    "objective",
    "open_study",
    "tune",
    "tune_model",
    "tune_table",
]


def __getattr__(name: str) -> Any:
    """Load a public name that needs SQLAlchemy or scipy on first use."""
    if name not in _LATER:
        raise AttributeError(f"module 'tunebook' has no attribute {name!r}")
    value = getattr(import_module(f"tunebook.{_LATER[name]}"), name)
    globals()[name] = value
    return value
