"""Data as frozen values: loaders, splits, the preprocessor and the lock on the test part.

open_dataset("sklearn:digits") -> Dataset
Split(seed=0).parts(dataset)   -> Parts (train, valid, test row numbers)
develop(dataset, parts)        -> Development (train and valid only)
LockedTest(dataset, parts, record).look("final evaluation") -> (inputs, targets)
"""

from tunebook.data.dataset import Dataset as Dataset
from tunebook.data.encoding import ColumnCode as ColumnCode
from tunebook.data.encoding import TableEncoding as TableEncoding
from tunebook.data.split import Parts as Parts
from tunebook.data.split import Split as Split
from tunebook.data.split import leaks as leaks
from tunebook.data.vault import Development as Development
from tunebook.data.vault import LockedTest as LockedTest
from tunebook.data.vault import develop as develop
