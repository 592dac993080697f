"""Checks: what a study's trials say about its design, each finding with a proposal.

How often each check is wrong is measured by ``benchmarks/diagnosis.py``; the table is in ``docs/diagnosis.md``.
"""

from tunebook.diagnose.base import Check, Evidence, Finding
from tunebook.diagnose.boundary import boundary
from tunebook.diagnose.coverage import coverage
from tunebook.diagnose.divergence import divergence
from tunebook.diagnose.narrow import narrow
from tunebook.diagnose.noise import noise
from tunebook.diagnose.overfit import overfit
from tunebook.diagnose.saturation import saturation
from tunebook.diagnose.underfit import underfit

CHECKS: tuple[Check, ...] = (divergence, boundary, narrow, overfit, underfit, saturation, noise, coverage)


def diagnose(evidence: Evidence) -> list[Finding]:
    """The findings of every check, in the order of ``CHECKS``."""
    return [finding for check in CHECKS for finding in check(evidence)]
