"""Samplers: where the next configurations come from."""

from tunebook.samplers.base import History as History
from tunebook.samplers.base import Sampler as Sampler
from tunebook.samplers.gp import GPSampler as GPSampler
from tunebook.samplers.grid import GridSampler as GridSampler
from tunebook.samplers.quasi import QuasiSampler as QuasiSampler
from tunebook.samplers.random import RandomSampler as RandomSampler
from tunebook.samplers.tpe import TPESampler as TPESampler
