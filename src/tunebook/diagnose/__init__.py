"""Checks: what a study's trials say about its design, each finding with a proposal."""

from tunebook.diagnose.base import Check, Evidence, Finding
from tunebook.diagnose.boundary import boundary
from tunebook.diagnose.divergence import divergence
from tunebook.diagnose.overfit import overfit

CHECKS: tuple[Check, ...] = (divergence, boundary, overfit)


def diagnose(evidence: Evidence) -> list[Finding]:
    """The findings of every check, in the order of ``CHECKS``."""
    return [finding for check in CHECKS for finding in check(evidence)]
