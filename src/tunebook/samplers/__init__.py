"""Samplers: where the next configurations come from."""

from tunebook.samplers.auto import AutoSampler as AutoSampler
from tunebook.samplers.bandit import BanditSampler as BanditSampler
from tunebook.samplers.base import History as History
from tunebook.samplers.base import Sampler as Sampler
from tunebook.samplers.cmaes import CmaesSampler as CmaesSampler
from tunebook.samplers.de import DESampler as DESampler
from tunebook.samplers.evolution import EvolutionSampler as EvolutionSampler
from tunebook.samplers.gp import GPSampler as GPSampler
from tunebook.samplers.grid import GridSampler as GridSampler
from tunebook.samplers.named import SAMPLERS as SAMPLERS
from tunebook.samplers.named import sampler_named as sampler_named
from tunebook.samplers.nsga2 import NSGA2Sampler as NSGA2Sampler
from tunebook.samplers.quasi import QuasiSampler as QuasiSampler
from tunebook.samplers.random import RandomSampler as RandomSampler
from tunebook.samplers.tpe import TPESampler as TPESampler
