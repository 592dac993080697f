"""Spaces as arrays for the search: against what the space itself says."""

import numpy as np
import pytest

from tunebook.samplers._layout import Layout, keys
from tunebook.space import Choice, Int, Space
from tunebook.testing.sampler import SPACES

MANY = Choice([str(i) for i in range(40)])
LONG = Space(a=Int(1, 100_000, log=True), b=Choice([True, False]), c=Int(0, 5000), d=MANY)


@pytest.mark.parametrize("space", [*SPACES.values(), LONG], ids=[*SPACES, "long"])
def test_real_is_what_the_space_says(space: Space) -> None:
    U = np.random.default_rng(0).uniform(-0.2, 1.2, (500, space.dim))
    X = Layout(space).real(U)
    assert np.allclose(X, space.snap(np.clip(U, 0, 1)), rtol=0, atol=1e-12, equal_nan=True)


@pytest.mark.parametrize("space", [*SPACES.values(), LONG], ids=[*SPACES, "long"])
def test_neighbours_differ_in_one_discrete_axis(space: Space) -> None:
    layout = Layout(space)
    U = np.random.default_rng(1).random((10, space.dim))
    X = layout.real(U)
    near, row = layout.neighbours(U)
    assert (np.diff(row) >= 0).all() and len(near) == len(row)
    for i, x in enumerate(X):
        mine = near[row == i]
        differs = np.abs(mine - U[i]) > 0
        assert (differs.sum(axis=1) <= 1).all()
        found = keys(layout.real(mine)) if len(mine) else []
        assert len(set(found)) == len(found) and keys(x[None])[0] not in found
        due = 0
        for j in layout.discrete:
            if not np.isnan(x[j]):
                at, size = int(space.axes[j].parameter.index(x[j : j + 1])[0]), int(layout.sizes[j])
                due += size - 1 if layout.unordered[j] and size <= 24 else (at > 0) + (at < size - 1)
        assert len(found) == due
