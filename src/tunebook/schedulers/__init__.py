"""Schedulers: which trial goes how far."""

from tunebook.schedulers.asha import AshaScheduler as AshaScheduler
from tunebook.schedulers.base import Plan as Plan
from tunebook.schedulers.base import Resume as Resume
from tunebook.schedulers.base import Scheduler as Scheduler
from tunebook.schedulers.base import Verdict as Verdict
from tunebook.schedulers.full import FullScheduler as FullScheduler
from tunebook.schedulers.halving import HalvingScheduler as HalvingScheduler
from tunebook.schedulers.halving import HyperbandScheduler as HyperbandScheduler
from tunebook.schedulers.named import SCHEDULERS as SCHEDULERS
from tunebook.schedulers.named import scheduler_named as scheduler_named
from tunebook.schedulers.stops import Combined as Combined
from tunebook.schedulers.stops import DivergenceStop as DivergenceStop
from tunebook.schedulers.stops import MedianStop as MedianStop
from tunebook.schedulers.stops import PatienceStop as PatienceStop
from tunebook.schedulers.stops import PlateauStop as PlateauStop
from tunebook.schedulers.stops import Stop as Stop
