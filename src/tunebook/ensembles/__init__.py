"""Ensembles from trials that are paid for already: they need no training, only out-of-fold predictions.

    told = [judged(name, method, predictions, metric) for name, method in METHODS.items()]

Nothing is fitted on the rows that it is scored on.
"""

from tunebook.ensembles.base import Combination as Combination
from tunebook.ensembles.base import Draws as Draws
from tunebook.ensembles.base import Predictions as Predictions
from tunebook.ensembles.combine import average as average
from tunebook.ensembles.combine import best as best
from tunebook.ensembles.combine import vote as vote
from tunebook.ensembles.combine import weighted as weighted
from tunebook.ensembles.greedy import greedy as greedy
from tunebook.ensembles.greedy import selection_loss as selection_loss
from tunebook.ensembles.judge import Judged as Judged
from tunebook.ensembles.judge import bagged as bagged
from tunebook.ensembles.judge import compared as compared
from tunebook.ensembles.judge import corrected as corrected
from tunebook.ensembles.judge import cross_fitted as cross_fitted
from tunebook.ensembles.judge import with_all_rows as with_all_rows
from tunebook.ensembles.stacking import stacking as stacking
