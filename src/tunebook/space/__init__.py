"""Search spaces: which hyperparameters there are, what values they may take, and when they exist.

    space = Space(
        lr=Float(1e-4, 1e-1, log=True),
        layers=Int(1, 4),
        optimizer=Choice({"sgd": Space(momentum=Float(0.0, 0.99)), "adam": Space(beta1=Float(0.8, 0.99))}),
        epochs=10,                                             # a constant
    )

A configuration is a flat mapping of plain JSON values. A hyperparameter nested under an option carries the
option in its name (``optimizer.sgd.momentum``): the same word under two options is two hyperparameters.
Samplers see arrays ``(n, dim)`` of numbers in [0, 1], one column an axis, NaN where an axis is inactive.
"""

from tunebook.space.conditions import Conditions as Conditions
from tunebook.space.parameter import Array as Array
from tunebook.space.parameter import Choice as Choice
from tunebook.space.parameter import Config as Config
from tunebook.space.parameter import Float as Float
from tunebook.space.parameter import Int as Int
from tunebook.space.parameter import Parameter as Parameter
from tunebook.space.parameter import Value as Value
from tunebook.space.read import read_toml as read_toml
from tunebook.space.space import Axis as Axis
from tunebook.space.space import Space as Space
from tunebook.space.space import branch as branch
