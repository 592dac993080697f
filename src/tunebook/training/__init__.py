"""The torch room: a task, one visible training loop, and all that goes into them.

task = classification(build, Part(x, y), Part(x_valid, y_valid), epochs=30)
objective = partial(train, task)          # ready for a study; ``build`` makes a module of a configuration
"""

from tunebook.training.checkpoint import Checkpoint as Checkpoint
from tunebook.training.checkpoint import Checkpoints as Checkpoints
from tunebook.training.loop import train as train
from tunebook.training.model_file import Card as Card
from tunebook.training.model_file import SavedModel as SavedModel
from tunebook.training.model_file import load_model as load_model
from tunebook.training.model_file import save_model as save_model
from tunebook.training.probes import Probed as Probed
from tunebook.training.probes import probe as probe
from tunebook.training.task import Augment as Augment
from tunebook.training.task import Part as Part
from tunebook.training.task import Task as Task
from tunebook.training.task import classification as classification
from tunebook.training.task import multilabel as multilabel
from tunebook.training.task import regression as regression
