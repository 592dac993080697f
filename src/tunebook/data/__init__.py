"""Data as frozen values: loaders, splits, the preprocessor and the lock on the test part.

dataset = open_dataset("sklearn:digits")       # or "csv:houses.csv?target=price", "npz:x.npz", "mnist1d"
parts = Split(seed=0).parts(dataset)           # row numbers of train, valid and test
development = develop(dataset, parts)          # the two data sets that training code may see
LockedTest(dataset, parts, record).look("final evaluation")    # the third: once, and written down
"""

from tunebook.data._raw import Reading as Reading
from tunebook.data.arrays import from_arrays as from_arrays
from tunebook.data.arrays import load_arrays as load_arrays
from tunebook.data.arrays import save_arrays as save_arrays
from tunebook.data.bundled import load_mnist1d as load_mnist1d
from tunebook.data.bundled import load_sklearn as load_sklearn
from tunebook.data.dataset import Dataset as Dataset
from tunebook.data.encoding import ColumnCode as ColumnCode
from tunebook.data.encoding import TableEncoding as TableEncoding
from tunebook.data.folds import Folds as Folds
from tunebook.data.labels import TEXT as TEXT
from tunebook.data.labels import label_type as label_type
from tunebook.data.labels import typed_labels as typed_labels
from tunebook.data.preprocess import Preprocessor as Preprocessor
from tunebook.data.reference import SCHEMES as SCHEMES
from tunebook.data.reference import DataRef as DataRef
from tunebook.data.reference import open_dataset as open_dataset
from tunebook.data.rows import encode_frame as encode_frame
from tunebook.data.rows import read_rows as read_rows
from tunebook.data.rows import rows_of as rows_of
from tunebook.data.split import Parts as Parts
from tunebook.data.split import Split as Split
from tunebook.data.split import leaks as leaks
from tunebook.data.table import encode_table as encode_table
from tunebook.data.table import load_table as load_table
from tunebook.data.vault import Development as Development
from tunebook.data.vault import LockedTest as LockedTest
from tunebook.data.vault import develop as develop
