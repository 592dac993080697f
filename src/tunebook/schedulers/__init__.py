"""Schedulers: which trial goes how far."""

from tunebook.schedulers.asha import AshaScheduler as AshaScheduler
from tunebook.schedulers.base import Plan as Plan
from tunebook.schedulers.base import Resume as Resume
from tunebook.schedulers.base import Scheduler as Scheduler
from tunebook.schedulers.base import Verdict as Verdict
from tunebook.schedulers.full import FullScheduler as FullScheduler
from tunebook.schedulers.halving import HalvingScheduler as HalvingScheduler
