"""One thread for the small matrices of models: beside busy workers, more threads wait for each other many times as long
as they compute."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, wraps
from typing import TYPE_CHECKING, ParamSpec, TypeVar

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController

P = ParamSpec("P")
R = TypeVar("R")


@cache
def _libraries() -> ThreadpoolController:
    """The linear algebra libraries that are loaded; to look for them takes milliseconds."""
    import scipy.linalg  # noqa: F401, PLC0415  (loads the ones that are used)
    from threadpoolctl import ThreadpoolController  # noqa: PLC0415

    return ThreadpoolController()


def one_thread(function: Callable[P, R]) -> Callable[P, R]:
    """The function, with linear algebra on one thread while it runs."""

    @wraps(function)
    def alone(*args: P.args, **kwargs: P.kwargs) -> R:
        with _libraries().limit(limits=1, user_api="blas"):
            return function(*args, **kwargs)

    return alone
