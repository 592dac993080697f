"""Contract tests for people who write a sampler, scheduler, store or executor; tunebook's own pass them too.

    from tunebook.testing import check_sampler

    def test_my_sampler():
        check_sampler(lambda space, goal, seed: MySampler(space, goal, seed))

Each raises AssertionError with a sentence that says which part of the law is broken.
"""

from tunebook.testing.executor import check_executor as check_executor
from tunebook.testing.sampler import check_sampler as check_sampler
from tunebook.testing.scheduler import check_scheduler as check_scheduler
from tunebook.testing.store import check_store as check_store
